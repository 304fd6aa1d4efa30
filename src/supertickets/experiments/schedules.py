"""Which runs a sweep wants, given the records so far: the grid's, or a race's. No torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from supertickets.config import Config
from supertickets.data.tasks import Task
from supertickets.experiments.plans import every_run, plan
from supertickets.experiments.racing import Race, Schedule, left_over
from supertickets.experiments.records import Record
from supertickets.experiments.runs import Run


def schedule(
    config: Config,
    task: Task | None,
    records: Iterable[Record],
    failed: Collection[str] = (),
    kept: Collection[str] = (),
) -> Schedule:
    """What the config's strategy wants, given these records (of any runs; those it does not want do not matter).

    `failed` are the names of runs that failed every time: a race does not wait for them. Those `kept` by the folder
    count whether they are wanted or not: an earlier, smaller sweep made them. They decide nothing of what a race
    runs, but a level that has all its runs competes. A grid does without the task.
    """
    known = {record.name: record for record in records}
    if config.strategy == "grid":
        runs = plan(config)
        runs += left_over(config, {run.name for run in runs}, kept & known.keys())
        return Schedule(tuple(runs), len(runs))
    if task is None:
        raise ValueError("a race needs the task that its records are scored by")
    race = Race(config, task, known, frozenset(failed), frozenset(kept & known.keys()))
    race.follow()
    return race.schedule()


def follow(
    config: Config,
    task: Task | None,
    find: Callable[[Run], Record | None],
    failed: Collection[str] = (),
    is_kept: Callable[[Run], bool] = lambda run: False,
) -> tuple[Schedule, dict[str, Record], list[Run]]:
    """The schedule as the runs found so far decide it, their records by name, and the runs that it still lacks.

    Those that `failed` every time are among the latter. `find` gives a run's record, or None where there is none; it
    is asked once for every run. `is_kept` says whether a run's record lies in the folder, wanted or not.
    """
    kept = [run for run in every_run(config) if is_kept(run)]
    known, asked = {run.name: record for run in kept if (record := find(run)) is not None}, {run.name for run in kept}
    names = frozenset(known)
    while True:
        wanted = schedule(config, task, known.values(), failed, names)
        new = [run for run in wanted.runs if run.name not in asked]
        asked |= {run.name for run in new}
        found = {run.name: record for run in new if (record := find(run)) is not None}
        known |= found
        if not found:
            here = {run.name: known[run.name] for run in wanted.runs if run.name in known}
            return wanted, here, [run for run in wanted.runs if run.name not in known]
