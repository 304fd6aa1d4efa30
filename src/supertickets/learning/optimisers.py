"""The optimisers a run may use, as a table of functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from supertickets.config import Optimiser


class PublishedAdamax(Optimizer):
    """Adamax as the 2021 code runs it: no bias correction, decoupled weight decay, epsilon 1e-6.

    torch.optim.Adamax corrects the first moment and couples the decay to the gradient, which at the
    published learning rates gives different steps (docs/paper-to-code.md, settings).
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean"], state["norm"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        first, second = group["betas"]
        state["mean"].lerp_(gradient, 1 - first)
        torch.maximum(state["norm"].mul_(second), gradient.abs().add_(group["eps"]), out=state["norm"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.addcdiv_(state["mean"], state["norm"], value=-group["lr"])


def _adamw(groups: list[dict[str, Any]], lr: float) -> Optimizer:
    # Fused: the update of the dense embedding table is a large part of a small batch's step.
    return AdamW(groups, lr=lr, fused=True)


def _adamax(groups: list[dict[str, Any]], lr: float) -> Optimizer:
    return PublishedAdamax(groups, lr=lr)


OPTIMISERS: dict[Optimiser, Callable[[list[dict[str, Any]], float], Optimizer]] = {"adamw": _adamw, "adamax": _adamax}
