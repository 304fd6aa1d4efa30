"""Mask -> a physically smaller model with equal outputs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from transformers import PreTrainedConfig, PreTrainedModel

from supertickets.encoders.families import (
    PRUNED_KEY,
    check_encoder,
    check_fits,
    head_count,
    head_in,
    head_size,
    layers_of,
    neuron_count,
    row_of,
    unit_counts,
)
from supertickets.encoders.modeling_supertickets import HEADS, shrink, unpack
from supertickets.encoders.registry import own_config
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures

Heads = Sequence[Sequence[int]]
Ffn = Sequence[Sequence[int] | None]


def prune(model: PreTrainedModel, mask: Mask) -> PreTrainedModel:
    """Remove from `model`, in place, every unit that the mask drops, and return it.

    Outputs equal those of the gated model to rounding. Copy the model first to keep the full one. A
    pruned model is pruned further: it then lacks what either mask drops. The model gets a config of its
    own: `model.config.supertickets` lists the kept heads and FFN units, and one entry of history for
    each mask. Raises UserError when the mask is for another architecture or shape, and for a decoder
    or a head of transformers that no pruned model could be loaded with.
    """
    check_fits(mask, model)
    _check_loadable(model)
    ffn: Ffn = [row.nonzero()[0].tolist() for row in mask.ffn]
    if mask.structures.ffn_units == "sublayer":
        ffn = [range(neuron_count(model)) if kept else None for kept in ffn]
    keep(model, [row.nonzero()[0].tolist() for row in mask.heads], ffn)
    heads, neurons = left_units(model)
    entry = {
        "mask_sha256": mask.sha256,
        "heads": sum(map(len, heads)),
        "neurons": sum(len(row or ()) for row in neurons),
        "version": version("supertickets"),
    }
    getattr(model.config, PRUNED_KEY)["history"].append(entry)
    return model


def keep(model: PreTrainedModel, heads: Heads, ffn: Ffn) -> None:
    """Keep only these heads and FFN neurons (None: no FFN at all) of what the model still has, in place.

    They are numbered as in the full architecture, whatever the model has lost before.
    """
    family, (old_heads, old_ffn) = row_of(model.config).row(), left_units(model)
    new_heads = [_common(old, new) for old, new in zip(old_heads, heads, strict=True)]
    new_ffn = [None if old is None or new is None else _common(old, new) for old, new in zip(old_ffn, ffn, strict=True)]
    shrink(
        model,
        [_places(new, old) for new, old in zip(new_heads, old_heads, strict=True)],
        [None if new is None else _places(new, old or ()) for new, old in zip(new_ffn, old_ffn, strict=True)],
        family,
    )
    config = unshare_config(model)
    kept = {
        "heads": new_heads,
        "ffn": [_packed(neurons, neuron_count(model)) for neurons in new_ffn],
        "family": family,
        "history": (getattr(config, PRUNED_KEY, None) or {}).get("history", []),
    }
    setattr(config, PRUNED_KEY, kept)
    own_config(config)


def kept_units(model: PreTrainedModel) -> tuple[list[list[int]], list[list[int] | None]] | None:
    """The kept heads and FFN neurons (None: no FFN) of each layer of a pruned model; None for a full one.

    Raises UserError where the weights are not of these units: the config is then another model's.
    """
    kept = getattr(model.config, PRUNED_KEY, None)
    if kept is None:
        return None
    heads, ffn = unpack(kept, neuron_count(model))
    _check_sizes(model, heads, ffn)
    return heads, ffn


def mask_of(model: PreTrainedModel, structures: Structures) -> Mask:
    """The units of `structures` that a model has now: all of a full model's; a pruned one's, in the original numbers.

    An FFN sublayer counts as there until the whole of it is dropped. Raises UserError when the
    structures are of another architecture or shape.
    """
    full = Mask.full(structures)
    check_fits(full, model)
    heads, ffn = np.zeros_like(full.heads), np.zeros_like(full.ffn)
    for layer, (left, neurons) in enumerate(zip(*left_units(model), strict=True)):
        heads[layer, list(left)] = True
        if neurons is not None:
            ffn[layer, slice(None) if structures.ffn_units == "sublayer" else list(neurons)] = True
    return Mask(structures, heads, ffn)


def left_units(model: PreTrainedModel) -> tuple[Heads, Ffn]:
    """The heads and FFN neurons (None: no FFN) that each layer has now, full model or pruned."""
    if (kept := kept_units(model)) is not None:
        return kept
    layers = len(layers_of(model))
    heads, ffn = [range(head_count(model))] * layers, [range(neuron_count(model))] * layers
    _check_sizes(model, heads, ffn)
    return heads, ffn


def unshare_config(model: PreTrainedModel) -> PreTrainedConfig:
    """Give the model, and each of its modules that refers to it, a config that no other model has; return it.

    Models that are made from one config object share it: what is written into it for one holds for all.
    """
    shared = model.config
    own: PreTrainedConfig = copy.deepcopy(shared)
    for module in model.modules():
        if getattr(module, "config", None) is shared:
            vars(module)["config"] = own
    return own


def _check_loadable(model: PreTrainedModel) -> None:
    """Raise UserError for a decoder, and for a head of transformers whose weights no pruned model's class loads."""
    check_encoder(model.config)
    kind = type(model)
    if kind.__module__.startswith("transformers.") and head_in(kind.__name__) not in HEADS:
        raise UserError(
            f"a pruned {kind.__name__} could be saved, but not loaded with its head",
            "prune",
            f"prune its encoder ({model.base_model_prefix}), or take a head of these: {', '.join(HEADS[1:])}",
        )


def _check_sizes(model: PreTrainedModel, heads: Heads, ffn: Ffn) -> None:
    """Raise UserError where a layer's weights are not of as many heads and neurons as the config says."""
    layers, family, size = layers_of(model), row_of(model.config), head_size(model)
    said = [(len(left), None if neurons is None else len(neurons)) for left, neurons in zip(heads, ffn, strict=True)]
    found = [unit_counts(layer, family, size) for layer in layers]
    if len(said) != len(found):
        raise UserError(f"the config lists the units of {len(said)} layers, the model has {len(found)}", "model.config")
    for index, (ours, theirs) in enumerate(zip(said, found, strict=True)):
        if ours != theirs:
            raise UserError(
                f"layer {index} has weights of {_words(theirs)}, its config says {_words(ours)}",
                "model.config",
                "load the model from its folder: this config is another model's",
            )


def _words(sizes: tuple[int, int | None]) -> str:
    heads, neurons = sizes
    return f"{heads} heads and {'no FFN' if neurons is None else f'{neurons} neurons'}"


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
