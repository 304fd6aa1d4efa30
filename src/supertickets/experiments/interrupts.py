"""Ctrl-C while runs are in flight: the first lets them finish and be written, the second, or SIGTERM, stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = "stopping: the runs in flight are finished and kept, no other is started; Ctrl-C again stops at once"


class Patience:
    """A handler of Ctrl-C: patient once while runs are in flight, and a KeyboardInterrupt at any other time."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self.in_flight, self.asked = say, False, False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Be patient, or raise KeyboardInterrupt."""
        if self.asked or not self.in_flight:
            self.asked = True  # Python loses what is raised inside a finaliser: the next block in flight asks again
            raise KeyboardInterrupt
        self.asked = True
        self._say(STOPPING)


@contextmanager
def patient(say: Callable[[str], object]) -> Iterator[None]:
    """Be patient while the block runs; a program that handles Ctrl-C itself, or ignores it, is left alone."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, Patience(say))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Terminated(SystemExit):
    """SIGTERM, by which `timeout`, Slurm and Kubernetes end a process: there is no time to finish a run."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise Terminated while the block runs, so that worker processes and marks go with it.

    A program that handles it itself is left alone, and so is one of several processes that train together, which
    may wait for the others where Python cannot raise.
    """
    ours = threading.current_thread() is threading.main_thread() and "WORLD_SIZE" not in os.environ
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(signum: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def in_flight() -> Iterator[Callable[[], bool]]:
    """Runs are in flight while the block runs; yields whether to start no other. A block within a block is part of it.

    Raises KeyboardInterrupt at the end of a block in which that was asked for, and at its start where it was asked
    for before. Whoever is not `patient` is never asked.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not isinstance(handler, Patience):
        yield lambda: False
        return
    if handler.asked:
        raise KeyboardInterrupt
    outer, handler.in_flight = handler.in_flight, True
    try:
        yield lambda: handler.asked
    finally:
        handler.in_flight = outer
    if handler.asked:
        raise KeyboardInterrupt
