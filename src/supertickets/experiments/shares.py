"""Run what a sharing experiment still misses; a finished run is never computed again."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from supertickets.encoders.shared import described, is_whole, save_shared
from supertickets.errors import UserError
from supertickets.experiments import lottery
from supertickets.experiments.attempts import completed
from supertickets.experiments.failures import Setbacks
from supertickets.experiments.gathering import Gathering
from supertickets.experiments.layout import MODEL, RUNS
from supertickets.experiments.progress import Progress
from supertickets.experiments.reading import Reading
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.runs import SharingRun


def share_missing(tasks: Gathering, pool: Executor, workers: int, progress: Progress) -> list[Record]:
    """Execute every run of the experiment that is not finished, and return the records of all of them.

    A run has one record a task; it is finished when all are there. A damaged record does not count. A
    run that fails is tried again and at last recorded as failed, as in `sweeps.run_missing`.
    """
    runs = tasks.runs()
    missing = [run for run in runs if not _is_sound(tasks, run, progress)]
    progress.plan(float(len(missing)), len(missing), workers)
    if len(missing) < len(runs):
        progress.say(f"{len(runs) - len(missing)} of {len(runs)} multi-task runs are there already")
    setbacks = Setbacks(tasks.folder, progress)
    again = partial(_again, setbacks)
    for run in completed(pool, _share_and_save, missing, tasks.folder, again, at_once=workers):
        setbacks.settled(run.name)
        progress.done(run.name, 1.0, _line(run, records_of(tasks, run)))
    return [record for run in runs if _is_done(tasks, run) for record in records_of(tasks, run)]


def _again(setbacks: Setbacks, run: SharingRun, fault: Exception) -> bool:
    return setbacks.again(run.name, fault, f"{run.arm}, seed {run.seed}")


def chosen_run(tasks: Gathering, records: Sequence[Record]) -> SharingRun:
    """The ticket-sharing run whose model is delivered: the seed that gains most on plain multi-task learning.

    By the mean over tasks of the selection score; without a multi-task arm, by the mean itself.
    """
    means = {kind: _selection_means(records, kind) for kind in ("sharing", "multitask")}
    gains = {seed: mean - means["multitask"].get(seed, 0.0) for seed, mean in means["sharing"].items()}
    if not gains:
        raise UserError("no ticket-sharing run is finished yet", str(tasks.folder), "add sharing to the arms")
    best = max(gains, key=lambda seed: (gains[seed], -seed))
    return next(run for run in tasks.runs() if (run.arm, run.seed) == ("sharing", best))


def deliver_shared(folder: Path, run: SharingRun) -> None:
    """Train the chosen run once more (weights are not kept during an experiment) and save its model for all tasks."""
    tasks = Gathering.open(folder)
    shared, results = lottery.share(run.unlogged, tasks)
    about = {
        task: {
            "reading": Reading.of(sweep.config, sweep.task).to_dict(),
            "run": run.name,
            "seed": run.seed,
            "report": results[task].record.report.main,
        }
        for task, sweep in tasks.sweeps.items()
    }
    tokenizer = next(iter(tasks.sweeps.values())).tokenizer
    save_shared(folder / MODEL, shared.models_by_task(), shared.masks, tokenizer, about)


def is_shared_delivered(folder: Path, run: SharingRun) -> bool:
    """Whether the folder's model is this run's already, and as it was written."""
    if not is_whole(folder / MODEL):
        return False
    return all(task["run"] == run.name for task in described(folder / MODEL)["tasks"].values())


def _selection_means(records: Sequence[Record], kind: str) -> dict[int, float]:
    by_seed: dict[int, list[float]] = {}
    for record in records:
        if record.kind == kind:
            by_seed.setdefault(record.seed, []).append(record.selection.main)
    return {seed: sum(scores) / len(scores) for seed, scores in by_seed.items()}


def records_of(tasks: Gathering, run: SharingRun) -> list[Record]:
    """The run's record for each task; raises UserError when one is missing or damaged."""
    return [Record.load(record_folder(tasks.folder, run, task), f"{run.name}/{task}") for task in tasks.sweeps]


def record_folder(folder: Path, run: SharingRun, task: str) -> Path:
    """Where a run's record for one task lies."""
    return folder / RUNS / run.name / task


def _share_and_save(run: SharingRun, folder: Path) -> None:
    tasks = Gathering.open(folder)
    _, results = lottery.share(run, tasks)
    for task, result in results.items():
        result.record.save(record_folder(folder, run, task))


def _is_sound(tasks: Gathering, run: SharingRun, progress: Progress) -> bool:
    if not _is_done(tasks, run):
        return False
    try:
        records_of(tasks, run)
    except UserError as fault:
        progress.say(f"computing again: {fault.where}: {fault.what}")
        for task in tasks.sweeps:
            (record_folder(tasks.folder, run, task) / RECORD_FILE).unlink()
        return False
    return True


def _is_done(tasks: Gathering, run: SharingRun) -> bool:
    return all((record_folder(tasks.folder, run, task) / RECORD_FILE).is_file() for task in tasks.sweeps)


def _line(run: SharingRun, records: Sequence[Record]) -> str:
    mean = sum(record.report.main for record in records) / len(records)
    seconds = sum(sum(record.cost.seconds.values()) for record in records)
    return f"{run.arm}, seed {run.seed}: mean over {len(records)} tasks {100 * mean:.1f} ({seconds:.0f} s)"
