"""What a sweep's folder says of its data: the task, sizes, notes, and checksums of data and encoder. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supertickets import storage
from supertickets.checked import checked
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.layout import DATA_FILE
from supertickets.learning.metrics import METRICS

_KINDS: dict[str, type] = {"task": dict, "sizes": dict, "notes": list, "origin": dict}


def write_data(folder: Path, about: Mapping[str, Any]) -> None:
    """Write `data.json`, sealed."""
    storage.write_sealed(folder / DATA_FILE, about)


def read_data(folder: Path) -> dict[str, Any]:
    """What `write_data` wrote; raises UserError when it is missing, damaged, or was never such a file."""
    body = storage.read_sealed(folder / DATA_FILE, "choose another --out folder")
    body = {name: kind() for name, kind in _KINDS.items() if name != "task"} | body
    wrong = [name for name, kind in _KINDS.items() if not isinstance(body.get(name), kind)]
    wrong = wrong or [f"sizes.{name}" for name, size in body["sizes"].items() if not isinstance(size, dict)]
    if wrong:
        raise UserError(f"not what a sweep writes of its data: {wrong[0]} cannot be read", str(folder / DATA_FILE))
    return body


def task_of(folder: Path) -> Task:
    """The task of a sweep's folder; raises as `read_data` does."""
    plain, where = read_data(folder)["task"], str(folder / DATA_FILE)
    try:
        task = checked(Task, plain, "a task", where, "choose another --out folder")
    except ValueError as fault:  # of the task's own check
        raise UserError(f"not a task ({fault})", where) from fault
    unknown = [name for name in task.metrics if name not in METRICS]
    if unknown or not task.metrics:
        raise UserError(f"not a task (metrics: {unknown})", where)
    return task
