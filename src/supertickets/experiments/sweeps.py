"""Run what a plan still misses; a finished record is never computed again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from pathlib import Path

from supertickets.errors import UserError
from supertickets.experiments import lottery
from supertickets.experiments.bench import Result
from supertickets.experiments.plans import plan
from supertickets.experiments.progress import Progress
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.runs import Run, TicketRun, TuneRun
from supertickets.experiments.workspace import Workspace


def run_missing(
    sweep: Workspace, pool: Executor, workers: int, progress: Progress, runs: Sequence[Run] | None = None
) -> list[Record]:
    """Execute every planned run (or those of `runs`) that has no record yet, and return the records of all of them.

    A ticket's run starts as soon as the tuned models that it is drawn from are scored. A damaged record does not count:
    its run is told and executed again. A failed run stops the sweep with its error; what has finished
    stays.
    """
    runs = plan(sweep.config) if runs is None else list(runs)
    missing = [run for run in runs if not _is_sound(sweep, run, progress)]
    progress.plan(sum(map(cost, missing), 0.0), len(missing))
    if len(missing) < len(runs):
        progress.say(f"{len(runs) - len(missing)} of {len(runs)} runs are there already")
    for run, record in _execute(sweep, missing, pool, workers):
        line = f"{_title(run)}: {100 * record.report.main:.1f} ({sum(record.cost.seconds.values()):.0f} s)"
        progress.done(run.name, cost(run), line)
    return [Record.load(sweep.run_folder(run)) for run in runs]


def perform(run: Run, sweep: Workspace) -> Result:
    """Do one run."""
    if isinstance(run, TuneRun):
        return lottery.tune_and_score(run, sweep)
    return lottery.retrain(run, sweep) if isinstance(run, TicketRun) else lottery.truncated(run, sweep)


def cost(run: Run) -> float:
    """What a run costs relative to tuning the full model: tickets are physically smaller."""
    return 1.0 - 0.8 * run.sparsity


def _execute(sweep: Workspace, missing: Sequence[Run], pool: Executor, workers: int) -> Iterator[tuple[Run, Record]]:
    waiting, running = list(missing), dict[Future[None], Run]()
    try:
        while waiting or running:
            ready = [run for run in waiting if all(_is_done(sweep, tune) for tune in run.needs)]
            for run in ready[: workers - len(running)]:
                waiting.remove(run)
                running[pool.submit(_perform_and_save, run, sweep.folder)] = run
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                run = running.pop(future)
                result_of(future)
                yield run, Record.load(sweep.run_folder(run))
    finally:
        for future in running:
            future.cancel()


def result_of(future: Future[None]) -> None:
    """Wait for a run; raises its error, and UserError when its worker was killed."""
    try:
        future.result()
    except BrokenExecutor as fault:
        what = "a worker process was killed, most often for lack of memory"
        raise UserError(what, "--workers", "run the same command with fewer; what is finished is kept") from fault


def _perform_and_save(run: Run, folder: Path) -> None:
    sweep = Workspace.open(folder)
    result = perform(run, sweep)
    if result.ticket is not None:
        result.ticket.save(sweep.ticket_folder(run))
    result.record.save(sweep.run_folder(run))


def _is_sound(sweep: Workspace, run: Run, progress: Progress) -> bool:
    if not _is_done(sweep, run):
        return False
    try:
        Record.load(sweep.run_folder(run))
    except UserError as fault:
        progress.say(f"computing again: {fault.where}: {fault.what}")
        (sweep.run_folder(run) / RECORD_FILE).unlink()
        return False
    return True


def _is_done(sweep: Workspace, run: Run) -> bool:
    return (sweep.run_folder(run) / RECORD_FILE).exists()


def _title(run: Run) -> str:
    level = "" if isinstance(run, TuneRun) else f" {run.sparsity:g}"
    return f"{run.kind}{level}, seed {run.seed}"
