"""GLUE's metrics as fractions, and Scores that carry them. No torch.

`main` is the mean of a task's metrics: within-task means are what the paper's average score is
made of (the metrics of the 2021 release).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from supertickets.data.tasks import Task

Ids = Int[np.ndarray, " n"]
Values = Float[np.ndarray, " n"]
Weights = Float[np.ndarray, "resamples n"]
Resampled = Float[np.ndarray, " resamples"]
Confusions = Float[np.ndarray, "resamples classes classes"]


@dataclass(frozen=True)
class Scores:
    """The metrics of one model on one split of `n` examples, as fractions; `main` is their mean."""

    main: float
    metrics: dict[str, float]
    n: int


def score(task: Task, predictions: Float[np.ndarray, "n classes"] | Values, labels: Shaped[np.ndarray, " n"]) -> Scores:
    """Score logits (n, classes) against class ids, or predicted numbers (n,) against numbers.

    Equal logits count as a guess of the first class.
    """
    _check(task, predictions, labels)
    guesses = predictions.argmax(axis=1) if task.kind == "classification" else predictions
    metrics = {name: float(METRICS[name](guesses, labels)) for name in task.metrics}
    return Scores(float(np.mean(list(metrics.values()))), metrics, len(labels))


def resampled(
    task: Task,
    predictions: Float[np.ndarray, "n classes"] | Values,
    labels: Shaped[np.ndarray, " n"],
    weights: Weights,
) -> Resampled:
    """Main score on each bootstrap resample, given as how often it holds each example: weights (resamples, n).

    Equal to `score` on the repeated rows, except Spearman's, which correlates the ranks of the full
    sample: ranking each resample anew would cost a sort per resample and moves the value by far less
    than the resampling does.
    """
    _check(task, predictions, labels)
    if task.kind == "classification":
        confusions = _confusions(predictions.argmax(axis=1), labels.astype(np.int64), weights, task.classes)
        each = [_FROM_CONFUSIONS[name](confusions) for name in task.metrics]
    else:
        each = [_FROM_VALUES[name](predictions, labels, weights) for name in task.metrics]
    return np.asarray(np.mean(each, axis=0))


def resampled_all(
    task: Task,
    predictions: Sequence[Float[np.ndarray, "n classes"] | Values],
    labels: Shaped[np.ndarray, " n"],
    weights: Weights,
) -> Float[np.ndarray, "R M"]:
    """`resampled` of many models on the same examples, a column each; of classes in one matrix product."""
    if task.kind != "classification":
        return np.stack([resampled(task, one, labels, weights) for one in predictions], axis=1)
    for one in predictions:
        _check(task, one, labels)
    ids = labels.astype(np.int64)
    cells = np.hstack([_cells(one.argmax(axis=1), ids, task.classes) for one in predictions])
    # Counts below 2 to the 24 are exact in single precision, which is twice as fast.
    exact = np.float32 if len(labels) < 2**24 else np.float64
    counts = (weights.astype(exact) @ cells.astype(exact)).astype(np.float64)
    confusions = counts.reshape(len(weights) * len(predictions), task.classes, task.classes)
    each = [_FROM_CONFUSIONS[name](confusions) for name in task.metrics]
    return np.asarray(np.mean(each, axis=0)).reshape(len(weights), len(predictions))


def accuracy(guesses: Ids, labels: Ids) -> float:
    """Share of the examples whose class is guessed."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels, guesses))


def f1(guesses: Ids, labels: Ids) -> float:
    """Binary F1 of class 1; 0 where neither side holds a class 1."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels == 1, guesses == 1, zero_division=0))


def matthews(guesses: Ids, labels: Ids) -> float:
    """Matthews correlation; 0 where either side is constant, because it is undefined there."""
    from sklearn.metrics import matthews_corrcoef

    if _constant(guesses) or _constant(labels):  # sklearn says 0 too, but with a warning
        return 0.0
    return float(matthews_corrcoef(labels, guesses))


def pearson(guesses: Values, labels: Values) -> float:
    """Pearson correlation; 0 where either side is constant, because it is undefined there."""
    return float(_correlations(guesses, labels, np.ones((1, len(labels))))[0])


def spearman(guesses: Values, labels: Values) -> float:
    """Spearman rank correlation, ties at their mean rank; 0 where either side is constant."""
    from scipy.stats import rankdata

    return pearson(rankdata(guesses), rankdata(labels))


METRICS: dict[str, Callable[..., float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}


def _check(task: Task, predictions: np.ndarray, labels: np.ndarray) -> None:
    wanted = (len(labels), task.classes) if task.kind == "classification" else (len(labels),)
    if predictions.shape != wanted:
        raise ValueError(f"{task.name}: predictions have shape {predictions.shape}, not {wanted}")
    if len(labels) == 0:
        raise ValueError(f"{task.name}: no examples to score")


def _constant(values: np.ndarray) -> bool:
    return bool(np.all(values == values[0]))


def _confusions(guesses: Ids, labels: Ids, weights: Weights, classes: int) -> Confusions:
    """Count (label, guess) pairs per resample by one matrix product."""
    counts = weights @ _cells(guesses, labels, classes)
    return np.asarray(counts.reshape(len(weights), classes, classes))


def _cells(guesses: Ids, labels: Ids, classes: int) -> Float[np.ndarray, "n pairs"]:
    """A 1 in the column of each example's (label, guess) pair."""
    cells = np.zeros((len(labels), classes * classes))
    cells[np.arange(len(labels)), labels * classes + guesses] = 1.0
    return cells


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(over, under, out=np.zeros(np.shape(over)), where=under > 0))


def _accuracy(confusions: Confusions) -> Resampled:
    return _ratio(np.trace(confusions, axis1=1, axis2=2), confusions.sum(axis=(1, 2)))


def _f1(confusions: Confusions) -> Resampled:
    return _ratio(2 * confusions[:, 1, 1], confusions[:, 1].sum(axis=1) + confusions[:, :, 1].sum(axis=1))


def _matthews(confusions: Confusions) -> Resampled:
    """Matthews correlation for any number of classes (Gorodkin's R_K)."""
    true, guessed, n = confusions.sum(axis=2), confusions.sum(axis=1), confusions.sum(axis=(1, 2))
    over = np.trace(confusions, axis1=1, axis2=2) * n - (true * guessed).sum(axis=1)
    under = (n**2 - (guessed**2).sum(axis=1)) * (n**2 - (true**2).sum(axis=1))
    return _ratio(over, np.sqrt(under))


def _correlations(guesses: Values, labels: Values, weights: Weights) -> Resampled:
    """Pearson correlation under each row of weights, by weighted moments."""
    if _constant(guesses) or _constant(labels):  # rounding would leave a variance of about 1e-33
        return np.zeros(len(weights))
    # Centred and scaled on the full sample first, so that the moments of a resample do not cancel.
    a, b = _standardised(guesses), _standardised(labels)
    shares = weights / weights.sum(axis=1, keepdims=True)
    mean_a, mean_b = shares @ a, shares @ b
    spread_a, spread_b = shares @ a**2 - mean_a**2, shares @ b**2 - mean_b**2
    tiny = 1e-12  # a resample of one repeated value has only rounding left
    defined = (spread_a > tiny) & (spread_b > tiny)
    under = np.sqrt(np.where(defined, spread_a * spread_b, 1.0))
    return np.clip(np.where(defined, (shares @ (a * b) - mean_a * mean_b) / under, 0.0), -1.0, 1.0)


def _standardised(values: Values) -> Values:
    centred = values.astype(np.float64) - np.mean(values, dtype=np.float64)
    return np.asarray(centred / np.sqrt(np.mean(centred**2)))


def _rank_correlations(guesses: Values, labels: Values, weights: Weights) -> Resampled:
    from scipy.stats import rankdata

    return _correlations(rankdata(guesses), rankdata(labels), weights)


_FROM_CONFUSIONS: dict[str, Callable[[Confusions], Resampled]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews": _matthews,
}
_FROM_VALUES: dict[str, Callable[[Values, Values, Weights], Resampled]] = {
    "pearson": _correlations,
    "spearman": _rank_correlations,
}
