"""A table of costs adds up, and the level found for a budget is the smallest that meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from supertickets.errors import UserError
from supertickets.tickets.costs import STEPS, UnitCosts, level_for, params_costs
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures

LAYERS = 3


def structures(units: int = 1, embeddings: int = 500) -> Structures:
    """Three layers of 4 heads (100 weights each) and an FFN of 640 weights, 20 more a layer, and embeddings."""
    encoder = LAYERS * (4 * 100 + 640 + 20)
    heads, ffn = np.full((LAYERS, 4), 100), np.full((LAYERS, units), 640 // units)
    return Structures("toy", heads, ffn, encoder, encoder + embeddings)


def importance(units: Structures, seed: int = 0) -> Importance:
    """Random scores."""
    rng = np.random.default_rng(seed)
    return Importance(units, rng.random(units.heads.shape), rng.random(units.ffn.shape))


def winning(units: Structures, seed: int = 0, min_heads: int = 1) -> Callable[[float], Mask]:
    """Level -> the winning ticket of random scores."""
    return partial(Mask.winning, importance(units, seed), min_heads=min_heads)


@pytest.mark.parametrize("units", [1, 64])
def test_weights_are_those_that_masks_count(units: int) -> None:
    """The share of all weights, embeddings included, is a mask's own, for sublayers and for neurons."""
    table, ticket_at = params_costs(structures(units)), winning(structures(units))
    assert table.full == table.structures.total_weights == 3680
    for level in (0.0, 0.3, 0.7):
        mask = ticket_at(level)
        assert table.share(mask) == pytest.approx(mask.weights_remaining.all, abs=1e-12)


def test_costs_add_up_unit_by_unit() -> None:
    """A ticket costs the rest and exactly its own units, where these differ by layer."""
    units = structures()
    heads = np.arange(12.0).reshape(3, 4)
    table = UnitCosts(units, heads, np.array([[10.0], [20.0], [40.0]]), 5.0, "latency")
    keep = np.zeros((3, 4), np.bool_)
    keep[1, 2] = keep[2, 0] = True
    mask = Mask(units, keep, np.array([[True], [False], [True]]))
    assert table.full == 5 + 66 + 70
    assert table.of(mask) == 5 + 6 + 8 + 10 + 40
    assert table.share(mask) == pytest.approx(69 / 141)


@pytest.mark.parametrize("units", [1, 64])
@pytest.mark.parametrize("share", [0.45, 0.5, 0.8, 0.95])
def test_the_level_is_the_smallest_that_meets_the_share(units: int, share: float) -> None:
    """The level's ticket costs at most the share, and one step less would cost more."""
    table, ticket_at = params_costs(structures(units)), winning(structures(units))
    level = level_for(table, share, ticket_at)
    assert table.share(ticket_at(level)) <= share < table.share(ticket_at(level - 1 / STEPS))
    assert level == round(level, 4)


def test_the_level_does_not_depend_on_the_scores_where_layers_are_alike() -> None:
    """Equal units cost the same whichever is dropped: any importance gives the same level."""
    table = params_costs(structures(64))
    assert len({level_for(table, 0.6, winning(structures(64), seed)) for seed in range(5)}) == 1


def test_the_level_follows_the_scores_where_layers_differ() -> None:
    """Where one layer's FFN costs nearly all, the level depends on which FFN the scores drop first."""
    units = structures()
    table = UnitCosts(units, np.zeros((3, 4)), np.array([[90.0], [5.0], [5.0]]), 0.0, "latency")
    scores = np.array([[1.0], [2.0], [3.0]])
    first, last = (Importance(units, np.ones((3, 4)), ffn) for ffn in (scores, scores[::-1]))
    assert level_for(table, 0.2, partial(Mask.winning, first)) == 0.3334
    with pytest.raises(UserError, match=r"the smallest one keeps 0\.9"):  # two of three FFNs may go at most
        level_for(table, 0.2, partial(Mask.winning, last))


def test_an_unreachable_target_names_the_smallest_share() -> None:
    """Embeddings and protected heads stay: the sentence gives a share that works, and a lower minimum reaches more."""
    table = params_costs(structures())
    with pytest.raises(UserError) as caught:
        level_for(table, 0.3, winning(structures(), min_heads=3))
    text = str(caught.value)
    # 3680 weights: 3 heads and two FFNs are dropped, one FFN and 9 heads stay.
    assert text.startswith("tickets.target: no ticket keeps only 0.3 of the weights: the smallest one keeps 0.571;")
    assert "tickets.min_heads" in text
    assert level_for(table, 0.571, winning(structures(), min_heads=3)) > 0
    with pytest.raises(UserError, match=r"keeps 0\.408"):
        level_for(table, 0.3, winning(structures(), min_heads=1))


@pytest.mark.parametrize("share", [-0.1, 0.0, 1.0, 1.5])
def test_a_share_is_between_0_and_1(share: float) -> None:
    """The full model meets a share of 1 already: there is no ticket to look for."""
    with pytest.raises(UserError, match="must be a share above 0 and below 1"):
        level_for(params_costs(structures()), share, winning(structures()))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"heads": np.ones((2, 4))}, r"heads has shape \(2, 4\), the structures have \(3, 4\)"),
        ({"ffn": np.ones((3, 2))}, r"ffn has shape \(3, 2\), the structures have \(3, 1\)"),
        ({"heads": np.full((3, 4), -0.5)}, r"heads must be at least 0, its lowest is -0\.5"),
        ({"ffn": np.array([[1.0], [np.nan], [1.0]])}, "ffn holds 1 costs that are not finite"),
        ({"fixed": -1.0}, "fixed must be finite and at least 0, not -1"),
        ({"fixed": np.inf}, "fixed must be finite and at least 0, not inf"),
        ({"heads": np.zeros((3, 4)), "ffn": np.zeros((3, 1)), "fixed": 0.0}, "must cost more than 0"),
    ],
)
def test_a_table_refuses_to_be_wrong(change: dict[str, object], fault: str) -> None:
    """Shapes, signs and infinities are told with their numbers."""
    sound = {"heads": np.ones((3, 4)), "ffn": np.ones((3, 1)), "fixed": 1.0, "measure": "latency"}
    with pytest.raises(UserError, match=fault):
        UnitCosts(structures(), **(sound | change))


def test_a_mask_of_another_shape_is_refused() -> None:
    """Costs of whole sublayers do not price neurons."""
    with pytest.raises(UserError, match=r"the mask is for toy: .*, the costs are for toy: "):
        params_costs(structures()).of(Mask.full(structures(64)))


def test_tables_are_read_only_and_go_through_json() -> None:
    """Equal tables come back from plain values, also where costs differ by unit; other values are refused."""
    units = structures()
    uneven = UnitCosts(units, np.arange(12.0).reshape(3, 4), np.full((3, 1), 0.1), 0.3, "latency")
    for table in (params_costs(units), uneven):
        again = UnitCosts.from_dict(json.loads(json.dumps(table.to_dict())))
        assert again == table and hash(again) == hash(table)
        assert not table.heads.flags.writeable and not again.ffn.flags.writeable
    assert params_costs(units).to_dict()["per_head"] == 100.0 and uneven != params_costs(units)
    with pytest.raises(UserError, match="not a table of costs"):
        UnitCosts.from_dict({"measure": "params"})
