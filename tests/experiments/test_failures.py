"""A run that fails is tried again, then left out with its error; the sweep goes on and says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from supertickets import storage
from supertickets.cli.app import main
from supertickets.config import Config
from supertickets.errors import UserError
from supertickets.experiments import failures, sweeps
from supertickets.experiments.executors import InProcess, executor
from supertickets.experiments.failures import (
    ATTEMPTS,
    DistantError,
    Failure,
    all_failures,
    forget,
    last_line,
    missing_words,
)
from supertickets.experiments.progress import Silent
from supertickets.experiments.records import Record
from supertickets.experiments.runs import Run
from supertickets.experiments.sweeps import run_missing
from supertickets.experiments.workspace import Workspace
from supertickets.workflows.reporting import report
from supertickets.workflows.showing import show
from tiny_sweeps import SHORTEST, assert_same, flags_of, settings_of_flags


class Told(Silent):
    """Progress that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Something worth a line has happened."""
        self.lines.append(line)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Run, int], None]], list[str]]:
    """Makes `perform` call a function first, with the run and how often it was asked for; returns the names asked."""

    def install(first: Callable[[Run, int], None]) -> list[str]:
        names: list[str] = []
        perform = sweeps.perform

        def performed(run: Run, sweep: Workspace) -> Any:
            names.append(run.name)
            first(run, names.count(run.name))
            return perform(run, sweep)

        monkeypatch.setattr(sweeps, "perform", performed)
        return names

    return install


def without(folder: Path, records: list[Record]) -> None:
    """Remove the runs of these records."""
    for record in records:
        shutil.rmtree(folder / "runs" / record.name)


def test_a_run_that_fails_twice_is_as_good_as_any(
    copied: Callable[[], Path], records: list[Record], asked: Any
) -> None:
    """The third attempt counts; each setback is told; nothing of it stays."""
    folder, told = copied(), Told()
    without(folder, records[-1:])

    def fail_twice(run: Run, time: int) -> None:
        if time < ATTEMPTS:
            raise RuntimeError(f"attempt {time}")

    names = asked(fail_twice)
    assert_same(run_missing(Workspace.open(folder), InProcess(), 1, told), records)
    assert names == [records[-1].name] * 3
    assert "losing 0.5, seed 1: trying again after RuntimeError: attempt 2" in told.lines
    assert not list(folder.rglob("failed.json"))


def test_a_run_that_always_fails_is_left_out(
    copied: Callable[[], Path], records: list[Record], config: Config, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept with its traceback, told, shown and reported; others are done; the next call tries it again."""
    folder, told = copied(), Told()
    without(folder, records[-2:])
    bad = records[-2].name

    def fail(run: Run, time: int) -> None:
        if run.name == bad:
            raise ValueError("a bad <script> weight\nin line 2")

    names = asked(fail)
    found = run_missing(Workspace.open(folder), InProcess(), 1, told)
    assert [record.name for record in found] == [record.name for record in records if record.name != bad]
    assert names == [bad] * 3 + [records[-1].name]
    kept = storage.read_json(folder / "runs" / bad / "failed.json")
    assert (kept["name"], kept["error"], kept["attempts"]) == (bad, "in line 2", 3)
    assert "Traceback" in kept["traceback"] and "a bad <script> weight" in kept["traceback"]
    assert "losing 0.5, seed 0: failed 3 times, left out: in line 2" in told.lines
    shown = show(folder)
    assert dict(shown.rows)["failed"] == f"{bad}: in line 2" and "losing 0.5 seed 0" in shown.missing

    page = report(folder).read_text(encoding="utf-8")
    assert f"{bad} failed: in line 2" in page and "1 planned run is missing, 1 of them failed." in page
    assert storage.read_json(folder / "outcome.json")["sentence"].endswith(
        "1 planned run is missing, 1 of them failed."
    )

    monkeypatch.undo()
    assert_same(run_missing(Workspace.open(folder), InProcess(), 1, Silent()), records)
    assert not list(folder.rglob("failed.json")) and dict(show(folder).rows)["failed"] == ""


def test_tickets_of_a_lost_tuned_model_are_skipped(
    copied: Callable[[], Path], records: list[Record], asked: Any
) -> None:
    """Its seed's tickets are left out in one sentence; the other seed goes on."""
    folder, told = copied(), Told()
    shutil.rmtree(folder / "runs")

    def fail(run: Run, time: int) -> None:
        if run.kind == "full" and run.seed == 0:
            raise RuntimeError("lost")

    asked(fail)
    found = run_missing(Workspace.open(folder), InProcess(), 1, told)
    assert_same(found, [record for record in records if record.seed == 1])
    assert "full, seed 0: the 4 tickets drawn from it are skipped" in told.lines
    assert report(folder).is_file()
    assert storage.read_json(folder / "outcome.json")["sentence"].endswith(
        " 5 planned runs are missing, 1 of them failed."
    )


def test_old_failures_do_not_decide_a_race(tmp_path: Path) -> None:
    """A level whose failed seed is not run again, as it was stopped meanwhile, is no finalist with fewer seeds."""
    for name in ("winning-0.6-s2-x", "full-s0-x"):
        storage.write_json(tmp_path / "runs" / name / "failed.json", asdict(Failure(name, "E", 3, "T")))
    (tmp_path / "runs" / "full-s0-x" / "log").touch()
    forget(tmp_path)
    assert all_failures(tmp_path) == {} and (tmp_path / "runs" / "full-s0-x" / "log").exists()


def test_bad_input_stops_at_once(copied: Callable[[], Path], records: list[Record], asked: Any) -> None:
    """A full disk, or whatever else a user can mend, is no failure of the run: one attempt, no failed.json."""
    folder = copied()
    without(folder, records[-2:])

    def full(run: Run, time: int) -> None:
        raise UserError("no space left on the disk")

    names = asked(full)
    with pytest.raises(UserError, match="no space left"):
        run_missing(Workspace.open(folder), InProcess(), 1, Silent())
    assert len(names) == 1 and not list(folder.rglob("failed.json"))


def test_when_all_fail_the_command_says_so(
    films: Path, tiny_bert_folder: Path, tmp_path: Path, asked: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence with the first error and where the tracebacks are, exit code 2, no traceback."""

    def fail(run: Run, time: int) -> None:
        raise RuntimeError("CUDA error")

    asked(fail)
    out = tmp_path / "out"
    line = ["find", *flags_of(films, tiny_bert_folder), "--out", str(out), "--workers", "1"]
    assert main([*line, *settings_of_flags(SHORTEST)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {out}/runs: nothing to conclude: 1 runs failed, full-s0-")
    assert last.endswith(
        "with RuntimeError: CUDA error; mend the cause and run the same command again; "
        "failed.json in each run's folder has the traceback"
    )


def test_worker_processes_bring_their_errors(copied: Callable[[], Path], records: list[Record]) -> None:
    """In two processes: an error of a worker is recorded with the worker's own traceback."""
    folder = copied()
    without(folder, records[-1:])
    (folder / "cache" / "report" / "dataset_info.json").write_text("{", encoding="utf-8")
    with executor(2) as pool:
        found = run_missing(Workspace.open(folder), pool, 2, Silent())
    assert len(found) == 9
    kept = storage.read_json(folder / "runs" / records[-1].name / "failed.json")
    assert kept["attempts"] == 3 and "_perform_and_save" in kept["traceback"] and "JSONDecodeError" in kept["error"]


def test_a_failure_is_the_error_s_last_line() -> None:
    """Errors of this machine and of another have a line and what Python printed; a torn file is one sentence."""
    assert last_line(ValueError("x")) == "ValueError: x" and last_line(KeyError()) == "KeyError"
    assert Failure.of("run", DistantError("line", "printed"), 2) == Failure("run", "line", 2, "printed")
    assert missing_words([], 0) == "" and missing_words(["a", "b"], 0) == " 2 planned runs are missing."
    assert missing_words(["a"], 0, 5) == " 1 planned run is missing; the race may want 5 more."


def test_a_failure_that_is_damaged_is_one_sentence(tmp_path: Path) -> None:
    """A `failed.json` of another form is named."""
    storage.write_json(tmp_path / "runs" / "a" / "failed.json", {"name": "a"})
    with pytest.raises(UserError, match=r"failed\.json: not a failure"):
        failures.failures(tmp_path, ["a", "b"])
