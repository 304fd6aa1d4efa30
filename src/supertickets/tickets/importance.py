"""Importance: one score per unit, and the paper's normalisation within layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from supertickets.errors import UserError
from supertickets.tickets.structures import Structures


@dataclass(frozen=True, eq=False)
class Importance:
    """Raw scores of every head (L, H) and FFN unit (L, U): finite, at least 0, read-only float64.

    Raises UserError, with the numbers, when a shape does not fit the structures or a score is out of range.
    """

    structures: Structures
    heads: np.ndarray  # shapes are checked below, in a sentence for users, and not by an annotation
    ffn: np.ndarray

    def __post_init__(self) -> None:
        for name, counts in (("heads", self.structures.heads), ("ffn", self.structures.ffn)):
            object.__setattr__(self, name, _scores(name, getattr(self, name), counts.shape))

    @classmethod
    def mean(cls, several: Sequence[Importance]) -> Importance:
        """The mean of raw scores over runs (seeds, say); raises UserError for none or for mixed structures."""
        if not several:
            raise UserError("no importances to average", "Importance.mean")
        first = several[0].structures
        for other in several[1:]:
            if other.structures != first:
                raise UserError(f"cannot average {first.size} with {other.structures.size}", "Importance.mean")
        return cls(
            first, np.mean([one.heads for one in several], axis=0), np.mean([one.ffn for one in several], axis=0)
        )

    def normalised(self) -> Importance:
        """Heads over the L2 norm of their layer, FFN units over the L2 norm of all layers (the paper's section 3).

        A layer, or an encoder, whose scores are all zero stays zero.
        """
        return Importance(self.structures, _divided(self.heads, axis=1), _divided(self.ffn, axis=None))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Importance):
            return NotImplemented
        same = np.array_equal(self.heads, other.heads) and np.array_equal(self.ffn, other.ffn)
        return same and self.structures == other.structures

    def __hash__(self) -> int:
        return hash((self.structures, self.heads.tobytes(), self.ffn.tobytes()))


def _scores(name: str, given: Any, shape: tuple[int, ...]) -> Float[np.ndarray, "L W"]:
    scores = np.array(given, dtype=np.float64)
    if scores.shape != shape:
        raise UserError(f"{name} has shape {scores.shape}, the structures have {shape}", "Importance")
    if not np.isfinite(scores).all():
        raise UserError(f"{name} holds {int((~np.isfinite(scores)).sum())} scores that are not finite", "Importance")
    if scores.min() < 0:
        raise UserError(f"{name} must be at least 0, its lowest is {scores.min():g}", "Importance")
    scores += 0.0  # -0.0 becomes 0.0, so that equal scores have equal bytes
    scores.setflags(write=False)
    return scores


def _divided(scores: Float[np.ndarray, "L W"], axis: int | None) -> Float[np.ndarray, "L W"]:
    """Scores over their L2 norm; the largest is divided out first, so that tiny scores do not vanish when squared."""
    largest = scores.max(axis=axis, keepdims=True)
    scaled = np.divide(scores, largest, out=np.zeros_like(scores), where=largest > 0)
    norm = np.sqrt((scaled**2).sum(axis=axis, keepdims=True))
    normalised: Float[np.ndarray, "L W"] = np.divide(scaled, norm, out=np.zeros_like(scores), where=norm > 0)
    return normalised
