"""Which units to drop: orders of dropping, how many, and the heads that every layer keeps.

An order is fixed before a sparsity is, and a sparsity takes the order's beginning: so the masks of one
order nest as sparsity grows.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int

from supertickets.errors import UserError
from supertickets.tickets.importance import Importance
from supertickets.tickets.structures import Structures

Order = Int[np.ndarray, " _"]  # of any length: heads and FFN units have orders of their own
_ROUNDING = 1e-9  # 0.29 * 100 is 28.999999999999996: the share that was meant drops 29


def check_sparsity(sparsity: float, where: str = "sparsity") -> float:
    """The sparsity itself; raises UserError unless it is in [0, 1)."""
    if not 0 <= sparsity < 1:
        raise UserError(f"must be at least 0 and below 1, not {sparsity:g}", where)
    return sparsity


def check_min_heads(min_heads: int, structures: Structures) -> int:
    """The minimum itself; raises UserError unless every layer has that many heads."""
    if not 0 <= min_heads <= structures.heads_per_layer:
        raise UserError(
            f"must be between 0 and the {structures.heads_per_layer} heads of a layer, not {min_heads}", "min_heads"
        )
    return min_heads


def ascending(scores: Float[np.ndarray, "L W"]) -> Order:
    """Flat positions, least important first; ties by position."""
    return np.argsort(scores, axis=None, kind="stable")


def descending(scores: Float[np.ndarray, "L W"]) -> Order:
    """Flat positions, most important first; ties by position."""
    return np.argsort(-scores, axis=None, kind="stable")


def droppable(order: Order, per_layer: int, minimum: int) -> Order:
    """The order without the last `minimum` units of each layer: those are protected (masking.py, min heads)."""
    layer = order // per_layer
    backwards = np.argsort(layer[::-1], kind="stable")  # grouped by layer, the last to be dropped first
    rank = np.empty_like(order)
    rank[backwards] = np.arange(len(order)) % per_layer
    return order[rank[::-1] >= minimum]


def share(sparsity: float, units: int) -> int:
    """How many of `units` a sparsity drops: floor(sparsity * units)."""
    return math.floor(sparsity * units + _ROUNDING)


def kept(order: Order, dropped: int, shape: tuple[int, ...]) -> Bool[np.ndarray, "L W"]:
    """All units but the first `dropped` of the order."""
    keep = np.ones(shape, dtype=np.bool_)
    keep.flat[order[:dropped]] = False
    return keep


def joint_counts(importance: Importance, sparsity: float, min_heads: int) -> tuple[int, int]:
    """How many heads and FFN units the joint ranking drops.

    All units in one order by raw importance per weight, protected heads skipped; the longest beginning
    whose weights stay within `sparsity` of all prunable weights.
    """
    structures = importance.structures
    per_head, per_unit = importance.heads / structures.heads, importance.ffn / structures.ffn
    heads = droppable(ascending(per_head), structures.heads_per_layer, min_heads)
    units = ascending(per_unit)
    scores = np.concatenate([per_head.flat[heads], per_unit.flat[units]])
    weights = np.concatenate([structures.heads.flat[heads], structures.ffn.flat[units]])
    order = np.argsort(scores, kind="stable")
    budget = math.floor(sparsity * structures.prunable_weights + _ROUNDING)
    dropped = order[: np.searchsorted(np.cumsum(weights[order]), budget, side="right")]
    n_heads = int((dropped < len(heads)).sum())
    return n_heads, len(dropped) - n_heads
