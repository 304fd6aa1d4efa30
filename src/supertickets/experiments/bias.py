"""Squared bias and variance of predictions over seeds (the paper's figure 1), from what Records keep. No torch.

Of a task's classes the predictions are probabilities p (softmax of the logits) and the targets y one-hot; of a
regression both are numbers. Over S seeds with mean prediction m, the squared loss (Brier's, for classes) of an
example splits exactly:

    mean over seeds |p_s - y|^2  =  |m - y|^2  +  mean over seeds |p_s - m|^2
    loss                         =  bias^2     +  variance

Few seeds make the second term too small and, as m itself varies, the first too large, by as much: with v the sum
of squares about m over S - 1, variance is v and bias^2 is |m - y|^2 - v / S, whose expectations do not depend on S
and whose sum is the same loss. A single example's bias^2 may so be below 0. Noise in the labels is in the bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import softmax

from supertickets import seeding
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.records import Record
from supertickets.experiments.statistics import BLOCK, Interval, example_counts, over_seeds

RESAMPLES = 2000


@dataclass(frozen=True)
class Decomposition:
    """The mean squared loss on the report split over seeds, and its two parts, with their intervals."""

    loss: float
    bias: Interval
    variance: Interval


def decompose(task: Task, records: Sequence[Record], resamples: int = RESAMPLES) -> Decomposition:
    """Squared bias and variance over the records of one kind and level, one a seed.

    Intervals are over examples and seeds, as `statistics` makes them, with seeds left out one by one where that
    leaves two (`jackknife`); with two seeds they count examples only. Raises UserError for fewer, and for records
    of other report examples.
    """
    records = sorted(records, key=lambda record: record.seed)
    if len(records) < 2:
        raise UserError(f"{len(records)} seeds: a variance needs two", "decompose")
    labels = records[0].arrays["report_labels"]
    for record in records[1:]:
        if not np.array_equal(record.arrays["report_labels"], labels):
            raise UserError(f"its report examples are not those of {records[0].name}", record.name)
    predictions = np.stack([predicted(task, record.arrays["report_predictions"]) for record in records])
    truth = targets(task, labels)
    whole = parts(predictions, truth)
    means = [part.mean() for part in whole]
    without = without_each(predictions, truth)
    drawn = _on_draws(np.stack(whole, axis=1), resamples)
    found = [_interval(*each, len(labels)) for each in zip(means, without.T, drawn.T, strict=True)]
    return Decomposition(float(sum(means)), *found)


def parts(
    predictions: Float[np.ndarray, "S n C"], truth: Float[np.ndarray, "n C"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Each example's squared bias and variance over S seeds, unbiased for few seeds; their sum is the mean loss."""
    seeds = len(predictions)
    mean = predictions.mean(axis=0)
    variance = ((predictions - mean) ** 2).sum(axis=(0, 2)) / (seeds - 1)
    return ((mean - truth) ** 2).sum(axis=1) - variance / seeds, variance


def predicted(task: Task, outputs: Shaped[np.ndarray, "n *C"]) -> Float[np.ndarray, "n C"]:
    """Probabilities of the classes from logits, or the predicted number as one column."""
    if task.kind == "regression":
        return outputs.astype(np.float64)[:, None]
    probabilities: Float[np.ndarray, "n C"] = softmax(outputs.astype(np.float64), axis=1)
    return probabilities


def targets(task: Task, labels: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, "n C"]:
    """The labels one-hot, or as one column of numbers."""
    if task.kind == "regression":
        return labels.astype(np.float64)[:, None]
    hot: Float[np.ndarray, "n C"] = np.eye(task.classes)[labels.astype(np.int64)]
    return hot


def without_each(predictions: Float[np.ndarray, "S n C"], truth: Float[np.ndarray, "n C"]) -> Float[np.ndarray, "S 2"]:
    """Both parts without each seed; those of all seeds where two cannot be left.

    In one pass over the predictions: without a seed that is d away from the mean m of all S, the mean is
    m - d / (S - 1), and the sum of squares about it is smaller by |d|^2 S / (S - 1).
    """
    seeds = len(predictions)
    if seeds < 3:
        return np.tile([part.mean() for part in parts(predictions, truth)], (seeds, 1))
    mean = predictions.mean(axis=0)
    away = predictions - mean
    squares = (away**2).sum(axis=2).mean(axis=1)
    variance = (squares.sum() - squares * seeds / (seeds - 1)) / (seeds - 2)
    across = (away * (mean - truth)).sum(axis=2).mean(axis=1)
    squared = ((mean - truth) ** 2).sum(axis=1).mean() - 2 * across / (seeds - 1) + squares / (seeds - 1) ** 2
    return np.stack([squared - variance / (seeds - 1), variance], axis=1)


def _interval(
    value: float, without: Float[np.ndarray, " S"], drawn: Float[np.ndarray, " R"], examples: int
) -> Interval:
    count = len(without)
    pseudo = count * value - (count - 1) * without
    return over_seeds(pseudo, drawn, examples, 0, value=float(value))


def _on_draws(values: Float[np.ndarray, "n K"], resamples: int) -> Float[np.ndarray, "R K"]:
    """Means over the draws of examples that `statistics` takes for the report split."""
    size = len(values)
    counts = example_counts(size, resamples, seeding.derive(0, "report examples"))
    step = max(1, BLOCK // size)
    blocks = [counts[start : start + step].astype(np.float64) @ values for start in range(0, resamples, step)]
    means: Float[np.ndarray, "R K"] = np.concatenate(blocks) / size
    return means
