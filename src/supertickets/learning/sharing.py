"""Ticket sharing: one encoder, a mask per task; a task's step moves no weight outside its ticket (paper, section 4)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from supertickets.encoders.pruning import prune
from supertickets.encoders.views import Slice, View
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask


class SharedModel(nn.Module):
    """One encoder under the heads of several tasks, each of which runs as its own ticket.

    `models` are sequence-classification models of one pretrained encoder, a task's head on each; they
    share the first one's encoder from now on. A task with a full mask runs the whole encoder: with
    full masks throughout this is plain multi-task learning (MT-DNN). Raises UserError when tasks and
    masks differ, or a mask is of another architecture.
    """

    def __init__(self, models: Mapping[str, PreTrainedModel], masks: Mapping[str, Mask]) -> None:
        super().__init__()
        if set(models) != set(masks):
            raise UserError(f"models are for {', '.join(models)}; masks are for {', '.join(masks)}", "SharedModel")
        first = next(iter(models.values()))
        for model in models.values():
            setattr(model, model.base_model_prefix, first.base_model)
        self.models = nn.ModuleDict(models)
        self.masks = dict(masks)
        self._views = {task: View(models[task], mask) for task, mask in masks.items() if not _is_full(mask)}

    def forward(self, task: str, **inputs: Any) -> Any:
        """What the task's pruned model returns for a batch of this task."""
        return (self._views.get(task) or self.models[task])(**inputs)

    def models_by_task(self) -> dict[str, PreTrainedModel]:
        """The full models by task; their encoder is one and the same."""
        return {task: model for task, model in self.models.items() if isinstance(model, PreTrainedModel)}

    def single(self, task: str) -> PreTrainedModel:
        """The task's physically pruned model, independent of this one; its logits equal those of `forward`."""
        model = self.models[task]
        assert isinstance(model, PreTrainedModel)
        single = prune(copy.deepcopy(model), self.masks[task])
        single.eval()
        return single

    def outside(self, task: str) -> list[tuple[nn.Parameter, Slice]]:
        """The weights of which the task's ticket holds a part, with the part."""
        if task not in self._views:
            return []
        weights = dict(self.models[task].named_parameters())
        return [(weights[name], part.to(weights[name].device)) for name, part in self._views[task].slices.items()]


@dataclass(frozen=True)
class _Kept:
    """Where the dropped part of a tensor lies, and its values before a step."""

    tensor: Tensor
    part: Slice
    values: Tensor

    def restore(self) -> None:
        self.tensor.index_copy_(self.part.dim, self.part.dropped, self.values)


class Guard:
    """Puts back, after every step, what lies outside the current task's ticket: weights and the optimiser's state.

    Without it, momentum and weight decay go on moving weights whose gradient is zero (PAPER: defect D3).
    Weights of which a ticket holds nothing get no gradient, and optimisers skip them.
    """

    def __init__(self, shared: SharedModel, optimiser: Optimizer) -> None:
        self._outside = {task: shared.outside(task) for task in shared.masks}
        self._kept: list[_Kept] = []
        self._started: list[tuple[nn.Parameter, Slice]] = []
        self.task = ""
        optimiser.register_step_pre_hook(lambda *_: self._before(optimiser))
        optimiser.register_step_post_hook(lambda *_: self._after(optimiser))

    @torch.no_grad()
    def _before(self, optimiser: Optimizer) -> None:
        outside = self._outside[self.task]
        self._kept = [_keep(tensor, part) for weight, part in outside for tensor in _tensors(optimiser, weight)]
        self._started = [(weight, part) for weight, part in outside if not optimiser.state.get(weight)]

    @torch.no_grad()
    def _after(self, optimiser: Optimizer) -> None:
        for kept in self._kept:
            kept.restore()
        for weight, part in self._started:  # a state that this step began starts at zero everywhere else
            for state in _states(optimiser, weight):
                state.index_fill_(part.dim, part.dropped, 0)


def _is_full(mask: Mask) -> bool:
    return bool(mask.heads.all() and mask.ffn.all())


def _tensors(optimiser: Optimizer, weight: nn.Parameter) -> Iterator[Tensor]:
    yield weight
    yield from _states(optimiser, weight)


def _states(optimiser: Optimizer, weight: nn.Parameter) -> Iterable[Tensor]:
    """The optimiser's values that belong to single entries of the weight, such as its momentum."""
    values = optimiser.state.get(weight, {}).values()
    return [value for value in values if isinstance(value, Tensor) and value.shape == weight.shape]


def _keep(tensor: Tensor, part: Slice) -> _Kept:
    return _Kept(tensor, part, tensor.index_select(part.dim, part.dropped))
