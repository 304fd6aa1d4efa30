"""What a Ray node does: a run among copies of what it needs, and an answer that any machine can read."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supertickets import provenance, settings, storage
from supertickets.errors import UserError
from supertickets.experiments import parcels
from supertickets.experiments.executors import limit_threads
from supertickets.experiments.failures import last_line
from supertickets.experiments.layout import CONFIG_FILE, DATA_FILE, TASKS
from supertickets.learning.training import resolved_precision


@dataclass(frozen=True)
class Order:
    """One piece of work, as a task gets it: what to call, and the run's own files."""

    work: Callable[..., Any]
    arguments: tuple[Any, ...]
    folder: Path | None
    own: parcels.Parcel
    threads: int
    versions: dict[str, Any]
    token: str


@dataclass(frozen=True)
class Answer:
    """What comes back: the files that a run wrote, or what went wrong, as text that needs no class to be read."""

    value: Any = None
    files: parcels.Parcel = field(default_factory=dict)
    bad_input: tuple[str, str, str] | None = None
    error: tuple[str, str] | None = None


def perform(order: Order, shared: parcels.Parcel | None) -> Answer:
    """Do one piece of work on a node; never raises, as an error may be of a class that the driver cannot read."""
    try:
        limit_threads(order.threads)
        if order.folder is None or shared is None:
            return Answer(order.work(*order.arguments))
        _check_versions(order.versions)
        place = _place(order.token)
        _own(place.parent)
        if not place.is_dir():
            with storage.atomic_folder(place, if_exists="keep") as new:
                parcels.unpack(shared, new)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f"{order.token}-") as made:
            folder = Path(made)
            parcels.mirror(place, order.own, folder)
            _check_precision(folder)
            value = order.work(*(folder if one == order.folder else one for one in order.arguments))
            return Answer(value, parcels.written(folder, order.own))
    except UserError as fault:
        return Answer(bad_input=(fault.what, fault.where, fault.do))
    except Exception as fault:
        return Answer(error=(last_line(fault), "".join(traceback.format_exception(fault))))


def drop(token: str) -> None:
    """Remove the node's copy of what all runs share, and what killed runs and a killed unpacking left."""
    place = _place(token)
    for one in (*place.parent.glob(f"{token}*"), *place.parent.glob(f".{token}.*")):
        shutil.rmtree(one, ignore_errors=True)


def _own(place: Path) -> None:
    """Make a folder that only this user can read; raises UserError where another user made it, or could write into it.

    Temporary folders are everybody's: whoever owns this one could change data and encoder under a run.
    """
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022:
        what = f"on node {socket.gethostname()} another user made this, or can write into it"
        raise UserError(what, str(place), "remove it there")
    place.chmod(0o700)  # earlier versions let others read


def _place(token: str) -> Path:
    """Where a node keeps what all runs share."""
    return Path(tempfile.gettempdir()) / f"supertickets-{os.getuid()}" / token


def _check_versions(expected: dict[str, Any]) -> None:
    found = provenance.collect()["versions"]
    differing = [
        f"{name} {found.get(name)}, not {value}" for name, value in expected.items() if found.get(name) != value
    ]
    if differing:
        what = f"node {socket.gethostname()} has {'; '.join(differing)}"
        raise UserError(what, "--workers ray", "install on every node what this machine has")


def _check_precision(folder: Path) -> None:
    """Raise UserError where `auto` means another precision here than where the sweep was prepared."""
    for data in (*folder.glob(DATA_FILE), *folder.glob(f"{TASKS}/*/{DATA_FILE}")):
        expected = storage.read_json(data)["origin"]["precision"]
        found = resolved_precision(settings.load(data.parent / CONFIG_FILE).training)
        if found != expected:
            what = f"auto means {found} on node {socket.gethostname()} and {expected} where the sweep was prepared"
            raise UserError(what, "training.precision", f"set it to {found} or {expected}")
