"""The tables of a sharing experiment's page, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from supertickets.experiments.outcome import signed
from supertickets.experiments.records import Record
from supertickets.experiments.sharing_outcome import (
    COMPARED,
    METHODS,
    Column,
    Comparison,
    Method,
    Sharing,
    SharingOutcome,
)
from supertickets.experiments.sharing_tickets import Weights
from supertickets.reports.rows import Cell, Row, drawn, duration, number, whole

LABELS: Mapping[Method, str] = {
    "full": "single task, full",
    "winning": "single task, super ticket",
    "multitask": "plain multi-task (MT-DNN)",
    "sharing": "ticket sharing",
    "random": "sharing, random tickets",
}
ALL_TASKS = "training of all tasks"  # the stage that a run's first task has on its account


def score_rows(sharing: Sharing, outcome: SharingOutcome) -> list[Row]:
    """The paper's table: a row for each method that has been trained, a column for each task and for the average."""
    columns = [*outcome.tasks.values(), outcome.average]
    return [
        Row(
            (
                Cell(LABELS[method], text=True),
                *(_score(column, method) for column in columns),
                number(100 * _kept(sharing, method), 1),
            ),
            "chosen" if method == "sharing" else "",
        )
        for method in METHODS
        if any(method in column.scores for column in columns)
    ]


def difference_rows(outcome: SharingOutcome) -> list[Row]:
    """Differences with their intervals; a cell is marked only where the interval excludes zero."""
    columns = [*outcome.tasks.values(), outcome.average]
    return [
        Row((Cell(f"{LABELS[a]} − {LABELS[b]}", text=True), *(_difference(column, (a, b)) for column in columns)))
        for a, b in COMPARED
        if any((a, b) in column.differences for column in columns)
    ]


def weight_rows(sharing: Sharing, outcome: SharingOutcome) -> list[Row]:
    """What each task's super ticket keeps, and their mean and union."""
    kept = outcome.kept
    rows = [
        Row(
            (
                Cell(task.name, text=True),
                number(task.sparsity, 2),
                *_shares(kept.by_task[task.name]),
                Cell(f"{_mean(task.records['winning'], 'heads'):.4g}"),
                Cell(f"{_mean(task.records['winning'], 'ffn'):.4g}"),
            )
        )
        for task in sharing.tasks
    ]
    blank = Cell("")
    rows.append(Row((Cell("mean over tasks", text=True), blank, *_shares(kept.mean), blank, blank)))
    rows.append(Row((Cell("union of all tasks", text=True), blank, *_shares(kept.union), blank, blank)))
    return rows


def cost_columns(sharing: Sharing) -> list[str]:
    """The headings of the table of costs."""
    return ["", "Own sweep", *(LABELS[arm] for arm in _trained(sharing))]


def cost_rows(sharing: Sharing) -> list[list[str]]:
    """Seconds by task, summed over seeds; training that all tasks share has a line of its own."""
    arms = _trained(sharing)
    lines = []
    totals = [0.0] * (1 + len(arms))
    shared = [0.0] * len(arms)
    for task in sharing.tasks:
        own = [_seconds(task.sweep)[0]]
        for index, arm in enumerate(arms):
            rest, together = _seconds(task.records[arm])
            own.append(rest)
            shared[index] += together
        totals = [a + b for a, b in zip(totals, own, strict=True)]
        lines.append([task.name, *map(duration, own)])
    totals = [totals[0], *(a + b for a, b in zip(totals[1:], shared, strict=True))]
    lines.append([ALL_TASKS, "", *map(duration, shared)])
    return [*lines, ["together", *map(duration, totals)]]


def size_rows(sharing: Sharing) -> list[dict[str, Any]]:
    """Examples of each task: used to train, held out by a seed to choose, and reported on; and those in its files."""
    made = []
    for task in sharing.tasks:
        sizes, data = task.data.get("sizes", {}), task.config.data
        train, report = sizes.get("train", {}), sizes.get("report", {})
        held_out = max(record.selection.n for record in task.sweep)
        used = drawn(train, data.train_examples)
        made.append(
            {
                "task": task.name,
                "train": whole(None if used is None else used - held_out),
                "selection": whole(held_out),
                "report": whole(drawn(report, data.report_examples)),
                "train_rows": whole(train.get("rows")),
                "report_rows": whole(report.get("rows")),
                "partial": bool(train.get("partial") or report.get("partial")),
                "metrics": " and ".join(task.task.metrics),
            }
        )
    return made


def _trained(sharing: Sharing) -> list[Method]:
    """The arms that have a finished run."""
    arms: Sequence[Method] = sharing.config.arms
    return [arm for arm in METHODS if arm in arms and any(task.records[arm] for task in sharing.tasks)]


def _seconds(records: Sequence[Record]) -> tuple[float, float]:
    """What the task's own stages took, and the training of all tasks."""
    together = sum(record.cost.seconds.get(ALL_TASKS, 0.0) for record in records)
    return sum(sum(record.cost.seconds.values()) for record in records) - together, together


def _score(column: Column, method: Method) -> Cell:
    if method not in column.scores:
        return Cell("")
    score = column.scores[method]
    spread = f"± {100 * score.std:.1f}" if score.n > 1 else ""
    return Cell(f"{100 * score.mean:.1f}".replace("-", "−"), score.mean, spread)


def _difference(column: Column, pair: Comparison) -> Cell:
    if pair not in column.differences:
        return Cell("")
    gap = column.differences[pair]
    mark = " ▲" if pair in column.wins else " ▼" if pair in column.losses else ""
    return Cell(signed(gap.value) + mark, gap.value, f"{signed(gap.low)} to {signed(gap.high)}", interval=True)


def _kept(sharing: Sharing, method: Method) -> float:
    """The share of all weights that a task's models of a method have: mean over tasks and seeds."""
    shares = [[record.size.weights_all for record in task.records[method]] for task in sharing.tasks]
    return sum(sum(each) / len(each) for each in shares) / len(shares)


def _shares(weights: Weights) -> tuple[Cell, Cell]:
    return number(100 * weights.encoder, 1), number(100 * weights.all, 1)


def _mean(records: Sequence[Record], unit: str) -> float:
    return sum(sum(getattr(record.size, unit)) for record in records) / len(records)
