"""Scores that several seeds make together (a soup's), with intervals over seeds and examples. No torch.

A soup of S seeds is one model: there is no spread over seeds to see. What other seeds would have changed is
seen by leaving each of them out (the jackknife): with t the score of all and t_i that without seed i, the
values S t - (S - 1) t_i vary as S independent repetitions would (Tukey's pseudo-values; of a mean over seeds
they are the seeds' own values). They take the place of the seeds in the interval of `statistics`, examples
are drawn as there, and a difference of two scores is taken before: value, left-out values and draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from supertickets import seeding
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.records import Record
from supertickets.experiments.statistics import Interval, Predicted, on_draws, over_seeds
from supertickets.learning import metrics

RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Estimate:
    """A report score that `seeds` made: by all of them, without each one (S,), and on draws of the examples (R,)."""

    seeds: tuple[int, ...]
    value: float
    without: Float[np.ndarray, " S"]
    on_draws: Float[np.ndarray, " R"]
    examples: int

    @classmethod
    def of_soup(cls, task: Task, record: Record, resamples: int = RESAMPLES, draw: int = 0) -> Estimate:
        """A soup's, from its record; equal `draw`s draw the same examples."""
        arrays, labels = record.arrays, record.arrays["report_labels"]
        without = [metrics.score(task, one, labels).main for one in arrays["without_predictions"]]
        draws = on_draws(task, Predicted(arrays["report_predictions"], labels), resamples, _stream(draw))
        seeds = tuple(arrays["members"].tolist())
        return cls(seeds, record.report.main, np.array(without), draws, len(labels))

    @classmethod
    def of_mean(cls, task: Task, records: Sequence[Record], resamples: int = RESAMPLES, draw: int = 0) -> Estimate:
        """The mean score of one model per seed; raises UserError for fewer than two seeds."""
        records = sorted(records, key=lambda record: record.seed)
        scores = np.array([record.report.main for record in records])
        if len(scores) < 2:
            raise UserError(f"{len(scores)} seeds: none can be left out", "Estimate.of_mean")
        without = (scores.sum() - scores) / (len(scores) - 1)
        sides = [Predicted(r.arrays["report_predictions"], r.arrays["report_labels"]) for r in records]
        draws = np.mean([on_draws(task, side, resamples, _stream(draw)) for side in sides], axis=0)
        seeds = tuple(record.seed for record in records)
        return cls(seeds, float(scores.mean()), without, draws, len(sides[0].labels))

    def __sub__(self, other: Estimate) -> Estimate:
        if self.seeds != other.seeds or self.examples != other.examples:
            what = f"one is of seeds {self.seeds} on {self.examples} examples, the other of {other.seeds}"
            raise UserError(f"{what} on {other.examples}, so they cannot be compared", "Estimate")
        value, without = self.value - other.value, self.without - other.without
        return Estimate(self.seeds, value, without, self.on_draws - other.on_draws, self.examples)

    @classmethod
    def average(cls, several: Sequence[Estimate]) -> Estimate:
        """The mean over tasks, of the same seeds; a seed that is left out is so in all tasks, examples are each task's.

        The draws should come from different `draw`s, so that tasks do not share them. Raises UserError for none, or
        for other seeds.
        """
        seeds = {one.seeds for one in several}
        if len(seeds) != 1:
            raise UserError(f"{len(seeds)} sets of seeds, expected one", "Estimate.average")
        means = [np.mean([getattr(one, name) for one in several], axis=0) for name in ("value", "without", "on_draws")]
        return cls(several[0].seeds, float(means[0]), means[1], means[2], sum(one.examples for one in several))

    @property
    def interval(self) -> Interval:
        """The value with its 95 % interval over seeds (by the jackknife) and examples."""
        count = len(self.seeds)
        pseudo = count * self.value - (count - 1) * self.without
        return over_seeds(pseudo, self.on_draws, self.examples, 0, value=self.value)


def _stream(draw: int) -> int:
    """The draws of report examples; those of draw 0 `statistics` takes, too."""
    return seeding.derive(draw, "report examples")
