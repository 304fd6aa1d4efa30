"""The paper's page: what tuning leaves, and how tickets are drawn, rewound and retrained."""

from __future__ import annotations

import inspect
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from supertickets import seeding
from supertickets.config import Config
from supertickets.encoders.families import layers_of, structures_of
from supertickets.experiments import bench, lottery
from supertickets.experiments.records import Record
from supertickets.experiments.runs import TicketRun, TruncatedRun, TuneRun
from supertickets.experiments.workspace import Workspace
from supertickets.learning.evaluation import predict
from supertickets.learning.training import Trained
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask, draw
from supertickets.tickets.ticket import Ticket
from tiny_sweeps import SHORTEST, assert_same, config_of, run_all

Records = dict[tuple[str, float, int], Record]


@pytest.fixture(scope="module")
def found(records: list[Record]) -> Records:
    """The finished sweep's records by kind, level and seed."""
    return {(record.kind, record.sparsity, record.seed): record for record in records}


def test_the_page_is_a_page() -> None:
    """Each step of the paper is a function under 25 lines."""
    for function in (lottery.tune_and_score, lottery.retrain):
        assert len(inspect.getsource(function).splitlines()) < 25


def test_the_full_model_is_the_tuned_model(found: Records, swept: Workspace, config: Config) -> None:
    """Tuned again, the full model is whole, makes the recorded predictions bit for bit, and has the same scores."""
    result = lottery.tune_and_score(TuneRun(config, 0), swept)
    record = found["full", 0.0, 0]
    assert_same([result.record], [record])
    assert np.array_equal(
        predict(result.model, swept.splits(0).report, swept.tokenizer), record.arrays["report_predictions"]
    )
    assert result.ticket is None and (record.size.weights_all, record.size.weights_encoder) == (1.0, 1.0)
    assert record.size.heads == (4, 4) and record.arrays["heads"].all() and record.arrays["ffn"].all()
    assert set(record.cost.seconds) == {"loading", "training", "scoring", "evaluation"}
    assert record.cost.trained_examples == 32  # one epoch over what the seed does not hold out


def test_tuning_changed_the_model(found: Records, swept: Workspace) -> None:
    """The recorded predictions are not those of the rewind point, and seeds differ."""
    untrained = predict(swept.rewind_point(0).model(), swept.splits(0).report, swept.tokenizer)
    trained = found["full", 0.0, 0].arrays["report_predictions"]
    assert np.abs(untrained - trained).max() > 0.01
    assert not np.array_equal(trained, found["full", 0.0, 1].arrays["report_predictions"])


def test_a_ticket_trained_again_is_the_same(found: Records, swept: Workspace, config: Config) -> None:
    """Drawn, rewound and retrained once more: the same mask, scores and predictions, and a pruned model."""
    result = lottery.retrain(TicketRun(TuneRun(config, 1), "winning", 0.5), swept)
    assert_same([result.record], [found["winning", 0.5, 1]])
    assert result.ticket is not None
    assert np.array_equal(result.ticket.mask.heads, result.record.arrays["heads"])
    encoder = sum(weight.numel() for weight in result.model.base_model.parameters())
    full = structures_of(swept.rewind_point(1).model()).total_weights
    assert encoder / full == pytest.approx(result.record.size.weights_all, abs=1e-12)


def test_a_second_seed_is_another_training_of_the_same_ticket(found: Records, swept: Workspace, config: Config) -> None:
    """Mask and head start are those of the ticket's run; batches and dropout, and so the predictions, are not."""
    run = TicketRun(TuneRun(config, 0), "winning", 0.5, second=True)
    ours, first = lottery.retrain(run, swept).record, found["winning", 0.5, 0]
    assert np.array_equal(ours.arrays["heads"], first.arrays["heads"]) and ours.name != first.name
    assert not np.array_equal(ours.arrays["report_predictions"], first.arrays["report_predictions"])


def test_a_truncated_model_is_no_smaller_than_the_ticket(found: Records, swept: Workspace, config: Config) -> None:
    """Whole layers from the first on, physically; of the two here, one holds as much as half of the units."""
    result = lottery.truncated(TruncatedRun(TicketRun(TuneRun(config, 0), "winning", 0.5)), swept)
    assert result.record.kind == "truncated" and result.record.size.heads == (4, 0)
    assert result.record.size.weights_all >= found["winning", 0.5, 0].size.weights_all
    assert len(layers_of(result.model)) == 1 and result.ticket is None


def test_masks_are_drawn_from_the_recorded_importance(found: Records, swept: Workspace) -> None:
    """Every ticket's mask is what `draw` makes of its seed's importance."""
    structures = structures_of(swept.rewind_point(0).model())
    for (kind, sparsity, seed), record in found.items():
        if kind == "full":
            continue
        tuned = found["full", 0.0, seed].arrays
        importance = Importance(structures, tuned["importance_heads"], tuned["importance_ffn"])
        rng = seeding.generator(seed, "random ticket")
        mask = draw(kind, importance, sparsity, rng=rng, min_heads=1, ranking="apart")  # type: ignore[arg-type]
        assert mask == Mask(structures, record.arrays["heads"], record.arrays["ffn"])


def test_controls_have_exactly_the_winning_sizes(found: Records) -> None:
    """Random and losing tickets keep as many heads, FFN units and weights as the winning one beside them."""
    for seed in (0, 1):
        winning = found["winning", 0.5, seed]
        for kind in ("random", "losing"):
            other = found[kind, 0.5, seed]
            assert sum(other.size.heads) == sum(winning.size.heads) == 4
            assert sum(other.size.ffn) == sum(winning.size.ffn) == 1
            assert other.size.weights_all == winning.size.weights_all
            assert other.size.weights_encoder == winning.size.weights_encoder
        assert not np.array_equal(winning.arrays["heads"], found["losing", 0.5, seed].arrays["heads"])


def test_every_layer_keeps_a_head(records: list[Record]) -> None:
    """The default, as published."""
    assert all(min(record.size.heads) >= 1 for record in records)


def test_winning_tickets_nest(found: Records) -> None:
    """A sparser ticket of a seed keeps nothing that a denser one dropped."""
    for seed in (0, 1):
        chain = [found[key].arrays for key in (("full", 0.0, seed), ("winning", 0.25, seed), ("winning", 0.5, seed))]
        for denser, sparser in pairwise(chain):
            for unit in ("heads", "ffn"):
                assert not (sparser[unit] & ~denser[unit]).any()
                assert sparser[unit].sum() <= denser[unit].sum()


def test_all_runs_of_a_seed_see_the_same_examples(found: Records) -> None:
    """A seed's full model and tickets are compared on the same selection labels, all seeds on one report split."""
    for (_, _, seed), record in found.items():
        full = found["full", 0.0, seed].arrays
        assert np.array_equal(record.arrays["selection_labels"], full["selection_labels"])
        assert np.array_equal(record.arrays["report_labels"], found["full", 0.0, 0].arrays["report_labels"])


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory, films: Path, tiny_bert_folder: Path) -> tuple[Workspace, Records]:
    """A sweep over single neurons (2 layers of 64), scored in two rounds, its tickets with a teacher: four runs."""
    folder = tmp_path_factory.mktemp("fine") / "out"
    own = ("units.ffn=neuron", "scoring.rounds=2", "training.teacher=full", "tickets.kinds=[winning, random, losing]")
    records = run_all(folder, config_of(films, tiny_bert_folder, *own, short=SHORTEST))
    return Workspace.open(folder), {(record.kind, record.sparsity, record.seed): record for record in records}


def test_a_sweep_over_neurons(fine: tuple[Workspace, Records]) -> None:
    """Every kind keeps half of the heads and half of the neurons, these in eights by layer, and as many weights."""
    _, found = fine
    assert found["full", 0.0, 0].size.ffn == (64, 64)
    assert found["full", 0.0, 0].arrays["importance_ffn"].shape == (2, 64)
    sizes = set()
    for kind in ("winning", "random", "losing"):
        record = found[kind, 0.5, 0]
        assert record.arrays["ffn"].shape == (2, 64) and record.size.ffn == tuple(record.arrays["ffn"].sum(axis=1))
        assert (sum(record.size.heads), sum(record.size.ffn)) == (4, 64)
        assert {kept % 8 for kept in record.size.ffn} == {0}
        sizes.add((record.size.weights_all, record.size.weights_encoder))
    assert len(sizes) == 1
    masks = [found[kind, 0.5, 0].arrays["ffn"] for kind in ("winning", "losing")]
    assert not np.array_equal(*masks)


def test_a_ticket_of_neurons_is_physically_that_small(fine: tuple[Workspace, Records]) -> None:
    """Retrained once more it is the recorded ticket, and its weights are as many as the record says."""
    sweep, found = fine
    run = TicketRun(TuneRun(sweep.config, 0), "winning", 0.5)
    result = lottery.retrain(run, sweep)
    assert_same([result.record], [found["winning", 0.5, 0]])
    encoder = sum(weight.numel() for weight in result.model.base_model.parameters())
    full = sweep.rewind_point(0).structures("neuron").total_weights
    assert encoder / full == pytest.approx(result.record.size.weights_all, abs=1e-12)


def test_scores_of_two_rounds_are_an_order(fine: tuple[Workspace, Records]) -> None:
    """Half of the heads and neurons outlive the first round; the winning ticket of that level keeps just these."""
    sweep, found = fine
    scores, winning = found["full", 0.0, 0].arrays, found["winning", 0.5, 0].arrays
    for unit in ("heads", "ffn"):
        assert np.array_equal(scores[f"importance_{unit}"] >= 1, winning[unit])
    run = TicketRun(TuneRun(sweep.config, 0), "winning", 0.5)
    ticket = Ticket.load(sweep.ticket_folder(run))
    assert ticket.importance is not None and ticket.importance.scale == "order"
    assert ticket.importance == bench.Bench(run, sweep).importance_of(run.tune)


def test_the_tuned_model_leaves_what_it_teaches(
    fine: tuple[Workspace, Records], found: Records, swept: Workspace, config: Config
) -> None:
    """Its outputs for the seed's training examples, row by row; without the setting there are none, nor a teacher."""
    sweep, records = fine
    teaching = records["full", 0.0, 0].arrays["train_predictions"]
    model = lottery.tune_and_score(TuneRun(sweep.config, 0), sweep).model
    assert np.array_equal(predict(model, sweep.splits(0).train, sweep.tokenizer), teaching)
    assert len(teaching) == len(sweep.splits(0).train) == 32
    assert "train_predictions" not in records["winning", 0.5, 0].arrays
    assert "train_predictions" not in found["full", 0.0, 0].arrays
    assert bench.Bench(TuneRun(config, 0), swept).teacher_logits(TuneRun(config, 0)) is None


def test_every_kind_has_the_same_teacher(fine: tuple[Workspace, Records], monkeypatch: pytest.MonkeyPatch) -> None:
    """Winning, random and losing tickets train on the tuned model's outputs; it has no teacher itself."""
    sweep, records = fine
    given: list[np.ndarray | None] = []

    def train(*_: object, teacher_logits: np.ndarray | None, **__: object) -> Trained:
        given.append(teacher_logits)
        return Trained(0, 0, 0.0)

    monkeypatch.setattr(bench, "train", train)
    tune = TuneRun(sweep.config, 0)
    lottery.tune_and_score(tune, sweep)
    for kind in ("winning", "random", "losing"):
        lottery.retrain(TicketRun(tune, kind, 0.5), sweep)  # type: ignore[arg-type]
    teaching = records["full", 0.0, 0].arrays["train_predictions"]
    assert given[0] is None and len(given) == 4
    for logits in given[1:]:
        assert logits is not None and np.array_equal(logits, teaching)


def test_a_teacher_changes_what_a_ticket_learns(
    fine: tuple[Workspace, Records], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained on the labels alone, the same ticket makes other predictions."""
    sweep, records = fine
    monkeypatch.setattr(bench.Bench, "teacher_logits", lambda *_: None)
    alone = lottery.retrain(TicketRun(TuneRun(sweep.config, 0), "winning", 0.5), sweep).record
    taught = records["winning", 0.5, 0]
    assert np.array_equal(alone.arrays["ffn"], taught.arrays["ffn"])
    assert np.abs(alone.arrays["report_predictions"] - taught.arrays["report_predictions"]).max() > 1e-4


def test_blocks_have_the_size_of_the_settings(fine: tuple[Workspace, Records], monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn in blocks of 32 from the same scores, each layer keeps 0, 32 or 64 of its 64 neurons."""
    sweep, _ = fine
    monkeypatch.setattr(bench, "train", lambda *_, **__: Trained(0, 0, 0.0))
    tuned = bench.Bench(TuneRun(sweep.config, 0), sweep).importance_of(TuneRun(sweep.config, 0))
    monkeypatch.setattr(bench.Bench, "importance_of", lambda *_: tuned)
    monkeypatch.setattr(bench.Bench, "teacher_logits", lambda *_: None)
    config = replace(sweep.config, units=replace(sweep.config.units, multiple=32))
    for kind in ("winning", "random", "losing"):
        record = lottery.retrain(TicketRun(TuneRun(config, 0), kind, 0.5), sweep).record  # type: ignore[arg-type]
        assert sum(record.size.ffn) == 64 and {kept % 32 for kept in record.size.ffn} == {0}
