"""A ticket's model as a view of the full one: pruned forward pass, weights sliced from the shared ones."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from supertickets.encoders.families import layers_of
from supertickets.encoders.pruning import prune
from supertickets.tickets.masks import Mask


@dataclass(frozen=True)
class Slice:
    """The rows (dim 0) or columns (dim 1) of one weight that a ticket keeps, and those it drops."""

    dim: int
    kept: Int64[Tensor, " K"]
    dropped: Int64[Tensor, " N"]

    def to(self, device: torch.device) -> Slice:
        """The same on a device; itself where it is there already."""
        return self if self.kept.device == device else Slice(self.dim, self.kept.to(device), self.dropped.to(device))


class View:
    """A full model run as its ticket: computes what the pruned model computes, trains the full model's weights.

    The forward pass is that of a pruned skeleton without weights of its own, so a smaller ticket is a
    cheaper step. `slices` names the weights of which the ticket holds a part, `missing` those of which
    it holds nothing; gradients of the dropped parts are zero, of missing weights None.
    """

    def __init__(self, model: PreTrainedModel, mask: Mask) -> None:
        self._model = model
        self._skeleton = _numbered(model, mask)
        weights = dict(self._skeleton.named_parameters())
        full = dict(model.named_parameters())
        self.missing = frozenset(full) - frozenset(weights)
        partial = {name: weight for name, weight in weights.items() if weight.shape != full[name].shape}
        self.slices = {name: _slice(weight, full[name].shape) for name, weight in partial.items()}
        nn.Module.to(self._skeleton, "meta")

    def __call__(self, **inputs: Any) -> Any:
        """What the pruned model returns for these inputs, in the full model's mode (training or not)."""
        self._skeleton.train(self._model.training)
        tensors = {**dict(self._model.named_buffers()), **self.weights()}
        return functional_call(self._skeleton, tensors, kwargs=inputs)

    def weights(self) -> dict[str, Tensor]:
        """The ticket's weights by their names in the pruned model: the full model's own, or slices to train through."""
        full = dict(self._model.named_parameters())
        kept: dict[str, Tensor] = {name: weight for name, weight in full.items() if name not in self.missing}
        for name, part in self.slices.items():
            self.slices[name] = here = part.to(full[name].device)  # moved once, when the model has been
            kept[name] = full[name].index_select(here.dim, here.kept)
        return kept


def _numbered(model: PreTrainedModel, mask: Mask) -> PreTrainedModel:
    """A pruned copy whose weights are their own positions in the full model's, whatever the family does to them."""
    skeleton = copy.deepcopy(model)
    for layer in layers_of(skeleton):
        for module in layer.modules():
            for name, weight in module._parameters.items():
                if weight is not None:
                    positions = torch.arange(weight.numel()).view(weight.shape)
                    module._parameters[name] = nn.Parameter(positions, requires_grad=False)
    return prune(skeleton, mask)


def _slice(positions: Int64[Tensor, "..."], full: torch.Size) -> Slice:
    """Which rows or columns of a weight of shape `full` these positions are."""
    row_length = full[1:].numel()
    rows = positions.flatten(1)[:, 0] // row_length if positions.ndim > 1 else positions
    dim = 0 if len(rows) < full[0] else 1
    kept = rows if dim == 0 else positions[0] % row_length
    dropped = torch.ones(full[dim], dtype=torch.bool)
    dropped[kept] = False
    return Slice(dim, kept.detach().clone(), dropped.nonzero()[:, 0])
