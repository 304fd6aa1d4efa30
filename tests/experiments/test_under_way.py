"""Who works on a folder, and on which runs; and what Ctrl-C means meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supertickets import locking, storage
from supertickets.experiments.interrupts import STOPPING, Terminated, ended_by_sigterm, in_flight, patient
from supertickets.experiments.under_way import Marks, is_worked_on, runs_in_flight


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C raises, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_marks_are_runs_in_flight(tmp_path: Path) -> None:
    """They count while the folder is held, the longest first, and none is left, whatever ends the work."""
    with pytest.raises(KeyboardInterrupt), locking.sweep_lock(tmp_path), Marks(tmp_path) as marks:
        for name in ("full-s0", "winning-0.5-s0", "winning-0.5-s1"):
            marks.begin(name)
        marks.end("winning-0.5-s1")
        os.utime(tmp_path / ".winning-0.5-s0.running.partial", (1, 1))
        found = runs_in_flight(tmp_path)
        assert list(found) == ["winning-0.5-s0", "full-s0"] and found["winning-0.5-s0"] > 1e6 and found["full-s0"] < 60
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == [locking.LOCK_FILE]


def test_a_number_that_another_process_has_by_now(tmp_path: Path) -> None:
    """A killed sweep's number may be anybody's: who holds the lock counts, not who lives."""
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": "2026-01-01"}
    storage.write_json(tmp_path / locking.HOLDER_FILE, holder)
    (tmp_path / locking.LOCK_FILE).touch()
    assert not is_worked_on(tmp_path)
    with locking.sweep_lock(tmp_path):
        assert is_worked_on(tmp_path)


def test_a_killed_process_works_on_nothing(tmp_path: Path) -> None:
    """What it left does not count, whatever its host was called, and its marks go with the other leftovers."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    holder = {"pid": gone.pid, "host": socket.gethostname(), "since": "2026-01-01"}
    storage.write_json(tmp_path / locking.HOLDER_FILE, holder)
    (tmp_path / ".full-s0.running.partial").touch()
    assert not is_worked_on(tmp_path) and runs_in_flight(tmp_path) == {}
    storage.write_json(tmp_path / locking.HOLDER_FILE, holder | {"host": "elsewhere"})
    (tmp_path / locking.LOCK_FILE).touch()
    assert not is_worked_on(tmp_path) and runs_in_flight(tmp_path) == {}
    with locking.sweep_lock(tmp_path):
        storage.write_json(tmp_path / locking.HOLDER_FILE, holder | {"host": "elsewhere"})  # on a shared mount
        assert is_worked_on(tmp_path) and list(runs_in_flight(tmp_path)) == ["full-s0"]
    storage.remove_leftovers(tmp_path)
    assert runs_in_flight(tmp_path) == {}


def test_patient_once() -> None:
    """In flight the first Ctrl-C only asks, and is raised when the block has ended; the second is raised at once."""
    told: list[str] = []
    done = []
    with pytest.raises(KeyboardInterrupt), patient(told.append), in_flight() as stopping:
        assert not stopping()
        signal.raise_signal(signal.SIGINT)
        assert stopping() and told == [STOPPING]
        done.append("finished")
    assert done == ["finished"]
    with pytest.raises(KeyboardInterrupt), patient(told.append), in_flight():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        done.append("never")
    assert done == ["finished"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigterm_ends_at_once_and_is_handed_back() -> None:
    """It is raised like a second Ctrl-C; outside the block, and where several train together, it is the system's."""
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with pytest.raises(Terminated), ended_by_sigterm(), patient(lambda line: pytest.fail(line)), in_flight():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with pytest.MonkeyPatch.context() as patch, ended_by_sigterm():
        patch.setenv("WORLD_SIZE", "2")
        before = signal.getsignal(signal.SIGTERM)
        with ended_by_sigterm():
            assert signal.getsignal(signal.SIGTERM) is before
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        with ended_by_sigterm():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_impatient_where_nothing_is_in_flight() -> None:
    """Between runs, and for whoever is not patient, Ctrl-C is what it always was."""
    with pytest.raises(KeyboardInterrupt), patient(lambda line: pytest.fail(line)):
        with in_flight():
            pass
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), in_flight() as stopping:
        assert not stopping()
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_ctrl_c_that_python_loses_is_obeyed_at_the_next_runs() -> None:
    """What is raised inside a finaliser is printed and forgotten; no run is then started."""

    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), patient(lambda line: pytest.fail(line)):
        Finalised()
        with in_flight():
            pytest.fail("a run was started")


def test_a_block_in_flight_within_another() -> None:
    """The outer one stays in flight when the inner one has ended."""
    told, done = list[str](), list[str]()
    with pytest.raises(KeyboardInterrupt), patient(told.append), in_flight():
        with in_flight():
            pass
        signal.raise_signal(signal.SIGINT)
        done.append("finished")
    assert done == ["finished"] and told == [STOPPING]


def test_a_programs_own_handler_stays() -> None:
    """A program that handles Ctrl-C itself is left alone."""
    seen = []
    signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    with patient(lambda line: pytest.fail(line)), in_flight():
        signal.raise_signal(signal.SIGINT)
    assert seen == [1]
