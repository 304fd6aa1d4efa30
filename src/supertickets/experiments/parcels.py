"""Parcels: what a run needs of its folder and what it leaves there, as values that travel between machines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from supertickets import settings, storage
from supertickets.encoders.checkpoints import files_of
from supertickets.experiments.gathering import Gathering
from supertickets.experiments.layout import (
    CACHE,
    CONFIG_FILE,
    DATA_FILE,
    ENCODER,
    MEMBERS,
    RUNS,
    TARGET_FILE,
    TASKS,
    TICKETS,
)
from supertickets.experiments.plans import plan
from supertickets.experiments.racing import rivals
from supertickets.experiments.runs import SharingRun, TicketRun, TruncatedRun, TuneRun
from supertickets.experiments.workspace import Workspace

AnyRun = TuneRun | TicketRun | TruncatedRun | SharingRun
Parcel = Mapping[str, UInt8[np.ndarray, "_"]]  # path in the folder -> the file's bytes


def shared_by_all(run: AnyRun, folder: Path) -> Parcel:
    """What every run of the folder needs: settings, tokenised data, and the pretrained encoder (as `encoder/`).

    A sharing run also needs the records and tickets of its tasks' own sweeps, wherever these lie.
    """
    if not isinstance(run, SharingRun):
        return _of_sweep(Workspace.open(folder), [])
    tasks = Gathering.open(folder)
    here = replace(tasks.config, tasks={t: replace(about, ticket=None) for t, about in tasks.config.tasks.items()})
    parcel = {CONFIG_FILE: np.frombuffer(settings.dump(here).encode(), np.uint8)}
    for task, sweep in tasks.sweeps.items():
        runs = [one for one in plan(sweep.config) if one.kind in ("full", "winning")]
        tickets = [sweep.ticket_folder(one) for one in runs if isinstance(one, TicketRun)]
        own = _of_sweep(sweep, [*(sweep.run_folder(one) for one in runs), *tickets])
        parcel |= {f"{TASKS}/{task}/{name}": body for name, body in own.items()}
    return parcel


def own_of(run: AnyRun, folder: Path) -> Parcel:
    """What this run alone needs: the records of a ticket's tuned model and rivals, and its own where it has one."""
    if isinstance(run, SharingRun):
        return {}
    needed = [run, *run.needs, *rivals(run)]
    return _read(folder, [folder / RUNS / one.name for one in needed])


def unpack(parcel: Parcel, folder: Path) -> None:
    """Write every file of a parcel."""
    for name, body in parcel.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        body.tofile(folder / name)


def written(folder: Path, before: Parcel) -> Parcel:
    """All files, links apart, of every unit in which a run has written: units land whole."""
    found: dict[str, UInt8[np.ndarray, "_"]] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not Path(place, name).is_symlink()]
        paths = [Path(place, name) for name in names if not Path(place, name).is_symlink()]
        found |= {str(path.relative_to(folder)): np.fromfile(path, np.uint8) for path in paths}
    changed = {
        _unit(name) for name, body in found.items() if name not in before or not np.array_equal(body, before[name])
    }
    return {name: body for name, body in found.items() if _unit(name) in changed}


def land(parcel: Parcel, folder: Path) -> None:
    """Put what a run wrote into its folder: whole sub-folders at once, records last, since they make a run count."""
    units: dict[str, list[str]] = {}
    for name in parcel:
        units.setdefault(_unit(name), []).append(name)
    for unit in sorted(units, key=lambda unit: (unit.startswith(f"{RUNS}/"), unit in parcel, unit)):
        if unit in parcel:
            with storage.atomic_file(folder / unit) as stream:
                stream.write(parcel[unit].tobytes())
            continue
        (folder / unit).parent.mkdir(parents=True, exist_ok=True)
        with storage.atomic_folder(folder / unit, if_exists="replace") as place:
            unpack({name[len(unit) + 1 :]: parcel[name] for name in units[unit]}, place)


def _unit(name: str) -> str:
    """What lands at once: one run's, ticket's or member's folder, else the first step of the path."""
    steps = name.split("/")
    return "/".join(steps[: 2 if steps[0] in (RUNS, TICKETS, MEMBERS) else 1])


def mirror(place: Path, own: Parcel, folder: Path) -> None:
    """Make `folder` look like a run's: links to what all share, which lies in `place`, and copies of its own."""
    for entry in place.iterdir():
        (folder / entry.name).symlink_to(entry)
    unpack(own, folder)


def _of_sweep(sweep: Workspace, more: Iterable[Path]) -> dict[str, UInt8[np.ndarray, "_"]]:
    paths = [sweep.folder / name for name in (CONFIG_FILE, DATA_FILE, TARGET_FILE, CACHE)]
    parcel = _read(sweep.folder, [*paths, *more])
    return parcel | {f"{ENCODER}/{path.name}": np.fromfile(path, np.uint8) for path in files_of(sweep.source)}


def _read(folder: Path, paths: Iterable[Path]) -> dict[str, UInt8[np.ndarray, "_"]]:
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return {str(file.relative_to(folder)): np.fromfile(file, np.uint8) for file in files if file.is_file()}
