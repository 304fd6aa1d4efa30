"""What the tests of faults share: a finished sweep, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import supertickets
from supertickets.encoders import checkpoints
from supertickets.errors import UserError
from tiny_sweeps import TWO_SEEDS, write_films


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path) -> Path:
    """A finished sweep of two seeds, with its super ticket and its report; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    films = write_films(folder / "films")
    supertickets.find(
        train=f"{films}/train.csv",
        test=f"{films}/test.csv",
        text="review",
        label="stars",
        encoder=str(tiny_bert_folder),
        out=folder / "sweep",
        workers=1,
        set=TWO_SEEDS,
    )
    return folder / "sweep"


@pytest.fixture
def sweep(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished sweep, the test's own."""
    return Path(shutil.copytree(finished, tmp_path / "sweep"))


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch, tiny_bert_folder: Path, finished: Path) -> Iterator[None]:
    """Sweeps stop where the first training would start, and the embedded demo is a tiny encoder without data."""

    def stop(*_: object, **__: object) -> object:
        raise UserError("nothing is trained here")

    monkeypatch.setattr("supertickets.experiments.sweeps.perform", stop)
    monkeypatch.setattr("supertickets.data.files.embedded_demo", stop)
    tiny: Callable[[], Path] = lambda: tiny_bert_folder  # noqa: E731
    monkeypatch.setattr(checkpoints, "ALIASES", {"minilm": tiny, "mpnet": tiny})
    yield
