"""Importance from the weights alone: the norm of what a unit holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from supertickets.config import FfnUnit
from supertickets.encoders.families import Family, layers_of, row_of
from supertickets.encoders.modeling_supertickets import linear, part, projection_paths
from supertickets.encoders.pruning import left_units
from supertickets.learning.tally import Batch, Tally
from supertickets.tickets.importance import Importance
from supertickets.tickets.structures import Structures


def magnitude(model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
    """Euclidean norm of the weights that each unit holds, biases included; looks at no data."""
    family, layers, tally = row_of(model.config), layers_of(model), Tally(model, structures)
    heads, ffn = torch.zeros_like(tally.heads), torch.zeros_like(tally.ffn)
    for index, (layer, kept, neurons) in enumerate(zip(layers, *left_units(model), strict=True)):
        if kept:
            heads[index, list(kept)] = _heads(layer, family, len(kept))
        if neurons is not None:
            places = slice(None) if structures.ffn_units == "sublayer" else list(neurons)
            ffn[index, places] = _ffn(layer, family, len(neurons), structures.ffn_units)
    tally.add(heads.sqrt(), ffn.sqrt(), 1)
    return tally.mean()


def _heads(layer: nn.Module, family: Family, count: int) -> Float[Tensor, " H"]:
    """Sums of squares of a layer's `count` heads: their rows, with biases, and their columns of the output."""
    output = linear(layer, family.output)
    projections = [linear(layer, path) for path in projection_paths(layer, asdict(family))]
    squares = sum(
        _by_unit(weight, count, projection.out_features // output.in_features)
        for projection in projections
        for weight in projection.parameters()
    )
    return squares + _by_unit(output.weight.T, count)


def _ffn(layer: nn.Module, family: Family, count: int, ffn_units: FfnUnit) -> Float[Tensor, " U"]:
    """Sums of squares of a layer's `count` neurons, or of its whole FFN (without neurons: of its last bias)."""
    if ffn_units == "sublayer":
        paths = (family.ffn_in, family.ffn_out) if count else (family.ffn_out,)
        weights = [weight for path in paths for weight in part(layer, path).parameters()]
        return torch.stack([weight.square().sum() for weight in weights]).sum(0, keepdim=True)
    if not count:
        return torch.zeros(0, device=next(layer.parameters()).device)
    into, out = linear(layer, family.ffn_in), linear(layer, family.ffn_out)
    squares = sum(_by_unit(weight, count, into.out_features // out.in_features) for weight in into.parameters())
    return squares + _by_unit(out.weight.T, count)


def _by_unit(weight: Tensor, units: int, blocks: int = 1) -> Float[Tensor, " U"]:
    """Sum of squares of the rows (or bias entries) of each unit, over all blocks of a fused projection."""
    return weight.square().reshape(blocks, units, -1).sum(2).sum(0)
