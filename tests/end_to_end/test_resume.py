"""A sweep that was killed, wherever that was, resumes to the numbers of one that was not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import supertickets
from supertickets import storage
from supertickets.experiments.plans import plan
from supertickets.experiments.records import Record, load_all
from tiny_sweeps import SHORT, assert_same, config_of, flags_of, run_all, settings_of_flags

Place = tuple[str, int]

SCRIPT = Path(__file__).with_name("killed_again_and_again.py")
# One seed: a tuned model, a winning and a random ticket.
THREE_RUNS = (*SHORT[:3], "tickets.levels=[0.5]", "tickets.kinds=[winning, random]", "seeds=[0]")
# An attempt first writes lock, data.json and config.yaml (the tokens, too, when there are none), then two files a
# ticket and two a record; at last the super ticket's five, its speed, a figure, outcome and page.
FEW: list[Place] = [
    ("write", 3),  # the tokens
    ("write", 7),  # config.yaml
    ("step", 2),  # tuning
    ("write", 5),  # the tuned model's record
    ("write", 8),  # the winning ticket's arrays
    ("write", 7),  # its record
    ("write", 10),  # the random ticket's arrays
    ("write", 15),  # the super ticket's folder (a first report is there already)
    ("write", 12),  # its speed
    ("write", 17),  # the last report (the old super ticket moves away first)
]
KILLED = [
    "cache/train",
    "config.yaml",
    "training_step",
    "runs/full/record.json",
    "runs/winning-0.5/arrays.safetensors",
    "runs/winning-0.5/record.json",
    "runs/random-0.5/arrays.safetensors",
    "super_ticket",
    "speedup.json",
    "report.html",
]
MANY: list[Place] = [
    *[("write", count) for count in range(1, 8)],
    ("step", 2),
    *[("write", count) for count in (4, 6, 7)],
    ("step", 3),
    *[("write", count) for count in (6, 7, 4, 5, 7, 8, 9, 10)],
]


@pytest.mark.parametrize("places", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"])
def test_killed_at_many_places(places: list[Place], films: Path, tiny_bert_folder: Path, tmp_path: Path) -> None:
    """Killed many times, while preparing, training, writing, delivering and reporting: the same to the bit."""
    out, whole = tmp_path / "killed", tmp_path / "whole"
    line = ["find", *flags_of(films, tiny_bert_folder), "--out", str(out), "--workers", "1"]
    command = [sys.executable, str(SCRIPT), str(out), json.dumps(places), *line, *settings_of_flags(THREE_RUNS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    *lines, sentence, _ = done.stdout.splitlines()
    assert sentence.endswith(".")
    killed = [line.removeprefix("killed before ") for line in lines if line.startswith("killed before ")]
    if places is FEW:
        assert [re.sub(r"-s0-[0-9a-f]{8}", "", place) for place in killed] == KILLED
    assert "Traceback" not in done.stderr

    config = config_of(films, tiny_bert_folder, short=THREE_RUNS)
    expected = run_all(whole, config)
    found = [Record.load(out / "runs" / run.name) for run in plan(config)]
    assert_same(found, expected)
    for run in plan(config)[1:]:
        ours, theirs = (storage.read_arrays(f / "tickets" / run.name / "ticket.safetensors") for f in (out, whole))
        assert set(ours) == set(theirs) and all((ours[name] == theirs[name]).all() for name in ours)
    supertickets.load(out / "super_ticket")
    assert not list(out.rglob("*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_real_kill(workers: str, films: Path, tiny_bert_folder: Path, tmp_path: Path) -> None:
    """The command itself, in one and in two workers, killed from outside once it has a record, then run again."""
    out = tmp_path / "killed"
    options = [*flags_of(films, tiny_bert_folder), "--out", str(out), "--workers", workers, *settings_of_flags(SHORT)]
    command = [sys.executable, "-m", "supertickets", "find", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as sweep:
        deadline = time.monotonic() + 120
        while not list(out.glob("runs/*/record.json")) and time.monotonic() < deadline and sweep.poll() is None:
            time.sleep(0.02)
        os.kill(sweep.pid, signal.SIGKILL)
    time.sleep(3)  # workers notice
    before = load_all(out)
    assert 0 < len(before) < 10
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(before)} of 10 runs are there already" in done.stderr
    config = config_of(films, tiny_bert_folder)
    expected = run_all(tmp_path / "whole", config)
    assert_same([Record.load(out / "runs" / run.name) for run in plan(config)], expected)
