"""One lock per sweep folder, and who holds it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from supertickets.errors import UserError
from supertickets.storage import check_no_links, read_json, write_json, writing

LOCK_FILE = ".lock"
HOLDER_FILE = ".lock.json"


@contextmanager
def sweep_lock(folder: Path) -> Iterator[None]:
    """Hold a sweep folder (made if absent) for this process.

    Raises UserError naming the holder when another has it, and for a link below it.
    """
    with writing(folder):
        _make(folder)
        check_no_links(folder)
        lock = FileLock(folder / LOCK_FILE, timeout=0.5)  # whoever asks whether it is held holds it for a moment
        try:
            lock.acquire()
        except Timeout as fault:
            raise UserError(
                f"in use by {_holder(folder)}", str(folder), "wait for it to end, or choose another folder"
            ) from fault
    try:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(folder / HOLDER_FILE, {"pid": os.getpid(), "host": socket.gethostname(), "since": now})
        yield
    finally:
        (folder / HOLDER_FILE).unlink(missing_ok=True)
        lock.release()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as fault:
        raise UserError("this is a file, not a folder", str(folder), "choose another --out folder") from fault
    except FileNotFoundError as fault:  # of a place that makes no folders, or is gone
        raise UserError("this folder cannot be made", str(folder), "choose another --out folder") from fault


def _holder(folder: Path) -> str:
    try:
        holder = read_json(folder / HOLDER_FILE)
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (UserError, KeyError):  # it holds the lock but has not yet written its name
        return "another process"
