"""DDP: a sweep whose runs two processes train together has the results of one process."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from supertickets import storage
from supertickets.experiments.plans import plan
from supertickets.experiments.records import Record
from tiny_sweeps import SHORTEST, config_of, flags_of, run_all, settings_of_flags, write_films

TOLERANCE = 1e-5  # of a logit, in fp32 without dropout; docs/cluster.md states it
SETTINGS = (*SHORTEST, "training.epochs=2", "training.head_dropout=0", "training.precision=fp32")


@pytest.fixture
def still(tiny_bert_folder: Path, tmp_path: Path) -> Path:
    """The tiny encoder without dropout, which processes draw differently."""
    folder = Path(shutil.copytree(tiny_bert_folder, tmp_path / "still"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def launch(*words: str) -> subprocess.CompletedProcess[str]:
    """`accelerate launch` of the command, in two processes on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command = [*launcher, "--main_process_port", port, "-m", "supertickets", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.slow
def test_two_processes_have_the_results_of_one(still: Path, tmp_path: Path) -> None:
    """Equal logits to 1e-5 and equal scores with an uneven last batch; records and lines are written once."""
    films = write_films(tmp_path / "more", train=43)  # 35 to train on: four batches of 8 and one of 3
    out = tmp_path / "out"
    done = launch("find", *flags_of(films, still), "--out", str(out), *settings_of_flags(SETTINGS))
    assert done.returncode == 0, done.stderr
    config = config_of(films, still, short=SETTINGS)
    alone = run_all(tmp_path / "alone", config)
    for run, expected in zip(plan(config), alone, strict=True):
        found = Record.load(out / "runs" / run.name)
        assert (found.provenance["processes"], "processes" in expected.provenance) == (2, False)
        assert (found.selection, found.report) == (expected.selection, expected.report)
        assert found.cost.trained_examples == expected.cost.trained_examples == 70
        assert np.array_equal(found.arrays["heads"], expected.arrays["heads"])
        for name in ("selection_predictions", "report_predictions"):
            assert np.abs(found.arrays[name] - expected.arrays[name]).max() < TOLERANCE, name
    lines = done.stderr.splitlines()
    assert sum(line.startswith("[1/2] full, seed 0") for line in lines) == 1
    assert sum(line == "preparing the data" for line in lines) == 1
    assert len(done.stdout.splitlines()) == 2 and done.stdout.splitlines()[0].endswith(".")
    assert (out / "super_ticket" / "model.safetensors").is_file()
    assert storage.read_json(out / "outcome.json")["missing"] == [] and not list(out.rglob("*.partial"))


@pytest.mark.slow
def test_an_uneven_batch_is_one_sentence(films: Path, tiny_bert_folder: Path, tmp_path: Path) -> None:
    """Said once, before anything is written."""
    words = [
        "find",
        *flags_of(films, tiny_bert_folder),
        "--out",
        str(tmp_path / "out"),
        "--set",
        "training.batch_size=7",
    ]
    done = launch(*words)
    assert done.returncode != 0 and done.stderr.count("error: training.batch_size: a batch of 7 cannot be shared") == 1
    assert not (tmp_path / "out").exists()
