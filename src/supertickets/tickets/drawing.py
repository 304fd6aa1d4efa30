"""Which units to drop: orders of dropping, how many, and the heads that every layer keeps.

An order is fixed before a sparsity is, and a sparsity takes the order's beginning: so the masks of one
order nest as sparsity grows. Neurons go in blocks, of one layer each: then a layer's count is one that
matrices run fast with. Where a pruned model was scored, orders hold the units that it still had.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int

from supertickets.errors import UserError
from supertickets.tickets.importance import Importance
from supertickets.tickets.structures import Structures

Order = Int[np.ndarray, " _"]  # of any length: heads and FFN units have orders of their own
Present = Bool[np.ndarray, "_ _"]  # which heads, or which FFN units, of each layer are there
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


def check_rounds(rounds: int, structures: Structures) -> int:
    """The number of scoring rounds itself; raises UserError when there are fewer units to drop than rounds."""
    units = structures.heads.size + structures.ffn.size
    if not 1 <= rounds <= units:
        raise UserError(f"must be between 1 and the {units} units of the encoder, not {rounds}", "rounds")
    return rounds


def block_size(structures: Structures, multiple: int, there: Present | None = None) -> int:
    """How many FFN units are dropped together: the largest number that divides `multiple` and each layer's units.

    So whole sublayers go one by one. Units of a pruned model are those that are still `there`. Raises
    UserError for a multiple below 1.
    """
    if multiple < 1:
        raise UserError(f"must be at least 1, not {multiple}", "multiple")
    if there is None:
        return math.gcd(structures.units_per_layer, multiple)
    return math.gcd(multiple, *map(int, there.sum(axis=1)))


def ascending(scores: Float[np.ndarray, "L W"], there: Present, block: int = 1) -> Order:
    """Flat positions of the units that are there, least important first; ties by position.

    A layer's units, in their order, make blocks of `block`; the blocks of all layers go by their mean score.
    """
    layers, units = scores.shape
    within = np.argsort(scores, axis=1, kind="stable") + units * np.arange(layers)[:, None]
    blocks = _there(within.ravel(), there).reshape(-1, block)
    order: Order = blocks[np.argsort(_means(scores, blocks), kind="stable")].ravel()
    return order


def descending(scores: Float[np.ndarray, "L W"], there: Present, block: int = 1) -> Order:
    """Flat positions, most important first; ties by position; blocks as in `ascending`."""
    return ascending(-scores, there, block)


def shuffled(there: Present, block: int, rng: np.random.Generator) -> Order:
    """Flat positions in a uniform order: a layer's units make blocks by chance, and so do the blocks their order."""
    units = np.arange(there.size).reshape(there.shape)
    if block > 1:
        units = rng.permuted(units, axis=1)
    blocks = _there(units.ravel(), there).reshape(-1, block)
    order: Order = blocks[rng.permutation(len(blocks))].ravel()
    return order


def droppable(order: Order, per_layer: int, minimum: int) -> Order:
    """The order without the last `minimum` units of each layer: those are protected (masking.py, min heads)."""
    layer = order // per_layer
    backwards = np.argsort(layer[::-1], kind="stable")  # grouped by layer, the last to be dropped first
    counts = np.bincount(layer)
    rank = np.empty_like(order)
    rank[backwards] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[rank[::-1] >= minimum]


def share(sparsity: float, units: int) -> int:
    """How many of `units` a sparsity drops: floor(sparsity * units)."""
    return math.floor(sparsity * units + _ROUNDING)


def kept(order: Order, dropped: int, there: Present) -> Bool[np.ndarray, "L W"]:
    """All units that are there, but the first `dropped` of the order."""
    keep = there.copy()
    keep.flat[order[:dropped]] = False
    return keep


def joint_counts(importance: Importance, sparsity: float, min_heads: int, block: int) -> tuple[int, int]:
    """How many heads and FFN units the joint ranking drops.

    All heads and blocks of FFN units in one order by raw importance per weight, protected heads skipped;
    the longest beginning whose weights stay within `sparsity` of all prunable weights that are there.
    """
    structures, there = importance.structures, importance.there
    per_head, per_unit = importance.heads / structures.heads, importance.ffn / structures.ffn
    heads = droppable(ascending(per_head, there[0]), structures.heads_per_layer, min_heads)
    blocks = ascending(per_unit, there[1], block).reshape(-1, block)
    scores = np.concatenate([per_head.flat[heads], _means(per_unit, blocks)])
    weights = np.concatenate([structures.heads.flat[heads], structures.ffn.ravel()[blocks].sum(axis=1)])
    order = np.argsort(scores, kind="stable")
    prunable = int(structures.heads[there[0]].sum() + structures.ffn[there[1]].sum())
    budget = math.floor(sparsity * prunable + _ROUNDING)
    dropped = order[: np.searchsorted(np.cumsum(weights[order]), budget, side="right")]
    n_heads = int((dropped < len(heads)).sum())
    return n_heads, block * (len(dropped) - n_heads)


def _there(order: Order, there: Present) -> Order:
    found: Order = order[there.ravel()[order]]
    return found


def _means(scores: Float[np.ndarray, "L W"], blocks: Int[np.ndarray, "N block"]) -> Float[np.ndarray, " N"]:
    means: Float[np.ndarray, " N"] = scores.ravel()[blocks].mean(axis=1)
    return means
