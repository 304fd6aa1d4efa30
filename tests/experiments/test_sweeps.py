"""Run what is missing: nothing twice, nothing lost, the same numbers whatever happened in between."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from supertickets.config import Config
from supertickets.encoders.families import structures_of
from supertickets.errors import UserError
from supertickets.experiments import sweeps
from supertickets.experiments.bench import Result
from supertickets.experiments.executors import InProcess
from supertickets.experiments.interrupts import STOPPING, patient
from supertickets.experiments.plans import plan
from supertickets.experiments.progress import Progress, Silent
from supertickets.experiments.records import ARRAYS_FILE, RECORD_FILE, Record, load_all
from supertickets.experiments.runs import Run, TuneRun
from supertickets.experiments.workspace import Workspace
from supertickets.tickets.ticket import Ticket
from tiny_sweeps import assert_same, config_of, run_all, snapshot


class Heard(Silent):
    """Progress that remembers."""

    def __init__(self) -> None:
        self.plans: list[tuple[float, int]] = []
        self.names: list[str] = []
        self.lines: list[str] = []

    def plan(self, total_cost: float, total_runs: int, at_once: int = 1) -> None:
        """How much there is to do."""
        self.plans.append((total_cost, total_runs))

    def done(self, name: str, cost: float, line: str) -> None:
        """One run has finished."""
        self.names.append(name)
        self.lines.append(line)

    def say(self, line: str) -> None:
        """Something worth a line has happened."""
        self.lines.append(line)


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever trains, fails."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a run was performed")

    monkeypatch.setattr(sweeps, "perform", refuse)


def test_a_sweep_has_its_plan_s_records(records: list[Record], config: Config) -> None:
    """One record for each planned run, in the plan's order: 2 full, 4 winning, 2 random, 2 losing."""
    assert [record.name for record in records] == [run.name for run in plan(config)]
    kinds = [record.kind for record in records]
    assert {kind: kinds.count(kind) for kind in kinds} == {"full": 2, "winning": 4, "random": 2, "losing": 2}


def test_each_ticket_s_run_leaves_a_ticket(swept: Workspace, records: list[Record], config: Config) -> None:
    """Every ticket's folder loads, holds its record's mask, and fits the encoder; full models leave none."""
    structures = structures_of(swept.rewind_point(0).model())
    runs = {run.name: run for run in plan(config)}
    assert sorted(path.name for path in (swept.folder / "tickets").iterdir()) == sorted(
        record.name for record in records if record.kind != "full"
    )
    for record in records:
        if record.kind != "full":
            ticket = Ticket.load(swept.ticket_folder(runs[record.name]))
            ticket.check_fits(structures)
            assert (ticket.kind, ticket.sparsity, ticket.seed) == (record.kind, record.sparsity, record.seed)
            assert np.array_equal(ticket.mask.heads, record.arrays["heads"])
            assert np.array_equal(ticket.mask.ffn, record.arrays["ffn"])


def test_runs_in_flight_are_marked_and_ctrl_c_waits_for_them(
    copied: Callable[[], Path], records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a run is worked on its mark lies in the folder; Ctrl-C in it lets it be written, and starts no other."""
    folder, perform, seen = copied(), sweeps.perform, list[list[str]]()
    shutil.rmtree(folder / "runs")

    def interrupted(run: Run, sweep: Workspace) -> Result:
        seen.append([mark.name for mark in folder.glob(".*.running.partial")])
        signal.raise_signal(signal.SIGINT)
        return perform(run, sweep)

    monkeypatch.setattr(sweeps, "perform", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    heard = Heard()
    try:
        with pytest.raises(KeyboardInterrupt), patient(heard.say):
            sweeps.run_missing(Workspace.open(folder), InProcess(), 1, heard)
    finally:
        signal.signal(signal.SIGINT, before)
    (done,) = load_all(folder)
    assert seen == [[f".{done.name}.running.partial"]] and STOPPING in heard.lines
    assert not list(folder.glob(".*.running.partial"))


@pytest.mark.usefixtures("no_training")
def test_a_finished_record_is_never_recomputed(copied: Callable[[], Path], records: list[Record]) -> None:
    """Run again, a finished sweep trains nothing and touches no file of runs and tickets."""
    folder = copied()
    before, heard = snapshot(folder), Heard()
    again = sweeps.run_missing(Workspace.open(folder), InProcess(), 1, heard)
    assert snapshot(folder) == before
    assert_same(again, records)
    assert heard.plans == [(0.0, 0)] and heard.names == [] and heard.lines == ["10 of 10 runs are there already"]


def test_more_levels_reuse_what_is_there(
    copied: Callable[[], Path], films: Path, tiny_bert_folder: Path, records: list[Record]
) -> None:
    """A level more on the same folder: its two runs are trained, the ten old ones stay as they are to the byte."""
    folder = copied()
    runs = {name: file for name, file in snapshot(folder).items() if name.startswith(("runs/", "tickets/"))}
    more = config_of(films, tiny_bert_folder, "tickets.levels=[0.25, 0.5, 0.75]")
    heard = Heard()
    sweep = Workspace.prepare(folder, more)
    grown = sweeps.run_missing(sweep, InProcess(), 1, heard)
    after = snapshot(folder)
    assert {name: after[name] for name in runs} == runs
    new = [record for record in grown if record.sparsity == 0.75]
    assert heard.names == [record.name for record in new] and len(new) == 2
    assert_same([record for record in grown if record not in new], records)


def test_fewer_levels_lose_nothing(
    copied: Callable[[], Path], films: Path, tiny_bert_folder: Path, records: list[Record]
) -> None:
    """A smaller extent reads what it plans, and the other records stay."""
    folder = copied()
    fewer = config_of(films, tiny_bert_folder, "tickets.levels=[0.5]", "tickets.kinds=[winning]", "seeds=[1, 0]")
    found = run_all(folder, fewer)
    assert [(record.kind, record.seed) for record in found] == [
        ("full", 1), ("full", 0), ("winning", 1), ("winning", 0)
    ]  # fmt: skip
    assert len(list((folder / "runs").iterdir())) == len(records)


@pytest.mark.parametrize("lost", [RECORD_FILE, ARRAYS_FILE, ""])
def test_a_lost_record_comes_back_bit_for_bit(lost: str, copied: Callable[[], Path], records: list[Record]) -> None:
    """A run that lacks its folder, its record or its arrays is done again with equal results."""
    folder = copied()
    place = folder / "runs" / next(record.name for record in records if record.kind == "random")
    if lost:
        (place / lost).unlink()
    else:
        shutil.rmtree(place)
    heard = Heard()
    again = sweeps.run_missing(Workspace.open(folder), InProcess(), 1, heard)
    assert heard.names == [place.name] and "9 of 10 runs are there already" in heard.lines
    assert_same(again, records)


@pytest.mark.parametrize("name", [RECORD_FILE, ARRAYS_FILE])
def test_a_torn_record_never_counts(name: str, copied: Callable[[], Path], records: list[Record]) -> None:
    """It is named in one line, and its run, and no other, is done again with equal results."""
    folder, damaged = copied(), records[0]
    torn = folder / "runs" / damaged.name / name
    torn.write_bytes(torn.read_bytes()[:-9])
    heard = Heard()
    again = sweeps.run_missing(Workspace.open(folder), InProcess(), 1, heard)
    assert heard.lines[0].startswith(f"computing again: {torn}: ") and heard.names == [damaged.name]
    assert_same(again, records)


def test_a_failed_run_stops_the_sweep_and_keeps_the_rest(
    copied: Callable[[], Path], config: Config, monkeypatch: pytest.MonkeyPatch, records: list[Record]
) -> None:
    """Its error comes out as it is; runs that finished before have their records, later ones are done on resume."""
    folder = copied()
    for record in records[6:]:
        shutil.rmtree(folder / "runs" / record.name)
    perform, asked = sweeps.perform, []

    def third_fails(run: Any, sweep: Workspace) -> Any:
        asked.append(run)
        if len(asked) == 3:
            raise UserError("no space left on the disk")
        return perform(run, sweep)

    monkeypatch.setattr(sweeps, "perform", third_fails)
    with pytest.raises(UserError, match="no space left"):
        sweeps.run_missing(Workspace.open(folder), InProcess(), 1, Silent())
    done = {path.parent.name for path in (folder / "runs").glob(f"*/{RECORD_FILE}")}
    assert done == {run.name for run in plan(config)[:8]}
    monkeypatch.undo()
    assert_same(sweeps.run_missing(Workspace.open(folder), InProcess(), 1, Silent()), records)


class Later(Executor):
    """An executor whose calls run when the next ones are handed in, as worker processes may take their time."""

    def __init__(self) -> None:
        self.submitted: list[Any] = []
        self.most = 0
        self._open: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Note the run, save its record, and finish."""
        self.submitted.append(args[0])
        self._open = [future for future in self._open if not future.done()]
        future: Future[Any] = Future()
        self._open.append(future)
        self.most = max(self.most, len(self._open))
        future.set_result(fn(*args, **kwargs))
        return future


def test_a_ticket_waits_for_its_seed_only(
    copied: Callable[[], Path], config: Config, monkeypatch: pytest.MonkeyPatch, records: list[Record]
) -> None:
    """With one worker and seed 0 tuned, seed 0's tickets may start; no ticket starts before its own tuned model."""
    folder = copied()
    kept = folder.parent / "kept"
    shutil.move(folder / "runs", kept)
    sweep = Workspace.open(folder)

    def put_back(run: Any, place: Path) -> None:
        shutil.copytree(kept / run.name, place / "runs" / run.name)

    monkeypatch.setattr(sweeps, "_perform_and_save", put_back)
    for workers in (1, 3):
        shutil.rmtree(folder / "runs", ignore_errors=True)
        pool, heard = Later(), Heard()
        assert_same(sweeps.run_missing(sweep, pool, workers, heard), records)
        assert {run.name for run in pool.submitted} == {run.name for run in plan(config)}
        for position, run in enumerate(pool.submitted):
            assert isinstance(run, TuneRun) or run.tune in pool.submitted[:position]
        assert heard.plans[0][1] == len(heard.names) == 10


def test_a_killed_worker_is_one_sentence(copied: Callable[[], Path], records: list[Record]) -> None:
    """A pool that broke says what most often breaks it, and what to do."""
    folder = copied()
    shutil.rmtree(folder / "runs" / records[-1].name)

    class Broken(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool("terminated abruptly"))
            return future

    with pytest.raises(UserError, match=r"--workers: a worker process was killed, .*; what is finished is kept"):
        sweeps.run_missing(Workspace.open(folder), Broken(), 2, Silent())


def test_progress_is_told_by_cost(config: Config) -> None:
    """Smaller tickets cost less than the full model, and what tells progress is a Progress."""
    costs = {(run.kind, run.sparsity): sweeps.cost(run) for run in plan(config)}
    assert costs["full", 0.0] == 1.0 > costs["winning", 0.25] > costs["winning", 0.5] == costs["random", 0.5] > 0
    assert isinstance(Heard(), Progress) and isinstance(Silent(), Progress)
