"""Predictions as lines of a file: a table of labels and probabilities, or a submission to GLUE's server. No torch."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from supertickets.data.tasks import KNOWN, KnownTask, normalised
from supertickets.errors import UserError
from supertickets.experiments.reading import Reading

BINARY = ("0", "1")  # labels that say nothing of their task
NOT_ON_THE_SERVER = ("snli", "scitail")  # known tasks that GLUE's server does not take


class CsvLines:
    """`prediction`, and one `p_<label>` for each class."""

    def __init__(self, config: Any) -> None:
        regression = int(config.num_labels) == 1
        self._labels = [] if regression else [str(config.id2label[index]) for index in range(config.num_labels)]

    def header(self) -> str:
        """The first line."""
        return _rows([["prediction", *(f"p_{label}" for label in self._labels)]])

    def lines(self, values: Float[np.ndarray, "n *C"]) -> str:
        """One line for each row of predictions."""
        if not self._labels:
            return _rows([[f"{value:.6g}"] for value in values])
        shares = probabilities(values)
        best = [self._labels[index] for index in values.argmax(axis=1)]
        return _rows([[label, *(f"{p:.6g}" for p in row)] for label, row in zip(best, shares, strict=True)])


class GlueLines:
    """A submission to GLUE's server: the rows' numbers from 0, and the labels under the server's names."""

    def __init__(self, config: Any, row: KnownTask) -> None:
        classes, name = row.task.classes, row.task.name
        if config.num_labels != classes:
            raise UserError(
                f"this model has {config.num_labels} outputs, {name} needs {classes}", "--task", "give its own"
            )
        self._labels = _server_labels([str(config.id2label[index]) for index in range(classes)], row)
        self._next = 0

    def header(self) -> str:
        """The first line."""
        return "index\tprediction\n"

    def lines(self, values: Float[np.ndarray, "n *C"]) -> str:
        """One line for each row of predictions; similarities are cut to what the task has, 0 to 5."""
        if self._labels:
            cells = [self._labels[index] for index in values.argmax(axis=1)]
        else:
            cells = [f"{value:.3f}" for value in np.clip(values, 0, 5)]
        first, self._next = self._next, self._next + len(cells)
        return "".join(f"{index}\t{cell}\n" for index, cell in enumerate(cells, start=first))


def check_on_the_server(row: KnownTask | None) -> KnownTask:
    """The task, which is one that GLUE's server takes; raises UserError for any other, and for none."""
    tasks = ", ".join(name for name in KNOWN if name not in NOT_ON_THE_SERVER)
    if row is None:
        raise UserError("the GLUE format needs to know the task", "--format glue", f"add --task, one of {tasks}")
    if row.task.name in NOT_ON_THE_SERVER:
        raise UserError(f"GLUE's server takes no {row.task.name}", "--format glue", f"it takes {tasks}")
    return row


def check_same_task(reading: Reading | None, row: KnownTask) -> None:
    """Raise UserError where a model is known to have learned another task than the one to submit.

    Own data is the same task when it was trained under its name, or when its labels are the task's words.
    """
    if reading is None or normalised(reading.task.name) == row.task.name:
        return
    words = {label.lower() for label in row.task.labels}
    if not reading.known and words - set(BINARY) and {label.lower() for label in reading.task.labels} == words:
        return
    remedy = f"train on the data of {row.task.name} under its name: find {row.task.name} ..."
    if reading.known and reading.task.name not in NOT_ON_THE_SERVER:
        remedy = f"give --task {reading.task.name}"
    raise UserError(f"this model learned {reading.task.name}, not {row.task.name}", "--task", remedy)


def probabilities(logits: Float[np.ndarray, "n C"]) -> Float[np.ndarray, "n C"]:
    """Softmax over classes, in double precision."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _server_labels(own: Sequence[str], row: KnownTask) -> tuple[str, ...]:
    """The server's name of each of the model's classes; by name where the names say it, else by position."""
    theirs = row.task.labels
    if not theirs:
        return ()
    by_name = {label.lower(): label for label in theirs}
    if {label.lower() for label in own} == set(by_name):
        return tuple(by_name[label.lower()] for label in own)
    unnamed = all(re.fullmatch(r"LABEL_\d+", label) for label in own)
    if not unnamed and set(theirs) != set(BINARY):
        what = f"the model's labels ({', '.join(own)}) are not those of {row.task.name} ({', '.join(theirs)})"
        raise UserError(what, "--task", "name the model's own task")
    return theirs


def _rows(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
