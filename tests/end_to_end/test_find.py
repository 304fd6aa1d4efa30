"""The main job from the command line, from files to the sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from supertickets.cli.app import main
from supertickets.experiments.records import load_all
from tiny_sweeps import SHORTEST, flags_of, settings_of_flags, snapshot

SHORT_LINE = ["--workers", "1", *settings_of_flags(SHORTEST)]


def test_find_on_own_files(films: Path, tiny_bert_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0; stdout is the sentence and the report's place; stderr tells each run; everything is in the folder."""
    out = films.parent / "out"
    line = ["find", *flags_of(films, tiny_bert_folder), "--out", str(out), *SHORT_LINE]
    assert main(line) == 0
    stdout, stderr = capsys.readouterr()
    sentence, report = stdout.splitlines()
    assert "super ticket" in sentence or "No ticket beats the full model" in sentence
    assert sentence.endswith(".") and "keeps " in sentence and " % of the weights, scores " in sentence
    assert "1 seed, so the interval counts examples only" in sentence and "times as fast" in sentence
    assert report == str(out / "report.html") and sentence.split(",")[0] in Path(report).read_text(encoding="utf-8")
    steps = stderr.splitlines()
    assert [step.split(":")[0] for step in steps] == [
        "preparing the data", "32 examples to train on and 8 to choose by, 12 to report on",
        "[1/2] full, seed 0", "[2/2] winning 0.5, seed 0",
        "training the super ticket once more, to keep its model, and timing it",
    ]  # fmt: skip
    names = {path.name for path in out.iterdir()}
    assert names >= {"config.yaml", "data.json", "runs", "tickets", "super_ticket", "report.html", "outcome.json"}
    assert not list(out.rglob("*.partial"))

    before = snapshot(out / "runs") | snapshot(out / "super_ticket")
    assert main(line) == 0
    again, stderr = capsys.readouterr()
    assert again == stdout and stderr.splitlines()[2:] == ["2 of 2 runs are there already"]
    assert snapshot(out / "runs") | snapshot(out / "super_ticket") == before

    assert main(["show", str(out)]) == 0
    shown = capsys.readouterr().out
    assert sentence in shown and shown.splitlines()[-1].split() == ["missing", "nothing"]


def test_find_on_a_known_task(
    glue: Path, tiny_bert_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """RTE by its name and folder, with 32 training and 16 report examples."""
    line = ["find", "rte", "--data", str(glue), "--encoder", str(tiny_bert_folder), "--out", str(tmp_path / "rte")]
    few = ["data.train_examples=32", "data.report_examples=16", "encoder.max_length=32"]
    assert main([*line, *SHORT_LINE, *settings_of_flags(few)]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(".")
    full, winning = load_all(tmp_path / "rte")
    assert (full.kind, winning.kind, full.report.n, full.settings["data.task"]) == ("full", "winning", 16, "rte")


def test_report_on_an_unfinished_sweep(films: Path, tiny_bert_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sweep that lacks a run still gets its page, and `show` names the run."""
    out = films.parent / "out"
    assert main(["find", *flags_of(films, tiny_bert_folder), "--out", str(out), *SHORT_LINE]) == 0
    next((out / "runs").glob("winning-*/record.json")).unlink()
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0 and (out / "report.html").is_file()
    assert main(["show", str(out)]) == 0
    assert "winning 0.5 seed 0" in capsys.readouterr().out.splitlines()[-1]
