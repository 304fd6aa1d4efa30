"""One row of dotted paths per architecture, and the parts of a model found through it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from supertickets.config import FfnUnit
from supertickets.encoders.modeling_supertickets import NoFfn, layers_at, linear, projection_paths
from supertickets.encoders.modeling_supertickets import part as part
from supertickets.encoders.registry import AUTO, config_class
from supertickets.encoders.registry import OWN_TYPE as OWN_TYPE
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import FFN_WORDS, Structures

PRUNED_KEY = "supertickets"  # config.json key that lists the kept units of a pruned model


@dataclass(frozen=True)
class Family:
    """Where an architecture keeps what a ticket keeps or drops; `layers` starts at the encoder, the rest at one layer.

    `projections` have rows that belong to heads, head by head (a fused projection has several such
    blocks), `optional` are further ones that not every model of the family has. `core` is the module
    that mixes tokens and becomes a bypass when a layer keeps no head; `after` names what it then
    still runs, in order, and `norm` its layer norm over the residual sum, if it has one inside.
    `ffn` is the module that is passed through when a layer keeps no FFN, `ffn_in` and `ffn_out` its
    projections (a gated FFN has two rows of `ffn_in` for a neuron), and `neurons` the config's name
    for their number. `position_bias` is the index of the positional argument of `core` that holds
    one relative-position column per head, if any, and `position_offset` the number of position
    embeddings that no token uses.
    """

    model_types: tuple[str, ...]
    layers: str
    core: str
    projections: tuple[str, ...]
    output: str
    ffn: str
    ffn_in: str
    ffn_out: str
    optional: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    norm: str | None = None
    neurons: str = "intermediate_size"
    position_bias: int | None = None
    position_offset: int = 0

    def row(self) -> dict[str, Any]:
        """The row as plain JSON, as it is written into a pruned model's config."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


BERT = Family(
    model_types=("bert", "electra"),
    layers="encoder.layer.*",
    core="attention.self",
    projections=("attention.self.query", "attention.self.key", "attention.self.value"),
    output="attention.output.dense",
    ffn="intermediate",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
)
ROBERTA = replace(BERT, model_types=("roberta", "xlm-roberta", "camembert"), position_offset=2)
DISTILBERT = Family(
    model_types=("distilbert",),
    layers="transformer.layer.*",
    core="attention",
    projections=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    output="attention.out_lin",
    after=("out_lin",),
    ffn="ffn",
    ffn_in="ffn.lin1",
    ffn_out="ffn.lin2",
    neurons="hidden_dim",
)
# One relative-position table for all layers: a pruned head keeps its own column of the bias.
MPNET = replace(
    BERT,
    model_types=("mpnet",),
    core="attention.attn",
    projections=("attention.attn.q", "attention.attn.k", "attention.attn.v"),
    output="attention.attn.o",
    after=("o",),
    position_bias=2,
    position_offset=2,
)
# v2 and v3. Heads own rows of the position projections, too, unless these are shared with query and key.
DEBERTA = replace(
    BERT,
    model_types=("deberta-v2",),
    projections=("attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj"),
    optional=("attention.self.pos_key_proj", "attention.self.pos_query_proj"),
)
# All layers of a group are one set of weights, and so one layer here: what it drops, each of its uses drops.
ALBERT = Family(
    model_types=("albert",),
    layers="encoder.albert_layer_groups.*.albert_layers.*",
    core="attention",
    projections=("attention.query", "attention.key", "attention.value"),
    output="attention.dense",
    after=("dense", "output_dropout"),
    norm="LayerNorm",
    ffn="ffn",
    ffn_in="ffn",
    ffn_out="ffn_output",
)
# Query, key and value are three blocks of one projection, and the FFN's two inputs two blocks of one.
MODERNBERT = Family(
    model_types=("modernbert",),
    layers="layers.*",
    core="attn",
    projections=("attn.Wqkv",),
    output="attn.Wo",
    after=("Wo", "out_drop"),
    ffn="mlp",
    ffn_in="mlp.Wi",
    ffn_out="mlp.Wo",
)
ROWS = (BERT, ROBERTA, DISTILBERT, MPNET, DEBERTA, ALBERT, MODERNBERT)
FAMILIES: dict[str, Family] = {name: row for row in ROWS for name in row.model_types}


def register(family: Family) -> None:
    """Make a further architecture known until the process ends; its pruned models then load through the Auto classes.

    Raises UserError when transformers has no such model type, or the type has a row already.
    """
    stock = import_module(AUTO).CONFIG_MAPPING_NAMES
    for name in family.model_types:
        if name in FAMILIES or name not in stock:
            what = "has a row already" if name in FAMILIES else "is no model type of transformers"
            raise UserError(f"'{name}' {what}", "register", "name the types of one new architecture")
    for name in family.model_types:
        FAMILIES[name] = family
        config_class(name)


def family_of(model_type: str, where: str = "") -> Family:
    """The row of an architecture, an exported model's too; raises UserError, naming the known ones, for any other."""
    stock = model_type.removeprefix(OWN_TYPE)
    if stock not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UserError(
            f"'{model_type}' is not an encoder family known here ({known})",
            where,
            "choose one of these, or add yours: docs/add-a-family.md says how",
        )
    return FAMILIES[stock]


def row_of(config: PreTrainedConfig, where: str = "") -> Family:
    """The row of a model's architecture; a pruned model of an unknown one brought its own. Raises as `family_of`."""
    kept = getattr(config, PRUNED_KEY, None)
    if kept is None or config.model_type.removeprefix(OWN_TYPE) in FAMILIES:
        return family_of(config.model_type, where)
    row: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in kept["family"].items()
    }
    return Family(**row)


def head_in(class_name: str) -> str:
    """The head in the name of a transformers class, such as `ForMaskedLM`: `Model` is none at all."""
    found = re.search(r"(For[A-Z]\w*|[A-Z]*HeadModel|Model)$", class_name)
    return found.group() if found else class_name


def check_encoder(config: PreTrainedConfig, where: str = "") -> None:
    """Raise UserError when the config is a decoder's."""
    if getattr(config, "is_decoder", False):
        raise UserError("this is a decoder, which reads only to the left", where, "choose an encoder")


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """The encoder's layers, first to last, under any task head; layers that share their weights are one."""
    return layers_at(model.base_model, row_of(model.config).layers)


def head_count(model: PreTrainedModel) -> int:
    """Heads per layer of the unpruned architecture."""
    return int(model.config.num_attention_heads)


def head_size(model: PreTrainedModel) -> int:
    """Width of one head's context vectors."""
    return int(model.config.hidden_size) // head_count(model)


def neuron_count(model: PreTrainedModel) -> int:
    """Neurons per FFN of the unpruned architecture."""
    return int(getattr(model.config, row_of(model.config).neurons))


def unit_counts(layer: nn.Module, family: Family, size: int) -> tuple[int, int | None]:
    """Heads of a width and neurons of a layer, counted from its weights; None: no FFN at all."""
    heads = int(getattr(part(layer, family.output), "in_features", 0)) // size  # a bypass has no inputs
    if isinstance(part(layer, family.ffn), NoFfn) or isinstance(out := part(layer, family.ffn_out), NoFfn):
        return heads, None
    return heads, int(getattr(out, "in_features", 0))


def longest_input(model: PreTrainedModel) -> int:
    """The most tokens that the model has positions for, or was made for where positions are relative."""
    return int(model.config.max_position_embeddings) - row_of(model.config).position_offset


def structures_of(model: PreTrainedModel, ffn_units: FfnUnit = "sublayer") -> Structures:
    """The units of a model: weights per head (L, H), and per FFN sublayer (L, 1) or FFN neuron (L, U).

    A head holds its rows of query, key and value (biases included) and its columns of the output
    projection, whose bias belongs to no head. An FFN sublayer holds both its projections with both
    biases; a neuron its rows of the first with their biases and its column of the second, whose bias
    belongs to no neuron. Of a pruned model these are the units that it had before. Raises UserError
    for an unknown family, for a pruned model without a pruned one's config, and for what is no transformers
    model itself but holds one (of a SentenceTransformer `model[0].auto_model` is meant).
    """
    if not hasattr(model, "base_model"):
        what = f"{type(model).__name__} is not a model of transformers"
        raise UserError(what, "model", "give the encoder in it (of a SentenceTransformer: model[0].auto_model)")
    family, layers, heads = row_of(model.config), layers_of(model), head_count(model)
    outside = weight_count(model.base_model) - sum(weight_count(layer) for layer in layers)
    if getattr(model.config, PRUNED_KEY, None) is not None:
        layers = _full_layers(model.config, family)
    elif any(unit_counts(layer, family, head_size(model)) != (heads, neuron_count(model)) for layer in layers):
        raise UserError(
            "some of the model's units are gone, but its config does not say which",
            "model.config",
            "prune the whole model, not the encoder in it alone",
        )
    per_head = [_head_weights(layer, family) // heads for layer in layers]
    inside = sum(weight_count(layer) for layer in layers)
    units = 1 if ffn_units == "sublayer" else neuron_count(model)
    per_unit = [_ffn_weights(layer, family, ffn_units) // units for layer in layers]
    return Structures(
        architecture=model.config.model_type.removeprefix(OWN_TYPE),
        heads=np.repeat(np.array(per_head, dtype=np.int64)[:, None], heads, axis=1),
        ffn=np.repeat(np.array(per_unit, dtype=np.int64)[:, None], units, axis=1),
        encoder_weights=inside,
        total_weights=outside + inside,
    )


def weight_count(module: nn.Module) -> int:
    """How many weights a module holds, biases included."""
    return sum(parameter.numel() for parameter in module.parameters())


def check_fits(mask: Mask, model: PreTrainedModel) -> None:
    """Raise UserError, with the numbers, when a mask is for another architecture, shape or width than `model`.

    Embeddings may differ in size (another vocabulary): no unit holds their weights.
    """
    theirs = mask.structures
    ours, remedy = structures_of(model, theirs.ffn_units), "draw it from this model's importance"
    if ours.size != theirs.size:
        raise UserError(f"the mask is for {theirs.size}, the model is {ours.size}", "", remedy)
    unit = FFN_WORDS[ours.ffn_units]
    for name, a, b in (("head", theirs.heads, ours.heads), (unit, theirs.ffn, ours.ffn)):
        if not np.array_equal(a, b):
            numbers = f"{a.mean():,.0f} weights in a {name}, the model has {b.mean():,.0f}"
            raise UserError(f"the mask is for {theirs.architecture} with {numbers}", "", remedy)


def _full_layers(config: PreTrainedConfig, family: Family) -> list[nn.Module]:
    """The layers of the unpruned architecture, without memory for their weights."""
    plain = config.to_dict()
    for name in (PRUNED_KEY, "auto_map"):
        plain.pop(name, None)
    stock = AutoConfig.for_model(plain.pop("model_type").removeprefix(OWN_TYPE), **plain)
    with torch.device("meta"):
        return layers_at(AutoModel.from_config(stock).base_model, family.layers)


def _head_weights(layer: nn.Module, family: Family) -> int:
    projections = [linear(layer, path) for path in projection_paths(layer, asdict(family))]
    return sum(weight_count(projection) for projection in projections) + linear(layer, family.output).weight.numel()


def _ffn_weights(layer: nn.Module, family: Family, ffn_units: FfnUnit) -> int:
    out = linear(layer, family.ffn_out)
    both = weight_count(part(layer, family.ffn_in)) + weight_count(out)
    return both if ffn_units == "sublayer" or out.bias is None else both - out.bias.numel()
