"""Findings: everything a report shows, worked out once from the records, also of a sweep that is not finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from supertickets.config import Config
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.failures import missing_words
from supertickets.experiments.outcome import Choice, Outcome, choose, comparable, conclude, sentence
from supertickets.experiments.racing import Schedule, follow
from supertickets.experiments.records import Record
from supertickets.experiments.targets import Achieved
from supertickets.learning.speed import Speedup
from supertickets.reports import tables

EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Findings:
    """A sweep's settings and data, its records, what they show, and what is missing.

    `choice` and `outcome` are None while no level can be chosen yet. `missing` and `unplanned` are runs'
    names: planned but not done, and done but not in this config's plan, which no table counts. `schedule` says
    what the strategy wants, and which levels a race has stopped; runs that it ended early are in `records`, and
    no table but that of costs counts them. `failed` are those of the missing that failed every time, with the
    last line of their errors.
    """

    config: Config
    task: Task
    data: Mapping[str, Any]
    records: tuple[Record, ...]
    schedule: Schedule
    missing: tuple[str, ...]
    unplanned: tuple[str, ...]
    choice: Choice | None
    outcome: Outcome | None
    levels: pd.DataFrame
    agreement: pd.DataFrame
    units: pd.DataFrame
    costs: pd.DataFrame
    failed: Mapping[str, str]

    @property
    def sentence(self) -> str:
        """The result in one sentence, and that runs are missing where they are; raises UserError without a result."""
        if self.outcome is None:
            raise UserError("no seed has both its full model and a winning ticket yet", do="run the sweep on")
        return sentence(self.outcome) + missing_words(self.missing, len(self.failed))


def gather(
    config: Config,
    task: Task,
    data: Mapping[str, Any],
    records: Sequence[Record],
    speedup: Speedup | None = None,
    target: Achieved | None = None,
    resamples: int = 2000,
    failed: Mapping[str, str] = EMPTY,
) -> Findings:
    """Work out every table, the choice and the outcome from the records that the config plans."""
    named = {record.name: record for record in records}
    wanted, found, missing = follow(config, task, lambda run: named.get(run.name))
    counted = [record for record in records if record.name in found]
    ready = bool(comparable(counted))
    return Findings(
        config=config,
        task=task,
        data=data,
        records=tuple(counted),
        schedule=wanted,
        missing=tuple(run.name for run in missing),
        unplanned=tuple(record.name for record in records if record.name not in found),
        choice=choose(counted, wanted.finalists) if ready else None,
        outcome=conclude(task, counted, config.encoder.name, speedup, target, wanted.finalists) if ready else None,
        levels=tables.levels(task, counted, resamples),
        agreement=tables.agreement(counted),
        units=tables.units(counted),
        costs=tables.costs(counted),
        failed={run.name: failed[run.name] for run in missing if run.name in failed},
    )
