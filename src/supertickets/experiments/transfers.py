"""Run what a transfer still misses; a finished run is never computed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from pathlib import Path
from typing import TypeVar

from supertickets.errors import UserError
from supertickets.experiments import lottery
from supertickets.experiments.landing import Landing
from supertickets.experiments.progress import Progress
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.runs import TransferRun
from supertickets.experiments.sources import keep_encoder
from supertickets.experiments.sweeps import result_of
from supertickets.experiments.transfer_folder import TransferFolder

T = TypeVar("T")


def transfer_missing(place: TransferFolder, pool: Executor, progress: Progress) -> list[Record]:
    """Execute every planned run that has no sound record, and return the records of the whole plan.

    First the shared encoders that these runs start from, where the cache lacks them, then whole encoders,
    then the tickets that are scored on them.
    """
    runs = place.runs()
    missing = [run for run in runs if not _is_sound(place, run, progress)]
    starts = sorted({run.start for run in missing if run.start and not place.encoder_folder(run.start).is_dir()})
    progress.plan(float(len(starts) + len(missing)), len(starts) + len(missing))
    if len(missing) < len(runs):
        progress.say(f"{len(runs) - len(missing)} of {len(runs)} runs are there already")

    def kept(start: str) -> None:
        progress.done(start, 1.0, f"shared encoder {start} trained once more, to keep it")

    def finished(run: TransferRun) -> None:
        progress.done(run.name, 1.0, _line(place, run))

    _all(pool, keep_encoder, place.folder, starts, kept)
    for tickets in (False, True):
        _all(pool, _transfer_and_save, place.folder, [r for r in missing if (r.whole is not None) == tickets], finished)
    return [Record.load(place.run_folder(run)) for run in runs]


def _all(
    pool: Executor, work: Callable[[Path, T], None], folder: Path, items: Sequence[T], done: Callable[[T], None]
) -> None:
    """Work on all items in the pool; the first failure stops it with its error."""
    futures: dict[Future[None], T] = {}
    try:
        futures = {pool.submit(work, folder, item): item for item in items}
        for future in as_completed(futures):
            result_of(future)
            done(futures[future])
    finally:
        for future in futures:
            future.cancel()


def _transfer_and_save(folder: Path, run: TransferRun) -> None:
    landing = Landing.of(run, folder)
    result = lottery.transfer(run, landing)
    if result.ticket is not None:
        result.ticket.save(landing.ticket_folder(run))
    result.record.save(landing.run_folder(run))


def _is_sound(place: TransferFolder, run: TransferRun, progress: Progress) -> bool:
    path = place.run_folder(run) / RECORD_FILE
    if not path.is_file():
        return False
    try:
        Record.load(path.parent)
    except UserError as fault:
        progress.say(f"computing again: {fault.where}: {fault.what}")
        return False
    return True


def _line(place: TransferFolder, run: TransferRun) -> str:
    record = Record.load(place.run_folder(run))
    level = f" {run.sparsity:g}" if run.whole is not None else ""
    seconds = sum(record.cost.seconds.values())
    examples = place.shares[run.share]
    return f"{run.arm}{level}, {examples} examples, seed {run.seed}: {100 * record.report.main:.1f} ({seconds:.0f} s)"
