"""Baselines: what is run for each, and that each is judged by its own best setting on the selection split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from supertickets import find
from supertickets.config import Config
from supertickets.data.tasks import Task
from supertickets.endings import Baseline, BaselinesConfig
from supertickets.experiments.baseline_outcome import conclude_baselines
from supertickets.experiments.baselines import ARMS, baseline_runs, variants_of
from supertickets.experiments.records import Cost, Record, Size, load_all
from supertickets.experiments.runs import Run, TicketRun, TruncatedRun, TuneRun
from supertickets.learning.metrics import score
from tiny_sweeps import SHORT

TASK = Task("toy", "classification", ("no", "yes"), ("accuracy",))
EVERY = get_args(Baseline)
CONFIG = Config(
    seeds=(0, 1),
    baselines=BaselinesConfig(arms=EVERY, tuned_rates=(5e-5, 1e-4), tuned_epochs=(3.0,), raised_dropouts=(0.3,)),
)


def test_table_holds_every_baseline_of_the_config() -> None:
    """Each arm is a row, and is read against one of them."""
    assert set(ARMS) == set(EVERY)
    assert {arm.against for arm in ARMS.values()} <= {None, *EVERY}


def test_what_is_run() -> None:
    """A grid for the tuned arms, the whole model again at sparsity 0, and the sweep's own tuned models used again."""
    full = variants_of(CONFIG, "tuned_full", 0.3)
    assert [variant.setting for variant in full] == ["learning rate 5e-05, 3 epochs", "learning rate 0.0001, 3 epochs"]
    assert full[0].runs == (TuneRun(CONFIG, 0), TuneRun(CONFIG, 1))
    assert {run.config.training.learning_rate for run in full[1].runs} == {1e-4}
    (again,) = variants_of(CONFIG, "rewound_full", 0.3)
    assert again.runs[0] == TicketRun(TuneRun(CONFIG, 0), "winning", 0.0, second=True)
    (taught,) = variants_of(CONFIG, "distilled_ticket", 0.3)
    assert taught.runs[0].sparsity == 0.3 and taught.runs[0].config.training.teacher == "full"
    (raised,) = variants_of(CONFIG, "dropout", 0.3)
    training = raised.runs[0].config.training
    assert (training.head_dropout, training.encoder_dropout) == (0.3, 0.3)
    (cut,) = variants_of(CONFIG, "truncated", 0.3)
    assert cut.runs[1] == TruncatedRun(TicketRun(TuneRun(CONFIG, 1), "winning", 0.3))


def test_runs_are_planned_once_and_after_what_they_need() -> None:
    """No name twice; every tuned model that a run starts from comes before it."""
    runs = baseline_runs(CONFIG, 0.3)
    names = [run.name for run in runs]
    assert len(set(names)) == len(names)
    for place, run in enumerate(runs):
        assert all(needed.name in names[:place] for needed in run.needs)
    assert baseline_runs(replace(CONFIG, baselines=BaselinesConfig()), 0.3) == []


def record(run: Run, selection: float, report: float) -> Record:
    """A run's record with these accuracies."""
    arrays, scores = {}, {}
    for split, rate in (("selection", selection), ("report", report)):
        labels, right = np.ones(200, np.int64), np.arange(200) < round(rate * 200)
        arrays |= {f"{split}_labels": labels, f"{split}_predictions": np.stack([~right, right], 1).astype(np.float32)}
        scores[split] = score(TASK, arrays[f"{split}_predictions"], labels)
    weights = 1 - run.sparsity
    return Record(
        run.name,
        run.kind,
        run.sparsity,
        run.seed,
        **scores,
        size=Size(weights, weights, (1,), (1,)),
        cost=Cost({}, 0),
        settings={},
        provenance={},
        arrays=arrays,
    )


def test_the_selection_split_chooses_the_setting() -> None:
    """The learning rate that is best there counts, though the other is better on the report split; for both sides."""
    config = replace(CONFIG, baselines=replace(CONFIG.baselines, arms=("tuned_full", "tuned_ticket", "random")))
    full = [record(TuneRun(config, seed), 0.70, 0.80) for seed in (0, 1)]
    ticket = [record(TicketRun(TuneRun(config, seed), "winning", 0.3), 0.72, 0.81) for seed in (0, 1)]
    fast = replace(config, training=replace(config.training, learning_rate=1e-4))
    others = [record(TuneRun(fast, seed), 0.74, 0.78) for seed in (0, 1)]
    others += [record(TicketRun(TuneRun(fast, seed), "winning", 0.3), 0.71, 0.90) for seed in (0, 1)]
    tuned_full, tuned_ticket = conclude_baselines(TASK, config, 0.3, [*full, *ticket, *others], full, ticket)
    assert (tuned_full.setting, tuned_full.trainings) == ("learning rate 0.0001, 3 epochs", 4)
    assert tuned_full.report.mean == pytest.approx(0.78) and tuned_full.to_full.value == pytest.approx(-0.02)
    assert tuned_full.against == "tuned_ticket" and tuned_full.ticket.value == pytest.approx(0.03)
    assert tuned_ticket.setting == "learning rate 5e-05, 3 epochs" and tuned_ticket.report.mean == pytest.approx(0.81)
    assert tuned_ticket.against is None and tuned_ticket.ticket.value == pytest.approx(0.0)


@pytest.mark.slow
def test_find_runs_them_all(tmp_path: Path, films: Path, tiny_bert_folder: Path) -> None:
    """Every baseline trains, stands in the outcome and on the page, and leaves the sweep's own table alone."""
    own = {"train": f"{films}/train.csv", "test": f"{films}/test.csv", "text": "review", "label": "stars"}
    short = (*SHORT[:3], "tickets.levels=[0.5]", "tickets.kinds=[winning]", "seeds=[0]")
    grid = (
        f"baselines.arms=[{', '.join(EVERY)}]",
        "baselines.tuned_rates=[0.01, 0.003]",
        "baselines.tuned_epochs=[1]",
        "baselines.raised_dropouts=[0.3]",
    )
    found = find(**own, encoder=str(tiny_bert_folder), out=tmp_path / "out", workers=1, set=(*short, *grid))
    standings = {one.arm: one for one in found.outcome.baselines}
    assert tuple(standings) == EVERY
    assert standings["tuned_full"].trainings == 2 and standings["tuned_full"].against == "tuned_ticket"
    assert standings["truncated"].weights_encoder >= found.outcome.weights_encoder
    assert standings["random"].weights_encoder == found.outcome.weights_encoder
    assert standings["rewound_full"].weights_encoder == 1.0
    records = {record.name: record for record in load_all(tmp_path / "out")}
    (again,) = (r for name, r in records.items() if name.startswith("winning-0.0-second"))
    (full,) = (records[run.name] for run in variants_of(_config(tmp_path), "tuned_full", 0.5)[0].runs)
    assert not np.array_equal(again.arrays["report_predictions"], full.arrays["report_predictions"])
    page = found.report.read_text(encoding="utf-8")
    assert all(ARMS[arm].words in page for arm in EVERY) and "Not counted" not in page
    assert found.outcome.full.n == 1


def _config(folder: Path) -> Config:
    from supertickets import settings

    return settings.load(folder / "out" / "config.yaml")
