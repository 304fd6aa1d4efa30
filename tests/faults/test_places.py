"""Places that cannot be written, full disks, and clocks that go back."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supertickets.cli.app import main
from supertickets.experiments.records import load_all
from tiny_sweeps import TWO_SEEDS, assert_same, flags_of, settings_of_flags, snapshot


def mounted(*command: str) -> None:
    """Mount something; skips where this user may not."""
    if os.geteuid() or not shutil.which("mount") or subprocess.run(["mount", *command], check=False).returncode:
        pytest.skip("needs to mount: no right to")


@pytest.fixture
def read_only(sweep: Path) -> Iterator[Path]:
    """The folder around a finished sweep, where nothing can be written: for root, too, hence a mount."""
    folder = sweep.parent
    mounted("--bind", str(folder), str(folder))
    subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted("-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def find(out: Path, finished: Path, encoder: Path) -> list[str]:
    """The command of the finished sweep, into another folder."""
    line = ["find", *flags_of(finished.parent / "films", encoder), "--workers", "1", "--out", str(out)]
    return [*line, *settings_of_flags(TWO_SEEDS)]


def test_a_read_only_folder(
    read_only: Path, finished: Path, tiny_bert_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new sweep in it, a resumed one, a report, an export, predictions, a config: one sentence each."""
    sweep, texts, before = read_only / "sweep", str(finished.parent / "films" / "test.csv"), snapshot(read_only)
    lines = [
        find(read_only / "new", finished, tiny_bert_folder),
        find(sweep, finished, tiny_bert_folder),
        ["report", str(sweep)],
        ["export", str(sweep), "--out", str(read_only / "exported")],
        ["predict", str(sweep), texts, "--out", str(read_only / "out.csv")],
        ["init", str(read_only / "new.yaml")],
    ]
    for line in lines:
        assert main(line) == 2, line
        out, err = capsys.readouterr()
        told = [text for text in err.splitlines() if text.startswith("error: ")]
        assert len(told) == 1 and "Traceback" not in err and out == "", err
        assert "ead-only" in told[0] and str(read_only) in told[0]
    assert main(["show", str(sweep)]) == 0
    assert snapshot(read_only) == before


@pytest.mark.slow
def test_a_disk_that_is_full_at_many_sizes(
    disk: Path, finished: Path, tiny_bert_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a dozen sizes in turn the sweep stops with one sentence and keeps what it has; with space it ends equal."""
    rng, out, kept = random.Random(0), disk / "out", 0
    sizes = sorted({32, *(rng.randrange(40, 1500) for _ in range(11))})
    for size in sizes:
        subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True)
        assert main(find(out, finished, tiny_bert_folder)) == 2, size
        out_, err = capsys.readouterr()
        assert out_ == "" and err.count("error: ") == 1 and "no space left" in err.splitlines()[-1], err
        assert not list(out.rglob("*.partial"))
        done = len(load_all(out))
        assert done >= kept
        kept = done
    subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
    assert main(find(out, finished, tiny_bert_folder)) == 0
    assert_same(load_all(out), load_all(finished))


def test_a_clock_that_goes_back(
    sweep: Path, finished: Path, tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock runs backwards from ten years ago, files are dated at random: the missing run is done as before."""
    rng, clock = random.Random(0), iter(range(1_400_000_000, 0, -3600))
    shutil.rmtree(next(sweep.glob("runs/winning-0.5-s1-*")))
    for path in sweep.rglob("*"):
        os.utime(path, (stamp := rng.randrange(2**31), stamp))
    before = {name: file for name, file in snapshot(sweep).items() if name.startswith("runs/")}
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock) * 10**9)
    assert main(find(sweep, finished, tiny_bert_folder)) == 0
    monkeypatch.undo()
    assert_same(load_all(sweep), load_all(finished))
    after = snapshot(sweep)
    assert {name: after[name] for name in before} == before, "a finished run was touched"
