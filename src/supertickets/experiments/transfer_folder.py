"""TransferFolder: what lies in the folder of a transfer, and which runs it plans. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from supertickets import settings
from supertickets.checked import checked
from supertickets.config import TransferConfig
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.layout import CACHE, CONFIG_FILE, DATA_FILE, ENCODERS, RUNS
from supertickets.experiments.origins import read_data, task_of
from supertickets.experiments.plans import Starts, kept_shares, plan_transfer
from supertickets.experiments.runs import TransferRun, settings_of

_Seed = Annotated[str, Field(pattern=r"^\d{1,19}$")]
_RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]  # a folder is named by it


@dataclass(frozen=True)
class _Rows:
    rows: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class _Sizes:
    train: _Rows


@dataclass(frozen=True)
class _Kept:
    """What a transfer's data.json holds beside a sweep's."""

    sizes: _Sizes
    starts: dict[str, dict[_Seed, _RunName]]


@dataclass(frozen=True)
class TransferFolder:
    """One transfer: its settings, its task, and the facts that `prepare` wrote about data and shared encoders."""

    folder: Path
    config: TransferConfig
    task: Task
    data: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> TransferFolder:
        """Read a prepared folder; raises UserError when it is none."""
        if not is_transfer(folder):
            raise UserError("this is not the folder of a transfer", str(folder), "give the --out folder of transfer")
        data = read_data(folder)
        checked(_Kept, data, "the data of a transfer", str(folder / DATA_FILE), "choose another --out folder")
        return cls(folder, settings.load_transfer(folder / CONFIG_FILE), task_of(folder), data)

    @property
    def starts(self) -> Starts:
        """By arm of the sharing experiment and seed: the name of the run whose encoder is taken."""
        kept: Mapping[str, Mapping[str, str]] = self.data["starts"]
        return {arm: {int(seed): name for seed, name in by.items()} for arm, by in kept.items()}

    @cached_property
    def shares(self) -> dict[float, int]:
        """The training examples, those held out included, of each share that is trained on."""
        rows, limit = int(self.data["sizes"]["train"]["rows"]), self.config.data.train_examples
        return kept_shares(self.config, min(rows, limit or rows), self.task.classes)

    def runs(self) -> list[TransferRun]:
        """Every run that the settings plan."""
        return plan_transfer(self.config, list(self.shares), self.starts)

    def run_folder(self, run: TransferRun) -> Path:
        """Where the run's record lies."""
        return self.folder / RUNS / run.name

    def encoder_folder(self, start: str) -> Path:
        """Where the encoder of a sharing run is kept."""
        return self.folder / CACHE / ENCODERS / start


def is_transfer(folder: Path) -> bool:
    """Whether the folder's config is that of a transfer, which has shares."""
    return settings.names(folder / CONFIG_FILE, "shares")


def check_no_transfer(folder: Path) -> None:
    """Raise UserError for the folder of a transfer, where another one, or a model, is wanted."""
    if is_transfer(folder):
        what = "this is the folder of a transfer, which keeps no models"
        raise UserError(what, str(folder), "give another folder")


def check_transfer_owner(folder: Path, config: TransferConfig, origin: Mapping[str, Any], starts: Starts) -> None:
    """Raise UserError where the folder is another transfer's, or data, encoder or sharing experiment have changed."""
    if not (folder / CONFIG_FILE).exists():
        return
    if not is_transfer(folder):
        raise UserError("this folder is not of a transfer", str(folder), "choose a new or empty --out folder")
    kept = TransferFolder.open(folder)
    theirs, ours = settings_of(kept.config), settings_of(config)
    changed = [f"{key} is {theirs.get(key)} there, {ours[key]} here" for key in ours if theirs.get(key) != ours[key]]
    if changed:
        what = f"this folder belongs to another config ({'; '.join(changed)})"
        raise UserError(what, str(folder), "choose another --out folder")
    stale = [name for name, now in origin.items() if kept.data["origin"][name] != now]
    if kept.starts != starts:
        stale.append("sharing experiment")
    if stale:
        what = f"the {stale[0]} has changed since this transfer began"
        raise UserError(what, str(folder), "choose another --out folder")
