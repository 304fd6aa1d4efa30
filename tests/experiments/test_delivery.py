"""The super ticket's folder: the model that the report speaks of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import supertickets
from supertickets import storage
from supertickets.errors import UserError
from supertickets.experiments import delivery
from supertickets.experiments.delivery import SPEED_FILE, SUPER_TICKET, deliver, is_delivered, super_run
from supertickets.experiments.records import Record
from supertickets.experiments.workspace import Workspace
from supertickets.learning.evaluation import predict
from supertickets.learning.metrics import Scores
from supertickets.tickets.ticket import Ticket
from tiny_sweeps import snapshot


@pytest.fixture(scope="module")
def delivered(swept: Workspace, records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished sweep with its super ticket delivered."""
    folder = Path(shutil.copytree(swept.folder, tmp_path_factory.mktemp("delivered") / "out"))
    deliver(folder, super_run(swept, records, 0.5))
    return Workspace.open(folder)


def of(records: list[Record], kind: str, sparsity: float, seed: int) -> Record:
    """One record."""
    return next(r for r in records if (r.kind, r.sparsity, r.seed) == (kind, sparsity, seed))


def test_the_seed_with_the_best_selection_score_is_delivered(swept: Workspace, records: list[Record]) -> None:
    """Of the chosen level's winning tickets the best on the selection split; ties go to the first seed."""

    def scored(first: float, second: float) -> list[Record]:
        scores = {0: first, 1: second}
        return [
            replace(record, selection=Scores(scores[record.seed], {}, 8), report=Scores(1 - scores[record.seed], {}, 8))
            if record.kind == "winning" and record.sparsity == 0.5
            else replace(record, selection=Scores(0.99, {}, 8))
            for record in records
        ]

    for first, second, seed in ((0.6, 0.5, 0), (0.5, 0.6, 1), (0.5, 0.5, 0)):
        run = super_run(swept, scored(first, second), 0.5)
        assert (run.kind, run.sparsity, run.seed) == ("winning", 0.5, seed)


def test_the_folder_reproduces_the_recorded_predictions(delivered: Workspace, records: list[Record]) -> None:
    """Loaded from its folder alone, the super ticket makes the report predictions of its record, within 1e-5."""
    folder = delivered.folder / SUPER_TICKET
    run = super_run(delivered, records, 0.5)
    model, tokenizer = supertickets.load(folder)
    found = predict(model, delivered.splits(run.seed).report, tokenizer)
    recorded = of(records, "winning", 0.5, run.seed).arrays["report_predictions"]
    assert np.abs(found - recorded).max() <= 1e-5 and not model.training
    assert np.array_equal(Ticket.load(folder).mask.heads, of(records, "winning", 0.5, run.seed).arrays["heads"])


def test_the_folder_is_as_small_as_its_ticket(delivered: Workspace, records: list[Record]) -> None:
    """The weights file holds no dropped unit."""
    run = super_run(delivered, records, 0.5)
    model, _ = supertickets.load(delivered.folder / SUPER_TICKET)
    full = delivered.rewind_point(run.seed).model()
    share = sum(w.numel() for w in model.base_model.parameters()) / sum(w.numel() for w in full.base_model.parameters())
    assert share == pytest.approx(of(records, "winning", 0.5, run.seed).size.weights_all, abs=1e-12)


def test_its_speed_is_measured(delivered: Workspace) -> None:
    """Median and percentiles of the ratio of times, with what was timed."""
    speed = storage.read_json(delivered.folder / SPEED_FILE)
    assert 0 < speed["p10"] <= speed["median"] <= speed["p90"]
    assert (speed["threads"], speed["batch_size"]) == (1, 12) and speed["pairs"] >= 10


def test_when_it_is_delivered(delivered: Workspace, swept: Workspace, records: list[Record]) -> None:
    """For this run and no other, and only with both the model's folder and its speed."""
    run = super_run(delivered, records, 0.5)
    assert is_delivered(delivered, run) and not is_delivered(swept, run)
    assert not is_delivered(delivered, replace(run, sparsity=0.25))
    assert not is_delivered(delivered, replace(run, tune=replace(run.tune, seed=1 - run.seed)))


def test_an_interrupted_delivery_is_not_taken_for_another_s(
    delivered: Workspace, records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between model and timing, a new super ticket is not delivered yet: the old one's speed is gone."""
    folder = Path(shutil.copytree(delivered.folder, tmp_path / "out"))
    run = replace(super_run(delivered, records, 0.5), sparsity=0.25)
    monkeypatch.setattr(delivery, "speedup", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        deliver(folder, run)
    sweep = Workspace.open(folder)
    assert Ticket.load(folder / SUPER_TICKET).sparsity == 0.25 and not is_delivered(sweep, run)


def test_another_result_is_not_delivered(copied: Callable[[], Path], records: list[Record]) -> None:
    """Where retraining does not give the recorded score (another machine, edited records) nothing is delivered."""
    folder = copied()
    sweep = Workspace.open(folder)
    run = super_run(sweep, records, 0.5)
    record = Record.load(sweep.run_folder(run))
    replace(record, report=replace(record.report, main=record.report.main - 0.1)).save(sweep.run_folder(run))
    before = snapshot(folder)
    with pytest.raises(UserError, match=r"retraining gave 0\.\d{4}, the record says 0\.\d{4}; delete"):
        deliver(folder, run)
    assert snapshot(folder) == before
