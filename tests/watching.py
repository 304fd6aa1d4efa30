"""One command of the fuzz: run in this process, watched for tracebacks and for writes outside its out folder."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets.config import HF_DATASETS_CACHE

from supertickets.cli.app import main

SLOWEST = 20  # seconds of the processor
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# The paths that an event tells of: which of its arguments they are.
EVENTS = {
    "os.mkdir": (0,),
    "os.rename": (0, 1),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.symlink": (1,),
    "os.link": (1,),
}
EVENTS |= {"os.truncate": (0,), "os.chmod": (0,), "shutil.rmtree": (0,), "shutil.move": (0, 1), "shutil.copyfile": (1,)}


class _Watch:
    """What was written while it is on; there is no way to take an audit hook away again."""

    def __init__(self) -> None:
        self.on, self.written = False, list[str]()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, str | bytes | os.PathLike) and (set(mode or "") & set("wax+") or flags & WRITING):
                self.written.append(os.fsdecode(path))
        elif event == "os.mkdir" and Path(os.fsdecode(arguments[0])).is_dir():
            return  # asked for, and there already
        elif event in ("os.remove", "os.rmdir") and arguments[1] >= 0:  # shutil.rmtree names what is in an open folder
            self.written.append(str(Path(f"/proc/self/fd/{arguments[1]}").readlink() / os.fsdecode(arguments[0])))
        elif event in EVENTS:
            self.written += [os.fsdecode(arguments[place]) for place in EVENTS[event] if arguments[place] is not None]


WATCH = _Watch()
COUNTED = Counter[str]()  # commands that were watched


@contextlib.contextmanager
def watched(cwd: Path) -> Iterator[list[str]]:
    """Work in a folder; yields the paths that Python code writes to, absolute, when the block has ended."""
    if not getattr(sys, "_supertickets_watched", False):
        sys.addaudithook(WATCH)
        sys._supertickets_watched = True  # type: ignore[attr-defined]
    before, found = Path.cwd(), list[str]()
    os.chdir(cwd)
    WATCH.written, WATCH.on = [], True
    try:
        yield found
    finally:
        WATCH.on = False
        found += [os.path.normpath(cwd / path) for path in WATCH.written]
        os.chdir(before)


def strays(written: Sequence[str], out: Sequence[Path]) -> list[str]:
    """Paths outside the out folders; scratch folders of the system's and compiled modules are nobody's loss."""
    scratch = Path(tempfile.gettempdir())
    inside = [os.path.normpath(folder) for folder in out]

    def fine(path: str) -> bool:
        if path == os.devnull or path.endswith(".pyc") or "__pycache__" in path or path.startswith("/proc/self"):
            return True
        if path.startswith(f"{HF_DATASETS_CACHE}{os.sep}"):  # `datasets` keeps there what it reads of a folder
            return True
        if Path(path).parent == scratch and Path(path).name.startswith("tmp"):
            return True
        if any(parent.parent == scratch and parent.name.startswith("tmp") for parent in Path(path).parents):
            return True
        # Atomic writes go to a hidden file or folder beside their target.
        beside = [str(Path(one).with_name(f".{Path(one).name}.")) for one in inside]
        return path in inside or path.startswith((*(f"{one}{os.sep}" for one in inside), *beside))

    return [path for path in written if not fine(path)]


def census(folder: Path, but: Sequence[Path]) -> dict[str, tuple[int, int]]:
    """Size and time of change of each file below a folder, but for those in some of them; for writers in Rust and C."""
    found: dict[str, tuple[int, int]] = {}
    skipped = set(but)
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if here / name not in skipped]
        for path in {here / name for name in files} - skipped:
            state = path.lstat()
            found[str(path)] = (state.st_size, state.st_mtime_ns)
    return found


def survives(arguments: Sequence[str], root: Path, out: Sequence[Path] = ()) -> tuple[int, str]:
    """Run a command in `root`: it must end with 0 or 2, without a traceback, and write only into `out`.

    Returns the exit code and what was told on stderr.
    """
    told, printed = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("backslashreplace", "strict"))
    COUNTED["cases"] += 1
    before, begin = census(root, out), time.process_time()
    with warnings.catch_warnings(), watched(root) as written:
        warnings.simplefilter("ignore")  # a warning is no fault of a command; here pytest makes errors of them
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(printed):
            code = main(arguments)
            printed.flush()
    told.flush()
    said = told.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert code in (0, 2), f"exit {code}: {said}"
    assert "Traceback" not in said, said
    assert time.process_time() - begin < SLOWEST, "so small an input may not take so long"
    assert code == 0 or any(line.startswith("error: ") for line in said.splitlines()), said
    assert not (stray := strays(written, out)), f"written outside: {stray}"
    changed = {path for path, _ in before.items() ^ census(root, out).items()}
    assert not changed, f"changed outside: {changed}"
    return code, said
