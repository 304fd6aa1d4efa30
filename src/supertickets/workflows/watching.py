"""Work under way: which runs of a folder are in flight, how long the rest takes, and looking again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from supertickets.experiments.under_way import is_worked_on, runs_in_flight
from supertickets.workflows.facts import duration, listed

T = TypeVar("T")
Rows = tuple[tuple[str, str], ...]

EVERY = 2.0  # seconds between two looks
PAUSE = 4.0  # or so many times as long as a look takes, where that is more


def now_and_left(
    folder: Path, titles: Mapping[str, str], rate: float, costs: Mapping[str, float], lacks: bool = False
) -> Rows:
    """Two rows: the runs in flight (`titles` by their names), and the time left.

    Where nobody works on the folder one row says so, if there is anything left to run, or it `lacks` files.

    `costs` are those of all runs still to finish, in any unit, and `rate` the seconds that a finished run
    took for one unit; 0 while none has finished. The time counts as many runs at once as there are now.
    """
    if not is_worked_on(folder):
        return (("now", "nobody works on it"),) if lacks or any(costs.values()) else ()
    running = runs_in_flight(folder)
    if not running:
        return (("now", "no run is in flight: it prepares, delivers or reports"),)
    now = ("now", listed([titles.get(name, name) for name in running]))
    if not rate:
        return (now, ("left", "unknown until a run has finished"))
    spent = sum(min(seconds, rate * costs.get(name, 0.0)) for name, seconds in running.items())
    seconds = (rate * sum(costs.values()) - spent) / len(running)
    return (now, ("left", f"about {duration(seconds)}, by the runs that have finished"))


def watched(look: Callable[[], T], path: Path, tell: Callable[[T], object]) -> T:
    """Look, tell, and look again while a process works on the folder at `path`; the last state. Ctrl-C ends it."""
    folder = path if path.is_dir() else path.parent
    begun = time.monotonic()
    state = look()
    try:
        while is_worked_on(folder):
            tell(state)
            time.sleep(max(EVERY, PAUSE * (time.monotonic() - begun)))
            begun = time.monotonic()
            state = look()
        return look()
    except KeyboardInterrupt:
        return state
