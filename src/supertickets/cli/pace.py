"""How much time is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from supertickets.workflows.facts import duration


@dataclass
class Pace:
    """How much time is left, from the cost finished so far and the wall time it took.

    Runs that started together end at much the same time: until as many have finished as are worked on `at_once`,
    the others are taken to be as far as those.
    """

    clock: Callable[[], float] = time.monotonic
    total: float = 0.0
    runs: int = 0
    at_once: int = 1
    cost: float = 0.0
    finished: int = 0
    started: float = field(init=False)
    latest: float = field(init=False)

    def __post_init__(self) -> None:
        self.plan(self.total, self.runs, self.at_once)

    def plan(self, total: float, runs: int, at_once: int = 1) -> None:
        """Start anew."""
        self.total, self.runs, self.at_once, self.cost, self.finished = total, runs, at_once, 0.0, 0
        self.started = self.latest = self.clock()

    def revise(self, total: float, runs: int) -> None:
        """Other totals, of what has finished and what is left."""
        self.total, self.runs = total, runs

    def add(self, cost: float) -> None:
        """One more run of this cost has finished."""
        self.cost, self.finished, self.latest = self.cost + cost, self.finished + 1, self.clock()

    @property
    def left(self) -> float | None:
        """Seconds left; None while nothing has finished."""
        if self.cost <= 0:
            return None
        begun_together = max(self.finished, min(self.at_once, self.runs))
        whole = (self.latest - self.started) * (self.total * self.finished / (self.cost * begun_together) - 1)
        return max(0.0, whole - (self.clock() - self.latest))


def left_in_words(seconds: float | None) -> str:
    """`4 min left`; empty when unknown."""
    return "" if seconds is None else f"{duration(seconds)} left"
