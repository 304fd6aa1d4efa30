"""What the baselines scored, beside the super ticket. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from supertickets.config import Config
from supertickets.data.tasks import Task
from supertickets.endings import Baseline
from supertickets.experiments.baselines import ARMS, Variant, variants_of
from supertickets.experiments.records import Record
from supertickets.experiments.statistics import Interval, Summary, difference, summary


@dataclass(frozen=True)
class Standing:
    """One baseline: its chosen setting, size, trainings, scores, and two paired differences on the report split.

    `to_full` is the baseline less the sweep's full model; `ticket` is the ticket of the arm `against` (None: the
    sweep's super ticket) less the baseline.
    """

    arm: Baseline
    words: str
    setting: str
    weights_encoder: float
    trainings: int
    selection: float
    report: Summary
    to_full: Interval
    against: Baseline | None
    ticket: Interval


def conclude_baselines(
    task: Task,
    config: Config,
    sparsity: float,
    records: Sequence[Record],
    full: Sequence[Record],
    ticket: Sequence[Record],
) -> tuple[Standing, ...]:
    """The standing of every baseline whose runs are all there, in the config's order.

    `records` hold those of the baselines' runs; `full` and `ticket` are the sweep's own.
    """
    by_name = {record.name: record for record in records}
    chosen = {arm: chosen_variant(variants_of(config, arm, sparsity), by_name) for arm in config.baselines.arms}
    made = []
    for arm, found in chosen.items():
        if found is None:
            continue
        variant, group = found
        against = ARMS[arm].against
        rival = chosen.get(against) if against else None
        trainings = sum(len(each.runs) for each in variants_of(config, arm, sparsity))
        made.append(
            Standing(
                arm=arm,
                words=ARMS[arm].words,
                setting=variant.setting,
                weights_encoder=sum(r.size.weights_encoder for r in group) / len(group),
                trainings=trainings,
                selection=summary(group, "selection").mean,
                report=summary(group),
                to_full=difference(task, group, full),
                against=against if rival else None,
                ticket=difference(task, rival[1] if rival else ticket, group),
            )
        )
    return tuple(made)


def chosen_variant(variants: Sequence[Variant], by_name: Mapping[str, Record]) -> tuple[Variant, list[Record]] | None:
    """The variant with the best mean selection score (the first of equals), its records; None while one is missing."""
    if any(run.name not in by_name for each in variants for run in each.runs):
        return None
    groups = [(each, [by_name[run.name] for run in each.runs]) for each in variants]
    return max(groups, key=lambda group: summary(group[1], "selection").mean)
