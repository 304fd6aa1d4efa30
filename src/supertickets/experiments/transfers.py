"""Run what a transfer still misses; a finished run is never computed again."""

from __future__ import annotations

from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from supertickets.errors import UserError
from supertickets.experiments import lottery
from supertickets.experiments.attempts import completed, insisting
from supertickets.experiments.failures import Setbacks
from supertickets.experiments.landing import Landing
from supertickets.experiments.progress import Progress
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.runs import TransferRun
from supertickets.experiments.sources import is_kept, keep_encoder
from supertickets.experiments.transfer_folder import TransferFolder


def transfer_missing(place: TransferFolder, pool: Executor, workers: int, progress: Progress) -> list[Record]:
    """Execute every planned run that has no sound record, and return the records of the whole plan.

    First the shared encoders that these runs start from, where the cache lacks them, then whole encoders,
    then the tickets that are scored on them. A run that fails is tried again and at last left out, with the
    tickets that need it.
    """
    runs = place.runs()
    missing = [run for run in runs if not _is_sound(place, run, progress)]
    needed = sorted({run.start for run in missing if run.start})
    starts = [start for start in needed if not is_kept(start, place, progress.say)]
    progress.plan(float(len(starts) + len(missing)), len(starts) + len(missing), workers)
    if len(missing) < len(runs):
        progress.say(f"{len(runs) - len(missing)} of {len(runs)} runs are there already")

    for start in completed(pool, keep_encoder, starts, place.folder, insisting(), at_once=workers):
        progress.done(start, 1.0, f"shared encoder {start} trained once more, to keep it")
    setbacks = Setbacks(place.folder, progress)
    again = partial(_again, setbacks)
    for tickets in (False, True):
        ready = [run for run in missing if (run.whole is not None) == tickets and _is_ready(place, run, setbacks)]
        for run in completed(pool, _transfer_and_save, ready, place.folder, again, at_once=workers):
            setbacks.settled(run.name)
            progress.done(run.name, 1.0, _line(place, run))
    return [Record.load(place.run_folder(run)) for run in runs if _is_done(place, run)]


def _again(setbacks: Setbacks, run: TransferRun, fault: Exception) -> bool:
    return setbacks.again(run.name, fault, run.name)


def _is_ready(place: TransferFolder, run: TransferRun, setbacks: Setbacks) -> bool:
    """Whether the whole encoder that a ticket is drawn from has its record; one that has not is told."""
    if run.whole is None or _is_done(place, run.whole):
        return True
    setbacks.skip(f"{run.name}: skipped, as {run.whole.name} has failed")
    return False


def _is_done(place: TransferFolder, run: TransferRun) -> bool:
    return (place.run_folder(run) / RECORD_FILE).is_file()


def _transfer_and_save(run: TransferRun, folder: Path) -> None:
    landing = Landing.of(run, folder)
    result = lottery.transfer(run, landing)
    if result.ticket is not None:
        result.ticket.save(landing.ticket_folder(run))
    result.record.save(landing.run_folder(run))


def _is_sound(place: TransferFolder, run: TransferRun, progress: Progress) -> bool:
    if not _is_done(place, run):
        return False
    try:
        Record.load(place.run_folder(run), run.name)
    except UserError as fault:
        progress.say(f"computing again: {fault.where}: {fault.what}")
        (place.run_folder(run) / RECORD_FILE).unlink()
        return False
    return True


def _line(place: TransferFolder, run: TransferRun) -> str:
    record = Record.load(place.run_folder(run))
    level = f" {run.sparsity:g}" if run.whole is not None else ""
    seconds = sum(record.cost.seconds.values())
    examples = place.shares[run.share]
    return f"{run.arm}{level}, {examples} examples, seed {run.seed}: {100 * record.report.main:.1f} ({seconds:.0f} s)"
