"""What each unit costs: in weights, FLOPs or seconds; and the level whose ticket meets a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from supertickets.config import Measure
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures

MEASURES: dict[Measure, str] = {"params": "weights", "flops": "FLOPs", "latency": "latency"}  # in words
STEPS = 10_000  # levels have four decimals


@dataclass(frozen=True, eq=False)
class UnitCosts:
    """The cost of each head (L, H) and FFN unit (L, U), and of all the rest: finite, at least 0, read-only float64.

    Costs add up: a ticket costs `fixed` and what its units cost. Raises UserError, with the numbers,
    when a shape does not fit the structures or a cost is out of range.
    """

    structures: Structures
    heads: np.ndarray  # shapes are checked below, in a sentence for users, and not by an annotation
    ffn: np.ndarray
    fixed: float
    measure: Measure

    def __post_init__(self) -> None:
        for name, counts in (("heads", self.structures.heads), ("ffn", self.structures.ffn)):
            object.__setattr__(self, name, _costs(name, getattr(self, name), counts.shape))
        if not 0 <= self.fixed < math.inf:
            raise UserError(f"fixed must be finite and at least 0, not {self.fixed:g}", "UnitCosts")
        if not self.full > 0:
            raise UserError("the full encoder must cost more than 0", "UnitCosts")

    @property
    def full(self) -> float:
        """What the full encoder costs."""
        return float(self.fixed + self.heads.sum() + self.ffn.sum())

    def of(self, mask: Mask) -> float:
        """What a ticket costs; raises UserError when the mask has other shapes."""
        if (mask.heads.shape, mask.ffn.shape) != (self.heads.shape, self.ffn.shape):
            raise UserError(f"the mask is for {mask.structures.size}, the costs are for {self.structures.size}")
        return float(self.fixed + self.heads[mask.heads].sum() + self.ffn[mask.ffn].sum())

    def share(self, mask: Mask) -> float:
        """A ticket's cost as a share of the full encoder's."""
        return self.of(mask) / self.full

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; costs that are the same everywhere are written once."""
        return {
            "measure": self.measure,
            "per_head": _short(self.heads),
            "per_unit": _short(self.ffn),
            "fixed": self.fixed,
            "structures": self.structures.to_dict(),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> UnitCosts:
        """The exact inverse of `to_dict`; raises UserError when a key is missing or a shape is off."""
        try:
            structures = Structures.from_dict(plain["structures"])
            heads = np.broadcast_to(np.asarray(plain["per_head"], np.float64), structures.heads.shape)
            ffn = np.broadcast_to(np.asarray(plain["per_unit"], np.float64), structures.ffn.shape)
            return cls(structures, heads, ffn, float(plain["fixed"]), plain["measure"])
        except (KeyError, TypeError, ValueError) as fault:
            raise UserError(f"not a table of costs ({fault})", "costs") from fault

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UnitCosts):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return (self.structures, self.heads.tobytes(), self.ffn.tobytes(), self.fixed, self.measure)


def params_costs(structures: Structures) -> UnitCosts:
    """Weights, biases included: a ticket's share is that of all weights, as `weights_remaining.all`.

    The rest holds the embeddings, layer norms and output projections' biases, but not the task head.
    """
    rest = structures.total_weights - structures.prunable_weights
    return UnitCosts(structures, structures.heads, structures.ffn, float(rest), "params")


def level_for(costs: UnitCosts, share: float, mask_at: Callable[[float], Mask]) -> float:
    """The smallest level, of four decimals, whose ticket costs at most `share` of the full encoder.

    `mask_at` draws a level's ticket; its masks nest as the level grows, so that the cost only falls.
    Raises UserError for a share outside (0, 1), and with the smallest share that a ticket reaches
    when that is larger than `share`.
    """
    if not 0 < share < 1:
        raise UserError(f"must be a share above 0 and below 1, not {share:g}", "tickets.target")
    low, high = 0, STEPS - 1  # low costs too much: it is the full encoder
    smallest = costs.share(mask_at(high / STEPS))
    if smallest > share:
        raise UserError(
            f"no ticket keeps only {share:g} of the {MEASURES[costs.measure]}: "
            f"the smallest one keeps {math.ceil(1000 * smallest) / 1000:g}",
            "tickets.target",
            "ask for more, or set tickets.min_heads lower",
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if costs.share(mask_at(middle / STEPS)) <= share else (middle, high)
    return high / STEPS


def _costs(name: str, given: Any, shape: tuple[int, ...]) -> Float[np.ndarray, "L W"]:
    costs = np.array(given, dtype=np.float64)
    if costs.shape != shape:
        raise UserError(f"{name} has shape {costs.shape}, the structures have {shape}", "UnitCosts")
    if not np.isfinite(costs).all():
        raise UserError(f"{name} holds {int((~np.isfinite(costs)).sum())} costs that are not finite", "UnitCosts")
    if costs.min() < 0:
        raise UserError(f"{name} must be at least 0, its lowest is {costs.min():g}", "UnitCosts")
    costs.setflags(write=False)
    return costs


def _short(costs: Float[np.ndarray, "L W"]) -> Any:
    return float(costs.flat[0]) if (costs == costs.flat[0]).all() else costs.tolist()
