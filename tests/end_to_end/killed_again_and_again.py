"""A script: run one command over and over, killed (kill -9) at a later place each time, and at last let it finish.

Arguments: the sweep's folder, a JSON list of places, and the command. A place is `["write", n]`, before the nth file
or folder gets its name, or `["step", n]`, before the nth training step; both count from the start of that attempt.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import transformers

from supertickets.cli.app import main
from supertickets.experiments import delivery, sweeps, workspace  # noqa: F401  (imported before forking)
from supertickets.experiments.records import load_all
from supertickets.reports import page, paper_figures  # noqa: F401


def kill_before(owner: Any, name: str, count: int) -> None:
    """Kill this process instead of the `count`th call of a method."""
    method, left = getattr(owner, name), [count]

    def counted(*arguments: Any, **keywords: Any) -> Any:
        COUNTS[id(owner)] = COUNTS.get(id(owner), 0) + 1
        if COUNTS[id(owner)] == left[0]:
            target = arguments[1] if isinstance(arguments[1], Path) else name
            print("killed before", str(target).removeprefix(f"{folder}/"), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*arguments, **keywords)

    setattr(owner, name, counted)


COUNTS: dict[int, int] = {}


def attempt(place: tuple[str, int], command: list[str]) -> bool:
    """Run the command in a child that is killed at `place`; whether it was."""
    child = os.fork()
    if child == 0:
        kind, count = place
        if kind == "write":
            for name in ("replace", "rename"):
                kill_before(Path, name, count)
        else:
            kill_before(transformers.Trainer, "training_step", count)
        os._exit(main(command))
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def finished(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Times and bytes of the files of every record that counts; each of them must load."""
    load_all(folder)
    runs = [path.parent for path in (folder / "runs").glob("*/record.json")]
    files = [path for run in runs for path in run.iterdir() if not path.name.startswith(".")]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


if __name__ == "__main__":
    folder, places, *command = sys.argv[1:]
    done: dict[str, tuple[int, bytes]] = {}
    killed = 0
    for place in json.loads(places):
        killed += attempt(place, command)
        now = finished(Path(folder))
        assert all(now[path] == file for path, file in done.items()), "a finished record was touched"
        done = now
    assert killed >= 0.9 * len(json.loads(places)), f"killed {killed} times only"
    sys.exit(main(command))
