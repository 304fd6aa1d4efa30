"""Console: the time left, a line for each run, and which faults become sentences."""

from __future__ import annotations

import errno
import inspect
import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supertickets.cli import console
from supertickets.cli.app import main
from supertickets.cli.bar import BarProgress
from supertickets.cli.console import PlainProgress
from supertickets.cli.pace import Pace, left_in_words
from supertickets.errors import UserError
from supertickets.experiments.progress import Progress
from supertickets.workflows import showing
from supertickets.workflows.showing import Shown


class Clock:
    """Time that passes when told to."""

    now = 100.0

    def __call__(self) -> float:
        """The time now."""
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_the_time_left_follows_the_cost_finished() -> None:
    """A fifth of the cost after 10 seconds leaves 40, which count down, and never below zero."""
    clock = Clock()
    pace = Pace(clock)
    pace.plan(total=10.0, runs=3)
    assert pace.left is None
    clock.now += 10
    pace.add(2.0)
    assert pace.left == pytest.approx(40)
    clock.now += 15
    assert pace.left == pytest.approx(25)
    pace.add(3.0)  # half of the cost after 25 seconds
    assert pace.left == pytest.approx(25)
    clock.now += 99
    assert pace.left == 0


def test_the_time_left_is_wall_time() -> None:
    """Two workers that finish two runs at a time halve the time left."""
    left = []
    for at_once in (1, 2):
        clock = Clock()
        pace = Pace(clock)
        pace.plan(total=8.0, runs=8)
        clock.now += 10
        for _ in range(at_once):
            pace.add(1.0)
        left.append(pace.left)
    assert left == pytest.approx([70, 30])


def test_the_first_of_several_workers_speaks_for_all() -> None:
    """Of 40 runs on 8 workers the first is done after 10 seconds: the others of its wave count as done, too."""
    clock, left = Clock(), list[float | None]()
    pace = Pace(clock)
    pace.plan(total=40.0, runs=40, at_once=8)
    clock.now += 10
    for _ in range(8):
        pace.add(1.0)
        left.append(pace.left)
    assert left == pytest.approx([40.0] * 8)
    clock.now += 10
    for _ in range(8):
        pace.add(1.0)
    assert pace.left == pytest.approx(30)
    pace.plan(total=3.0, runs=3, at_once=8)  # more workers than runs
    clock.now += 10
    pace.add(1.0)
    assert pace.left == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s left"), (88.6, "89 s left"), (95.0, "2 min left"), (240.0, "4 min left"), (7500.0, "2 h 05 min left")],
)
def test_time_in_words(seconds: float, words: str) -> None:
    """Seconds below a minute and a half, then minutes, then hours."""
    assert left_in_words(seconds) == words
    assert left_in_words(None) == ""


def test_a_race_that_stops_levels_has_less_to_do() -> None:
    """Other totals count at once, and what has finished stays finished."""
    clock, written = Clock(), list[str]()
    lines = PlainProgress(written.append, clock)
    lines.plan(32.0, 32)
    clock.now += 60
    lines.done("full-s0", 1.0, "full, seed 0: 80.0 (20 s)")
    lines.revise(11.0, 11)
    clock.now += 60
    lines.done("full-s1", 1.0, "full, seed 1: 80.0 (20 s)")
    assert written == [
        "[1/32] full, seed 0: 80.0 (20 s), 31 min left",
        "[2/11] full, seed 1: 80.0 (20 s), 9 min left",
    ]


def test_plain_lines() -> None:
    """Where nobody watches, each finished run is one line with its number, the last one without a time left."""
    clock, written = Clock(), list[str]()
    lines = PlainProgress(written.append, clock)
    lines.say("preparing the data")
    lines.plan(2.0, 2)
    clock.now += 250
    lines.done("winning-0.3-s1", 1.0, "winning 0.3, seed 1: 81.2 (18 s)")
    lines.done("full-s1", 1.0, "full, seed 1: 80.0 (20 s)")
    assert written == [
        "preparing the data",
        "[1/2] winning 0.3, seed 1: 81.2 (18 s), 4 min left",
        "[2/2] full, seed 1: 80.0 (20 s)",
    ]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, lines scroll by above a bar that counts runs and says how much time is left."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with console.progress() as drawn:
        assert isinstance(drawn, BarProgress)
        drawn.say("data in [brackets] is no mark-up")
        drawn.plan(2.0, 2)
        drawn.done("a", 1.0, "winning 0.3, seed 1: 81.2 (18 s)")
        drawn.done("b", 1.0, "full, seed 1: 80.0 (20 s)")
    shown = stream.getvalue()
    assert "data in [brackets] is no mark-up" in shown and "winning 0.3, seed 1: 81.2 (18 s)" in shown
    assert "2/2" in shown and "0 s left" in shown


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere lines are plain, and go to stderr: stdout is for results."""
    with console.progress() as drawn:
        assert isinstance(drawn, PlainProgress)
        drawn.say("hello")
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize("ours", [PlainProgress, BarProgress])
def test_both_are_what_a_sweep_expects(ours: type) -> None:
    """Bar and lines have the methods of the Progress protocol, with the same parameters."""
    wanted = {name: method for name, method in vars(Progress).items() if inspect.isfunction(method) and name[0] != "_"}
    assert set(wanted) == {"plan", "revise", "done", "say"}
    for name, method in wanted.items():
        assert list(inspect.signature(getattr(ours, name)).parameters) == list(inspect.signature(method).parameters)


def failing(fault: BaseException) -> Any:
    """A verb's function that only fails."""

    def function(*arguments: Any, **keywords: Any) -> Any:
        raise fault

    return function


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        (UserError("what", "where", "do"), 2, "error: where: what; do\n"),
        (UserError("one\ntwo"), 2, "error: one\nerror: two\n"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again, it resumes\n"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a/b"),
            2,
            "error: a/b: no space left on the disk; make some and run the same command again, it resumes\n",
        ),
        (
            OSError(errno.ENOSPC, ""),
            2,
            "error: no space left on the disk; make some and run the same command again, it resumes\n",
        ),
        (PermissionError(errno.EACCES, "", "/root/x"), 2, "error: /root/x: permission denied\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_user_can_mend_is_a_sentence(
    fault: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad input, a full or forbidden disk and an interrupt end in one line for each fault and their exit code."""
    monkeypatch.setattr(showing, "show", failing(fault))
    assert main(["show", "x"]) == code
    assert capsys.readouterr() == ("", text)


@pytest.mark.parametrize("bug", [ZeroDivisionError("1/0"), OSError(errno.EBADF, "broken"), KeyError("x")])
def test_a_bug_keeps_its_traceback(bug: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not the user's to mend is not dressed up as if it were."""
    monkeypatch.setattr(showing, "show", failing(bug))
    with pytest.raises(type(bug)):
        main(["show", "x"])


def test_a_real_terminal(tmp_path: Path) -> None:
    """On a pseudo-terminal the word `error:` is coloured, and the exit code is the same."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "supertickets", "show", str(tmp_path / "none")]
    with subprocess.Popen(command, stderr=follower, stdout=subprocess.DEVNULL) as process:
        assert process.wait(timeout=60) == 2
    os.close(follower)
    text = os.read(leader, 4096).decode()
    os.close(leader)
    assert "\x1b[" in text and "no such file or folder" in text and "Traceback" not in text


def test_watching_a_pipe_shows_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    """A stranger's escape sequences are written as escapes, as everywhere."""
    with console.watching() as draw:
        draw(Shown("sweep", Path("x"), (("done", "1 of 2 runs"), ("failed", "full-s0: \x1b]0;pwned\x07")), (), None))
    told = capsys.readouterr().err
    assert "\x1b" not in told and "\x07" not in told and "1 of 2 runs; failed full-s0: \\x1b]0;pwned\\x07" in told


def test_watching_a_terminal_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal each state takes the place of the last one, and brackets in it are no mark-up."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with console.watching() as draw:
        draw(Shown("sweep", Path("[bold]x"), (("done", "1 of 2 runs"),), (), None))
        draw(Shown("sweep", Path("[bold]x"), (("done", "2 of 2 runs"),), (), None))
    drawn = screen.getvalue()
    assert "[bold]x" in drawn and "1 of 2 runs" in drawn and "2 of 2 runs" in drawn and "\x1b[1A" in drawn
