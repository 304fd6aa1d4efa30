"""GLUE's metrics against hand-made numbers and the libraries'; bootstrap resamples against repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from supertickets.data.tasks import Task
from supertickets.learning.metrics import METRICS, Scores, resampled, resampled_all, score

BINARY = Task("binary", "classification", ("no", "yes"), ("accuracy", "f1"))
CORRELATED = Task("three", "classification", ("a", "b", "c"), ("matthews",))
NUMBERS = Task("numbers", "regression", (), ("pearson", "spearman"))


def one_hot(guesses: list[int], classes: int) -> np.ndarray:
    """Logits whose largest entry is the guess."""
    return np.eye(classes)[guesses]


def test_main_score_is_the_mean_of_the_task_s_metrics() -> None:
    """Accuracy 3/5 and F1 2*2/(2*2+2) average to the main score."""
    scores = score(BINARY, one_hot([1, 1, 1, 0, 0], 2), np.array([1, 1, 0, 1, 0]))
    assert isinstance(scores, Scores)
    assert scores.main == pytest.approx((0.6 + 2 / 3) / 2)
    assert scores.metrics == {"accuracy": 0.6, "f1": pytest.approx(2 / 3)}
    assert scores.n == 5


def test_f1_is_that_of_class_one() -> None:
    """Swapping the classes changes F1: it is binary, of class 1, as GLUE's is."""
    guesses, labels = np.array([1, 0, 0, 0]), np.array([1, 1, 0, 0])
    assert METRICS["f1"](guesses, labels) == pytest.approx(2 / 3)
    assert METRICS["f1"](1 - guesses, 1 - labels) == pytest.approx(0.8)


@pytest.mark.parametrize("name", ["f1", "matthews"])
def test_undefined_class_metrics_are_zero(name: str) -> None:
    """A model that always says class 0 scores 0, without a warning."""
    assert METRICS[name](np.zeros(4, dtype=np.int64), np.array([0, 1, 1, 0])) == 0.0


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize("constant", [0.1, 3.0])
def test_correlation_with_a_constant_is_zero(name: str, constant: float) -> None:
    """A model that always says the same number scores 0, without a warning, whichever side is constant."""
    values, same = np.array([1.0, 2.0, 4.0]), np.full(3, constant)
    assert METRICS[name](same, values) == METRICS[name](values, same) == 0.0


def test_correlations_are_scipy_s() -> None:
    """Pearson and Spearman, ties included, equal scipy's; large offsets and single precision cost nothing."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, 200).astype(np.float32)
    guesses = (labels + rng.normal(size=200)).round(1).astype(np.float32) + 1000
    scores = score(NUMBERS, guesses, labels)
    assert scores.metrics["pearson"] == pytest.approx(stats.pearsonr(guesses.astype(float), labels)[0], abs=1e-9)
    assert scores.metrics["spearman"] == pytest.approx(stats.spearmanr(guesses, labels)[0], abs=1e-9)


def test_equal_logits_guess_the_first_class() -> None:
    """A tie counts as class 0, as argmax has it."""
    assert score(BINARY, np.zeros((2, 2)), np.array([0, 1])).metrics["accuracy"] == 0.5


def test_wrong_shapes_are_refused() -> None:
    """Logits of another number of classes, and no examples at all, are errors with the numbers."""
    with pytest.raises(ValueError, match=r"shape \(2, 3\), not \(2, 2\)"):
        score(BINARY, np.zeros((2, 3)), np.array([0, 1]))
    with pytest.raises(ValueError, match="no examples to score"):
        score(BINARY, np.zeros((0, 2)), np.array([], dtype=np.int64))


def weights(rng: np.random.Generator, n: int, resamples: int = 20) -> np.ndarray:
    """How often each of n examples is drawn, in each of the resamples."""
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


@pytest.mark.parametrize("task", [BINARY, CORRELATED])
def test_resampled_classification_equals_repeated_rows(task: Task) -> None:
    """Accuracy, F1 and multi-class Matthews from weights equal scikit-learn's on rows repeated as often."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, task.classes, 60)
    logits = one_hot(labels.tolist(), task.classes) + rng.normal(size=(60, task.classes))
    draws = weights(rng, 60)
    expected = []
    for draw in draws:
        rows = np.repeat(np.arange(60), draw.astype(int))
        true, guessed = labels[rows], logits[rows].argmax(1)
        known = {
            "accuracy": lambda true=true, guessed=guessed: sk.accuracy_score(true, guessed),
            "f1": lambda true=true, guessed=guessed: sk.f1_score(true, guessed),
            "matthews": lambda true=true, guessed=guessed: sk.matthews_corrcoef(true, guessed),
        }
        expected.append(np.mean([known[name]() for name in task.metrics]))
    np.testing.assert_allclose(resampled(task, logits, labels, draws), expected, atol=1e-12)


def test_resampled_regression_equals_repeated_rows() -> None:
    """Pearson from weights equals scipy's on repeated rows; Spearman, on full-sample ranks, is within 0.02."""
    rng = np.random.default_rng(2)
    labels = rng.uniform(0, 5, 300)
    guesses = labels + rng.normal(size=300) + 100
    draws = weights(rng, 300)
    rows = [np.repeat(np.arange(300), draw.astype(int)) for draw in draws]
    pearson = [stats.pearsonr(guesses[row], labels[row])[0] for row in rows]
    spearman = [stats.spearmanr(guesses[row], labels[row])[0] for row in rows]
    only_pearson, only_spearman = (Task("t", "regression", (), (name,)) for name in ("pearson", "spearman"))
    np.testing.assert_allclose(resampled(only_pearson, guesses, labels, draws), pearson, atol=1e-12)
    np.testing.assert_allclose(resampled(only_spearman, guesses, labels, draws), spearman, atol=0.02)
    both = resampled(NUMBERS, guesses, labels, draws)
    np.testing.assert_allclose(both, (np.array(pearson) + spearman) / 2, atol=0.01)


def test_resampling_every_example_once_is_the_score() -> None:
    """Weights of one give the full sample's score, for every task."""
    rng = np.random.default_rng(3)
    for task in (BINARY, CORRELATED):
        labels, logits = rng.integers(0, task.classes, 40), rng.normal(size=(40, task.classes))
        assert resampled(task, logits, labels, np.ones((1, 40)))[0] == pytest.approx(score(task, logits, labels).main)
    values, guesses = rng.normal(size=40), rng.normal(size=40)
    assert resampled(NUMBERS, guesses, values, np.ones((1, 40)))[0] == pytest.approx(
        score(NUMBERS, guesses, values).main
    )


def test_a_resample_without_spread_scores_zero() -> None:
    """A resample of one repeated example, or of one class, has no correlation: 0, without a warning."""
    single = np.array([[0.0, 3.0, 0.0]])
    assert resampled(NUMBERS, np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0]), single)[0] == 0.0
    assert resampled(CORRELATED, one_hot([0, 1, 2], 3), np.array([0, 1, 2]), single)[0] == 0.0


@pytest.mark.parametrize("metrics_of_task", [("accuracy",), ("matthews",), ("accuracy", "f1")])
def test_many_models_at_once_score_as_each(metrics_of_task: tuple[str, ...]) -> None:
    """Every column of `resampled_all` is `resampled` of that model, to the bit."""
    rng = np.random.default_rng(0)
    task = Task("t", "classification", ("a", "b"), metrics_of_task)  # type: ignore[arg-type]
    labels = rng.integers(2, size=57)
    models = [rng.normal(size=(57, 2)).astype(np.float32) for _ in range(5)]
    weights = rng.multinomial(57, np.full(57, 1 / 57), size=40).astype(np.float64)
    found = resampled_all(task, models, labels, weights)
    assert found.shape == (40, 5)
    for column, model in zip(found.T, models, strict=True):
        assert np.array_equal(column, resampled(task, model, labels, weights))
