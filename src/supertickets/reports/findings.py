"""Findings: everything a report shows, worked out once from the records, also of a sweep that is not finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from supertickets.config import Config
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.baseline_outcome import conclude_baselines
from supertickets.experiments.baselines import baseline_runs
from supertickets.experiments.failures import missing_words
from supertickets.experiments.outcome import Choice, Outcome, choose, comparable, conclude, full_models, sentence
from supertickets.experiments.racing import Schedule
from supertickets.experiments.records import Record
from supertickets.experiments.runs import Run, SoupRun
from supertickets.experiments.schedules import follow
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
    bias: pd.DataFrame
    units: pd.DataFrame
    costs: pd.DataFrame
    failed: Mapping[str, str]

    @property
    def sentence(self) -> str:
        """The result in one sentence, and that runs are missing where they are; raises UserError without a result."""
        if self.outcome is None:
            raise UserError("no seed has both its full model and a winning ticket yet", do="run the sweep on")
        return sentence(self.outcome) + missing_words(self.missing, len(self.failed), self.schedule.further)


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

    def is_kept(run: Run) -> bool:
        return run.name in named

    wanted, found, missing = follow(config, task, lambda run: named.get(run.name), failed, is_kept)
    counted = [record for record in records if record.name in found]
    ready = bool(comparable(counted))
    choice = choose(counted, wanted.finalists) if ready else None
    soups = [record for record in records if record.name in _soup_names(config, choice)]
    rivals = baseline_runs(config, choice.sparsity) if choice else []
    done = {*found, *(record.name for record in soups), *(run.name for run in rivals)}
    outcome = None
    if choice:
        outcome = conclude(task, counted, config.encoder.name, speedup, target, wanted.finalists, soups)
    if outcome is not None:
        own = full_models(counted), comparable(counted)[outcome.sparsity]
        outcome = replace(outcome, baselines=conclude_baselines(task, config, outcome.sparsity, records, *own))
    named_rivals = [run.name for run in rivals if run.name not in named]
    lacking = tuple(dict.fromkeys([*(run.name for run in missing), *named_rivals]))
    return Findings(
        config=config,
        task=task,
        data=data,
        records=tuple(counted),
        schedule=wanted,
        missing=lacking,
        unplanned=tuple(record.name for record in records if record.name not in done),
        choice=choice,
        outcome=outcome,
        levels=tables.levels(task, counted, resamples),
        agreement=tables.agreement(counted, config.tickets, config.units.multiple),
        bias=tables.bias_variance(task, counted, resamples),
        units=tables.units(counted),
        costs=tables.costs(counted),
        failed={name: failed[name] for name in lacking if name in failed},
    )


def _soup_names(config: Config, choice: Choice | None) -> set[str]:
    """The names of the soups that belong to the chosen level."""
    recipe = config.delivery.soup
    if choice is None or recipe == "none":
        return set()
    return {SoupRun(config, recipe, sparsity).name for sparsity in (0.0, choice.sparsity)}
