"""The paper's page: what tuning leaves, and how tickets are drawn, rewound and retrained."""

from __future__ import annotations

import inspect
from itertools import pairwise

import numpy as np
import pytest

from supertickets import seeding
from supertickets.config import Config
from supertickets.encoders.families import structures_of
from supertickets.experiments import lottery
from supertickets.experiments.records import Record
from supertickets.experiments.runs import TicketRun, TuneRun
from supertickets.experiments.workspace import Workspace
from supertickets.learning.evaluation import predict
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask, draw
from tiny_sweeps import assert_same

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
