"""Iterative scoring is the loop by hand: score, drop, score what is left; its order draws exactly these masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from small_examples import examples, padded
from small_models import build
from supertickets.config import FfnUnit, ScorerName
from supertickets.encoders.families import structures_of
from supertickets.encoders.gating import gate
from supertickets.errors import UserError
from supertickets.learning.iterative import in_rounds
from supertickets.learning.scoring import Batch, score
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures

BATCHES = padded(examples(24), 8)


def norms(scores: np.ndarray, per_layer: bool) -> np.ndarray:
    """Scores over the norm of their layer, or of all layers."""
    return scores / np.linalg.norm(scores, axis=1 if per_layer else None, keepdims=True)


def lowest_heads(keep: np.ndarray, scores: np.ndarray, count: int) -> np.ndarray:
    """Heads with the lowest scores dropped one by one until `count` are gone; a layer's last one stays."""
    keep = keep.copy()
    for place in np.argsort(np.where(keep, scores, -1), axis=None, kind="stable"):
        layer, head = divmod(int(place), keep.shape[1])
        if keep[layer, head] and (~keep).sum() < count and keep[layer].sum() > 1:
            keep[layer, head] = False
    return keep


def lowest_blocks(keep: np.ndarray, scores: np.ndarray, blocks: int, size: int) -> np.ndarray:
    """FFN units dropped in blocks: a layer's lowest `size` that are left, the layer with the lowest mean first."""
    keep = keep.copy()
    while (~keep).sum() < blocks * size:
        best: tuple[float, int, np.ndarray] | None = None
        for layer in range(len(keep)):
            left = np.flatnonzero(keep[layer])
            lowest = left[np.argsort(scores[layer, left], kind="stable")[:size]]
            if len(left) and (best is None or scores[layer, lowest].mean() < best[0]):
                best = (scores[layer, lowest].mean(), layer, lowest)
        assert best is not None
        keep[best[1], best[2]] = False
    return keep


def masks_by_hand(model: PreTrainedModel, scorer: ScorerName, ffn_units: FfnUnit, rounds: int) -> list[Mask]:
    """The mask after each round but the last."""
    structures = structures_of(model, ffn_units)
    block = 1 if ffn_units == "sublayer" else 8
    mask, masks = Mask.full(structures), []
    for number in range(1, rounds):
        with gate(model, mask):
            found = score(model, BATCHES, scorer=scorer, ffn_units=ffn_units)
        heads = norms(found.heads * mask.heads, per_layer=True)
        ffn = norms(found.ffn * mask.ffn, per_layer=ffn_units == "neuron")
        share = Fraction(number, rounds)
        mask = Mask(
            structures,
            lowest_heads(mask.heads, heads, int(share * mask.heads.size)),
            lowest_blocks(mask.ffn, ffn, int(share * mask.ffn.size / block), block),
        )
        masks.append(mask)
    return masks


def differ(order: Importance, one_shot: Importance, levels: Sequence[float]) -> bool:
    """Whether they draw different tickets at any level."""
    return any(Mask.winning(order, level) != Mask.winning(one_shot, level) for level in levels)


@pytest.mark.parametrize("rounds", [2, 3, 5])
@pytest.mark.parametrize("ffn_units", get_args(FfnUnit))
@pytest.mark.parametrize("scorer", ["as_described", "divergence", "magnitude"])
def test_a_share_of_rounds_draws_that_rounds_mask(scorer: ScorerName, ffn_units: FfnUnit, rounds: int) -> None:
    """At sparsity r / rounds the winning ticket is the mask that the loop by hand has after round r."""
    model = build("bert")
    order = score(model, BATCHES, scorer=scorer, ffn_units=ffn_units, rounds=rounds)
    assert order.scale == "order"
    for number, mask in enumerate(masks_by_hand(model, scorer, ffn_units, rounds), start=1):
        assert Mask.winning(order, number / rounds) == mask


def test_scoring_again_changes_the_tickets() -> None:
    """Scores of what is left are not those of the whole: with 6 rounds some ticket differs from one-shot's."""
    model, levels = build("bert"), [number / 12 for number in range(1, 10)]
    for scorer in ("as_described", "divergence"):
        once = score(model, BATCHES, scorer=scorer, ffn_units="neuron")
        order = score(model, BATCHES, scorer=scorer, ffn_units="neuron", rounds=6)
        assert differ(order, once, levels)
        assert not differ(order, once, [1 / 6])  # nothing was gone yet when these were scored


def test_tickets_nest_at_every_level() -> None:
    """Whatever the levels and the heads that a layer keeps, a sparser ticket lies inside a denser one."""
    order = score(build("bert"), BATCHES, ffn_units="neuron", rounds=4)
    for min_heads in (0, 1, 2):
        masks = [Mask.winning(order, level, min_heads=min_heads) for level in np.linspace(0, 0.95, 12)]
        assert all((sparser & denser) == sparser for denser, sparser in pairwise(masks))
        assert min(masks[-1].heads_per_layer) >= min_heads


def test_the_block_size_is_the_callers() -> None:
    """Blocks of 1 or 16 neurons: after each round of three, 48 more of 144 are gone, and layers keep whole blocks."""
    model = build("bert")
    for multiple in (1, 16):
        order = score(model, BATCHES, ffn_units="neuron", rounds=3, multiple=multiple)
        masks = [Mask.winning(order, number / 3, multiple=multiple) for number in (1, 2)]
        assert [int((~mask.ffn).sum()) for mask in masks] == [48, 96]
        assert all(kept % multiple == 0 for mask in masks for kept in mask.ffn_per_layer)


def test_what_is_gone_is_closed_when_the_rest_is_scored() -> None:
    """Each round meets the same weights with the round's mask on: hidden values of dropped heads are 0."""
    model, seen = build("bert"), []

    def spying(scored: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
        found = []
        hooks = [
            layer.attention.output.dense.register_forward_pre_hook(
                lambda _, arguments: found.append(arguments[0].detach().unflatten(-1, (4, 8)).abs().amax((0, 1, 3)))
            )
            for layer in model.bert.encoder.layer
        ]
        with torch.no_grad():
            scored(**next(iter(batches)))
        for hook in hooks:
            hook.remove()
        seen.append(int((torch.stack(found) == 0).sum()))
        rng = np.random.default_rng(len(seen))
        return Importance(structures, rng.random(structures.heads.shape), rng.random(structures.ffn.shape))

    score(model, iter(BATCHES), scorer=spying, rounds=4)  # an iterator, too, serves all rounds
    assert seen == [0, 3, 6, 9]


def test_one_round_is_one_shot() -> None:
    """It gives raw scores, and so does leaving rounds out."""
    model = build("bert")
    assert score(model, BATCHES, rounds=1) == score(model, BATCHES)
    assert score(model, BATCHES, rounds=1).scale == "raw"


@pytest.mark.parametrize("rounds", [-1, 0, 16])
def test_more_rounds_than_units_are_refused(rounds: int) -> None:
    """Three layers of four heads and one FFN sublayer: at most 15 rounds."""
    model = build("bert")
    with pytest.raises(UserError, match=rf"rounds: must be between 1 and the 15 units of the encoder, not {rounds}"):
        score(model, BATCHES, rounds=rounds)
    assert score(model, BATCHES, scorer="magnitude", rounds=15).scale == "order"


def test_any_scoring_function_serves() -> None:
    """`in_rounds` asks once a round; equal scores every time leave an order by these scores."""
    model, asked = build("bert"), []
    structures = structures_of(model)
    fixed = Importance(structures, np.arange(12.0).reshape(3, 4) + 1, np.array([[3.0], [1.0], [2.0]]))

    def once() -> Importance:
        asked.append(1)
        return fixed

    order = in_rounds(model, once, structures, 3, 8)
    assert len(asked) == 3
    assert np.argsort(order.ffn.ravel()).tolist() == [1, 2, 0]
    assert [int(value) for value in order.ffn.ravel()] == [2, 0, 1]  # rounds that each outlived
