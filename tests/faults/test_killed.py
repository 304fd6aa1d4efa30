"""Sweeps that are killed at random moments, started twice on one folder, or out of space end as if undisturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny_sweeps import TWO_SEEDS, flags_of, settings_of_flags, write_films

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SCRIPT = Path(__file__).with_name("forked.py")
KILLS = int(os.environ.get("SUPERTICKETS_KILLS", "30"))
SEED = os.environ.get("SUPERTICKETS_KILL_SEED", "0")
Disturb = Callable[[str, int], list[dict[str, Any]]]


@pytest.fixture
def disturb(tmp_path: Path, tiny_bert_folder: Path) -> Disturb:
    """Runs the script in one of its ways and returns what it told of each try."""

    def run(kind: str, count: int) -> list[dict[str, Any]]:
        films = write_films(tmp_path / "films")
        line = ["find", *flags_of(films, tiny_bert_folder), "--workers", "1", *settings_of_flags(TWO_SEEDS)]
        command = [sys.executable, str(SCRIPT), kind, str(tmp_path / kind), str(count), SEED, *line]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(text) for text in done.stdout.splitlines()]

    return run


def test_kills_at_random_moments(disturb: Disturb, record_property: Callable[[str, object], None]) -> None:
    """Killed at moments spread over the whole sweep, each resumed sweep has the undisturbed one's records."""
    tries = disturb("kill", KILLS)
    survived = [one for one in tries if one["code"] == 0 and not one["differs"]]
    record_property("tries", len(tries))
    record_property("survived", len(survived))
    assert len(tries) == KILLS
    assert survived == tries, [one for one in tries if one not in survived]
    assert KILLS < 10 or len({one["records"] for one in tries}) >= 3, "all struck at the same place"


def test_two_sweeps_on_one_folder(disturb: Disturb, record_property: Callable[[str, object], None]) -> None:
    """One of them works, the other is told which process does and ends with 2; nothing is done twice."""
    tries = disturb("two", 5)
    good = [one for one in tries if one["codes"] == [0, 2] and "in use by" in one["told"][0] and not one["differs"]]
    record_property("tries", len(tries))
    record_property("survived", len(good))
    assert good == tries


def test_files_of_few_bytes_only(disturb: Disturb, record_property: Callable[[str, object], None]) -> None:
    """Where the system cuts writes off, at whatever size: one sentence, no torn file; with space it goes on."""
    *tries, last = disturb("space", 1)
    good = [one for one in tries if one["code"] in (0, 2) and not one["trace"] and not one["left"]]
    good = [one for one in good if one["code"] == 0 or [word for word in one["told"] if "no space left" in word]]
    record_property("tries", len(tries) + 1)
    record_property("survived", len(good) + (last["code"] == 0 and not last["differs"]))
    assert good == tries
    assert all(len(one["told"]) == (one["code"] == 2) for one in tries)
    assert {one["code"] for one in tries[:3]} == {2}
    assert last == {"most": None, "code": 0, "differs": ""}
