"""Iterative scoring: score, drop the lowest units, score what is left again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from transformers import PreTrainedModel

from supertickets.encoders.gating import gate
from supertickets.encoders.pruning import mask_of
from supertickets.tickets.drawing import check_rounds
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures


def in_rounds(
    model: PreTrainedModel, once: Callable[[], Importance], structures: Structures, rounds: int, multiple: int
) -> Importance:
    """The order of dropping (scale "order") over rounds, from a function that scores the model as it is.

    After round r the units lowest by that round's normalised scores are gated off, so that a share
    r / rounds of the heads and of the FFN units (in blocks of `multiple` neurons) is gone. A layer
    keeps one head all the while: scoring never runs on a layer without attention. A unit's value is
    the number of rounds it outlived plus half its normalised score in its last one, so tickets
    drawn from it nest, and at sparsity r / rounds they are the mask of round r. On a pruned model the
    shares are of what it still has. Raises UserError
    unless rounds are between 1 and the number of units.
    """
    check_rounds(rounds, structures)
    mask = mask_of(model, structures)
    zeros = (np.zeros(mask.heads.shape), np.zeros(mask.ffn.shape))
    order = Importance(structures, *zeros, "order", (mask.heads, mask.ffn))
    for outlived in range(rounds):
        if outlived:
            mask = Mask.winning(order, outlived / rounds, min_heads=1, multiple=multiple)
        with gate(model, mask):
            order = _placed(order, once(), mask, outlived)
    return order


def _placed(order: Importance, found: Importance, mask: Mask, outlived: int) -> Importance:
    """The order with the units that the mask keeps placed by new scores; halves stay below the next round's 1."""
    left = Importance(mask.structures, found.heads * mask.heads, found.ffn * mask.ffn).normalised()
    heads = np.where(mask.heads, outlived + left.heads / 2, order.heads)
    ffn = np.where(mask.ffn, outlived + left.ffn / 2, order.ffn)
    return Importance(mask.structures, heads, ffn, "order", order.present)
