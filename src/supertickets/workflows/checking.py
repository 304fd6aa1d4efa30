"""check: what a sweep, or a sharing experiment, would do, and whether it can; no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from supertickets import settings
from supertickets.config import Config, ShareConfig
from supertickets.conflicts import task_config
from supertickets.workflows.facts import aligned, listed
from supertickets.workflows.finding import NEW

if TYPE_CHECKING:
    from supertickets.tickets.structures import Structures


@dataclass(frozen=True)
class Checked:
    """What a sound config asks for.

    `train` and `selection` are the examples that each seed trains on and chooses by (it holds out its
    own), `report` those that all seeds report on; `labels` is empty for regression; `trainings` counts
    full models and tickets, of a race (what a new folder has) the most there may be.
    """

    file: Path
    config: Config
    task: str
    labels: tuple[str, ...]
    train: int
    selection: int
    report: int
    notes: tuple[str, ...]
    structures: Structures
    trainings: int

    def __str__(self) -> str:
        config, tickets = self.config, self.config.tickets
        controls = [kind for kind in tickets.kinds if kind != "winning"]
        drawn = f"winning at {listed(tickets.levels)}"
        where = listed(tickets.control_levels)
        if config.strategy == "race":
            count = len(tickets.control_levels)
            others = f"two of {where}" if count > 2 else "" if count < 2 else f"one of {where}"
            where = f"the chosen level and {others}" if others else "the chosen level"
        drawn += f"; {' and '.join(controls)} at {where}" if controls else ""
        drawn += f", for {tickets.target}" if tickets.target is not None else ""
        rows = [
            ("task", f"{self.task}, {f'labels {listed(self.labels)}' if self.labels else 'regression'}"),
            ("examples", f"{self.train} to train on, {self.selection} to choose by, {self.report} to report on"),
            ("encoder", f"{config.encoder.name}, {self.structures.size}"),
            ("tickets", drawn),
            ("neurons", self._blocks),
            (
                "trainings",
                f"{'at most ' if config.strategy == 'race' else ''}{self.trainings}, for seeds {listed(config.seeds)}",
            ),
            *(("note", note) for note in self.notes),
        ]
        return aligned(f"{self.file} is sound", rows)

    @property
    def _blocks(self) -> str:
        if self.config.units.ffn == "sublayer":
            return ""
        from supertickets.tickets.drawing import block_size

        return f"dropped in blocks of {block_size(self.structures, self.config.units.multiple)}"


@dataclass(frozen=True)
class CheckedSharing:
    """What a sound config of several tasks asks for.

    `tasks` are those that are swept first, `given` the folders of the others' tickets; `trainings` counts the
    sweeps' full models and tickets, `runs` the multi-task trainings after them.
    """

    file: Path
    config: ShareConfig
    tasks: Mapping[str, Checked]
    given: Mapping[str, str]
    trainings: int
    runs: int

    def __str__(self) -> str:
        config = self.config
        swept = [
            (name, f"{one.train} to train on, {one.selection} to choose by, {one.report} to report on; its own sweep")
            for name, one in self.tasks.items()
        ]
        given = [(name, f"tickets of {folder}") for name, folder in self.given.items()]
        notes = dict.fromkeys(f"{name}: {note}" for name, one in self.tasks.items() for note in one.notes)
        rows = [
            *swept,
            *given,
            ("encoder", config.encoder.name),
            ("trainings", f"{self.trainings} in the tasks' sweeps, for seeds {listed(config.seeds)}"),
            ("then", f"{self.runs} of all tasks together: {listed(config.arms)}"),
            *(("note", note) for note in notes),
        ]
        return aligned(f"{self.file} is sound", rows)


def check(file: Path | str, set: Sequence[str] = ()) -> Checked | CheckedSharing:
    """Check a config, the data and the encoder it names, and say what `sweep`, or `share`, would do.

    Raises UserError for anything these would refuse.
    """
    if settings.names(Path(file), "tasks"):
        return _check_shared(Path(file), settings.load_shared(Path(file), set))
    return _check_one(Path(file), settings.load(Path(file), set, base=NEW))


def _check_shared(file: Path, config: ShareConfig) -> CheckedSharing:
    from supertickets.experiments.gathering import check_names, check_tickets, naming
    from supertickets.experiments.workspace import encoder_sha256

    check_names(config)
    given = {name: task.ticket for name, task in config.tasks.items() if task.ticket is not None}
    encoder = encoder_sha256(config.encoder.name) if given else ""
    tasks = {}
    for name in config.tasks:
        with naming(name):
            if name in given:
                check_tickets(Path(given[name]), name, config, encoder)
            else:
                tasks[name] = _check_one(file, task_config(config, name))
    return CheckedSharing(
        file=file,
        config=config,
        tasks=tasks,
        given=given,
        trainings=sum(one.trainings for one in tasks.values()),
        runs=len(config.arms) * len(config.seeds),
    )


def _check_one(file: Path, config: Config) -> Checked:
    from supertickets.experiments.aiming import aimed, find_target
    from supertickets.experiments.schedules import schedule
    from supertickets.experiments.workspace import Inputs

    inputs = Inputs.read(config)
    if inputs.config.tickets.target is not None:
        inputs = aimed(inputs, find_target(inputs))
    config = inputs.config
    task, (train, selection, report) = inputs.loaded.task, inputs.sizes
    notes = (task.note, *map(str, inputs.loaded.notes))
    return Checked(
        file=file,
        config=config,
        task=task.name,
        labels=task.labels,
        train=train,
        selection=selection,
        report=report,
        notes=tuple(dict.fromkeys(note for note in notes if note)),
        structures=inputs.structures,
        trainings=schedule(config, inputs.loaded.task, ()).in_all,
    )
