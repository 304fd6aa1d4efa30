"""Run what a sharing experiment still misses; a finished run is never computed again."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future, as_completed
from pathlib import Path

from supertickets.experiments import lottery
from supertickets.experiments.gathering import Gathering
from supertickets.experiments.layout import RUNS
from supertickets.experiments.progress import Progress
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.runs import SharingRun
from supertickets.experiments.sweeps import result_of
from supertickets.errors import UserError


def share_missing(tasks: Gathering, pool: Executor, progress: Progress) -> list[Record]:
    """Execute every run of the experiment that is not finished, and return the records of all of them.

    A run has one record a task; it is finished when all are there. A damaged record does not count.
    """
    runs = tasks.runs()
    missing = [run for run in runs if not _is_sound(tasks, run, progress)]
    progress.plan(float(len(missing)), len(missing))
    if len(missing) < len(runs):
        progress.say(f"{len(runs) - len(missing)} of {len(runs)} multi-task runs are there already")
    futures: dict[Future[None], SharingRun] = {}
    try:
        futures = {pool.submit(_share_and_save, run, tasks.folder): run for run in missing}
        for future in as_completed(futures):
            result_of(future)
            run = futures[future]
            progress.done(run.name, 1.0, _line(run, records_of(tasks, run)))
    finally:
        for future in futures:
            future.cancel()
    return [record for run in runs for record in records_of(tasks, run)]


def records_of(tasks: Gathering, run: SharingRun) -> list[Record]:
    """The run's record for each task; raises UserError when one is missing or damaged."""
    return [Record.load(record_folder(tasks.folder, run, task)) for task in tasks.sweeps]


def record_folder(folder: Path, run: SharingRun, task: str) -> Path:
    """Where a run's record for one task lies."""
    return folder / RUNS / run.name / task


def _share_and_save(run: SharingRun, folder: Path) -> None:
    tasks = Gathering.open(folder)
    _, results = lottery.share(run, tasks)
    for task, result in results.items():
        result.record.save(record_folder(folder, run, task))


def _is_sound(tasks: Gathering, run: SharingRun, progress: Progress) -> bool:
    paths = [record_folder(tasks.folder, run, task) / RECORD_FILE for task in tasks.sweeps]
    if not all(path.is_file() for path in paths):
        return False
    try:
        records_of(tasks, run)
    except UserError as fault:
        progress.say(f"computing again: {fault.where}: {fault.what}")
        return False
    return True


def _line(run: SharingRun, records: Sequence[Record]) -> str:
    mean = sum(record.report.main for record in records) / len(records)
    seconds = sum(sum(record.cost.seconds.values()) for record in records)
    return f"{run.arm}, seed {run.seed}: mean over {len(records)} tasks {100 * mean:.1f} ({seconds:.0f} s)"
