"""Run what a plan still misses; a finished record is never computed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from supertickets.errors import UserError
from supertickets.experiments import lottery, members
from supertickets.experiments.attempts import completed
from supertickets.experiments.bench import Result
from supertickets.experiments.curves import is_ended_rightly
from supertickets.experiments.failures import Setbacks, forget
from supertickets.experiments.plans import cost, every_run
from supertickets.experiments.progress import Progress
from supertickets.experiments.racing import Schedule, reason
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.runs import Run, TicketRun, TuneRun
from supertickets.experiments.schedules import follow
from supertickets.experiments.workspace import Workspace
from supertickets.tickets.ticket import Ticket


def run_missing(sweep: Workspace, pool: Executor, workers: int, progress: Progress) -> list[Record]:
    """Execute every run that the strategy wants and that has no record yet; return the records of all it wants.

    A ticket's run starts as soon as its seed's tuned model is scored. A damaged record or ticket does
    not count: its run is told and executed again. A run that fails is tried again; after
    `failures.ATTEMPTS` its error is kept as `failed.json`, it and the tickets that needed it are left out,
    and the sweep goes on. A UserError stops the sweep at once; what has finished stays. A race decides what
    it wants next when all that it wanted has been executed or has failed.
    """
    records, done = dict[str, Record](), list[Run]()
    forget(sweep.folder)

    def find(run: Run) -> Record | None:
        return records.get(run.name) or _sound(sweep, run, progress)

    kept = {run.name for run in every_run(sweep.config) if _is_done(sweep, run)}  # before anything is computed anew

    def is_kept(run: Run) -> bool:
        return run.name in kept

    wanted, found, missing = follow(sweep.config, sweep.task, find, is_kept=is_kept)
    progress.plan(*_amount(wanted, missing, done), workers)
    if found:
        progress.say(f"{len(found)} of {wanted.size} runs are there already")
    stops: dict[float, str] = {}
    setbacks, tried = Setbacks(sweep.folder, progress), set[str]()
    while missing:
        stops = _tell(wanted, stops, progress)
        for run, record in _execute(sweep, missing, pool, workers, setbacks):
            records[run.name] = record
            done.append(run)
            progress.done(run.name, cost(run), _line(run, record))
        tried |= {run.name for run in missing}
        wanted, found, missing = follow(sweep.config, sweep.task, find, setbacks.given_up, is_kept)
        missing = [run for run in missing if run.name not in tried]
        if missing:
            progress.revise(*_amount(wanted, missing, done))
    _tell(wanted, stops, progress)
    return [found[run.name] for run in wanted.runs if run.name in found]


def run_these(sweep: Workspace, runs: Sequence[Run], pool: Executor, workers: int, progress: Progress) -> list[Record]:
    """As `run_missing`, of runs that no strategy plans; returns the records of those that did not fail."""
    missing = [run for run in runs if _sound(sweep, run, progress) is None]
    progress.plan(sum(map(cost, missing), 0.0), len(missing), workers)
    for run, record in _execute(sweep, missing, pool, workers, Setbacks(sweep.folder, progress)):
        progress.done(run.name, cost(run), _line(run, record))
    return [Record.load(sweep.run_folder(run), run.name) for run in runs if _is_done(sweep, run)]


def perform(run: Run, sweep: Workspace) -> Result:
    """Do one run."""
    if isinstance(run, TuneRun):
        return lottery.tune_and_score(run, sweep)
    return lottery.retrain(run, sweep) if isinstance(run, TicketRun) else lottery.truncated(run, sweep)


def _execute(
    sweep: Workspace, missing: Sequence[Run], pool: Executor, workers: int, setbacks: Setbacks
) -> Iterator[tuple[Run, Record]]:
    """Each run and its record as it is done; a ticket's waits for its tuned models, for ever where one is given up."""
    skipped = set[str]()

    def again(run: Run, fault: Exception) -> bool:
        if setbacks.again(run.name, fault, _title(run)):
            return True
        lost = {one.name for one in missing if run in one.needs} - skipped
        if lost:
            setbacks.skip(f"{_title(run)}: the {len(lost)} tickets drawn from it are skipped")
        skipped.update(lost)
        return False

    def is_ready(run: Run) -> bool:
        return all(_is_done(sweep, tune) for tune in run.needs)

    for run in completed(pool, _perform_and_save, missing, sweep.folder, again, is_ready, workers):
        setbacks.settled(run.name)
        yield run, Record.load(sweep.run_folder(run), run.name)


def _perform_and_save(run: Run, folder: Path) -> None:
    sweep = Workspace.open(folder)
    result = perform(run, sweep)
    if result.ticket is not None:
        result.ticket.save(sweep.ticket_folder(run))
    members.drop(folder, run)
    if members.is_wanted(run, sweep.config):
        members.keep(folder, run, result.model)
    result.record.save(sweep.run_folder(run))


def _sound(sweep: Workspace, run: Run, progress: Progress) -> Record | None:
    """The run's record; one that is damaged, or was ended early where these settings would not, is removed."""
    if not _is_done(sweep, run):
        return None
    try:
        record = Record.load(sweep.run_folder(run), run.name)
        if isinstance(run, TicketRun):
            _check_ticket(sweep.ticket_folder(run), record)
    except UserError as fault:
        progress.say(f"computing again: {fault.where}: {fault.what}")
    else:
        if record.stopped is None or is_ended_rightly(run, record, sweep):
            return record
        progress.say(f"computing again: {_title(run)}: other settings ended its training early")
    (sweep.run_folder(run) / RECORD_FILE).unlink()
    return None


def _check_ticket(folder: Path, record: Record) -> None:
    """Raise UserError where the run's ticket is damaged or another's; there need not be any."""
    if not folder.is_dir():
        return
    ticket = Ticket.load(folder)
    masks = ((ticket.mask.heads, record.arrays["heads"]), (ticket.mask.ffn, record.arrays["ffn"]))
    alike = (ticket.kind, ticket.sparsity, ticket.seed) == (record.kind, record.sparsity, record.seed)
    if not (alike and all(np.array_equal(*pair) for pair in masks)):
        raise UserError("this ticket is not its run's", str(folder))


def _is_done(sweep: Workspace, run: Run) -> bool:
    return (sweep.run_folder(run) / RECORD_FILE).exists()


def _amount(wanted: Schedule, missing: Sequence[Run], done: Sequence[Run]) -> tuple[float, int]:
    """Cost and number of the runs of this session: done, missing, and those that may follow in a race."""
    levels = wanted.finalists or missing[0].config.tickets.levels if missing else ()
    mean = 1.0 - 0.8 * sum(levels) / len(levels) if levels else 0.0
    return sum(map(cost, [*done, *missing]), 0.0) + wanted.further * mean, len(done) + len(missing) + wanted.further


def _tell(wanted: Schedule, told: Mapping[float, str], progress: Progress) -> dict[float, str]:
    """Say which levels a race has stopped, or taken up again, since it was last told; what is told now."""
    now = {stop.sparsity: f"level {stop.sparsity:g} is stopped: {reason(stop)}" for stop in wanted.stops}
    for level, line in now.items():
        if level not in told:
            progress.say(line)
    for level in told.keys() - now.keys():
        progress.say(f"level {level:g} races again")
    return now


def _line(run: Run, record: Record) -> str:
    ended = "" if record.stopped is None else f", ended after {record.stopped:.0%} of its training"
    return f"{_title(run)}: {100 * record.report.main:.1f} ({sum(record.cost.seconds.values()):.0f} s){ended}"


def _title(run: Run) -> str:
    level = "" if isinstance(run, TuneRun) else f" {run.sparsity:g}"
    return f"{run.kind}{level}, seed {run.seed}"
