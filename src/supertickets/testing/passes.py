"""Forward passes and how they are compared: what every check is made of."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import SkipTest

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from supertickets.encoders.families import layers_of, part
from supertickets.encoders.gating import Gating
from supertickets.testing.inputs import Inputs

TOLERANCE = 1e-5  # of two models that are the same function
STEP = 3e-3  # of a finite difference: some families compute their softmax in single precision


@contextmanager
def check_named(name: str) -> Iterator[None]:
    """Whatever goes wrong inside the block is the failure of this check; one that is skipped stays skipped."""
    try:
        yield
    except SkipTest:
        raise
    except Exception as fault:
        what = str(fault) if isinstance(fault, AssertionError) else f"{type(fault).__name__}: {fault}"
        raise AssertionError(f"{name}: {what}") from fault


def outputs(model: PreTrainedModel, inputs: Inputs) -> list[Tensor]:
    """Every floating-point tensor that a forward pass without gradients returns."""
    with torch.no_grad():
        return list(_floating(model(**inputs).to_tuple()))


def objective(model: PreTrainedModel, inputs: Inputs) -> Float[Tensor, ""]:
    """The loss; a fixed projection of the first output for a head without one.

    So, too, for a head that rounds its loss to single precision when the model is in double, as
    masked-language heads do: finite differences would drown in the rounding.
    """
    output = model(**inputs)
    loss = output.get("loss")
    first: Tensor = next(value for name, value in output.items() if name != "loss")
    if loss is None or loss.dtype != first.dtype:
        loss = (first * torch.arange(first.numel(), device=first.device).sin().view_as(first)).mean()
    assert isinstance(loss, Tensor)
    return loss


def largest_difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest absolute difference of two passes' outputs, in units of the largest value where that is above 1."""
    assert len(ours) == len(theirs), f"{len(ours)} outputs instead of {len(theirs)}"
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape, f"an output has shape {tuple(a.shape)} instead of {tuple(b.shape)}"
        if b.numel():
            difference = ((a - b).abs().max() / b.abs().max().clamp(min=1)).item()
            worst = max(worst, difference if difference == difference else float("inf"))  # NaN is no agreement
    return worst


def assert_same(ours: list[Tensor], theirs: list[Tensor], what: str) -> None:
    """Raise AssertionError, with the difference, when two passes' outputs differ by more than 1e-5."""
    difference = largest_difference(ours, theirs)
    assert difference <= TOLERANCE, f"{what}, the outputs differ by {difference:.1e}, more than {TOLERANCE:.0e}"


def outputs_with_zeros(model: PreTrainedModel, inputs: Inputs, layer: int, path: str, *, bias: bool) -> list[Tensor]:
    """The outputs with a layer's projection at zero: its matrix, and its bias too if asked. No gate is involved."""
    spare = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in part(layers_of(spare)[layer], path).named_parameters():
            if bias or name == "weight":
                weight.zero_()
    return outputs(spare, inputs)


def slope(
    model: PreTrainedModel, inputs: Inputs, gates: Mapping[str, Tensor], kind: str, layer: int, direction: Tensor
) -> float:
    """Central difference of the objective along a direction of one layer's gates of a kind (heads or ffn)."""
    losses = []
    for step in (STEP, -STEP):
        moved = {name: one.detach().clone() for name, one in gates.items()}
        moved[kind][layer] += step * direction
        with torch.no_grad(), Gating(model, **moved):
            losses.append(objective(model, inputs).item())
    return (losses[0] - losses[1]) / (2 * STEP)


def _floating(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor) and value.is_floating_point():
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _floating(part)
