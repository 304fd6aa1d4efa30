"""What a delivered model knows of its task comes back from its folder, or from the sweep around it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from supertickets import UserError, settings, storage
from supertickets.config import Config, DataConfig
from supertickets.data.tasks import Task, known
from supertickets.experiments.layout import CONFIG_FILE, DATA_FILE, TASK_FILE
from supertickets.experiments.reading import Reading

FILMS = Task("films", "classification", ("no", "yes"), ("accuracy",))
OWN = Config(data=DataConfig(train="a.csv", test="b.csv", text="review", text_pair="reply"))
FOUND = Reading(FILMS, False, "review", "reply", 128)


def test_own_data_and_known_tasks() -> None:
    """Own columns as the config names them, a known task's as published, the demo's are own ones."""
    assert Reading.of(OWN, FILMS) == FOUND
    rte = known("rte").task
    config = Config(data=DataConfig(task="RTE", folder="glue"))
    assert Reading.of(config, rte) == Reading(rte, True, "sentence1", "sentence2", 128)
    assert Reading.of(Config(data=DataConfig(task="sst2")), known("sst2").task).text_pair is None
    assert not Reading.of(Config(data=DataConfig(task="movie-reviews")), FILMS).known
    assert not Reading.of(Config(data=DataConfig(task="rte", train="a", test="b")), FILMS).known


def test_it_goes_through_its_file(tmp_path: Path) -> None:
    """Written and read back it is equal; a folder without one has none."""
    assert Reading.beside(tmp_path) is None
    storage.write_json(tmp_path / TASK_FILE, FOUND.to_dict())
    assert Reading.beside(tmp_path) == FOUND


def test_a_super_ticket_of_before_asks_its_sweep(tmp_path: Path) -> None:
    """Without the file, config and data of the sweep say it, but only to the sweep's own super ticket."""
    (tmp_path / "super_ticket").mkdir()
    (tmp_path / "other").mkdir()
    storage.write_text(tmp_path / CONFIG_FILE, settings.dump(OWN))
    storage.write_json(tmp_path / DATA_FILE, {"task": FOUND.to_dict()["task"]})
    assert Reading.beside(tmp_path / "super_ticket") == FOUND
    assert Reading.beside(tmp_path / "other") is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "other"}, "its format is 'other', expected 'supertickets task 1'"),
        ({"task": {}}, r"not a task \('labels'\)"),
        ({"known": True}, "not a known task: films"),
    ],
)
def test_a_damaged_file(change: dict[str, object], sentence: str, tmp_path: Path) -> None:
    """One sentence that names the file."""
    storage.write_json(tmp_path / TASK_FILE, replace(FOUND).to_dict() | change)
    with pytest.raises(UserError, match=sentence) as caught:
        Reading.beside(tmp_path)
    assert caught.value.where == str(tmp_path / TASK_FILE)
