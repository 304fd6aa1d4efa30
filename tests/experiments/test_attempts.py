"""Tests of work that is tried again."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from supertickets.errors import UserError
from supertickets.experiments.attempts import completed, insist, insisting
from supertickets.experiments.executors import InProcess, Processes
from supertickets.experiments.failures import ATTEMPTS, DistantError
from supertickets.experiments.interrupts import STOPPING, patient


class Failing(Executor):
    """An executor whose first calls fail."""

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = list(faults)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Fail with the next fault, or be done."""
        future: Future[Any] = Future()
        fault = self.faults.pop(0)
        future.set_exception(fault) if fault else future.set_result(None)
        return future


def test_the_last_step_is_tried_again_too() -> None:
    """Delivering survives two lost workers, not three, and no bad input."""
    lost = DistantError("its worker or its node was lost", "printed")
    insist(Failing(lost, lost, None), print)
    with pytest.raises(DistantError, match="lost"):
        insist(Failing(lost, lost, lost), print)
    with pytest.raises(UserError, match="bad"):
        insist(Failing(UserError("bad"), None), print)


@pytest.mark.parametrize("last", [False, True])
def test_a_worker_that_was_killed_while_it_had_nothing_to_do(last: bool, tmp_path: Path) -> None:
    """Between two batches, or before the last step: one sentence, as for one that was killed at work."""
    with pytest.raises(UserError, match="a worker process was killed"), Processes(2) as pool:
        assert list(completed(pool, touch, [tmp_path / "a"], tmp_path, insisting())) == [tmp_path / "a"]
        (worker, *_) = multiprocessing.active_children()
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        while not pool._broken:  # its own thread notices it
            time.sleep(0.01)
        if last:
            insist(pool, touch, tmp_path / "b", tmp_path)
        else:
            list(completed(pool, touch, [tmp_path / "b"], tmp_path, insisting()))


def touch(path: Path, _: Path) -> None:
    """Work of a moment."""
    path.touch()


@pytest.fixture
def pythons_own_ctrl_c() -> Iterator[None]:
    """As in a terminal: a job in the background ignores Ctrl-C, and hands that down."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("pythons_own_ctrl_c")
def test_the_last_step_is_finished_before_ctrl_c_counts() -> None:
    """The first Ctrl-C lets the delivery end, and stops what comes after it; the second stops the delivery."""
    log: list[str] = []

    def deliver(interrupts: int) -> None:
        for _ in range(interrupts):
            signal.raise_signal(signal.SIGINT)
        log.append(f"delivered after {interrupts}")

    for interrupts in (0, 1):
        with contextlib.ExitStack() as stack:
            stack.enter_context(patient(log.append))
            if interrupts:
                stack.enter_context(pytest.raises(KeyboardInterrupt))
            insist(InProcess(), deliver, interrupts)
    assert log == ["delivered after 0", STOPPING, "delivered after 1"]
    with pytest.raises(KeyboardInterrupt), patient(log.append):
        insist(InProcess(), deliver, 2)
    assert log[3:] == [STOPPING]


def test_in_this_process_items_are_told_one_by_one(tmp_path: Path) -> None:
    """Each item is yielded before the next is begun; the first failure ends it and leaves the rest undone."""
    log: list[str] = []

    def work(item: int, folder: Path) -> None:
        if item == 3:
            raise UserError("three")
        log.append(f"did {item}")

    with pytest.raises(UserError, match="three"):
        for item in completed(InProcess(), work, [1, 2, 3, 4], tmp_path, insisting()):
            log.append(f"told {item}")
    assert log == ["did 1", "told 1", "did 2", "told 2"]


def test_items_are_tried_three_times(tmp_path: Path) -> None:
    """An item that fails twice is yielded once; one that fails every time raises its last error."""
    tries = Counter[str]()

    def work(item: str, folder: Path) -> None:
        tries[item] += 1
        if tries[item] < {"good": 1, "slow": ATTEMPTS, "lost": 99}[item]:
            raise OSError(f"{item} {tries[item]}")

    assert list(completed(InProcess(), work, ["slow", "good"], tmp_path, insisting())) == ["slow", "good"]
    assert tries == {"slow": ATTEMPTS, "good": 1}
    with pytest.raises(OSError, match=f"lost {ATTEMPTS}"):
        list(completed(InProcess(), work, ["lost"], tmp_path, insisting()))
    left_out = list(completed(InProcess(), work, ["lost", "good"], tmp_path, lambda item, fault: False))
    assert left_out == ["good"]
