"""The page's tables, cell by cell: what is shown, and what it is sorted by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from supertickets.config import AcrossSeeds
from supertickets.data.tasks import Task
from supertickets.experiments.outcome import DEV_SELECTED, Outcome, signed
from supertickets.experiments.statistics import Interval
from supertickets.reports.findings import Findings
from supertickets.reports.style import FFN_NAMES, KINDS


@dataclass(frozen=True)
class Column:
    """A heading; `text` columns are set left."""

    name: str
    text: bool = False


@dataclass(frozen=True)
class Cell:
    """What a cell shows, the spread beside it or the interval under it, and what it is sorted by ("" comes last)."""

    value: str
    sort: str | float = ""
    range: str = ""
    text: bool = False
    interval: bool = False


@dataclass(frozen=True)
class Row:
    """One row and its class in the style sheet."""

    cells: tuple[Cell, ...]
    css: str = ""


def columns(findings: Findings) -> list[Column]:
    """The headings of the table of levels; a task of several metrics has a column for each."""
    task = findings.task
    named = [Column(name) for name in task.metrics] if len(task.metrics) > 1 else []
    return [
        Column("Kind", text=True),
        Column("Level"),
        Column("Report score"),
        *named,
        Column("Minus full, 95\u00a0%"),
        Column("Minus random, 95\u00a0%"),
        Column("Selection"),
        Column("Phase"),
        Column("Encoder\u00a0%"),
        Column("All\u00a0%"),
        Column("Heads"),
        Column(FFN_NAMES[findings.config.units.ffn]),
        Column("Seeds"),
    ]


def level_rows(findings: Findings) -> list[Row]:
    """One row per kind and level; under the super ticket's stands what the paper's protocol would have picked."""
    outcome, labels = findings.outcome, dict(findings.choice.phases.labels) if findings.choice else {}
    rows = findings.levels.to_dict("records")
    made = []
    for values in rows:
        winning = values["kind"] == "winning"
        chosen = winning and outcome is not None and values["sparsity"] == outcome.sparsity
        name = KINDS[values["kind"]].label.replace("tickets", "").strip() + (" ★ super ticket" if chosen else "")
        phase = labels.get(values["sparsity"], "") if winning else ""
        made.append(_row(name, values, findings.task, phase, "chosen" if chosen else ""))
    if outcome is not None:
        picked = next(i for i, row in enumerate(rows) if _is(row, "winning", outcome.dev_selected.sparsity))
        chosen_at = next(i for i, row in enumerate(rows) if _is(row, "winning", outcome.sparsity))
        phase = labels.get(outcome.dev_selected.sparsity, "")
        made.insert(chosen_at + 1, _row(DEV_SELECTED, rows[picked], findings.task, phase, "protocol"))
    return made


def _is(values: Mapping[Any, Any], kind: str, sparsity: float) -> bool:
    return bool(values["kind"] == kind and values["sparsity"] == sparsity)


def _row(name: str, values: Mapping[Any, Any], task: Task, phase: str, css: str) -> Row:
    named = [number(100 * values[f"metric_{metric}"], 1) for metric in task.metrics] if len(task.metrics) > 1 else []
    return Row(
        (
            Cell(name, name, text=True),
            number(values["sparsity"], 2) if values["kind"] != "full" else Cell("", 0.0),
            _score(values, "report"),
            *named,
            _difference(values, "to_full"),
            _difference(values, "to_random"),
            _score(values, "selection"),
            Cell(phase, phase),
            number(100 * values["weights_encoder"], 1),
            number(100 * values["weights_all"], 1),
            number(values["heads"], 0),
            number(values["ffn"], 0),
            number(values["seeds"], 0),
        ),
        css,
    )


def number(value: float | int, digits: int) -> Cell:
    """A number at `digits` places at most, with a true minus; whole numbers stay whole."""
    text = f"{value:.{digits}f}"
    if digits == 2:
        text = f"{value:g}"
    elif digits == 0 and value != round(value):
        text = f"{value:.1f}"
    return Cell(text.replace("-", "−"), float(value))


def _score(values: Mapping[Any, Any], name: str) -> Cell:
    mean, std = 100 * values[name], 100 * values[f"{name}_std"]
    spread = f"± {std:.1f}" if values["seeds"] > 1 else ""
    return Cell(f"{mean:.1f}".replace("-", "−"), values[name], spread)


def _difference(values: Mapping[Any, Any], name: str) -> Cell:
    value = values[name]
    if math.isnan(value):
        return Cell("", "")
    low, high = signed(values[f"{name}_low"]), signed(values[f"{name}_high"])
    return Cell(signed(value), value, f"{low} to {high}", interval=True)


def unit_levels(findings: Findings, shown: float | None) -> list[dict[str, Any]]:
    """The levels that the heat map can show, and the sentence about each."""
    made = []
    for sparsity, rows in findings.units.groupby("sparsity"):
        is_head, name = rows["unit"] == "head", FFN_NAMES[findings.config.units.ffn]
        heads, ffn = rows.loc[is_head, "kept"], rows.loc[~is_head, "kept"]
        units = f"{ffn.sum():.4g} of {len(ffn)} {name}"
        if findings.config.units.ffn == "neuron":
            units = f"{100 * ffn.mean():.1f} % of the {name}"
        kept = f"{heads.sum():.4g} of {len(heads)} heads and {units} are kept"
        text = f"Level {sparsity:g}: {kept}{'' if np.isclose(heads.sum() % 1, 0) else ' (mean over seeds)'}."
        chosen = findings.choice is not None and sparsity == findings.choice.sparsity
        made.append({"name": f"{sparsity:g}", "shown": sparsity == shown, "chosen": chosen, "text": text})
    return made


BASELINE_COLUMNS = (
    "Baseline",
    "Chosen setting",
    "Encoder\u00a0%",
    "Report score",
    "Minus full, 95\u00a0%",
    "Ticket minus it, 95\u00a0%",
    "Selection",
    "Trainings",
)


def baseline_rows(outcome: Outcome | None) -> list[list[str]]:
    """The table of baselines as text; scores x 100."""
    made = []
    for one in outcome.baselines if outcome else ():
        mean, std = 100 * one.report.mean, 100 * one.report.std
        rival = f", {one.against.replace('_', ' ')}" if one.against else ""
        cells = [one.words, one.setting, f"{100 * one.weights_encoder:.1f}", f"{mean:.1f} ± {std:.1f}"]
        made.append(
            [
                *cells,
                ranged(one.to_full),
                f"{ranged(one.ticket)}{rival}",
                f"{100 * one.selection:.1f}",
                str(one.trainings),
            ]
        )
    return made


def ranged(value: Interval) -> str:
    """A difference and its interval."""
    return f"{signed(value.value)} ({signed(value.low)} to {signed(value.high)})"


def cost_columns(costs: pd.DataFrame) -> list[str]:
    """The headings of the table of costs."""
    names = {"kind": "Runs of", "runs": "Runs", "total": "Together", "trained_examples": "Examples trained on"}
    return [names.get(name, name.capitalize()) for name in costs.columns]


def cost_rows(costs: pd.DataFrame) -> list[list[str]]:
    """The table of costs as text."""
    return [[_cost(name, value) for name, value in row.items()] for row in costs.to_dict("records")]


def _cost(name: Any, value: Any) -> str:
    if name == "kind":
        return KINDS[value].label if value in KINDS else str(value)
    return whole(value) if name in ("runs", "trained_examples") else duration(value) if value else ""


def duration(seconds: float) -> str:
    """12.3 s, 4 min 05 s, 2 h 13 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def sizes(findings: Findings) -> list[dict[str, Any]]:
    """How many examples each split has, of how many in its file and how many published, and what it is used for."""
    recorded: Mapping[str, Mapping[str, Any]] = findings.data.get("sizes", {})
    train, report = recorded.get("train", {}), recorded.get("report", {})
    data = findings.config.data
    held_out = max((record.selection.n for record in findings.records), default=None)
    used, reported = drawn(train, data.train_examples), drawn(report, data.report_examples)
    training = None if used is None or held_out is None else used - held_out
    return [
        _size("training", training, train, "fine-tuning and scoring"),
        _size("selection", held_out, {}, f"choosing the super ticket; {_HELD_OUT[findings.config.selection.split]}"),
        _size("report", reported, report, "reporting only; the same examples for every seed"),
    ]


_HELD_OUT: dict[AcrossSeeds, str] = {
    "per_seed": "each seed holds out its own from the training file",
    "common": "held out from the training file, the same examples for every seed",
}


def drawn(recorded: Mapping[str, Any], limit: int | None) -> int | None:
    """Examples of a file that are used, of which there are as many as the file's rows or the limit."""
    rows = recorded.get("rows")
    return None if rows is None else min(rows, limit or rows)


def _size(split: str, used: int | None, recorded: Mapping[str, Any], use: str) -> dict[str, Any]:
    return {
        "split": split,
        "file": recorded.get("file", ""),
        "n": whole(used),
        "rows": whole(recorded.get("rows")),
        "official": whole(recorded.get("official")),
        "partial": bool(recorded.get("partial")),
        "use": use,
    }


def whole(n: int | None) -> str:
    """12 345 with a narrow space that does not break; nothing for None."""
    return "" if n is None else f"{n:,}".replace(",", "\u202f")
