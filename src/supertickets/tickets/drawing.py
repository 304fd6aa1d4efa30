"""Which units to drop: orders of dropping, how many, and the heads that every layer keeps.

An order is fixed before a sparsity is, and a sparsity takes the order's beginning: so the masks of one
order nest as sparsity grows. Neurons go in blocks, of one layer each: then a layer's count is one that
matrices run fast with.
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


def check_rounds(rounds: int, structures: Structures) -> int:
    """The number of scoring rounds itself; raises UserError when there are fewer units to drop than rounds."""
    units = structures.heads.size + structures.ffn.size
    if not 1 <= rounds <= units:
        raise UserError(f"must be between 1 and the {units} units of the encoder, not {rounds}", "rounds")
    return rounds


def block_size(structures: Structures, multiple: int) -> int:
    """How many FFN units are dropped together: the largest number that divides both `multiple` and a layer's units.

    So whole sublayers go one by one. Raises UserError for a multiple below 1.
    """
    if multiple < 1:
        raise UserError(f"must be at least 1, not {multiple}", "multiple")
    return math.gcd(structures.units_per_layer, multiple)


def ascending(scores: Float[np.ndarray, "L W"], block: int = 1) -> Order:
    """Flat positions, least important first; ties by position.

    A layer's units, in their order, make blocks of `block`; the blocks of all layers go by their mean score.
    """
    layers, units = scores.shape
    within = np.argsort(scores, axis=1, kind="stable") + units * np.arange(layers)[:, None]
    blocks = within.reshape(-1, block)
    order: Order = blocks[np.argsort(_means(scores, blocks), kind="stable")].ravel()
    return order


def descending(scores: Float[np.ndarray, "L W"], block: int = 1) -> Order:
    """Flat positions, most important first; ties by position; blocks as in `ascending`."""
    return ascending(-scores, block)


def shuffled(shape: tuple[int, int], block: int, rng: np.random.Generator) -> Order:
    """Flat positions in a uniform order: a layer's units make blocks by chance, and so do the blocks their order."""
    units = np.arange(shape[0] * shape[1]).reshape(shape)
    if block > 1:
        units = rng.permuted(units, axis=1)
    order: Order = units.reshape(-1, block)[rng.permutation(units.size // block)].ravel()
    return order


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


def joint_counts(importance: Importance, sparsity: float, min_heads: int, block: int) -> tuple[int, int]:
    """How many heads and FFN units the joint ranking drops.

    All heads and blocks of FFN units in one order by raw importance per weight, protected heads skipped;
    the longest beginning whose weights stay within `sparsity` of all prunable weights.
    """
    structures = importance.structures
    per_head, per_unit = importance.heads / structures.heads, importance.ffn / structures.ffn
    heads = droppable(ascending(per_head), structures.heads_per_layer, min_heads)
    blocks = ascending(per_unit, block).reshape(-1, block)
    scores = np.concatenate([per_head.flat[heads], _means(per_unit, blocks)])
    weights = np.concatenate([structures.heads.flat[heads], structures.ffn.ravel()[blocks].sum(axis=1)])
    order = np.argsort(scores, kind="stable")
    budget = math.floor(sparsity * structures.prunable_weights + _ROUNDING)
    dropped = order[: np.searchsorted(np.cumsum(weights[order]), budget, side="right")]
    n_heads = int((dropped < len(heads)).sum())
    return n_heads, block * (len(dropped) - n_heads)


def _means(scores: Float[np.ndarray, "L W"], blocks: Int[np.ndarray, "N block"]) -> Float[np.ndarray, " N"]:
    means: Float[np.ndarray, " N"] = scores.ravel()[blocks].mean(axis=1)
    return means
