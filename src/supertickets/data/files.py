"""DataConfig -> Loaded: a known task, the user's own data, or the embedded demo."""

from __future__ import annotations

from pathlib import Path

from supertickets.config import DataConfig
from supertickets.data.demo import TASK as DEMO
from supertickets.data.demo import embedded_demo
from supertickets.data.examples import Loaded
from supertickets.data.known import read_known
from supertickets.data.own import read_own
from supertickets.data.tasks import known
from supertickets.errors import UserError

__all__ = ["Loaded", "embedded_demo", "read", "read_known", "read_own"]


def read(config: DataConfig) -> Loaded:
    """Read and check all examples that a config names; nothing named means the demo.

    Raises UserError, with file, line and column where there are some, for everything that is wrong.
    """
    if config.train is not None or config.test is not None:
        return read_own(config)
    if config.task is not None and config.task != DEMO.name:
        row = known(config.task)
        if config.folder is None:
            raise UserError(f"{config.task} needs the folder of its files", "data.folder", "give it (--data FOLDER)")
        if config.kind not in ("auto", row.task.kind):
            raise UserError(f"{row.task.name} is a {row.task.kind}", "data.kind", "leave data.kind out")
        return read_known(config.task, Path(config.folder))
    if config.folder is not None:
        raise UserError("a folder is given without a task", "data.task", "name the task whose files it holds")
    return embedded_demo()
