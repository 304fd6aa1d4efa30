"""How a sweep stands: what it wants, its baselines included, what is there, what is damaged and what has failed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from supertickets.config import Config
from supertickets.errors import UserError
from supertickets.experiments.baselines import baseline_runs
from supertickets.experiments.failures import Failure, all_failures
from supertickets.experiments.layout import RUNS
from supertickets.experiments.origins import task_of
from supertickets.experiments.outcome import choose, comparable
from supertickets.experiments.plans import cost
from supertickets.experiments.racing import Schedule
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.runs import Run
from supertickets.experiments.schedules import follow


@dataclass(frozen=True)
class Standing:
    """What a sweep wants, and by their names its records, what is wrong with damaged ones, and failures.

    Baselines are wanted, too, as soon as the level that they stand beside is chosen.
    """

    wanted: Schedule
    records: Mapping[str, Record]
    damaged: Mapping[str, str]
    failed: Mapping[str, Failure]

    @property
    def missing(self) -> list[Run]:
        """The runs without a record."""
        return [run for run in self.wanted.runs if run.name not in self.records and run.name not in self.damaged]

    def pace(self) -> tuple[float, dict[str, float]]:
        """The seconds that a unit of cost took, and the costs of what is to come.

        Runs that may follow cost the mean of those that are wanted.
        """
        costs = {run.name: cost(run) for run in self.wanted.runs}
        finished = [record for name, record in self.records.items() if name in costs]  # a race may want one no longer
        done = sum(costs[record.name] for record in finished)
        seconds = sum(sum(record.cost.seconds.values()) for record in finished)
        left = {name: costs[name] for name in costs if name not in self.records and name not in self.failed}
        further = self.wanted.further * sum(costs.values()) / len(costs)
        return (seconds / done if done else 0.0), left | {"": further}


def standing(folder: Path, config: Config) -> Standing:
    """Read a sweep's folder; raises UserError where its data or a failure cannot be read, but not for a record."""
    damaged: dict[str, str] = {}

    def is_kept(run: Run) -> bool:
        return (folder / RUNS / run.name / RECORD_FILE).is_file()

    def find(run: Run) -> Record | None:  # one torn file hides no other
        place = folder / RUNS / run.name
        try:
            return Record.load(place, run.name) if is_kept(run) else None
        except UserError as fault:
            damaged[run.name] = str(fault)
            return None

    failed = all_failures(folder)
    task = task_of(folder) if config.strategy == "race" else None
    wanted, records, _ = follow(config, task, find, failed, is_kept)
    rivals = [run for run in _baselines(config, wanted, records, failed) if run.name not in records]
    records |= {run.name: record for run in rivals if (record := find(run)) is not None}
    runs = tuple({run.name: run for run in [*wanted.runs, *rivals]}.values())
    wanted = replace(wanted, runs=runs, in_all=wanted.in_all + len(runs) - len(wanted.runs))
    return Standing(wanted, records, damaged, {run.name: failed[run.name] for run in runs if run.name in failed})


def _baselines(config: Config, wanted: Schedule, records: Mapping[str, Record], failed: Collection[str]) -> list[Run]:
    """Those of the chosen level; none while it is not settled."""
    settled = all(run.name in records or run.name in failed for run in wanted.runs)
    own = list(records.values())
    if not (config.baselines.arms and settled and comparable(own)):
        return []
    return list(baseline_runs(config, choose(own, wanted.finalists).sparsity))
