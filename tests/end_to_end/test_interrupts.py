"""Ctrl-C on the real command: the first lets the runs in flight finish, the second, or SIGTERM, stops at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from supertickets.experiments.interrupts import STOPPING
from supertickets.experiments.records import load_all
from tiny_sweeps import SHORT, flags_of, settings_of_flags

# A test run that was started in the background ignores Ctrl-C, and so would the command.
COMMAND = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); " + (
    "from supertickets.cli.app import main; sys.exit(main())"
)
LONG = [setting.replace("epochs=1", "epochs=40") for setting in SHORT]


def start(out: Path, films: Path, encoder: Path, *options: str) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a terminal's is: Ctrl-C goes to all of it."""
    words = ["find", *flags_of(films, encoder), "--out", str(out), *settings_of_flags(LONG), *options]
    command = [sys.executable, "-c", COMMAND, *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def in_flight(out: Path) -> int:
    """How many runs are marked."""
    return len(list(out.glob(".*.running.partial")))


def wait_for(count: int, out: Path, sweep: subprocess.Popen[str]) -> None:
    """Until so many runs are in flight, and a little longer: a worker first has to start."""
    deadline = time.monotonic() + 120
    while in_flight(out) < count and time.monotonic() < deadline and sweep.poll() is None:
        time.sleep(0.02)
    assert in_flight(out) == count
    time.sleep(0.5)


def group(process: int) -> list[int]:
    """The processes of a group that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, own = stat.read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        found += [int(stat.parent.name)] if int(own) == process and state != "Z" else []
    return found


def assert_clean(sweep: subprocess.Popen[str], err: str, out: Path, code: int = 130) -> None:
    """The exit code, the sentence last, no traceback, no warning, no process and no mark left."""
    assert sweep.returncode == code, err
    assert err.splitlines()[-1] == "interrupted; run the same command again, it resumes"
    assert "Traceback" not in err and "leaked" not in err and "Warning" not in err, err
    deadline = time.monotonic() + 10
    while group(sweep.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group(sweep.pid) and not in_flight(out)


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--workers", "1"), ("--workers", "2"), ("--workers", "ray")], ids=" ".join)
def test_the_first_waits_for_what_is_in_flight(
    options: tuple[str, ...], films: Path, tiny_bert_folder: Path, tmp_path: Path
) -> None:
    """It says so; every run that was in flight has its record in the end, and none was started after it."""
    if "ray" in options:
        pytest.importorskip("ray", reason="needs supertickets[ray]")
    at_once = 1 if options[1] == "1" else 2
    sweep = start(tmp_path / "out", films, tiny_bert_folder, *options)
    wait_for(at_once, tmp_path / "out", sweep)
    os.killpg(sweep.pid, signal.SIGINT)
    _, err = sweep.communicate(timeout=120)
    assert_clean(sweep, err, tmp_path / "out")
    assert err.count(STOPPING) == 1
    assert len(load_all(tmp_path / "out")) == at_once


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_second_stops_at_once(workers: str, films: Path, tiny_bert_folder: Path, tmp_path: Path) -> None:
    """Within seconds, although the runs in flight have minutes left: they have no records."""
    long = ("--workers", workers, "--set", "training.epochs=1000", "--set", "training.batch_size=1")
    sweep = start(tmp_path / "out", films, tiny_bert_folder, *long)
    wait_for(int(workers), tmp_path / "out", sweep)
    os.killpg(sweep.pid, signal.SIGINT)
    assert sweep.stderr is not None
    while STOPPING not in (line := sweep.stderr.readline()):
        assert line, "it ended without a word"
    begun = time.monotonic()
    os.killpg(sweep.pid, signal.SIGINT)
    _, err = sweep.communicate(timeout=60)
    assert time.monotonic() - begun < 20
    assert_clean(sweep, err, tmp_path / "out")
    assert not load_all(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("everybody", [True, False], ids=["the group", "the command"])
def test_sigterm_stops_at_once(
    everybody: bool, workers: str, films: Path, tiny_bert_folder: Path, tmp_path: Path
) -> None:
    """As `timeout`, Slurm and Kubernetes send it: to the command or to all of it; no worker outlives it."""
    long = ("--workers", workers, "--set", "training.epochs=1000", "--set", "training.batch_size=1")
    sweep = start(tmp_path / "out", films, tiny_bert_folder, *long)
    wait_for(int(workers), tmp_path / "out", sweep)
    begun = time.monotonic()
    os.killpg(sweep.pid, signal.SIGTERM) if everybody else sweep.terminate()
    _, err = sweep.communicate(timeout=60)
    assert time.monotonic() - begun < 20
    assert_clean(sweep, err, tmp_path / "out", 143)
    assert not load_all(tmp_path / "out")
