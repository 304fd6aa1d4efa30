"""find and sweep: from data and a pretrained encoder to the super ticket, its model and its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from supertickets import locking, settings, storage
from supertickets.config import Budget, Config, RecipeName
from supertickets.errors import UserError
from supertickets.experiments.layout import CONFIG_FILE, SPEED_FILE, SUPER_TICKET
from supertickets.experiments.outcome import Outcome
from supertickets.experiments.progress import Progress, Silent
from supertickets.experiments.targets import Target, kept_target

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from supertickets.experiments.runs import Run, SoupRun, TicketRun
    from supertickets.experiments.staff import OnRay
    from supertickets.experiments.workspace import Inputs, Workspace

DEMO: dict[str, Any] = {
    "data": {"task": "movie-reviews", "train_examples": 1000, "report_examples": 1000},
    "encoder": {"name": "minilm", "max_length": 64},
    "training": {"learning_rate": 1e-4},
    "selection": {"max_share": 0.34},  # a third of 1000, so that three seeds pool the 1000 examples aimed at
    "tickets": {"levels": (0.15, 0.3, 0.45, 0.6), "control_levels": (0.3, 0.6)},
}

NEW: dict[str, Any] = {"strategy": "race"}  # in a new folder, where no strategy is set


@dataclass(frozen=True)
class Found:
    """What a sweep leaves: the sentence, the numbers behind it, and where report and model are."""

    sentence: str
    outcome: Outcome
    report: Path
    model: Path


def find(
    task: str | None = None,
    *,
    data: Path | str | None = None,
    train: str | None = None,
    test: str | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    encoder: str | None = None,
    target: str | None = None,
    out: Path | str | None = None,
    budget: Budget | None = None,
    recipe: RecipeName | None = None,
    workers: int | Literal["ray"] | None = None,
    ray_address: str | None = None,
    config: Path | str | None = None,
    set: Sequence[str] = (),
    progress: Progress | None = None,
) -> Found:
    """Find the super ticket of one task: tune, score, draw, rewind, retrain, choose, report.

    With neither task, nor files, nor config it runs the demo on embedded data. `target` (`params=0.8`,
    `flops=0.7`, `latency=0.7`) asks for a ticket of at most that share of the full model's cost:
    weights and FLOPs are counted, so it is met; a latency is aimed at by a table of times measured here
    and then measured on the ticket, and the result says by how much it was missed. `out` (default
    runs/<task>) keeps everything; calling again resumes. `workers` is a number of processes, or "ray" for
    a Ray cluster of this machine; `ray_address` (`auto`, `ray://host:10001`) joins a running one. Raises
    UserError for bad input.
    """
    flags = {
        "data": {
            "task": task,
            "folder": None if data is None else str(data),
            "train": train,
            "test": test,
            "text": text,
            "text_pair": text_pair,
            "label": label,
        },
        "encoder": {"name": encoder},
        "tickets": {"target": target},
        "budget": budget,
        "recipe": recipe,
    }
    embedded = task is None and train is None and config is None
    file = None if config is None else Path(config)
    base = DEMO if embedded else {}
    chosen = settings.load(file, set, base=base | NEW, flags=flags)
    folder = Path(out or Path("runs") / (chosen.data.task or "own"))
    chosen = settings.load(file, set, base=base | _strategy(folder), flags=flags)
    return sweep_task(chosen, folder, workers, progress or Silent(), ray_address)


def sweep(
    file: Path | str,
    *,
    target: str | None = None,
    out: Path | str | None = None,
    workers: int | Literal["ray"] | None = None,
    ray_address: str | None = None,
    set: Sequence[str] = (),
    progress: Progress | None = None,
) -> Found:
    """The same from a config file (`supertickets init` writes one); `out` defaults to runs/<file's name>."""
    if settings.names(Path(file), "tasks"):
        raise UserError("this config names several tasks for one encoder", str(file), "use `supertickets share`")
    folder = Path(out or Path("runs") / Path(file).stem)
    chosen = settings.load(Path(file), set, base=_strategy(folder), flags={"tickets": {"target": target}})
    return sweep_task(chosen, folder, workers, progress or Silent(), ray_address)


def _strategy(folder: Path) -> dict[str, Any]:
    """The strategy where nobody sets one: a folder goes on as it was begun, so that a grid stays a grid."""
    begun = folder / CONFIG_FILE
    if not begun.is_file() or settings.names(begun, "tasks") or settings.names(begun, "shares"):
        return NEW  # of another kind of folder the owner's check speaks
    return {"strategy": settings.load(begun).strategy}


def _examples(inputs: Inputs) -> str:
    """How many examples there are, and that a setting cuts them where it does."""
    train, selection, report = inputs.sizes
    rows = len(inputs.loaded.train)
    cut = f" of {rows} (data.train_examples)" if train + selection < rows else ""
    return f"{train} examples to train on and {selection} to choose by{cut}, {report} to report on"


def _target(inputs: Inputs, folder: Path, workers: int | OnRay, progress: Progress) -> Target | None:
    """The target that the folder was begun with, or that of a new folder; None without one."""
    from supertickets.experiments.aiming import find_target
    from supertickets.experiments.staff import use_threads_of_a_run

    asked = inputs.config.tickets.target
    target = kept_target(folder, asked)
    if target is None and asked is not None:
        progress.say(f"finding the level for {asked}")
        use_threads_of_a_run(
            workers, inputs.config.cluster
        )  # times are then those of the threads that tickets run and are timed with
        target = find_target(inputs)
        if target.timings is not None and target.timings.wide:
            progress.say(
                "the times that it is found by spread widely: on a quiet machine the ticket would be nearer to it"
            )
    if target is not None:
        progress.say(f"level {target.level:g} should meet {target.asked}: {target.expected:.3f} by the table of costs")
    return target


def sweep_task(
    config: Config,
    folder: Path,
    workers: int | Literal["ray"] | None,
    progress: Progress,
    ray_address: str | None = None,
) -> Found:
    """One task's whole sweep in its folder; several processes (torchrun) do its runs together, one at a time."""
    from supertickets.experiments.together import together
    from supertickets.learning.processes import check_launch

    storage.check_no_address(folder)
    check_launch(config.training.batch_size, workers, ray_address)
    return together(lambda: _sweep_task(config, folder, workers, progress, ray_address))


def _sweep_task(
    config: Config, folder: Path, workers: int | Literal["ray"] | None, progress: Progress, ray_address: str | None
) -> Found:
    """From whatever is in the folder already to the delivered ticket and the report."""
    from supertickets.experiments.aiming import aimed
    from supertickets.experiments.baselines import baseline_runs
    from supertickets.experiments.delivery import delivered_run
    from supertickets.experiments.failures import all_failures, check_enough
    from supertickets.experiments.outcome import choose, comparable
    from supertickets.experiments.schedules import schedule
    from supertickets.experiments.staff import chosen, opened, use_threads_of_a_run
    from supertickets.experiments.sweeps import run_missing, run_these
    from supertickets.experiments.workspace import Inputs, check_not_a_strangers
    from supertickets.workflows.reporting import conclude_and_report

    staff = chosen(workers, ray_address)
    progress.say("preparing the data")
    check_not_a_strangers(folder)
    inputs = Inputs.read(config)  # before the lock, which makes the folder: bad input leaves none behind
    target = _target(inputs, folder, staff, progress)
    inputs = inputs if target is None else aimed(inputs, target)
    with locking.sweep_lock(folder):
        if target is not None and not (folder / CONFIG_FILE).exists():
            target.save(folder)
        prepared = inputs.put(folder)
        progress.say(_examples(inputs))
        for note in inputs.loaded.notes:
            progress.say(f"note: {note}")
        with opened(staff, config.cluster) as (pool, size):
            records = run_missing(prepared, pool, size, progress)
            failed = all_failures(folder)
            wanted = schedule(prepared.config, prepared.task, records, failed, {record.name for record in records})
            given_up = {run.name: failed[run.name] for run in wanted.runs if run.name in failed}
            check_enough(folder, given_up, bool(comparable(records)))
            sparsity = choose(records, wanted.finalists).sparsity
            there = {record.name for record in records}
            lost = {one.name for one in wanted.runs if one.name not in there}  # tried often enough by now
            rivals = [one for one in baseline_runs(config, sparsity) if not lost & {one.name, *_names(one.needs)}]
            if rivals:
                run_these(prepared, rivals, pool, size, progress)
            run, soups = delivered_run(prepared, records, sparsity)
            if not soups and config.delivery.soup != "none":
                progress.say("there is no soup, as a run of a seed has failed; a seed's own ticket is delivered")
            use_threads_of_a_run(staff, config.cluster)  # soups are timed in this process
            _deliver(prepared, run, soups, pool, progress)
        outcome, sentence, page = conclude_and_report(folder)
    return Found(sentence, outcome, page, folder / SUPER_TICKET)


def _names(runs: Sequence[Run]) -> list[str]:
    return [run.name for run in runs]


def _deliver(
    sweep: Workspace, run: TicketRun | SoupRun, soups: Sequence[SoupRun], pool: Executor, progress: Progress
) -> None:
    """The chosen ticket's model, or the soup of its seeds, unless it is there; the result is there even if this fails.

    With the soups stand their records, and the weights that they were made of go.
    """
    from supertickets.experiments import members
    from supertickets.experiments.attempts import insist
    from supertickets.experiments.delivery import deliver, is_delivered
    from supertickets.experiments.interrupts import in_flight
    from supertickets.experiments.soups import are_recorded, make_soups
    from supertickets.workflows.reporting import conclude_and_report

    if not is_delivered(sweep, run) or not are_recorded(sweep, soups):
        (sweep.folder / SPEED_FILE).unlink(missing_ok=True)  # of another super ticket, or damaged
        conclude_and_report(sweep.folder)
        if soups:
            make_soups(sweep, soups, pool, progress)
            with in_flight():
                deliver(sweep.folder, run)  # here, where its members lie
        else:
            progress.say("training the super ticket once more, to keep its model, and timing it")
            insist(pool, deliver, sweep.folder, run)
    members.remove(sweep.folder)
