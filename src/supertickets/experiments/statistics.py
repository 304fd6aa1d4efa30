"""Means, spreads and intervals over seeds and examples, from the predictions that Records keep. No torch.

How an interval is made (`INTERVAL_METHOD` is the same in short, for the report). Every seed gives one
difference between two models on the same examples. Two things make it uncertain: other examples, and
other seeds. Examples: they are drawn with replacement, the same draw for both models and, on the report
split, for every seed; the difference is recomputed on each draw. Seeds: they are drawn with replacement
too, and how far each seed lies from the mean over seeds is added to the draw. Drawing from few seeds
shows too little of their spread, twice over: the spread of n values about their own mean is too small by
sqrt((n - 1) / n), and its own uncertainty is what Student's t is for; so the seeds' deviations are
widened by sqrt(n / (n - 1)) * t(97.5 %, n - 1) / z(97.5 %). Simulated with 3 seeds whose noise dominates,
a 95 % interval without any widening covers the true difference 75 times in 100, with the root alone 80,
with both 92. The interval is the 2.5 to 97.5 % range over the draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from scipy import stats

from supertickets import seeding
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.records import Record
from supertickets.learning import metrics

Split = Literal["selection", "report"]
COVERAGE = 0.95
MOST_COUNTS = 4 * 2**30  # bytes: 2000 draws of two million examples
BLOCK = 4_000_000  # resampled weights held as floats at once: 32 MB

INTERVAL_METHOD = (
    "95 % bootstrap interval over seeds and examples, 2000 draws. Differences are paired: both models are scored on "
    "the same drawn examples and compared within a seed. Seeds are drawn with replacement, and their deviations from "
    "the mean are widened by √(n/(n−1)) · t/z, as a plain bootstrap over few seeds is too narrow. With one seed only "
    "the examples are drawn."
)


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation (n - 1 in the denominator; 0 for one seed) of a score over n seeds."""

    mean: float
    std: float
    n: int


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with the 95 % interval `low` to `high` about it."""

    value: float
    low: float
    high: float
    n_seeds: int
    n_examples: int

    def __post_init__(self) -> None:
        if not self.low <= self.high or self.n_seeds < 1 or self.n_examples < 1:
            raise ValueError(
                f"an interval from {self.low} to {self.high} over {self.n_seeds} seeds, {self.n_examples} examples"
            )

    @property
    def covers_zero(self) -> bool:
        """Whether no difference at all is among the values the interval allows."""
        return self.low <= 0 <= self.high

    @property
    def note(self) -> str:
        """What a reader has to know about this interval; empty when it rests on several seeds."""
        return "one seed: the interval counts examples only, not how seeds differ" if self.n_seeds == 1 else ""


def summary(records: Sequence[Record], split: Split = "report") -> Summary:
    """Mean and spread of the main score over records, one per seed; raises UserError on none."""
    if not records:
        raise UserError("there is no finished run to summarise")
    scores = np.array([getattr(record, split).main for record in records])
    return Summary(float(scores.mean()), float(scores.std(ddof=1)) if scores.size > 1 else 0.0, int(scores.size))


def difference(
    task: Task,
    a: Sequence[Record],
    b: Sequence[Record],
    split: Split = "report",
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean over seeds of a's score less b's, with its 95 % interval (module docstring); only seeds in both count.

    Raises UserError when a and b share no seed, or were not predicted on the same examples.
    """
    left, right = {r.seed: r for r in a}, {r.seed: r for r in b}
    shared = sorted(left.keys() & right.keys())
    if not shared:
        raise UserError(f"no seed has both runs: one side has {sorted(left)}, the other {sorted(right)}")
    pairs = [(left[s], right[s]) for s in shared]
    observed = np.array([getattr(x, split).main - getattr(y, split).main for x, y in pairs])
    return _interval(task, pairs, observed, split, resamples, seed)


def mean_interval(
    task: Task, records: Sequence[Record], split: Split = "report", resamples: int = 2000, seed: int = 0
) -> Interval:
    """Mean over seeds of the main score with its 95 % interval, made as for a difference; raises UserError on none."""
    if not records:
        raise UserError("there is no finished run to summarise")
    rows = [(record,) for record in sorted(records, key=lambda r: r.seed)]
    observed = np.array([getattr(row[0], split).main for row in rows])
    return _interval(task, rows, observed, split, resamples, seed)


def average_difference(
    sides: Sequence[tuple[Task, Sequence[Record], Sequence[Record]]],
    split: Split = "report",
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean over tasks, and then over seeds, of a's score less b's: each side is (task, a, b); only seeds in all count.

    Its interval is made as for a difference. The seeds' deviations are those of the mean over tasks, as a
    seed is one repetition of all of them; each task's examples are drawn on their own. Raises UserError when
    there is no task or no seed in all, or where `difference` would.
    """
    shared = _seeds_in_all([records for _, *both in sides for records in both])
    means, over_examples, size = [], [], 0
    for index, (task, a, b) in enumerate(sides):
        left, right = {r.seed: r for r in a}, {r.seed: r for r in b}
        pairs = [(left[s], right[s]) for s in shared]
        size += _check_same_examples(pairs, split)
        own = seed if index == 0 else seeding.derive(seed, f"examples of task {index}")
        means.append([getattr(x, split).main - getattr(y, split).main for x, y in pairs])
        over_examples.append(_scores_on_draws(task, pairs, split, resamples, own).mean(axis=1))
    return over_seeds(np.mean(means, axis=0), np.mean(over_examples, axis=0), size, seed)


def average_summary(groups: Sequence[Sequence[Record]], split: Split = "report") -> Summary:
    """Mean and spread over seeds of the mean over tasks (GLUE's average); each group is a task's records.

    Only seeds in all of them count; raises UserError where there is none.
    """
    shared = _seeds_in_all(groups)
    scores = np.mean([[getattr(r, split).main for s in shared for r in group if r.seed == s] for group in groups], 0)
    return Summary(float(scores.mean()), float(scores.std(ddof=1)) if scores.size > 1 else 0.0, int(scores.size))


def widening(seeds: int) -> float:
    """The factor on the seeds' deviations: sqrt(n / (n - 1)) * t(97.5 %, n - 1) / z(97.5 %); 0 for one seed."""
    if seeds < 2:
        return 0.0
    tail = 0.5 + COVERAGE / 2
    return float(np.sqrt(seeds / (seeds - 1)) * stats.t.ppf(tail, seeds - 1) / stats.norm.ppf(tail))


def _interval(
    task: Task,
    rows: Sequence[tuple[Record, ...]],
    observed: Float[np.ndarray, " S"],
    split: Split,
    resamples: int,
    seed: int,
) -> Interval:
    """The interval of the mean of `observed`, whose row s comes from the one or two records `rows[s]`."""
    size = _check_same_examples(rows, split)
    return over_seeds(observed, _scores_on_draws(task, rows, split, resamples, seed).mean(axis=1), size, seed)


def over_seeds(
    observed: Float[np.ndarray, " S"],
    over_examples: Float[np.ndarray, " R"],
    size: int,
    seed: int,
    value: float | None = None,
) -> Interval:
    """The interval of the mean of `observed`, one value a seed, whose mean on draws of examples is `over_examples`.

    `value` stands in for the mean, where the values of the seeds are estimates themselves.
    """
    seeds = len(observed)
    drawn = seeding.generator(seed, "bootstrap seeds").integers(seeds, size=(len(over_examples), seeds))
    over_seeds = (observed - observed.mean())[drawn].mean(axis=1)
    draws = over_examples + widening(seeds) * over_seeds
    low, high = np.quantile(draws, [0.5 - COVERAGE / 2, 0.5 + COVERAGE / 2])
    return Interval(float(observed.mean()) if value is None else value, float(low), float(high), seeds, size)


def _seeds_in_all(groups: Sequence[Sequence[Record]]) -> list[int]:
    """The seeds that every group has, ascending; raises UserError where there is none."""
    seeds = [{record.seed for record in group} for group in groups]
    shared = sorted(set.intersection(*seeds)) if seeds else []
    if not shared:
        raise UserError(f"no seed has all runs: {', '.join(str(sorted(each)) for each in seeds) or 'there are none'}")
    return shared


def _check_same_examples(rows: Sequence[tuple[Record, ...]], split: Split) -> int:
    """The number of different examples behind the rows; raises UserError where they should be the same and are not."""
    labels = [[record.arrays[f"{split}_labels"] for record in row] for row in rows]
    for row, found in zip(rows, labels, strict=True):
        first, wanted = (rows[0][0], labels[0][0]) if split == "report" else (row[0], found[0])
        for record, own in zip(row, found, strict=True):
            if not np.array_equal(own, wanted):
                raise UserError(
                    f"its {split} examples ({len(own)}) are not those of {first.name} ({len(wanted)}), so their scores "
                    "cannot be compared",
                    record.name,
                    "keep runs on different data in different sweep folders",
                )
    return len(labels[0][0]) if split == "report" else sum(len(found[0]) for found in labels)


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions with their labels; two with the same content are equal, so that draws are scored once."""

    predictions: Shaped[np.ndarray, "n ..."]
    labels: Shaped[np.ndarray, " n"]

    @classmethod
    def of(cls, record: Record, split: Split) -> Predicted:
        """A record's, on one split."""
        return cls(record.arrays[f"{split}_predictions"], record.arrays[f"{split}_labels"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Predicted) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    @cached_property
    def _digest(self) -> bytes:
        parts = (str((x.shape, x.dtype)).encode() + x.tobytes() for x in (self.predictions, self.labels))
        return sha256(b"".join(parts)).digest()


def _scores_on_draws(
    task: Task, rows: Sequence[tuple[Record, ...]], split: Split, resamples: int, seed: int
) -> Float[np.ndarray, "R S"]:
    """Each row's score, or difference of scores, on every draw of examples; report draws are the same for all seeds."""
    sides = [tuple(Predicted.of(record, split) for record in side) for side in zip(*rows, strict=True)]
    if split == "report":
        stream = seeding.derive(seed, "report examples")
        scores = [all_on_draws(task, side, resamples, stream) for side in sides]
    else:
        streams = [seeding.derive(seed, f"selection examples of seed {row[0].seed}") for row in rows]
        scores = [
            np.stack([on_draws(task, one, resamples, own) for one, own in zip(side, streams, strict=True)], axis=1)
            for side in sides
        ]
    return scores[0] - scores[1] if len(scores) == 2 else scores[0]


@lru_cache(maxsize=8)
def all_on_draws(task: Task, side: tuple[Predicted, ...], resamples: int, seed: int) -> Float[np.ndarray, "R S"]:
    """As `on_draws`, of models on the same examples, a column each; the last ones are kept."""
    blocks = _blocks(len(side[0].labels), resamples, seed)
    models = [one.predictions for one in side]
    scores = np.concatenate([metrics.resampled_all(task, models, side[0].labels, block) for block in blocks])
    scores.setflags(write=False)
    return scores


@lru_cache(maxsize=256)
def on_draws(task: Task, predicted: Predicted, resamples: int, seed: int) -> Float[np.ndarray, " R"]:
    """The main score on every draw of the examples, in blocks that fit into memory; kept, as many rows ask for it."""
    blocks = _blocks(len(predicted.labels), resamples, seed)
    scores = np.concatenate(
        [metrics.resampled(task, predicted.predictions, predicted.labels, block) for block in blocks]
    )
    scores.setflags(write=False)
    return scores


def _blocks(size: int, resamples: int, seed: int) -> Iterator[Float[np.ndarray, "r n"]]:
    counts = example_counts(size, resamples, seed)
    step = max(1, BLOCK // size)
    return (counts[start : start + step].astype(np.float64) for start in range(0, resamples, step))


@lru_cache(maxsize=8)
def example_counts(size: int, resamples: int, seed: int) -> UInt8[np.ndarray, "R n"]:
    """How often each of `size` examples is drawn in each of `resamples` draws of `size` with replacement; read-only.

    Raises UserError where the table would not fit into memory.
    """
    if resamples * size > MOST_COUNTS:
        what = (
            f"intervals over {size:,} examples need {resamples * size:,} bytes, where at most {MOST_COUNTS:,} are taken"
        )
        raise UserError(what, "report examples", "set data.report_examples")
    rng = np.random.default_rng(seed)
    counts = np.empty((resamples, size), dtype=np.uint8)  # a count above 255 has probability below 1e-500
    for row in counts:
        row[:] = np.bincount(rng.integers(size, size=size), minlength=size)
    counts.setflags(write=False)
    return counts
