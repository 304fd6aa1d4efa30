"""Structures: which units an encoder has, and how many weights each of them holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from supertickets.config import FfnUnit
from supertickets.errors import UserError

FFN_WORDS: dict[FfnUnit, str] = {"sublayer": "FFN unit", "neuron": "FFN neuron"}


@dataclass(frozen=True, eq=False)
class Structures:
    """The prunable units of one architecture (the paper's section 3: attention heads and FFN sublayers).

    `heads` (L, H) and `ffn` (L, U) hold the weights of each unit, biases included: one whole FFN sublayer a
    layer (U = 1), or its single intermediate neurons (U = intermediate size). `encoder_weights`
    counts all weights of the encoder's layers (attention, FFN, layer norms); `total_weights` adds the
    embeddings and leaves out the task head. Raises UserError when the numbers contradict each other.
    """

    architecture: str
    heads: np.ndarray  # shapes are checked below, in a sentence for users, and not by an annotation
    ffn: np.ndarray
    encoder_weights: int
    total_weights: int

    def __post_init__(self) -> None:
        for name in ("heads", "ffn"):
            object.__setattr__(self, name, _counts(name, getattr(self, name)))
        if len(self.heads) != len(self.ffn):
            raise UserError(f"heads has {len(self.heads)} layers, ffn has {len(self.ffn)}", "Structures")
        if self.prunable_weights > self.encoder_weights:
            raise UserError(
                f"units hold {self.prunable_weights} weights, more than the encoder's {self.encoder_weights}",
                "Structures",
            )
        if self.encoder_weights > self.total_weights:
            raise UserError(
                f"encoder_weights {self.encoder_weights} exceeds total_weights {self.total_weights}", "Structures"
            )

    @property
    def layers(self) -> int:
        """Number of encoder layers, L."""
        return len(self.heads)

    @property
    def heads_per_layer(self) -> int:
        """Attention heads of each layer, H."""
        return int(self.heads.shape[1])

    @property
    def units_per_layer(self) -> int:
        """FFN units of each layer, U: one for whole sublayers."""
        return int(self.ffn.shape[1])

    @property
    def ffn_units(self) -> FfnUnit:
        """What an FFN unit is here: the whole sublayer of its layer, or one neuron."""
        return "sublayer" if self.units_per_layer == 1 else "neuron"

    @property
    def prunable_weights(self) -> int:
        """Weights that all units hold together."""
        return int(self.heads.sum() + self.ffn.sum())

    @property
    def size(self) -> str:
        """The size in words, for messages."""
        return (
            f"{self.architecture}: {self.layers} layers, {self.heads_per_layer} heads and "
            f"{self.units_per_layer} {FFN_WORDS[self.ffn_units]}s in each"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; weights that are the same everywhere are written once."""
        return {
            "architecture": self.architecture,
            "layers": self.layers,
            "heads_per_layer": self.heads_per_layer,
            "units_per_layer": self.units_per_layer,
            "weights_per_head": _short(self.heads),
            "weights_per_unit": _short(self.ffn),
            "encoder_weights": self.encoder_weights,
            "total_weights": self.total_weights,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Structures:
        """The exact inverse of `to_dict`; raises UserError when a key is missing or a shape is off."""
        try:
            layers, heads, units = plain["layers"], plain["heads_per_layer"], plain["units_per_layer"]
            return cls(
                architecture=plain["architecture"],
                heads=np.broadcast_to(np.asarray(plain["weights_per_head"]), (layers, heads)),
                ffn=np.broadcast_to(np.asarray(plain["weights_per_unit"]), (layers, units)),
                encoder_weights=plain["encoder_weights"],
                total_weights=plain["total_weights"],
            )
        except (KeyError, TypeError, ValueError) as fault:
            raise UserError(f"not a description of structures ({fault})", "structures") from fault

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Structures):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        arrays = (self.heads.shape, self.heads.tobytes(), self.ffn.shape, self.ffn.tobytes())
        return (self.architecture, *arrays, self.encoder_weights, self.total_weights)


def _counts(name: str, given: Any) -> Int[np.ndarray, "L W"]:
    """A read-only int64 copy of weight counts; raises UserError unless 2-D, not empty, whole and positive."""
    array = np.asarray(given)
    if array.ndim != 2 or not array.size:
        raise UserError(f"{name} must be (layers, units) and not empty, its shape is {array.shape}", "Structures")
    if not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"{name} must hold whole numbers, not {array.dtype}", "Structures")
    if array.min() < 1:
        raise UserError(f"{name} must hold at least 1 weight in each unit, one holds {array.min()}", "Structures")
    counts = array.astype(np.int64, order="C")
    counts.setflags(write=False)
    return counts


def _short(counts: Int[np.ndarray, "L W"]) -> Any:
    return int(counts.flat[0]) if (counts == counts.flat[0]).all() else counts.tolist()
