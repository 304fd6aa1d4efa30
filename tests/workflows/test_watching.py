"""show --watch: the runs in flight, the time left, and a line for each change."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from supertickets import locking, settings, storage
from supertickets.cli.app import main
from supertickets.experiments.plans import plan
from supertickets.experiments.records import Cost, Record, Size
from supertickets.experiments.under_way import Marks
from supertickets.learning.metrics import Scores
from supertickets.workflows import watching
from supertickets.workflows.showing import Shown, show
from supertickets.workflows.watching import now_and_left

CONFIG = settings.load(overrides=["budget=smoke", "data.task=rte", "data.folder=glue", "strategy=grid"])
PLANNED = plan(CONFIG)  # 2 full, 4 winning at 0.2 and 0.5, 2 random and 2 losing at 0.5


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep's folder whose two full models are done, each in 100 seconds."""
    storage.write_text(tmp_path / "config.yaml", settings.dump(CONFIG))
    for run in PLANNED[:2]:
        finish(tmp_path, run.name)
    return tmp_path


def finish(folder: Path, name: str) -> None:
    """Write the record of a run."""
    run = next(run for run in PLANNED if run.name == name)
    scores = Scores(0.75, {"accuracy": 0.75}, 8)
    body = {"name": name, "kind": run.kind, "sparsity": run.sparsity, "seed": run.seed}
    size, cost = Size(0.8, 0.7, (3, 4), (1, 0)), Cost({"training": 100.0}, 100)
    Record(**body, selection=scores, report=scores, size=size, cost=cost, settings={}, provenance={}).save(  # type: ignore[arg-type]
        folder / "runs" / name
    )


def test_the_runs_in_flight_and_the_time_left(sweep: Path) -> None:
    """Eight tickets cost 0.84 twice and 0.6 six times the full model's 100 seconds; one of two has run for 10."""
    assert dict(show(sweep).rows)["now"] == "nobody works on it"
    with locking.sweep_lock(sweep), Marks(sweep) as marks:
        assert dict(show(sweep).rows)["now"] == "no run is in flight: it prepares, delivers or reports"
        for run in PLANNED[2:4]:
            marks.begin(run.name)
        ten = time.time() - 10
        os.utime(sweep / f".{PLANNED[2].name}.running.partial", (ten, ten))
        rows = dict(show(sweep).rows)
    assert rows["now"] == "winning 0.2 seed 0, winning 0.2 seed 1"
    # (2 * 84 + 6 * 60 - 10) / 2 = 259 seconds
    assert rows["left"] == "about 4 min, by the runs that have finished"


def test_a_run_longer_than_expected_leaves_the_others_time(tmp_path: Path) -> None:
    """It counts as almost done, and never takes time off the rest; before any has finished nothing is known."""
    with locking.sweep_lock(tmp_path), Marks(tmp_path) as marks:
        marks.begin("a")
        os.utime(tmp_path / ".a.running.partial", (1, 1))
        rows = dict(now_and_left(tmp_path, {}, 10.0, {"a": 1.0, "b": 3.0}))
        assert rows == {"now": "a", "left": "about 30 s, by the runs that have finished"}
        assert dict(now_and_left(tmp_path, {}, 0.0, {"a": 1.0}))["left"] == "unknown until a run has finished"


def test_watching_ends_with_the_work(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state is told while a process holds the folder; what is returned is the last, of after it has let go."""
    lock = locking.sweep_lock(sweep)
    lock.__enter__()
    names = [run.name for run in PLANNED[2:4]]

    def later(_: float) -> None:
        finish(sweep, names.pop(0))
        if not names:
            lock.__exit__(None, None, None)

    monkeypatch.setattr(watching.time, "sleep", later)
    told: list[Shown] = []
    last = show(sweep, watch=True, progress=told.append)
    assert [dict(one.rows)["done"][:12] for one in told] == ["2 of 10 runs", "3 of 10 runs"]
    assert dict(last.rows)["done"].startswith("4 of 10 runs")
    assert dict(last.rows)["now"] == "nobody works on it"


def test_ctrl_c_ends_the_watching_only(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0 and the last state on stdout; on stderr a line for each change, not for each look."""
    looks = iter([None, lambda: finish(sweep, PLANNED[2].name), None, KeyboardInterrupt])

    def later(_: float) -> None:
        event = next(looks)
        if event is KeyboardInterrupt:
            raise KeyboardInterrupt
        if event is not None:
            event()

    monkeypatch.setattr(watching.time, "sleep", later)
    with locking.sweep_lock(sweep), Marks(sweep) as marks:
        marks.begin(PLANNED[3].name)
        assert main(["show", str(sweep), "--watch"]) == 0
    out, err = capsys.readouterr()
    first, second = err.splitlines()
    assert first.startswith("done 2 of 10 runs: 2 of 2 full, 0 of 4 winning")
    assert "; now winning 0.2 seed 1; left about 9 min, by" in first and second.startswith("done 3 of 10 runs")
    assert out.startswith(f"sweep {sweep}") and "3 of 10 runs" in out


def test_nothing_to_watch(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody works the state is shown at once, and why."""
    assert main(["show", str(sweep), "--watch"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "2 of 10 runs" in out and "nobody works on it" in out
    assert replace(show(sweep)) == show(sweep, watch=True)
