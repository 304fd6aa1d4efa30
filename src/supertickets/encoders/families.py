"""One row of dotted paths per architecture, and the parts of a model found through it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from torch import nn
from transformers import PreTrainedModel

from supertickets.errors import UserError
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures

PRUNED_KEY = "supertickets"  # config.json key that lists the kept units of a pruned model


@dataclass(frozen=True)
class Family:
    """Where an architecture keeps what a ticket keeps or drops; paths start at one layer.

    `core` is the module that mixes tokens (replaced whole when a layer keeps no head), `ffn` the
    module that is passed through when a layer keeps no FFN, `position_bias` the index of the
    positional argument of `core` that holds one relative-position column per head, if any, and
    `position_offset` the number of position embeddings that no token uses.
    """

    model_types: tuple[str, ...]
    layers: str
    core: str
    query: str
    key: str
    value: str
    output: str
    ffn: str
    ffn_in: str
    ffn_out: str
    position_bias: int | None = None
    position_offset: int = 0


BERT = Family(
    model_types=("bert", "electra"),
    layers="encoder.layer",
    core="attention.self",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    output="attention.output.dense",
    ffn="intermediate",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
)
ROBERTA = replace(BERT, model_types=("roberta",), position_offset=2)
DISTILBERT = Family(
    model_types=("distilbert",),
    layers="transformer.layer",
    core="attention",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    output="attention.out_lin",
    ffn="ffn",
    ffn_in="ffn.lin1",
    ffn_out="ffn.lin2",
)
# One relative-position table for all layers: a pruned head keeps its own column of the bias.
MPNET = Family(
    model_types=("mpnet",),
    layers="encoder.layer",
    core="attention.attn",
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    output="attention.attn.o",
    ffn="intermediate",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    position_bias=2,
    position_offset=2,
)
FAMILIES: dict[str, Family] = {name: row for row in (BERT, ROBERTA, DISTILBERT, MPNET) for name in row.model_types}


def family_of(model_type: str, where: str = "") -> Family:
    """The row of an architecture; raises UserError, naming the known ones, for any other."""
    if model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UserError(
            f"'{model_type}' is not an encoder family known here ({known})",
            where,
            "choose one of these, or add a row to supertickets/encoders/families.py",
        )
    return FAMILIES[model_type]


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """The encoder's layers, first to last, under any task head."""
    family = family_of(model.config.model_type)
    layers = part(model.base_model, family.layers)
    assert isinstance(layers, nn.ModuleList)
    return list(layers)


def part(module: nn.Module, path: str) -> nn.Module:
    """The submodule at a dotted path."""
    return reduce(getattr, path.split("."), module)


def replace_part(module: nn.Module, path: str, new: nn.Module) -> None:
    """Put `new` at a dotted path."""
    parent, _, name = path.rpartition(".")
    setattr(part(module, parent) if parent else module, name, new)


def head_count(model: PreTrainedModel) -> int:
    """Heads per layer of the unpruned architecture."""
    return int(model.config.num_attention_heads)


def head_size(model: PreTrainedModel) -> int:
    """Width of one head's context vectors."""
    return int(model.config.hidden_size) // head_count(model)


def longest_input(model: PreTrainedModel) -> int:
    """The most tokens that the model has position embeddings for."""
    return int(model.config.max_position_embeddings) - family_of(model.config.model_type).position_offset


def structures_of(model: PreTrainedModel) -> Structures:
    """The units of a model that is not pruned yet: weights per head (L, H) and per FFN sublayer (L, 1).

    A head holds its rows of query, key and value (biases included) and its columns of the output
    projection, whose bias belongs to no head. An FFN sublayer holds both its projections with both
    biases. Raises UserError for an unknown family or a model that is already pruned.
    """
    family = family_of(model.config.model_type)
    if getattr(model.config, PRUNED_KEY, None) is not None:
        raise UserError("this model is pruned already", "", "start from the full pretrained model")
    layers = layers_of(model)
    heads = [_head_weights(layer, family, head_count(model)) for layer in layers]
    ffn = [_weights(part(layer, family.ffn_in)) + _weights(part(layer, family.ffn_out)) for layer in layers]
    return Structures(
        architecture=model.config.model_type,
        heads=np.repeat(np.array(heads, dtype=np.int64)[:, None], head_count(model), axis=1),
        ffn=np.array(ffn, dtype=np.int64)[:, None],
        encoder_weights=sum(_weights(layer) for layer in layers),
        total_weights=_weights(model.base_model),
    )


def check_fits(mask: Mask, model: PreTrainedModel) -> None:
    """Raise UserError, with the numbers, when a mask is for another architecture or shape than `model`."""
    ours, theirs = structures_of(model), mask.structures
    if (ours.architecture, ours.heads.shape, ours.ffn.shape) != (
        theirs.architecture,
        theirs.heads.shape,
        theirs.ffn.shape,
    ):
        raise UserError(
            f"the mask is for {theirs.size}, the model is {ours.size}", "", "draw it from this model's importance"
        )


def _head_weights(layer: nn.Module, family: Family, heads: int) -> int:
    projections = [part(layer, path) for path in (family.query, family.key, family.value)]
    output = part(layer, family.output)
    assert isinstance(output, nn.Linear)
    return (sum(_weights(p) for p in projections) + output.weight.numel()) // heads


def _weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
