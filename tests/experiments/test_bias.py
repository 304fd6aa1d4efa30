"""The squared loss splits into squared bias and variance, exactly, and without bias for few seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.bias import decompose, parts, without_each
from supertickets.experiments.records import Cost, Record, Size
from supertickets.learning.metrics import Scores

TASK = Task("toy", "classification", ("a", "b", "c"), ("accuracy",))
NUMBERS = Task("stars", "regression", (), ("pearson",))
ANY = Scores(0.5, {"accuracy": 0.5}, 10)


def record(seed: int, predictions: np.ndarray, labels: np.ndarray) -> Record:
    """A run with these report predictions."""
    arrays = {"report_predictions": predictions.astype(np.float32), "report_labels": labels}
    size = Size(1.0, 1.0, (1,), (1,))
    return Record(f"full-s{seed}", "full", 0.0, seed, ANY, ANY, size, Cost({}, 0), {}, {}, arrays)


@pytest.mark.parametrize("seeds", [2, 3, 7])
def test_the_parts_add_up_to_the_mean_loss(seeds: int) -> None:
    """Example by example, squared bias plus variance is the mean squared loss over seeds, for any number of them."""
    rng = np.random.default_rng(seeds)
    predictions, truth = softmax(rng.normal(size=(seeds, 40, 3)), axis=2), np.eye(3)[rng.integers(3, size=40)]
    bias, variance = parts(predictions, truth)
    np.testing.assert_allclose(bias + variance, ((predictions - truth) ** 2).sum(2).mean(0), rtol=1e-12)


def test_by_hand() -> None:
    """Two seeds that say 0.2 and 0.6 of a truth of 1: v is 0.08, so squared bias is 0.36 - 0.04."""
    bias, variance = parts(np.array([[[0.2]], [[0.6]]]), np.array([[1.0]]))
    assert variance == pytest.approx([0.08]) and bias == pytest.approx([0.32])


def test_few_seeds_are_right_on_average() -> None:
    """Over many draws of two seeds, the mean of each part is the true squared bias (0.25) and variance (0.04)."""
    predictions = 0.5 + 0.2 * np.random.default_rng(0).normal(size=(2, 40_000, 1))
    bias, variance = parts(predictions, np.ones((40_000, 1)))
    assert bias.mean() == pytest.approx(0.25, abs=0.004) and variance.mean() == pytest.approx(0.04, abs=0.001)


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_without_each_seed_as_if_it_had_not_been_there(seeds: int) -> None:
    """What one pass gives is what the parts of the other seeds' predictions are; with two seeds, those of both."""
    rng = np.random.default_rng(seeds)
    predictions, truth = softmax(rng.normal(size=(seeds, 40, 3)), axis=2), np.eye(3)[rng.integers(3, size=40)]
    few = [np.delete(predictions, one, axis=0) if seeds > 2 else predictions for one in range(seeds)]
    expected = [[part.mean() for part in parts(each, truth)] for each in few]
    np.testing.assert_allclose(without_each(predictions, truth), expected, rtol=1e-12)


def test_of_records() -> None:
    """The loss is Brier's, taken from the logits by hand; both intervals hold their values."""
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=50)
    records = [record(seed, 2 * np.eye(3)[labels] + rng.normal(size=(50, 3)), labels) for seed in range(4)]
    found = decompose(TASK, records, resamples=200)
    brier = [((softmax(r.arrays["report_predictions"], axis=1) - np.eye(3)[labels]) ** 2).sum(1) for r in records]
    assert found.loss == pytest.approx(np.mean(brier), rel=1e-6)
    assert found.bias.value + found.variance.value == pytest.approx(found.loss)
    for part in (found.bias, found.variance):
        assert part.low < part.value < part.high and (part.n_seeds, part.n_examples) == (4, 50)


def test_seeds_that_agree_have_no_variance() -> None:
    """A regression whose seeds predict the same: all of the squared error is bias, and its interval is of examples."""
    labels = np.linspace(0, 5, 30)
    found = decompose(NUMBERS, [record(seed, labels + 0.5, labels) for seed in range(3)], resamples=200)
    assert found.bias.value == pytest.approx(0.25) and found.variance.value == pytest.approx(0, abs=1e-12)


def test_one_seed_and_other_examples_are_refused() -> None:
    """A variance needs two seeds, on the same examples."""
    one = record(0, np.zeros((4, 3)), np.zeros(4, np.int64))
    with pytest.raises(UserError, match="a variance needs two"):
        decompose(TASK, [one])
    with pytest.raises(UserError, match="its report examples are not those of full-s0"):
        decompose(TASK, [one, record(1, np.zeros((4, 3)), np.ones(4, np.int64))])
