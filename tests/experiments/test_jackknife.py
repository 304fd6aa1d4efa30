"""Intervals of scores that several seeds make together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.jackknife import Estimate
from supertickets.experiments.records import Cost, Record, Size
from supertickets.experiments.statistics import difference
from supertickets.learning.metrics import score

TASK = Task("toy", "classification", ("no", "yes"), ("accuracy",))
N, SEEDS = 300, (0, 1, 2, 3, 4)


def record(seed: int, rate: float, kind: str = "full") -> Record:
    """A model that is right at a rate, on examples that all models find equally hard, with some luck."""
    labels, hard = np.arange(N) % 2, np.random.default_rng(0).random(N)
    right = hard + 0.05 * np.random.default_rng(seed + int(rate * 1000)).normal(size=N) < rate
    predictions = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
    scores = score(TASK, predictions, labels)
    arrays = {f"{split}_{name}": x for split in ("selection", "report") for name, x in
              (("predictions", predictions), ("labels", labels))}  # fmt: skip
    return Record(
        f"{kind}-s{seed}", kind, 0.0, seed, scores, scores, Size(1.0, 1.0, (1,), (1,)), Cost({}, 0), {}, {}, arrays
    )


def soup(of_all: Record, without: list[Record]) -> Record:
    """A soup's record from what it predicts, and what it predicts without each seed."""
    left_out = np.stack([one.arrays["report_predictions"] for one in without])
    more = {"members": np.array(SEEDS), "mixed": np.array(SEEDS), "without_predictions": left_out}
    return replace(of_all, arrays={**of_all.arrays, **more})


def test_of_a_mean_it_is_the_paired_interval() -> None:
    """Leaving seeds out of a mean over seeds gives back the seeds: value and interval are those of `difference`."""
    a, b = [record(seed, 0.8 + 0.01 * seed) for seed in SEEDS], [record(seed, 0.75) for seed in SEEDS]
    ours = (Estimate.of_mean(TASK, a) - Estimate.of_mean(TASK, b)).interval
    theirs = difference(TASK, a, b)
    assert (ours.n_seeds, ours.n_examples) == (theirs.n_seeds, theirs.n_examples) == (5, N)
    for name in ("value", "low", "high"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=1e-12)


def test_a_soup_that_no_seed_changes_has_an_interval_of_examples() -> None:
    """If leaving out any seed changes nothing, only the examples are uncertain."""
    whole = record(0, 0.8)
    found = Estimate.of_soup(TASK, soup(whole, [whole] * 5))
    draws = found.on_draws
    assert found.interval.value == whole.report.main
    assert found.interval.low == pytest.approx(np.quantile(draws, 0.025))
    assert found.interval.high == pytest.approx(np.quantile(draws, 0.975))


def test_a_soup_that_hangs_on_its_seeds_has_a_wider_one() -> None:
    """The more the soups without a seed differ, the wider; the value stays that of the soup of all."""
    whole = record(0, 0.8)
    steady = Estimate.of_soup(TASK, soup(whole, [whole] * 5)).interval
    shaky = Estimate.of_soup(TASK, soup(whole, [record(seed, 0.7 + 0.05 * seed) for seed in SEEDS])).interval
    assert shaky.value == steady.value
    assert shaky.high - shaky.low > 3 * (steady.high - steady.low)


def test_other_seeds_are_not_compared() -> None:
    """A difference needs the same seeds on both sides, and a jackknife two at least."""
    one, other = ([record(seed, 0.8) for seed in seeds] for seeds in ((0, 1), (0, 2)))
    with pytest.raises(UserError, match="cannot be compared"):
        Estimate.of_mean(TASK, one) - Estimate.of_mean(TASK, other)
    with pytest.raises(UserError, match="none can be left out"):
        Estimate.of_mean(TASK, one[:1])
