"""Mask -> a physically smaller model with equal outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from supertickets.encoders.families import (
    PRUNED_KEY,
    check_fits,
    family_of,
    head_count,
    layers_of,
    neuron_count,
)
from supertickets.encoders.modeling_supertickets import shrink, unpack
from supertickets.encoders.registry import own_config
from supertickets.tickets.masks import Mask

Heads = Sequence[Sequence[int]]
Ffn = Sequence[Sequence[int] | None]


def prune(model: PreTrainedModel, mask: Mask) -> PreTrainedModel:
    """Remove from `model`, in place, every unit that the mask drops, and return it.

    Outputs equal those of the gated model to rounding. Copy the model first to keep the full one. A
    pruned model is pruned further: it then lacks what either mask drops. `model.config.supertickets`
    lists the kept heads and FFN units. Raises UserError when the mask is for another architecture or
    shape.
    """
    check_fits(mask, model)
    ffn: Ffn = [row.nonzero()[0].tolist() for row in mask.ffn]
    if mask.structures.ffn_units == "sublayer":
        ffn = [range(neuron_count(model)) if kept else None for kept in ffn]
    keep(model, [row.nonzero()[0].tolist() for row in mask.heads], ffn)
    return model


def keep(model: PreTrainedModel, heads: Heads, ffn: Ffn) -> None:
    """Keep only these heads and FFN neurons (None: no FFN at all) of what the model still has, in place.

    They are numbered as in the full architecture, whatever the model has lost before.
    """
    family, (old_heads, old_ffn) = family_of(model.config.model_type).row(), left_units(model)
    new_heads = [_common(old, new) for old, new in zip(old_heads, heads, strict=True)]
    new_ffn = [None if old is None or new is None else _common(old, new) for old, new in zip(old_ffn, ffn, strict=True)]
    shrink(
        model,
        [_places(new, old) for new, old in zip(new_heads, old_heads, strict=True)],
        [None if new is None else _places(new, old or ()) for new, old in zip(new_ffn, old_ffn, strict=True)],
        family,
    )
    kept = {"heads": new_heads, "ffn": [_packed(neurons, neuron_count(model)) for neurons in new_ffn], "family": family}
    setattr(model.config, PRUNED_KEY, kept)
    own_config(model.config)


def kept_units(model: PreTrainedModel) -> tuple[list[list[int]], list[list[int] | None]] | None:
    """The kept heads and FFN neurons (None: no FFN) of each layer of a pruned model; None for a full one."""
    kept = getattr(model.config, PRUNED_KEY, None)
    return None if kept is None else unpack(kept, neuron_count(model))


def left_units(model: PreTrainedModel) -> tuple[Heads, Ffn]:
    """The heads and FFN neurons (None: no FFN) that each layer has now, full model or pruned."""
    layers = len(layers_of(model))
    return kept_units(model) or ([range(head_count(model))] * layers, [range(neuron_count(model))] * layers)


def _common(old: Sequence[int], new: Sequence[int]) -> list[int]:
    return sorted(set(old) & set(new))


def _places(units: Sequence[int], among: Sequence[int]) -> list[int]:
    """Where each of `units` stands among those that the model has now."""
    place = {unit: index for index, unit in enumerate(among)}
    return [place[unit] for unit in units]


def _packed(neurons: Sequence[int] | None, units: int) -> Any:
    """A layer's kept neurons as the config lists them; the inverse of `unpack`."""
    if neurons is None or len(neurons) == units:
        return int(neurons is not None)
    bits = np.zeros(units, dtype=np.bool_)
    bits[list(neurons)] = True
    return np.packbits(bits).tobytes().hex()
