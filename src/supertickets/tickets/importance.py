"""Importance: one score per unit, and the paper's normalisation within layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from supertickets.errors import UserError
from supertickets.tickets.structures import Structures

Scale = Literal["raw", "order"]


@dataclass(frozen=True, eq=False)
class Importance:
    """Scores of every head (L, H) and FFN unit (L, U): finite, at least 0, read-only float64.

    `scale` says what they are: `raw` scores are normalised before units are compared over layers; an
    `order` is one of dropping already, lowest first (scoring in several rounds makes it). `present` says
    which heads and FFN units the scored model had: None is all of them. A unit that it lacked scores 0,
    is in no mask that is drawn, and does not count: a sparsity is then a share of the units that were
    there. Raises UserError, with the numbers, when a shape does not fit the structures or a score is out
    of range.
    """

    structures: Structures
    heads: np.ndarray  # shapes are checked below, in a sentence for users, and not by an annotation
    ffn: np.ndarray
    scale: Scale = "raw"
    present: tuple[np.ndarray, np.ndarray] | None = None

    def __post_init__(self) -> None:
        given = self.present or (None, None)
        kinds = (("heads", self.structures.heads, given[0]), ("ffn", self.structures.ffn, given[1]))
        there = tuple(_there(name, kept, counts.shape) for name, counts, kept in kinds)
        for (name, counts, _), kept in zip(kinds, there, strict=True):
            object.__setattr__(self, name, _scores(name, getattr(self, name), counts.shape, kept))
        object.__setattr__(self, "present", None if all(kept.all() for kept in there) else there)

    @property
    def there(self) -> tuple[Bool[np.ndarray, "L H"], Bool[np.ndarray, "L U"]]:
        """The heads and the FFN units that the scored model had."""
        if self.present is not None:
            return self.present
        return np.ones(self.structures.heads.shape, np.bool_), np.ones(self.structures.ffn.shape, np.bool_)

    @classmethod
    def mean(cls, several: Sequence[Importance]) -> Importance:
        """The mean of scores over runs (seeds, say); the mean of orders is an order, by mean place.

        Raises UserError for none, and for mixed structures or scales, or models that lack different units.
        """
        if not several:
            raise UserError("no importances to average", "Importance.mean")
        first = several[0].structures
        for other in several[1:]:
            if other.structures != first:
                raise UserError(f"cannot average {first.size} with {other.structures.size}", "Importance.mean")
            if other._present_bytes() != several[0]._present_bytes():
                raise UserError("cannot average scores of models that lack different units", "Importance.mean")
        scales = sorted({one.scale for one in several})
        if len(scales) > 1:
            raise UserError(f"cannot average scores of the scales {' and '.join(scales)}", "Importance.mean")
        heads, ffn = (np.mean([getattr(one, name) for one in several], axis=0) for name in ("heads", "ffn"))
        return cls(first, heads, ffn, several[0].scale, several[0].present)

    @classmethod
    def consensus(cls, several: Sequence[Importance], *, joint: bool = False) -> Importance:
        """The mean of scores that count alike: each is divided by its own norms before.

        By those of `normalised`; for the joint ranking, which compares scores of all layers and kinds of unit, by
        one norm over all of them. Raises as `mean` does.
        """
        return cls.mean([one._over_one_norm() if joint else one.normalised() for one in several])

    def _over_one_norm(self) -> Importance:
        split = self.heads.size
        scores = _divided(np.concatenate([self.heads, self.ffn], axis=None)[None], axis=None)[0]
        heads, ffn = scores[:split].reshape(self.heads.shape), scores[split:].reshape(self.ffn.shape)
        return Importance(self.structures, heads, ffn, self.scale, self.present)

    def normalised(self) -> Importance:
        """Heads over the L2 norm of their layer, FFN sublayers over that of all layers (the paper's section 3).

        Neurons are many in each layer, as heads are, and go over the norm of their layer. A layer, or an
        encoder, whose scores are all zero stays zero; an order stays what it is.
        """
        return self if self.scale == "order" else self._over_their_norms

    @cached_property
    def _over_their_norms(self) -> Importance:
        """Worked out once: a ticket is drawn at many levels from the same scores."""
        over = None if self.structures.ffn_units == "sublayer" else 1
        heads, ffn = _divided(self.heads, axis=1), _divided(self.ffn, axis=over)
        return Importance(self.structures, heads, ffn, present=self.present)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Importance):
            return NotImplemented
        same = np.array_equal(self.heads, other.heads) and np.array_equal(self.ffn, other.ffn)
        same = same and self.structures == other.structures and self.scale == other.scale
        return same and self._present_bytes() == other._present_bytes()

    def __hash__(self) -> int:
        return hash((self.structures, self.heads.tobytes(), self.ffn.tobytes(), self.scale, self._present_bytes()))

    def _present_bytes(self) -> tuple[bytes, ...]:
        return tuple(kept.tobytes() for kept in self.present or ())


def _there(name: str, given: Any, shape: tuple[int, ...]) -> Bool[np.ndarray, "L W"]:
    kept = np.ones(shape, np.bool_) if given is None else np.array(given)
    if kept.shape != shape or kept.dtype != np.bool_:
        raise UserError(
            f"present {name} are {kept.dtype} of shape {kept.shape}, expected booleans of {shape}", "Importance"
        )
    kept.setflags(write=False)
    return kept


def _scores(name: str, given: Any, shape: tuple[int, ...], there: Bool[np.ndarray, "L W"]) -> Float[np.ndarray, "L W"]:
    scores = np.array(given, dtype=np.float64)
    if scores.shape != shape:
        raise UserError(f"{name} has shape {scores.shape}, the structures have {shape}", "Importance")
    if not np.isfinite(scores).all():
        raise UserError(f"{name} holds {int((~np.isfinite(scores)).sum())} scores that are not finite", "Importance")
    if scores.min() < 0:
        raise UserError(f"{name} must be at least 0, its lowest is {scores.min():g}", "Importance")
    scores[~there] = 0.0
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
