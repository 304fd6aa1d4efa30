"""Masks that the checks prune by; the same for a structure every time."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool

from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures


def half(structures: Structures, seed: int = 0) -> Mask:
    """About half of each layer's heads and neurons, at least one of each; every other FFN sublayer."""
    rng = np.random.default_rng(seed)
    heads, ffn = (rng.permuted(_first_half(counts.shape), axis=1) for counts in (structures.heads, structures.ffn))
    if structures.ffn_units == "sublayer":
        ffn = np.arange(seed, seed + structures.layers)[:, None] % 2 == 1
    return Mask(structures, heads, ffn)


def without(structures: Structures, kind: Literal["heads", "ffn"], layer: int) -> Mask:
    """Everything but one layer's heads, or one layer's FFN units."""
    keep = {"heads": np.ones(structures.heads.shape, np.bool_), "ffn": np.ones(structures.ffn.shape, np.bool_)}
    keep[kind][layer] = False
    return Mask(structures, **keep)


def uneven(structures: Structures) -> Mask:
    """As `half`, with a first layer that keeps no head."""
    return half(structures) & without(structures, "heads", 0)


def nothing(structures: Structures) -> Mask:
    """No unit kept at all."""
    return Mask(structures, np.zeros(structures.heads.shape, np.bool_), np.zeros(structures.ffn.shape, np.bool_))


def _first_half(shape: tuple[int, ...]) -> Bool[np.ndarray, "L W"]:
    return np.broadcast_to(np.arange(shape[1]) < (shape[1] + 1) // 2, shape)
