"""The members of a soup: weights of single models, which wait on disk until they are averaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from transformers import PreTrainedModel

from supertickets import storage
from supertickets.config import Config
from supertickets.experiments.layout import MEMBERS
from supertickets.experiments.runs import Run, TicketRun, TuneRun, identity
from supertickets.learning.souping import State

WEIGHTS_FILE, CHECKSUM_FILE = "weights.safetensors", "weights.json"


def is_wanted(run: Run, config: Config) -> bool:
    """Whether a sweep with these settings keeps what this run has trained, as a soup will need it.

    The full models always are members. Which level's tickets are is known beforehand only where there is one;
    so at most two models a seed lie on disk. A baseline's runs, with settings of their own, never are.
    """
    if config.delivery.soup == "none" or identity(run.config) != identity(config):
        return False
    if isinstance(run, TuneRun):
        return True
    levels = config.tickets.levels
    return isinstance(run, TicketRun) and run.kind == "winning" and levels == (run.sparsity,) and not run.second


def keep(folder: Path, run: Run, model: PreTrainedModel) -> None:
    """Write a member's weights, their checksum last: a torn file never counts."""
    arrays = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    checksum = storage.write_arrays(_place(folder, run) / WEIGHTS_FILE, arrays)
    storage.write_sealed(seal(folder, run), {"sha256": checksum})


def weights(folder: Path, run: Run) -> State:
    """Read a member's weights; raises UserError where they do not have their checksum."""
    checksum = storage.read_sealed(seal(folder, run)).get("sha256", "none")  # which no file has
    arrays = storage.read_arrays(_place(folder, run) / WEIGHTS_FILE, sha256=checksum)
    return {name: torch.from_numpy(value.copy()) for name, value in arrays.items()}


def seal(folder: Path, run: Run) -> Path:
    """The file with the checksum, without which there is no member."""
    return _place(folder, run) / CHECKSUM_FILE


def drop(folder: Path, run: Run) -> None:
    """Remove what an earlier training of this run has left: it has been trained anew."""
    shutil.rmtree(_place(folder, run), ignore_errors=True)


def remove(folder: Path) -> None:
    """Free the disk of the members' weights, which are not needed once the soups are delivered."""
    shutil.rmtree(folder / MEMBERS, ignore_errors=True)


def _place(folder: Path, run: Run) -> Path:
    return folder / MEMBERS / run.name
