"""What a person at the command line sees: progress, and errors as one sentence each."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from supertickets.cli.pace import Pace, left_in_words
from supertickets.errors import UserError
from supertickets.experiments.interrupts import Terminated, ended_by_sigterm, patient
from supertickets.experiments.progress import Progress
from supertickets.workflows.facts import printable

if TYPE_CHECKING:
    from supertickets.workflows.showing import Shown

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143

_ENVIRONMENT = {
    errno.ENOSPC: "no space left on the disk; make some and run the same command again, it resumes",
    errno.EDQUOT: "the disk quota is used up; make some space and run the same command again, it resumes",
    errno.EROFS: "cannot write here: the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EISDIR: "this is a folder, not a file",
    errno.ENAMETOOLONG: "this name is too long",
    errno.ELOOP: "its links lead in a circle",
    errno.EIO: "the disk failed",
}


class PlainProgress:
    """A line for each finished run, for logs and pipes: `[12/27] winning 0.3, seed 1: 81.2 (18 s), 4 min left`."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._pace = write, Pace(clock)

    def plan(self, total_cost: float, total_runs: int, at_once: int = 1) -> None:
        """How much there is to do."""
        self._pace.plan(total_cost, total_runs, at_once)

    def revise(self, total_cost: float, total_runs: int) -> None:
        """How much there is to do now."""
        self._pace.revise(total_cost, total_runs)

    def done(self, name: str, cost: float, line: str) -> None:
        """One run has finished."""
        self._pace.add(cost)
        left = left_in_words(self._pace.left) if self._pace.finished < self._pace.runs else ""
        self.say(f"[{self._pace.finished}/{self._pace.runs}] {line}" + (f", {left}" if left else ""))

    def say(self, line: str) -> None:
        """Something worth a line has happened."""
        self._write(printable(line))


class ChangedLines:
    """A line for each state that differs from the last one in more than the time left, for logs and pipes."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write, self._told = write, ""

    def __call__(self, shown: Shown) -> None:
        """Tell of this state, if it is another."""
        rows = dict(shown.rows)
        told = "; ".join(f"{name} {rows[name]}" for name in ("done", "now", "failed") if rows.get(name))
        if told != self._told:
            self._write(printable("; left ".join(filter(None, (told, rows.get("left", ""))))))
        self._told = told


@contextmanager
def progress() -> Iterator[Progress]:
    """A bar with the time left on a terminal, plain lines elsewhere; on stderr, so that stdout holds results only.

    The first Ctrl-C lets the runs in flight finish, the second stops at once.
    """
    if not sys.stderr.isatty():
        with ended_by_sigterm(), patient(_tell):
            yield PlainProgress(_tell)
        return
    from supertickets.cli.bar import bar_progress

    with ended_by_sigterm(), bar_progress() as bar, patient(bar.say):
        yield bar


@contextmanager
def watching() -> Iterator[Callable[[Shown], None]]:
    """What draws each state of work under way: on a terminal anew in its place, elsewhere a line for what changed."""
    if not sys.stderr.isatty():
        yield ChangedLines(_tell)
        return
    from supertickets.cli.bar import redrawn

    with redrawn() as draw:
        yield draw


def run(app: Callable[..., Any], arguments: Sequence[str]) -> int:
    """Exit code of the command line: what a user can mend is one sentence on stderr, a bug keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name need not be text in the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=arguments, prog_name="supertickets", standalone_mode=False)
    except UserError as fault:
        return _complain(str(fault), BAD_INPUT)
    except typer.TyperException as fault:  # an unknown verb or option, a missing argument
        text = fault.format_message().replace("Value error, ", "").rstrip(".")
        return _complain(" ".join(text.split()), fault.exit_code)
    except Terminated:
        code = TERMINATED
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as fault:
        if fault.errno not in _ENVIRONMENT:
            raise
        where = f"{fault.filename}: " if fault.filename else ""
        return _complain(where + _ENVIRONMENT[fault.errno], BAD_INPUT)
    if code in (INTERRUPTED, TERMINATED):
        _tell("interrupted; run the same command again, it resumes")
    return code if isinstance(code, int) else 0


def silently(app: Callable[..., Any], arguments: Sequence[str]) -> int:
    """As `run`, without a word, for a process whose leader says all; a bug keeps its traceback."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return run(app, arguments)


def _complain(text: str, code: int) -> int:
    """One line for each fault."""
    label = typer.style("error:", fg="red", bold=True) if sys.stderr.isatty() else "error:"
    for line in printable(text).split("\n"):
        _tell(f"{label} {line}")
    return code


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
