"""Mask -> a physically smaller model with equal outputs.

transformers 5 has no head pruning left, so the projections are sliced here. What the stock forward
pass cannot express (no head at all, no FFN at all, a per-head position bias) gets a small module or
hook of its own, so that pruned models train, save and run under any attention backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from supertickets.encoders.families import (
    PRUNED_KEY,
    Family,
    check_fits,
    family_of,
    head_count,
    head_size,
    layers_of,
    part,
    replace_part,
)
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask


class Constant(nn.Module):
    """An output projection without inputs: what is left of it is its bias, broadcast over tokens."""

    def __init__(self, bias: nn.Parameter) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, hidden_states: Tensor) -> Tensor:
        """The bias (D,) for every token of (B, T, *)."""
        return self.bias.to(hidden_states.dtype).expand(*hidden_states.shape[:-1], -1)


class NoHeads(nn.Module):
    """Self-attention of a layer that keeps no head: passes its input on, or its projection's bias."""

    def __init__(self, **projection: nn.Module) -> None:
        super().__init__()
        for name, module in projection.items():  # under its old name, so that weights keep their names
            self.add_module(name, module)

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
        """What the stock attention returns: its output, and no attention weights."""
        for projection in self.children():
            hidden_states = projection(hidden_states)
        return hidden_states, None


class NoFfn(nn.Module):
    """FFN of a layer that dropped it, output bias included: adds nothing to the residual stream."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Zeros of the input's shape."""
        return torch.zeros_like(hidden_states)


def prune(model: PreTrainedModel, mask: Mask) -> PreTrainedModel:
    """Remove from `model`, in place, every unit that the mask drops, and return it.

    Outputs equal those of the gated model to rounding. Copy the model first to keep the full one.
    `model.config.supertickets` then lists the kept heads and FFN sublayers. Raises UserError when
    the mask is for another architecture or shape, or the model is pruned already.
    """
    check_fits(mask, model)
    shrink(model, [row.nonzero()[0].tolist() for row in mask.heads], [bool(row.any()) for row in mask.ffn])
    return model


def shrink(model: PreTrainedModel, heads: Sequence[Sequence[int]], ffn: Sequence[bool]) -> None:
    """Keep only these heads and these FFN sublayers of each layer, in place."""
    if kept_units(model) is not None:
        raise UserError("this model is pruned already", "", "start from the full pretrained model")
    family = family_of(model.config.model_type)
    for layer, kept, keep_ffn in zip(layers_of(model), heads, ffn, strict=True):
        if len(kept) < head_count(model):
            _keep_heads(layer, family, kept, head_size(model))
        if not keep_ffn:
            _drop_ffn(layer, family)
    setattr(model.config, PRUNED_KEY, {"heads": [list(row) for row in heads], "ffn": [int(keep) for keep in ffn]})


def kept_units(model: PreTrainedModel) -> tuple[list[list[int]], list[bool]] | None:
    """The kept heads and FFN sublayers of each layer of a pruned model; None for a full one."""
    kept = getattr(model.config, PRUNED_KEY, None)
    return None if kept is None else (kept["heads"], [bool(keep) for keep in kept["ffn"]])


def _keep_heads(layer: nn.Module, family: Family, kept: Sequence[int], size: int) -> None:
    output = part(layer, family.output)
    assert isinstance(output, nn.Linear)
    if not kept:
        _drop_attention(layer, family, Constant(output.bias))
        return
    index = torch.tensor([head * size + offset for head in kept for offset in range(size)], device=output.weight.device)
    for path in (family.query, family.key, family.value):
        projection = part(layer, path)
        assert isinstance(projection, nn.Linear)
        _slice(projection, index, dim=0)
    _slice(output, index, dim=1)
    core = part(layer, family.core)
    for name, value in (("num_attention_heads", len(kept)), ("n_heads", len(kept)), ("all_head_size", len(index))):
        if hasattr(core, name):
            setattr(core, name, value)
    if family.position_bias is not None:
        core.register_forward_pre_hook(partial(_keep_columns, family.position_bias, tuple(kept)))


def _slice(linear: nn.Linear, index: Tensor, dim: int) -> None:
    """Keep the rows (dim 0, with their biases) or columns (dim 1) of a projection."""
    trains = linear.weight.requires_grad
    linear.weight = nn.Parameter(linear.weight.detach().index_select(dim, index), requires_grad=trains)
    if dim == 0 and linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias.detach().index_select(0, index), requires_grad=trains)
    linear.out_features, linear.in_features = linear.weight.shape


def _drop_attention(layer: nn.Module, family: Family, constant: Constant) -> None:
    inside = family.output.removeprefix(f"{family.core}.")
    if inside == family.output:  # the projection stands outside the core, as in BERT
        replace_part(layer, family.core, NoHeads())
        replace_part(layer, family.output, constant)
    else:
        replace_part(layer, family.core, NoHeads(**{inside: constant}))


def _drop_ffn(layer: nn.Module, family: Family) -> None:
    if family.ffn_out.startswith(f"{family.ffn}."):
        replace_part(layer, family.ffn, NoFfn())
    else:
        replace_part(layer, family.ffn, nn.Identity())
        replace_part(layer, family.ffn_out, NoFfn())


def _keep_columns(position: int, kept: tuple[int, ...], _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give a pruned attention only its own heads' columns of the shared relative-position bias."""
    bias = arguments[position]
    sliced = bias if bias is None else bias[:, list(kept)]
    return (*arguments[:position], sliced, *arguments[position + 1 :])
