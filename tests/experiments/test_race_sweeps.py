"""Races that train: resumed they decide the same, and what they ended early a grid does again."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supertickets.experiments import curves, lottery, sweeps
from supertickets.experiments.executors import InProcess
from supertickets.experiments.progress import Silent
from supertickets.experiments.records import Record
from supertickets.experiments.runs import TicketRun, TuneRun
from supertickets.experiments.workspace import Workspace
from tiny_sweeps import assert_same, config_of, run_all

RACE = ("strategy=race", "tickets.levels=[0.25, 0.5, 0.75]", "tickets.control_levels=[0.5]")


class Heard(Silent):
    """Progress that remembers what it was told of totals, runs and events."""

    def __init__(self) -> None:
        self.totals: list[int] = []
        self.names: list[str] = []
        self.lines: list[str] = []

    def plan(self, total_cost: float, total_runs: int, at_once: int = 1) -> None:
        """How much there is to do."""
        self.totals.append(total_runs)

    def revise(self, total_cost: float, total_runs: int) -> None:
        """How much there is to do now."""
        self.totals.append(total_runs)

    def done(self, name: str, cost: float, line: str) -> None:
        """One run has finished."""
        self.names.append(name)

    def say(self, line: str) -> None:
        """Something worth a line has happened."""
        self.lines.append(line)


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory, films: Path, tiny_bert_folder: Path) -> tuple[Path, list[Record]]:
    """A finished race of three levels and two seeds."""
    folder = tmp_path_factory.mktemp("race") / "out"
    return folder, run_all(folder, config_of(films, tiny_bert_folder, *RACE))


def test_a_race_leaves_the_runs_that_a_grid_leaves(raced: tuple[Path, list[Record]], records: list[Record]) -> None:
    """Its records have the names and numbers of a grid's on the same data, to the bit."""
    grid = {record.name: record for record in records}  # of two of the race's three levels
    shared = [record for record in raced[1] if record.name in grid]
    assert_same(shared, [grid[record.name] for record in shared])
    assert len(shared) >= 5 and {"full", "winning"} <= {record.kind for record in shared}


@pytest.mark.parametrize("fails_at", [2, 5, 8])
def test_a_killed_race_goes_on_as_it_would_have(
    fails_at: int, raced: tuple[Path, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after any number of runs, it resumes to the same runs with the same numbers."""
    folder, records = raced
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    kept = {record.name for record in records[:fails_at]}
    for path in (copy / "runs").iterdir():
        if path.name not in kept:
            shutil.rmtree(path)
    saved = Workspace.open(folder)

    def put_back(run: Any, place: Path) -> None:
        shutil.copytree(saved.run_folder(run), place / "runs" / run.name)

    monkeypatch.setattr(sweeps, "_perform_and_save", put_back)
    heard = Heard()
    again = sweeps.run_missing(Workspace.open(copy), InProcess(), 1, heard)
    assert_same(again, records)
    assert sorted(heard.names) == sorted(record.name for record in records[fails_at:])
    assert heard.totals[-1] == len(heard.names) and heard.totals == sorted(heard.totals, reverse=True)
    assert any(line.startswith(f"{fails_at} of ") for line in heard.lines)


def test_a_hopeless_run_is_ended_told_and_done_again_by_a_grid(
    tmp_path: Path, films: Path, tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record says where it was ended; it is in no choice; a grid on the same folder trains it to its end."""
    monkeypatch.setattr(curves, "is_hopeless", lambda task, rivals, *rest: len(rivals) == 2)
    short = ("strategy=race", "race.checkpoints=[0.4]", "tickets.levels=[0.25, 0.75]", "tickets.kinds=[winning]")
    config = config_of(films, tiny_bert_folder, *short, "tickets.control_levels=[0.25]")
    heard = Heard()
    folder = tmp_path / "out"
    records = sweeps.run_missing(Workspace.prepare(folder, config), InProcess(), 1, heard)
    (ended,) = [record for record in records if record.stopped is not None]
    whole = next(record for record in records if record.sparsity == 0.25)
    assert (ended.sparsity, ended.seed) == (0.75, 0) and 0.4 <= (ended.stopped or 0) < 0.6
    assert ended.cost.trained_examples < 0.7 * whole.cost.trained_examples
    assert whole.arrays["curve_shares"].tolist() == [0.4] and "curve_shares" not in records[1].arrays
    assert any("level 0.75 is stopped: its run of the first seed was hopeless" in line for line in heard.lines)
    run = TicketRun(TuneRun(config, 0), "winning", 0.75)
    grid = config_of(films, tiny_bert_folder, *short[2:], "tickets.control_levels=[0.25]")
    said = Heard()
    grown = sweeps.run_missing(Workspace.prepare(folder, grid), InProcess(), 1, said)
    assert "computing again: winning 0.75, seed 0: other settings ended its training early" in said.lines
    assert run.name in said.names and all(record.stopped is None for record in grown)


@pytest.mark.parametrize("setting", ["race.checkpoints=[0.2]", "race.tolerance=0.9"])
def test_a_run_stays_ended_only_under_settings_that_end_it(
    setting: str, tmp_path: Path, films: Path, tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both may change in a folder: then the run is done again; under the same ones it is kept."""
    # Whoever has rivals is behind them by 10 points.
    monkeypatch.setattr(
        curves, "is_hopeless", lambda task, rivals, share, ours, tolerance: bool(rivals) and tolerance < 0.1
    )
    short = ("strategy=race", "race.checkpoints=[0.4]", "tickets.levels=[0.25, 0.75]", "tickets.kinds=[winning]")
    config = config_of(films, tiny_bert_folder, *short, "tickets.control_levels=[0.25]", "seeds=[0]")
    folder, name = tmp_path / "out", TicketRun(TuneRun(config, 0), "winning", 0.75).name
    records = sweeps.run_missing(Workspace.prepare(folder, config), InProcess(), 1, Silent())
    assert [record.name for record in records if record.stopped is not None] == [name]
    same, other = Heard(), Heard()
    sweeps.run_missing(Workspace.open(folder), InProcess(), 1, same)
    assert same.names == []
    changed = config_of(films, tiny_bert_folder, *short, "tickets.control_levels=[0.25]", "seeds=[0]", setting)
    sweeps.run_missing(Workspace.prepare(folder, changed), InProcess(), 1, other)
    assert name in other.names
    assert any(line.startswith("computing again: winning 0.75, seed 0: other settings ended") for line in other.lines)


def test_a_watched_race_goes_on_without_a_rival_that_failed(
    tmp_path: Path, films: Path, tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first seed's less sparse ticket fails three times: the sparser one has the full model for its rival."""
    real = lottery.retrain

    def retrain(run: TicketRun, sweep: Workspace) -> Any:
        if (run.sparsity, run.seed) == (0.25, 0):
            raise RuntimeError("no memory")
        return real(run, sweep)

    monkeypatch.setattr(lottery, "retrain", retrain)
    short = ("strategy=race", "race.checkpoints=[0.4]", "tickets.levels=[0.25, 0.75]", "tickets.kinds=[winning]")
    config = config_of(films, tiny_bert_folder, *short, "tickets.control_levels=[0.25]")
    records = sweeps.run_missing(Workspace.prepare(tmp_path / "out", config), InProcess(), 1, Silent())
    found = [(record.kind, record.sparsity, record.seed) for record in records]
    assert found[:2] == [("full", 0.0, 0), ("full", 0.0, 1)]
    assert ("winning", 0.75, 0) in found and ("winning", 0.25, 0) not in found


def test_a_grown_race_counts_what_is_there(
    raced: tuple[Path, list[Record]], films: Path, tiny_bert_folder: Path, tmp_path: Path
) -> None:
    """One level more: all runs are there already, none is done again, and no level that has all its runs is stopped."""
    folder, records = raced
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    more = config_of(films, tiny_bert_folder, *RACE, "tickets.levels=[0.25, 0.4, 0.5, 0.75]")
    heard = Heard()
    grown = sweeps.run_missing(Workspace.prepare(copy, more), InProcess(), 1, heard)
    assert any(line.startswith(f"{len(records)} of ") and "are there already" in line for line in heard.lines)
    assert not {record.name for record in records} & {*heard.names}
    counts = Counter(record.sparsity for record in records if record.kind == "winning")
    for level in [level for level, count in counts.items() if count == 2]:
        assert not any(line.startswith(f"level {level:g} is stopped") for line in heard.lines)
    assert {record.name for record in records} <= {record.name for record in grown}


def test_the_order_in_which_workers_finish_decides_nothing(
    raced: tuple[Path, list[Record]], copied_race: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With three workers that take turns otherwise, the same runs are wanted."""
    folder, records = raced
    saved, copy = Workspace.open(folder), copied_race()

    def put_back(run: Any, place: Path) -> None:
        shutil.copytree(saved.run_folder(run), place / "runs" / run.name)

    monkeypatch.setattr(sweeps, "_perform_and_save", put_back)
    assert_same(sweeps.run_missing(Workspace.open(copy), InProcess(), 3, Silent()), records)


@pytest.fixture
def copied_race(raced: tuple[Path, list[Record]], tmp_path: Path) -> Callable[[], Path]:
    """Makes a copy of the race's folder without its runs."""

    def copy() -> Path:
        place = Path(shutil.copytree(raced[0], tmp_path / "copied"))
        shutil.rmtree(place / "runs")
        return place

    return copy
