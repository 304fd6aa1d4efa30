"""Sweeps of a few seconds: 40 made-up films, one short epoch, a random encoder of two layers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from supertickets import settings
from supertickets.config import Config
from supertickets.experiments.executors import InProcess
from supertickets.experiments.progress import Silent
from supertickets.experiments.records import Record
from supertickets.experiments.sweeps import run_missing
from supertickets.experiments.workspace import Workspace

SHORT = (
    "training.epochs=1",
    "training.batch_size=8",
    "training.learning_rate=0.01",
    "tickets.levels=[0.25, 0.5]",
    "tickets.control_levels=[0.5]",
    "seeds=[0, 1]",
    "strategy=grid",
)
# One tuned model and one ticket: the least that a result can be concluded from.
SHORTEST = (*SHORT[:3], "tickets.levels=[0.5]", "tickets.kinds=[winning]", "seeds=[0]")
TWO_SEEDS = (*SHORTEST[:-1], "seeds=[0, 1]")


def write_films(folder: Path, *, train: int = 40, report: int = 12) -> Path:
    """train.csv and test.csv with the columns review and stars (yes, no), not quite learnable; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", train), ("test", report)):
        lines = [
            f"the {name} movie {row} was {('good', 'bad')[row // 2 % 2]},{('no', 'yes')[row % 2]}"
            for row in range(rows)
        ]
        (folder / f"{name}.csv").write_text("\n".join(["review,stars", *lines]) + "\n", encoding="utf-8")
    return folder


def flags_of(films: Path, encoder: Path | str) -> list[str]:
    """The options of `find` for the films and an encoder."""
    files = ["--train", f"{films}/train.csv", "--test", f"{films}/test.csv"]
    return [*files, "--text", "review", "--label", "stars", "--encoder", str(encoder)]


def settings_of_flags(short: Sequence[str] = SHORT) -> list[str]:
    """The same settings on the command line."""
    return [word for setting in short for word in ("--set", setting)]


def config_of(films: Path, encoder: Path | str, *more: str, short: Sequence[str] = SHORT) -> Config:
    """The config of a tiny sweep; `more` reads as `--set` does."""
    own = {"train": f"{films}/train.csv", "test": f"{films}/test.csv", "text": "review", "label": "stars"}
    return settings.load(overrides=[*short, *more], flags={"data": own, "encoder": {"name": str(encoder)}})


def run_all(folder: Path, config: Config) -> list[Record]:
    """Prepare and run what is missing, in this process and on its one thread."""
    return run_missing(Workspace.prepare(folder, config), InProcess(), 1, Silent())


def assert_same(ours: Sequence[Record], theirs: Sequence[Record]) -> None:
    """The same runs with the same scores, sizes, settings and arrays, bit for bit."""
    assert [record.name for record in ours] == [record.name for record in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert (one.selection, one.report, one.size) == (other.selection, other.report, other.size), one.name
        assert (one.settings, one.cost.trained_examples) == (other.settings, other.cost.trained_examples)
        assert set(one.arrays) == set(other.arrays)
        for name, array in one.arrays.items():
            assert array.dtype == other.arrays[name].dtype
            assert np.array_equal(array, other.arrays[name]), f"{one.name}: {name}"


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Each file's time of change and checksum, by its path in the folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
