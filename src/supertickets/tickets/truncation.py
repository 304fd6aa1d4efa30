"""The lowest layers as a ticket: what layer truncation leaves, at the size of another ticket."""

from __future__ import annotations

import numpy as np

from supertickets.tickets.masks import Mask


def lowest_layers(like: Mask) -> Mask:
    """The lowest layers, whole, and so many of them that no fewer weights are left than `like` keeps.

    The fewest such layers: a truncated model is at most one layer larger than the ticket beside it, never smaller.
    """
    structures = like.structures
    for layers in range(structures.layers + 1):
        below = (np.arange(structures.layers) < layers)[:, None]
        heads, ffn = (np.broadcast_to(below, counts.shape) for counts in (structures.heads, structures.ffn))
        mask = Mask(structures, heads, ffn)
        if mask.weights_remaining.all >= like.weights_remaining.all:
            break
    return mask
