"""Made-up records of a sweep whose levels have known rates of right answers, to race on in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from supertickets import seeding, settings
from supertickets.config import Config
from supertickets.data.tasks import Task
from supertickets.experiments.racing import Schedule
from supertickets.experiments.records import Cost, Record, Size
from supertickets.experiments.runs import Run
from supertickets.experiments.schedules import follow
from supertickets.learning.metrics import score

TASK = Task("toy", "classification", ("no", "yes"), ("accuracy",))
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
SIZE = 334

Rate = Callable[[float], float]


def config_of(*more: str, strategy: str = "race") -> Config:
    """Seven levels, three seeds, all kinds; `more` reads as `--set` does."""
    return settings.load(overrides=[f"strategy={strategy}", *more])


def record_of(run: Run, rate: Rate, world: int = 0, luck: float = 0.0, **more: Any) -> Record:
    """A run's record: right on an example where its difficulty, shared by all, and the run's own noise are low enough.

    `rate` gives the true rate of right answers at a sparsity (0: the full model), `luck` the spread of the
    runs' rates, `world` another draw of everything.
    """
    own = seeding.generator(world, f"{run.kind} {run.sparsity} of seed {run.seed}")
    shared = seeding.generator(world, f"examples of seed {run.seed}")
    labels, hard = shared.integers(2, size=SIZE), shared.uniform(size=SIZE)
    # Nine examples in ten are as hard for every model, the others are a matter of the run.
    hard = np.where(shared.uniform(size=SIZE) < 0.85, hard, own.uniform(size=SIZE))
    right = hard < rate(run.sparsity) + luck * own.normal()
    predictions = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
    arrays = {f"{split}_{name}": value for split in ("selection", "report")
              for name, value in (("predictions", predictions), ("labels", labels))}  # fmt: skip
    scores = score(TASK, predictions, labels)
    weights = 1 - run.sparsity
    return Record(
        run.name, run.kind, run.sparsity, run.seed, scores, scores, Size(weights, weights, (1,), (1,)),
        Cost({"training": 1.0}, 1), {}, {}, arrays | more.pop("arrays", {}), **more,
    )  # fmt: skip


class World:
    """Every run that a sweep may ask for, made when it is asked for; `asked` remembers the order."""

    def __init__(self, rate: Rate, world: int = 0, luck: float = 0.0, special: Mapping[str, Any] | None = None) -> None:
        self._rate, self._world, self._luck, self._special = rate, world, luck, special or {}
        self.asked: list[Run] = []
        self._made: dict[str, Record] = {}

    def find(self, run: Run) -> Record:
        """The run's record."""
        if run.name not in self._made:
            self.asked.append(run)
            more = self._special.get(run.name, {})
            self._made[run.name] = record_of(run, self._rate, self._world, self._luck, **more)
        return self._made[run.name]

    def race(self, config: Config) -> Schedule:
        """The whole race."""
        return follow(config, TASK, self.find)[0]

    def grid_means(self, config: Config) -> dict[float, float]:
        """What the whole grid's mean selection score of each level is."""
        from supertickets.experiments.runs import TicketRun, TuneRun

        tuned = [TuneRun(config, seed) for seed in config.seeds]
        return {
            level: float(np.mean([self.find(TicketRun(one, "winning", level)).selection.main for one in tuned]))
            for level in config.tickets.levels
        }
