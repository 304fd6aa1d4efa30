"""Label cells -> class ids or numbers; every cell that is neither is refused with its place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from supertickets.data.tables import Table, is_text
from supertickets.data.tasks import Kind
from supertickets.errors import UserError

Ids = Int64[np.ndarray, " n"]
Numbers = Float32[np.ndarray, " n"]


def kind_of(table: Table) -> Kind:
    """Regression when some label is a number with a fraction and most are numbers, else classification."""
    numbers = [number for cell in table.cells["label"] if (number := _number(cell)) is not None]
    fractions = any(not number.is_integer() for number in numbers)
    return "regression" if fractions and 2 * len(numbers) > len(table) else "classification"


def class_names(table: Table) -> tuple[str, ...]:
    """The classes of a training table, sorted: whole numbers by size, words by letters."""
    names = {_name(table, index) for index in range(len(table))}
    numeric = all(_number(name) is not None for name in names)
    return tuple(sorted(names, key=lambda name: (float(name), name) if numeric else (0.0, name)))


def class_ids(table: Table, names: tuple[str, ...], remedy: str = "") -> Ids:
    """The position in `names` of each label; raises UserError for a missing label or one outside `names`."""
    ids = {name: position for position, name in enumerate(names)}
    found = np.empty(len(table), dtype=np.int64)
    for index in range(len(table)):
        name = _name(table, index)
        if name not in ids:
            column, known = table.names["label"], ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
            what = f'unknown label "{_short(name)}" in column {column} (the labels are {known})'
            raise UserError(what, table.place(index, "label"), remedy or "correct the label or remove the row")
        found[index] = ids[name]
    return found


def numbers(table: Table) -> Numbers:
    """Each label as a number; raises UserError for a cell that is missing, no number, or not finite."""
    values = np.empty(len(table), dtype=np.float32)
    for index, cell in enumerate(table.cells["label"]):
        number = _number(cell)
        if number is None:
            _refuse_missing(table, index)
            what = f'"{_short(cell)}" in column {table.names["label"]} is not a number'
            raise UserError(what, table.place(index, "label"), "correct the number or remove the row")
        values[index] = number
    return values


def check_enough(table: Table, labels: Ids | Numbers, kind: Kind, classes: int) -> None:
    """Refuse training labels that nothing can be learned or selected from: all alike, or too few for the classes."""
    column = table.names["label"]
    if np.all(labels == labels[0]):
        alike, so = {
            "classification": ("label", "there is one class only"),
            "regression": ("number", "there is nothing to predict"),
        }[kind]
        what = f'every {alike} in column {column} is "{_short(table.cells["label"][0])}": {so}'
        raise UserError(what, table.source, "give training examples that differ in their label")
    needed = 2 * classes
    if len(labels) < needed:
        what = f"{len(labels)} training examples are too few for the {classes} classes of column {column}"
        remedy = f"give {needed} at least: one per class to train on and one to choose by"
        raise UserError(what, table.source, remedy)


def _name(table: Table, index: int) -> str:
    """A label as a word; a whole number has one name however it is written (1, 1.0)."""
    cell = table.cells["label"][index]
    _refuse_missing(table, index)
    if isinstance(cell, (list, dict, tuple)):
        what = f"column {table.names['label']} holds several labels; one label per example is what can be learned"
        raise UserError(what, table.place(index, "label"), "give one label per example")
    word = str(cell).strip()
    if not is_text(word):
        what = f"the label in column {table.names['label']} has half a character (a lone surrogate)"
        raise UserError(what, table.place(index, "label"), "write the file again as UTF-8")
    number = _number(cell)
    return str(int(number)) if number is not None and number.is_integer() and "." in word else word


def _refuse_missing(table: Table, index: int) -> None:
    cell = table.cells["label"][index]
    if cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell)) or not str(cell).strip():
        what = f"the label in column {table.names['label']} is missing"
        raise UserError(what, table.place(index, "label"), "fill it in or remove the row")


def _number(cell: Any) -> float | None:
    """The cell as a finite number, or None; True and False are words here."""
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):  # a whole number of JSON may be larger than any float
        return None
    return number if math.isfinite(number) else None


def _short(cell: Any) -> str:
    text = str(cell)
    return text if len(text) <= 40 else f"{text[:39]}…"
