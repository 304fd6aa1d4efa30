"""How much time is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from supertickets.workflows.facts import duration


@dataclass
class Pace:
    """How much time is left, from the cost finished so far and the wall time it took, however many work at it."""

    clock: Callable[[], float] = time.monotonic
    total: float = 0.0
    runs: int = 0
    cost: float = 0.0
    finished: int = 0
    started: float = field(init=False)
    latest: float = field(init=False)

    def __post_init__(self) -> None:
        self.plan(self.total, self.runs)

    def plan(self, total: float, runs: int) -> None:
        """Start anew."""
        self.total, self.runs, self.cost, self.finished = total, runs, 0.0, 0
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
        whole = (self.latest - self.started) * (self.total / self.cost - 1)
        return max(0.0, whole - (self.clock() - self.latest))


def left_in_words(seconds: float | None) -> str:
    """`4 min left`; empty when unknown."""
    return "" if seconds is None else f"{duration(seconds)} left"
