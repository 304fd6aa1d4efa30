"""Gathering: the folder of a sharing experiment, and the sweep of each of its tasks, found here or elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from supertickets import locking, seeding, settings, storage
from supertickets.config import Arm, ShareConfig
from supertickets.conflicts import task_config
from supertickets.data.tasks import KNOWN, normalised
from supertickets.errors import UserError
from supertickets.experiments.failures import all_failures
from supertickets.experiments.layout import CONFIG_FILE, DATA_FILE, RUNS, TASKS
from supertickets.experiments.outcome import choose
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.runs import Run, SharingRun, TicketRun, TuneRun, identity, shared_settings
from supertickets.experiments.schedules import follow
from supertickets.experiments.transfer_folder import check_no_transfer
from supertickets.experiments.workspace import Workspace
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures
from supertickets.tickets.ticket import TICKET_FILE, Ticket


@dataclass(frozen=True)
class Gathering:
    """One sharing experiment; its tasks' sweeps are finished, so that every task has its super ticket."""

    folder: Path
    config: ShareConfig
    sweeps: Mapping[str, Workspace]

    @classmethod
    def put(cls, folder: Path, config: ShareConfig) -> Gathering:
        """Make the folder this config's; raises UserError when it is another's, or tasks do not go together."""
        sweeps = {task: Workspace.open(sweep_folder(folder, config, task)) for task in config.tasks}
        _check_alike(config, sweeps)
        check_owner(folder, config)
        storage.write_text(folder / CONFIG_FILE, settings.dump(config))
        return cls(folder, config, sweeps)

    @classmethod
    def open(cls, folder: Path) -> Gathering:
        """Read a folder that `put` made; raises UserError when it is none."""
        if not (folder / CONFIG_FILE).is_file():
            what = "this is not the folder of a sharing experiment: config.yaml is missing"
            raise UserError(what, str(folder), "give the --out folder of share")
        config = settings.load_shared(folder / CONFIG_FILE)
        return cls(folder, config, {t: Workspace.open(sweep_folder(folder, config, t)) for t in config.tasks})

    @cached_property
    def records(self) -> dict[str, list[Record]]:
        """The records of each task's own sweep, of the experiment's seeds: full models and tickets trained alone."""
        return {task: _records(sweep, self.config) for task, sweep in self.sweeps.items()}

    @cached_property
    def levels(self) -> dict[str, float]:
        """The sparsity of each task's super ticket, chosen on its selection examples."""
        return {task: choose(records).sparsity for task, records in self.records.items()}

    @cached_property
    def structures(self) -> Structures:
        """The units of the encoder that all tasks share, read off a kept ticket or, where none is, off the encoder."""
        name, sweep = next(iter(self.sweeps.items()))
        run = TicketRun(TuneRun(sweep.config, self.config.seeds[0]), "winning", self.levels[name])
        place = sweep.ticket_folder(run)
        if (place / TICKET_FILE).is_file():
            return Ticket.load(place).mask.structures
        return sweep.rewind_point(run.seed).structures(sweep.config.units.ffn)

    def run_folder(self, run: SharingRun) -> Path:
        """Where a run's records lie, a folder for each task."""
        return self.folder / RUNS / run.name

    def mask(self, task: str, arm: Arm, seed: int) -> Mask:
        """What a task keeps in an arm: all, its seed's super ticket, or a random ticket of exactly its size."""
        level = self.levels[task]
        (record,) = (r for r in self.records[task] if (r.kind, r.sparsity, r.seed) == ("winning", level, seed))
        structures = self.structures
        ticket = Mask(structures, np.asarray(record.arrays["heads"], bool), np.asarray(record.arrays["ffn"], bool))
        if arm == "multitask":
            return Mask.full(structures)
        if arm == "sharing":
            return ticket
        return Mask.random(
            ticket, seeding.generator(seed, f"random ticket {task}"), min_heads=0, multiple=self.config.units.multiple
        )

    def runs(self) -> list[SharingRun]:
        """Every run of the experiment, arm by arm."""
        arms, seeds = self.config.arms, self.config.seeds
        return [SharingRun(self.config, arm, seed, self._origin(arm, seed)) for arm in arms for seed in seeds]

    def _origin(self, arm: Arm, seed: int) -> str:
        digest = hashlib.sha256()
        for task, sweep in self.sweeps.items():
            mask = self.mask(task, arm, seed)
            about = [task, sweep.data["origin"], identity(sweep.config)]
            digest.update(json.dumps(about, sort_keys=True).encode() + mask.heads.tobytes() + mask.ffn.tobytes())
        return digest.hexdigest()


def sweep_folder(folder: Path, config: ShareConfig, task: str) -> Path:
    """Where a task's sweep lies: as the config says, or inside the experiment's folder."""
    given = config.tasks[task].ticket
    return folder / TASKS / task if given is None else Path(given)


def _records(sweep: Workspace, config: ShareConfig) -> list[Record]:
    """The finished records; raises UserError when the sweep lacks a seed or is not finished."""
    lacking = sorted(set(config.seeds) - set(sweep.config.seeds))
    if lacking:
        what = f"this sweep has the seeds {_listed(sweep.config.seeds)}; seed {lacking[0]} is wanted too"
        raise UserError(what, str(sweep.folder), "set seeds to those that every task's sweep has")
    failed = all_failures(sweep.folder)

    def is_kept(run: Run) -> bool:  # controls, which sharing does without, are not looked for
        return _is_of_winning(run) and (sweep.run_folder(run) / RECORD_FILE).is_file()

    def find(run: Run) -> Record | None:
        return Record.load(sweep.run_folder(run), run.name) if is_kept(run) else None

    wanted, found, lacking_runs = follow(sweep.config, sweep.task, find, failed, is_kept)
    runs = [run for run in wanted.runs if run.seed in config.seeds and _is_of_winning(run)]
    missing = [run for run in lacking_runs if run in runs]
    if missing:
        what = f"this sweep is not finished: {len(missing)} of {len(runs)} runs are missing"
        raise UserError(what, str(sweep.folder), "run its `find` to the end")
    finalists = wanted.finalists
    return [found[run.name] for run in runs if finalists is None or run.sparsity in (0.0, *finalists)]


def _is_of_winning(run: Run) -> bool:
    return isinstance(run, TuneRun) or run.kind == "winning"


@contextmanager
def naming(task: str) -> Iterator[None]:
    """Faults inside the block name the task."""
    try:
        yield
    except UserError as fault:
        raise UserError(f"task {task}: {fault.what}", fault.where, fault.do) from fault


def check_names(config: ShareConfig) -> None:
    """Raise UserError where two of the tasks are one known task under two spellings."""
    spelt: dict[str, str] = {}
    for task in config.tasks:
        plain = normalised(task)
        if plain in KNOWN and plain in spelt:
            what = f"{spelt[plain]} and {task} are one task"
            raise UserError(what, "tasks", "leave one of them out")
        spelt[plain] = task


def check_tickets(folder: Path, task: str, config: ShareConfig, encoder: str) -> None:
    """Raise UserError unless the folder holds a finished sweep for the config: its task, seeds, units and encoder.

    The sweep's data are then the task's. Own data may have one name here and another there; a known task may not.
    """
    sweep, asked = Workspace.open(folder), task_config(config, task).data
    known = normalised(asked.task or task)
    if asked.train is None and known in KNOWN and normalised(sweep.task.name) != known:
        what = f"its tickets are of another task, {sweep.task.name}"
        raise UserError(what, str(folder), f"give what `find {known}` left, or name the task otherwise")
    if sweep.data["origin"]["encoder"] != encoder:
        what = f"its tickets are of another encoder ({sweep.config.encoder.name}) than {config.encoder.name}"
        raise UserError(what, str(folder), "find the tickets of all tasks with one encoder, and name it")
    _check_units(sweep, config, str(folder))
    _records(sweep, config)


def _check_alike(config: ShareConfig, sweeps: Mapping[str, Workspace]) -> None:
    """Raise UserError unless all tickets are of one encoder and of one kind of unit."""
    first = next(iter(sweeps))
    for task, sweep in sweeps.items():
        ours, theirs = sweeps[first].data["origin"]["encoder"], sweep.data["origin"]["encoder"]
        if ours != theirs:
            what = f"the tickets of {task} are of another encoder ({sweep.config.encoder.name}) than those of {first}"
            raise UserError(what, f"tasks.{task}.ticket", "find the tickets of all tasks with one encoder")
        _check_units(sweep, config, f"tasks.{task}.ticket")


def _check_units(sweep: Workspace, config: ShareConfig, where: str) -> None:
    theirs, ours = sweep.config.units, config.units
    for name in ("ffn", "multiple"):
        here, there = getattr(ours, name), getattr(theirs, name)
        if here != there:
            what = f"its tickets were drawn with units.{name} {there}; the config says {here}"
            raise UserError(what, where, f"set units.{name}={there}")


def check_owner(folder: Path, config: ShareConfig) -> None:
    """Raise UserError for a folder of another config, of a sweep, or with files that no experiment made."""
    if not (folder / CONFIG_FILE).exists():
        own = {TASKS, locking.LOCK_FILE, locking.HOLDER_FILE}
        others = sorted(path.name for path in folder.glob("*") if path.name not in own)
        others = [name for name in others if not name.endswith(storage.PARTIAL)]
        if others or (folder.exists() and not folder.is_dir()):
            what = f"this folder holds other files ({', '.join(others[:3])})" if others else "this is no folder"
            raise UserError(what, str(folder), "choose a new or empty --out folder")
        return
    check_no_transfer(folder)
    if not (folder / TASKS).is_dir() and (folder / DATA_FILE).is_file():
        raise UserError("this is the folder of one task's sweep", str(folder), "choose another --out folder")
    theirs, ours = shared_settings(settings.load_shared(folder / CONFIG_FILE)), shared_settings(config)
    differing = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]
    changed = [f"{key} is {theirs.get(key)} there, {ours.get(key)} here" for key in differing]
    if changed:
        what = f"this folder belongs to another config ({'; '.join(changed)})"
        raise UserError(what, str(folder), "choose another --out folder")


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
