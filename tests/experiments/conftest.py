"""A finished tiny sweep, made once; tests that change its folder take a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from supertickets.config import Config
from supertickets.experiments.records import Record
from supertickets.experiments.workspace import Workspace
from tiny_sweeps import config_of, run_all, write_films


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv (40 rows) and test.csv (12 rows)."""
    return write_films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="session")
def config(films: Path, tiny_bert_folder: Path) -> Config:
    """Two seeds; winning tickets at 0.25 and 0.5, random and losing ones at 0.5: ten runs."""
    return config_of(films, tiny_bert_folder)


@pytest.fixture(scope="session")
def _swept(tmp_path_factory: pytest.TempPathFactory, config: Config) -> tuple[Path, list[Record]]:
    folder = tmp_path_factory.mktemp("sweep") / "out"
    return folder, run_all(folder, config)


@pytest.fixture(scope="session")
def records(_swept: tuple[Path, list[Record]]) -> list[Record]:
    """The ten records, in the plan's order."""
    return _swept[1]


@pytest.fixture(scope="session")
def swept(_swept: tuple[Path, list[Record]]) -> Workspace:
    """The finished sweep's workspace, to read only."""
    return Workspace.open(_swept[0])


@pytest.fixture
def copied(swept: Workspace, tmp_path: Path) -> Callable[[], Path]:
    """Makes a copy of the finished sweep's folder, with its files' times."""

    def copy() -> Path:
        return Path(shutil.copytree(swept.folder, tmp_path / "copied"))

    return copy
