"""The progress bar of a terminal, drawn by Rich; imported only where one is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from supertickets.cli.pace import Pace, left_in_words
from supertickets.workflows.facts import printable


class _LeftColumn(ProgressColumn):
    """The time left, counting down between two finished runs."""

    max_refresh = 0.5

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:
        return Text(left_in_words(self._pace.left))


class BarProgress:
    """Finished runs scroll by above one bar."""

    def __init__(self, bar: Progress, pace: Pace) -> None:
        self._bar, self._pace = bar, pace
        self._task = bar.add_task("starting", total=None)

    def plan(self, total_cost: float, total_runs: int, at_once: int = 1) -> None:
        """How much there is to do."""
        self._pace.plan(total_cost, total_runs, at_once)
        self._bar.update(self._task, total=total_runs, completed=0, description="working")

    def revise(self, total_cost: float, total_runs: int) -> None:
        """How much there is to do now."""
        self._pace.revise(total_cost, total_runs)
        self._bar.update(self._task, total=total_runs)

    def done(self, name: str, cost: float, line: str) -> None:
        """One run has finished."""
        self._pace.add(cost)
        self._print(line)
        self._bar.update(self._task, completed=self._pace.finished)

    def say(self, line: str) -> None:
        """Something worth a line has happened."""
        self._print(line)

    def _print(self, line: str) -> None:
        # Data and file names may hold square brackets, which are no mark-up here.
        self._bar.console.print(printable(line), markup=False, highlight=False)


@contextmanager
def bar_progress() -> Iterator[BarProgress]:
    """A bar that is drawn while the block runs."""
    pace = Pace()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _LeftColumn(pace))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield BarProgress(bar, pace)


@contextmanager
def redrawn() -> Iterator[Callable[[object], None]]:
    """What draws a text in the place of the last one; nothing stays of it when the block ends."""
    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:
        yield lambda shown: live.update(Text(str(shown)), refresh=True)
