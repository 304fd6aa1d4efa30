"""What long work says about itself while it runs; the command line draws it. No torch."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Receives a sweep's progress; costs are in any unit, as long as it is one."""

    def plan(self, total_cost: float, total_runs: int, at_once: int = 1) -> None:
        """How much there is to do, and how many runs are worked on at once."""

    def revise(self, total_cost: float, total_runs: int) -> None:
        """How much there is to do now, what has finished included: a race has decided what comes next."""

    def done(self, name: str, cost: float, line: str) -> None:
        """One run has finished."""

    def say(self, line: str) -> None:
        """Something worth a line has happened."""


class Silent:
    """Progress that nobody watches."""

    def plan(self, total_cost: float, total_runs: int, at_once: int = 1) -> None:
        """Say nothing."""

    def revise(self, total_cost: float, total_runs: int) -> None:
        """Say nothing."""

    def done(self, name: str, cost: float, line: str) -> None:
        """Say nothing."""

    def say(self, line: str) -> None:
        """Say nothing."""
