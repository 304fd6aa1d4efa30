"""Mask -> gates on a model: reversible, same size, exact gradients with respect to every gate.

A head's gate multiplies its context vectors before the output projection, an FFN sublayer's gate
its output after the bias (both as in the paper, section 3, and in the 2021 code). A neuron's gate
multiplies its activation before the FFN's output projection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from supertickets.config import FfnUnit
from supertickets.encoders.families import check_fits, head_count, layers_of, neuron_count, part, row_of
from supertickets.encoders.pruning import left_units
from supertickets.tickets.masks import Mask


class Gating:
    """Gates that sit on a model until `remove()`, or until the end of a `with` block.

    Gates may be per unit (L, units), per example (B, L, units) or per token (B, T, L, units). FFN
    gates are of whole sublayers (U = 1) or of neurons. On a pruned model they are numbered as in the
    full one, and those of units that are gone have no effect. Where layers share their weights, one
    gate acts at each of their uses.
    """

    def __init__(
        self, model: PreTrainedModel, heads: Float[Tensor, "*per L H"], ffn: Float[Tensor, "*per L U"]
    ) -> None:
        family = row_of(model.config)
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        units = zip(layers_of(model), *left_units(model), heads.unbind(-2), ffn.unbind(-2), strict=True)
        for layer, left, neurons, head_gates, ffn_gates in units:
            if left:
                hook = _gate_input(_of(left, head_gates))
                self._handles.append(part(layer, family.output).register_forward_pre_hook(hook))
            if neurons is None:
                continue
            ffn_out = part(layer, family.ffn_out)
            if ffn.shape[-1] == 1:
                self._handles.append(ffn_out.register_forward_hook(_gate_output(ffn_gates)))
            elif neurons:
                self._handles.append(ffn_out.register_forward_pre_hook(_gate_input(_of(neurons, ffn_gates))))

    def remove(self) -> None:
        """Take the gates off; the model is what it was."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __enter__(self) -> Gating:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def gate(model: PreTrainedModel, mask: Mask) -> Gating:
    """Close the gates of every unit that the mask drops; outputs equal those of the pruned model.

    Returns the gating: call its `remove()`, or use it as a context manager. Raises UserError when
    the mask is for another architecture or shape.
    """
    check_fits(mask, model)
    weight = next(model.parameters())
    heads = torch.tensor(mask.heads, dtype=weight.dtype, device=weight.device)
    ffn = torch.tensor(mask.ffn, dtype=weight.dtype, device=weight.device)
    return Gating(model, heads, ffn)


def open_gates(
    model: PreTrainedModel, *per: int, ffn_units: FfnUnit = "sublayer"
) -> tuple[Float[Tensor, "*per L H"], Float[Tensor, "*per L U"]]:
    """Gates of value one that require a gradient, with leading dimensions `per` (examples, tokens).

    One for every head and every FFN unit of the full architecture, also when the model is pruned.
    """
    layers, device = len(layers_of(model)), next(model.parameters()).device
    units = 1 if ffn_units == "sublayer" else neuron_count(model)
    heads = torch.ones(*per, layers, head_count(model), device=device, requires_grad=True)
    return heads, torch.ones(*per, layers, units, device=device, requires_grad=True)


def _of(units: Sequence[int], gates: Tensor) -> Tensor:
    """The gates of the units that are left."""
    return gates if len(units) == gates.shape[-1] else gates[..., list(units)]


def _gate_input(gates: Tensor) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    def hook(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return (_scaled(arguments[0], gates), *arguments[1:])

    return hook


def _gate_output(gates: Tensor) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    def hook(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
        return _scaled(output, gates)

    return hook


def _scaled(activations: Float[Tensor, "B T D"], gates: Tensor) -> Float[Tensor, "B T D"]:
    """Multiply each unit's share of the last dimension by its gate."""
    if gates.ndim == 2:
        gates = gates[:, None, :]
    if gates.ndim == 3 and gates.shape[0] != activations.shape[0]:
        # Multiple choice runs (examples x choices) sequences: an example's gate serves all its choices.
        gates = gates.repeat_interleave(activations.shape[0] // gates.shape[0], dim=0)
    units: Tensor = activations.unflatten(-1, (gates.shape[-1], -1))
    return (units * gates[..., None].to(activations.dtype)).flatten(-2)
