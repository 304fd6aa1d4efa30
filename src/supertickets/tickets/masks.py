"""Mask: which units a ticket keeps; drawn as the winning, losing or a random ticket of a size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from supertickets.config import Kind, Ranking
from supertickets.errors import UserError
from supertickets.tickets import chance, drawing
from supertickets.tickets.importance import Importance
from supertickets.tickets.structures import Structures


@dataclass(frozen=True)
class WeightsRemaining:
    """Shares of the weights that a mask keeps, biases included: of all weights, and of the encoder's layers."""

    all: float
    encoder: float


@dataclass(frozen=True, eq=False)
class Mask:
    """Kept heads (L, H) and FFN units (L, U), read-only booleans; raises UserError when a shape does not fit."""

    structures: Structures
    heads: np.ndarray  # shapes are checked below, in a sentence for users, and not by an annotation
    ffn: np.ndarray

    def __post_init__(self) -> None:
        for name, counts in (("heads", self.structures.heads), ("ffn", self.structures.ffn)):
            object.__setattr__(self, name, _booleans(name, getattr(self, name), counts.shape))

    @classmethod
    def full(cls, structures: Structures) -> Mask:
        """Everything kept."""
        return cls(structures, np.ones(structures.heads.shape, np.bool_), np.ones(structures.ffn.shape, np.bool_))

    @classmethod
    def winning(
        cls,
        importance: Importance,
        sparsity: float,
        *,
        min_heads: int = 1,
        ranking: Ranking = "apart",
        ffn_sparsity: float | None = None,
        multiple: int = 8,
    ) -> Mask:
        """The most important units (the paper's section 3, one-shot pruning).

        `apart` drops floor(sparsity * heads) heads, lowest normalised score first but never the
        `min_heads` best of a layer, and floor(ffn_sparsity * units) FFN units, lowest first.
        `joint` ranks all units together by raw importance per weight and drops that share of weights.
        Neurons go in blocks of `multiple` (or the largest part of it that divides a layer's neurons): the
        lowest of a layer first, layers by the blocks' mean score; their number is rounded down to whole blocks.
        Of a pruned model's importance every share is one of what the model still had, and the mask drops
        what was gone, too: `multiple` then has a part that divides each layer's neurons.
        Raises UserError for a sparsity outside [0, 1) or more `min_heads` than heads.
        """
        counts, block = _counts(importance, sparsity, min_heads, ranking, ffn_sparsity, multiple)
        (heads, ffn), there = _scores(importance, ranking), importance.there
        orders = drawing.ascending(heads, there[0]), drawing.ascending(ffn, there[1], block)
        return cls._dropping(importance.structures, orders, counts, min_heads, there)

    @classmethod
    def losing(
        cls,
        importance: Importance,
        sparsity: float,
        *,
        min_heads: int = 1,
        ranking: Ranking = "apart",
        ffn_sparsity: float | None = None,
        multiple: int = 8,
    ) -> Mask:
        """The least important units, as many heads and FFN units as the winning ticket keeps (the paper's section 3).

        The `min_heads` protected heads of a layer are its lowest, and neurons go in blocks of a layer's
        highest. Raises as `winning` does.
        """
        counts, block = _counts(importance, sparsity, min_heads, ranking, ffn_sparsity, multiple)
        (heads, ffn), there = _scores(importance, ranking), importance.there
        orders = drawing.descending(heads, there[0]), drawing.descending(ffn, there[1], block)
        return cls._dropping(importance.structures, orders, counts, min_heads, there)

    @classmethod
    def random(
        cls,
        like: Mask,
        rng: np.random.Generator,
        *,
        min_heads: int = 1,
        multiple: int = 8,
        within: Mask | None = None,
    ) -> Mask:
        """Uniform draws, without replacement, of exactly as many heads and FFN units as `like` keeps (not D2).

        One permutation of the heads and then one of the FFN units are taken from `rng`, so equal
        generators give nested masks for nested sizes. Neurons are drawn in blocks, as `winning` has them,
        of a layer's neurons by chance. `within` holds the units to draw from, such as those that a pruned
        model still has. Raises UserError when `like` keeps fewer heads than `min_heads` in every layer
        need, or a unit that is not `within`.
        """
        structures, within = like.structures, within or cls.full(like.structures)
        drawing.check_min_heads(min_heads, structures)
        if (like & within) != like:
            raise UserError("it keeps units that the masks are not to be drawn from", "Mask.random")
        needed, found = int(within.heads.sum(axis=1).clip(max=min_heads).sum()), int(like.heads.sum())
        if found < needed:
            raise UserError(
                f"{found} heads are kept, but min_heads {min_heads} in {structures.layers} layers need {needed}",
                "Mask.random",
            )
        heads = drawing.shuffled(within.heads, 1, rng)
        ffn = drawing.shuffled(within.ffn, drawing.block_size(structures, multiple, within.ffn), rng)
        counts = int((within.heads & ~like.heads).sum()), int((within.ffn & ~like.ffn).sum())
        return cls._dropping(structures, (heads, ffn), counts, min_heads, (within.heads, within.ffn))

    @classmethod
    def _dropping(
        cls,
        structures: Structures,
        orders: tuple[drawing.Order, drawing.Order],
        counts: tuple[int, int],
        min_heads: int,
        there: tuple[np.ndarray, np.ndarray],
    ) -> Mask:
        heads = drawing.droppable(orders[0], structures.heads_per_layer, min_heads)
        return cls(structures, drawing.kept(heads, counts[0], there[0]), drawing.kept(orders[1], counts[1], there[1]))

    @property
    def heads_per_layer(self) -> tuple[int, ...]:
        """Kept heads of each layer."""
        return tuple(int(n) for n in self.heads.sum(axis=1))

    @property
    def ffn_per_layer(self) -> tuple[int, ...]:
        """Kept FFN units of each layer."""
        return tuple(int(n) for n in self.ffn.sum(axis=1))

    @property
    def sha256(self) -> str:
        """Checksum of the kept units: a byte of 1 or 0 for each head, layer by layer, then for each FFN unit."""
        return hashlib.sha256(self.heads.tobytes() + self.ffn.tobytes()).hexdigest()

    @property
    def weights_remaining(self) -> WeightsRemaining:
        """Real shares of weights kept, counted from the structures."""
        structures = self.structures
        dropped = int(structures.heads[~self.heads].sum() + structures.ffn[~self.ffn].sum())
        return WeightsRemaining(
            all=(structures.total_weights - dropped) / structures.total_weights,
            encoder=(structures.encoder_weights - dropped) / structures.encoder_weights,
        )

    def jaccard(self, other: Mask) -> float:
        """Units that both keep over units that either keeps, heads and FFN units alike; 1 where neither keeps any."""
        self._check_same(other, "compare")
        return _ratio((self & other)._kept, (self | other)._kept)

    def jaccard_heads(self, other: Mask) -> float:
        """As `jaccard`, over heads only."""
        self._check_same(other, "compare")
        return _ratio(int((self.heads & other.heads).sum()), int((self.heads | other.heads).sum()))

    def expected_jaccard(self, other: Mask) -> float:
        """What `jaccard` is on average between random masks of these two sizes.

        Protected heads, and that neurons are drawn in blocks, are not accounted for.
        """
        self._check_same(other, "compare")
        pairs = ((self.heads, other.heads), (self.ffn, other.ffn))
        return chance.expected_jaccard([(a.size, int(a.sum()), int(b.sum())) for a, b in pairs])

    def __and__(self, other: Mask) -> Mask:
        self._check_same(other, "intersect")
        return Mask(self.structures, self.heads & other.heads, self.ffn & other.ffn)

    def __or__(self, other: Mask) -> Mask:
        self._check_same(other, "unite")
        return Mask(self.structures, self.heads | other.heads, self.ffn | other.ffn)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        same = np.array_equal(self.heads, other.heads) and np.array_equal(self.ffn, other.ffn)
        return same and self.structures == other.structures

    def __hash__(self) -> int:
        return hash((self.structures, self.heads.tobytes(), self.ffn.tobytes()))

    @property
    def _kept(self) -> int:
        return int(self.heads.sum() + self.ffn.sum())

    def _check_same(self, other: Mask, verb: str) -> None:
        """Masks are comparable when their units are the same; embeddings may differ in size."""
        ours, theirs = self.structures, other.structures
        shapes = (ours.heads.shape, ours.ffn.shape) == (theirs.heads.shape, theirs.ffn.shape)
        if ours.architecture != theirs.architecture or not shapes:
            raise UserError(f"cannot {verb} masks of {ours.size} and of {theirs.size}", "Mask")


def draw(
    kind: Kind,
    importance: Importance,
    sparsity: float,
    *,
    rng: np.random.Generator,
    min_heads: int = 1,
    ranking: Ranking = "apart",
    multiple: int = 8,
) -> Mask:
    """The mask of a kind at a sparsity; only `random` takes numbers from `rng`."""
    return KINDS[kind](importance, sparsity, rng, min_heads, ranking, multiple)


def _random(
    importance: Importance, sparsity: float, rng: np.random.Generator, min_heads: int, ranking: Ranking, multiple: int
) -> Mask:
    winning = Mask.winning(importance, sparsity, min_heads=min_heads, ranking=ranking, multiple=multiple)
    within = Mask(importance.structures, *importance.there)
    return Mask.random(winning, rng, min_heads=min_heads, multiple=multiple, within=within)


KINDS: dict[Kind, Callable[[Importance, float, np.random.Generator, int, Ranking, int], Mask]] = {
    "winning": lambda i, s, _, h, r, m: Mask.winning(i, s, min_heads=h, ranking=r, multiple=m),
    "random": _random,
    "losing": lambda i, s, _, h, r, m: Mask.losing(i, s, min_heads=h, ranking=r, multiple=m),
}


def _counts(
    importance: Importance, sparsity: float, min_heads: int, ranking: Ranking, ffn_sparsity: float | None, multiple: int
) -> tuple[tuple[int, int], int]:
    """How many heads and FFN units the winning ticket drops, which the other kinds copy; and the blocks' size."""
    structures, (heads, ffn) = importance.structures, importance.there
    block = drawing.block_size(structures, multiple, ffn)
    drawing.check_sparsity(sparsity)
    drawing.check_min_heads(min_heads, structures)
    if ranking == "joint":
        if ffn_sparsity is not None:
            raise UserError(
                "the joint ranking has one sparsity for all units", "ffn_sparsity", "leave it out, or rank apart"
            )
        if importance.scale == "order":
            raise UserError("the joint ranking needs scores per weight, not an order", "ranking", "rank apart")
        return drawing.joint_counts(importance, sparsity, min_heads, block), block
    ffn_sparsity = sparsity if ffn_sparsity is None else drawing.check_sparsity(ffn_sparsity, "ffn_sparsity")
    most = int((heads.sum(axis=1) - min_heads).clip(min=0).sum())
    n_ffn = block * drawing.share(ffn_sparsity, int(ffn.sum()) // block)
    return (min(drawing.share(sparsity, int(heads.sum())), most), n_ffn), block


def _scores(importance: Importance, ranking: Ranking) -> tuple[np.ndarray, np.ndarray]:
    """The scores that heads, and FFN units, are ordered by among themselves."""
    if ranking == "joint":
        return importance.heads / importance.structures.heads, importance.ffn / importance.structures.ffn
    normalised = importance.normalised()
    return normalised.heads, normalised.ffn


def _booleans(name: str, given: Any, shape: tuple[int, ...]) -> Bool[np.ndarray, "L W"]:
    keep = np.array(given)
    if keep.shape != shape:
        raise UserError(f"{name} has shape {keep.shape}, the structures have {shape}", "Mask")
    if keep.dtype != np.bool_:
        raise UserError(f"{name} must hold booleans, not {keep.dtype}", "Mask")
    keep.setflags(write=False)
    return keep


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
