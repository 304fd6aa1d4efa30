"""Loaded: a task with its training and report examples, as `datasets` holds them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Value

from supertickets.data import labels
from supertickets.data.tables import Table, is_text
from supertickets.data.tasks import Role, Task
from supertickets.errors import UserError


@dataclass(frozen=True)
class Loaded:
    """A task's data, read and checked.

    Both sets have the columns `text`, `text_pair` (tasks on pairs) and `label` (class id or number).
    `sizes` holds, per set, `file`, `rows`, `official` (None for own data), `partial` and `left_out`;
    `notes` are sentences that belong beside a result; `sha256` names the content of both sets.
    """

    task: Task
    train: Dataset
    report: Dataset
    sizes: dict[str, dict[str, Any]]
    notes: list[str]
    sha256: str

    def is_known_as(self, name: str, sha256: str) -> bool:
        """Whether a checksum is that of this data under a task's name."""
        return _sha256([name, *self._contents]) == sha256

    @cached_property
    def _contents(self) -> list[str]:
        return _contents(self.task, {"train": self.train, "report": self.report})


def load(
    task: Task,
    train: Table,
    report: Table,
    *,
    official: tuple[int, int] | None = None,
    unknown_label: str = "",
) -> Loaded:
    """Check two tables against a task and hold them as datasets.

    `official` are the published numbers of training and report examples; published files may have
    empty texts, others may not. Raises UserError with file, line and column for every cell that is wrong.
    """
    sets = {}
    for split, table in (("train", train), ("report", report)):
        target = labels.class_ids(table, task.labels, unknown_label) if task.labels else labels.numbers(table)
        if split == "train":
            labels.check_enough(table, target, task.kind, task.classes)
        sets[split] = _dataset(table, target, published=official is not None)
    sizes = {
        split: _size(table, rows)
        for split, table, rows in zip(("train", "report"), (train, report), official or (None, None), strict=True)
    }
    notes = [*_size_notes(sizes), *_overlap(sets["train"], sets["report"], sizes)]
    return Loaded(task, sets["train"], sets["report"], sizes, notes, _sha256([task.name, *_contents(task, sets)]))


def content_sha256(examples: Dataset) -> str:
    """A checksum of columns and cells, whatever file or cache they came from."""
    digest = hashlib.sha256()
    for name, cells in sorted(examples[:].items()):
        digest.update(json.dumps([name, cells]).encode())
    return digest.hexdigest()


def _contents(task: Task, sets: dict[str, Dataset]) -> list[str]:
    return [task.kind, *task.labels, content_sha256(sets["train"]), content_sha256(sets["report"])]


def _sha256(parts: list[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _dataset(table: Table, target: np.ndarray, published: bool) -> Dataset:
    columns: dict[str, Any] = {role: texts(table, role, published) for role in table.names if role != "label"}
    features = {role: Value("string") for role in columns} | {"label": Value(str(target.dtype))}
    return Dataset.from_dict(columns | {"label": target}, features=Features(features))


def texts(table: Table, role: Role, published: bool) -> list[str]:
    """A column of texts; raises UserError for a cell that is none, or blank where the file is not a published one."""
    name = table.names[role]
    for index, cell in enumerate(table.cells[role]):
        if cell is None or (not published and isinstance(cell, str) and not cell.strip()):
            raise UserError(
                f"the text in column {name} is missing", table.place(index, role), "fill it in or remove the row"
            )
        if not isinstance(cell, str):
            what = f"column {name} holds {type(cell).__name__} values, not text"
            raise UserError(what, table.place(index, role), "give the text as a string, or name another column")
        if not cell.isascii() and not is_text(cell):
            what = f"the text in column {name} has half a character (a lone surrogate)"
            raise UserError(what, table.place(index, role), "write the file again as UTF-8")
    return table.cells[role]


def _size(table: Table, official: int | None) -> dict[str, Any]:
    return {
        "file": Path(table.source).name,
        "rows": len(table),
        "official": official,
        "partial": official is not None and len(table) < official,
        "left_out": table.left_out,
    }


def _size_notes(sizes: dict[str, dict[str, Any]]) -> list[str]:
    partial = [
        f"{split} set is partial: {size['rows']} of the {size['official']} published examples"
        for split, size in sizes.items()
        if size["partial"]
    ]
    left_out = [
        f"rows left out of {size['file']}, as they lack a label or fields: {size['left_out']}"
        for size in sizes.values()
        if size["left_out"]
    ]
    return partial + left_out


def _overlap(train: Dataset, report: Dataset, sizes: dict[str, dict[str, Any]]) -> list[str]:
    """Say how many report examples were also trained on: they flatter every score."""
    roles = [name for name in report.column_names if name != "label"]
    trained, reported = train.select_columns(roles)[:], report.select_columns(roles)[:]
    seen = set(zip(*trained.values(), strict=True))
    both = sum(example in seen for example in zip(*reported.values(), strict=True))
    if not both:
        return []
    return [f"report examples whose text is in the training set, too: {both} of {sizes['report']['rows']}"]
