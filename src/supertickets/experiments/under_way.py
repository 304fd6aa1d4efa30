"""Who works on a folder now, and on which of its runs: a mark lies in it for each run in flight. No torch."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

from supertickets import locking, storage

MARK = f".running{storage.PARTIAL}"  # what a killed process leaves of it goes with its other leftovers


class Marks:
    """The runs that this process works on in a folder, marked there while the block runs."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._names = folder, set[str]()

    def __enter__(self) -> Marks:
        return self

    def __exit__(self, *fault: object) -> None:
        for name in [*self._names]:
            self.end(name)

    def begin(self, name: str) -> None:
        """A run is in flight."""
        _mark(self._folder, name).touch()
        self._names.add(name)

    def end(self, name: str) -> None:
        """It no longer is."""
        _mark(self._folder, name).unlink(missing_ok=True)
        self._names.discard(name)


def is_worked_on(folder: Path) -> bool:
    """Whether a process holds the folder's lock, here or on a machine that shares it: a mount must know locks.

    What `.lock.json` says does not count: the number of a process may be another's by now, and so may a host's name.
    """
    try:
        with (folder / locking.LOCK_FILE).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # there is none
    return False


def runs_in_flight(folder: Path) -> dict[str, float]:
    """The runs that a process works on now, by name, and for how many seconds; none where no process holds the folder.

    The longest is first.
    """
    if not is_worked_on(folder):
        return {}
    since: dict[str, float] = {}
    for mark in folder.glob(f".*{MARK}"):
        try:
            since[mark.name[1 : -len(MARK)]] = mark.stat().st_mtime
        except FileNotFoundError:
            continue  # it has ended meanwhile
    now = time.time()
    return {name: max(0.0, now - begun) for name, begun in sorted(since.items(), key=lambda item: item[1])}


def _mark(folder: Path, name: str) -> Path:
    return folder / f".{name}{MARK}"
