"""What a sweep's folder says of its data: the task, sizes, notes, and checksums of data and encoder. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from supertickets import storage
from supertickets.checked import checked
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.layout import DATA_FILE
from supertickets.learning.metrics import METRICS

_Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class _Size:
    file: str = ""
    rows: _Count | None = None
    official: _Count | None = None
    partial: bool = False
    left_out: _Count = 0


@dataclass(frozen=True)
class _About:
    """What a sweep writes of its data, beside the task."""

    sizes: dict[str, _Size] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    origin: dict[str, str] = field(default_factory=dict)


def write_data(folder: Path, about: Mapping[str, Any]) -> None:
    """Write `data.json`, sealed."""
    storage.write_sealed(folder / DATA_FILE, about)


def read_data(folder: Path) -> dict[str, Any]:
    """What `write_data` wrote; raises UserError when it is missing, damaged, or was never such a file."""
    body = storage.read_sealed(folder / DATA_FILE, "choose another --out folder")
    where = str(folder / DATA_FILE)
    about = checked(_About, body, "what a sweep writes of its data", where, "choose another --out folder")
    if not isinstance(body.get("task"), dict):
        raise UserError("not what a sweep writes of its data (task: missing)", where, "choose another --out folder")
    return asdict(about) | body


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
