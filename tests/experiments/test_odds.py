"""What the grid would find: exact where all is known, wide where little is, and neighbours inform each other."""

from __future__ import annotations

import numpy as np
import pytest

from fake_races import TASK, config_of, record_of
from supertickets.experiments.odds import Scoreboard, agreement, contenders, example_noise, grid_means
from supertickets.experiments.runs import TicketRun, TuneRun

NOISE = 0.015**2 * (0.3 + 0.7 * np.eye(4))
PLACES = (0.0, 0.2, 0.4, 0.6)


def board(*rows: list[float]) -> Scoreboard:
    """Seeds' scores of the full model and of three levels."""
    return Scoreboard(PLACES, np.array(rows), NOISE)


def test_a_whole_grid_leaves_no_doubt() -> None:
    """Where every run is there, every draw is the grid's own mean."""
    whole = board([0.8, 0.83, 0.81, 0.7], [0.82, 0.83, 0.85, 0.74])
    means = grid_means(whole)
    assert means.shape == (2000, 3)
    np.testing.assert_allclose(means, np.tile([0.83, 0.83, 0.72], (2000, 1)), atol=1e-12)
    assert list(whole.done) == [2, 2, 2]


def test_of_equals_the_sparser_is_found() -> None:
    """As the choice itself has it, and the same draws every time."""
    means = np.tile([0.83, 0.83, 0.72], (50, 1))
    assert contenders(means, 0.9, 0.0) == [1]
    half = board([0.8, 0.83, 0.81, 0.7], [0.82, np.nan, np.nan, np.nan])
    assert np.array_equal(grid_means(half), grid_means(half))


def test_what_is_known_counts_and_what_is_not_is_uncertain() -> None:
    """A missing run spreads its level's mean by about the noise over the number of seeds, around what was seen."""
    half = board([0.80, 0.83, 0.81, 0.70], [0.82, 0.85, np.nan, np.nan])
    means = grid_means(half)
    assert means[:, 0] == pytest.approx(0.84)  # both seeds are there
    assert 0.004 < means[:, 1].std() < 0.02 and 0.004 < means[:, 2].std() < 0.03
    assert means[:, 1].mean() > means[:, 2].mean() + 0.05


def test_neighbours_inform() -> None:
    """A level between two good ones is thought better of than the same score between two bad ones."""
    lone = grid_means(board([0.80, 0.74, 0.80, 0.74], [0.8, np.nan, np.nan, np.nan]))
    among = grid_means(board([0.80, 0.82, 0.80, 0.82], [0.8, np.nan, np.nan, np.nan]))
    assert among[:, 1].mean() > lone[:, 1].mean() + 0.002


def test_contenders_are_the_smallest_set_that_is_sure_enough() -> None:
    """Two levels that win half the time each both stay; with more tolerance than they differ by, one is enough."""
    rng = np.random.default_rng(0)
    coin = rng.integers(2, size=1000)
    means = np.stack([0.80 + 0.01 * coin, 0.81 - 0.01 * coin, np.full(1000, 0.7)], axis=1)
    assert contenders(means, 0.9, 0.0) == [0, 1]
    assert contenders(means, 0.9, 0.01) == [1]
    assert agreement(means.max(axis=1), means[:, 1], 0.0) == pytest.approx(1 - coin.mean())


def test_example_noise_is_that_of_the_examples() -> None:
    """The variance of an accuracy is p (1 - p) / n, and of models that are wrong together the covariance is large."""
    tune = TuneRun(config_of(), 0)
    records = [record_of(run, lambda sparsity: 0.8) for run in (tune, TicketRun(tune, "winning", 0.2))]
    noise = example_noise(TASK, records)
    rate = records[0].selection.main
    assert noise[0, 0] == pytest.approx(rate * (1 - rate) / 334, rel=0.25)
    assert 0.4 < noise[0, 1] / noise[0, 0] < 1
    assert np.linalg.eigvalsh(noise).min() > 0


def test_a_seed_without_its_full_model_is_no_row() -> None:
    """Scores of a seed whose tuned model has none are refused."""
    with pytest.raises(ValueError, match="no scoreboard"):
        board([np.nan, 0.8, 0.8, 0.8])
