"""Importance without labels: how far the model's own output distribution moves when a unit is closed.

With open gates the divergence is 0 and so is its gradient, so its curvature decides. For a gate at 1 + d,
KL(p || p with the gate) = d^2 F / 2 + O(d^3), where F = sum_y p(y|x) (d log p(y|x) / d gate)^2 is the
gate's Fisher information; a closed gate (d = -1) costs F / 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from supertickets import seeding
from supertickets.encoders.gating import Gating, open_gates
from supertickets.errors import UserError
from supertickets.learning.tally import Batch, Tally, on_device
from supertickets.tickets.importance import Importance
from supertickets.tickets.structures import Structures

LABELS = frozenset({"labels", "start_positions", "end_positions"})


def divergence(model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
    """E_x F(x) / 2 for every gate: the cost, to second order, of closing it; labels are not looked at.

    Heads with one answer for an example (classes, choices, numbers) take the exact expectation, one
    backward pass per class. Heads with an answer for every token or for a span take the mean over
    positions and draw the answers from the model's own distribution: the draw depends on the seed
    and the example, not on its batch. Numbers count as means of unit variance.
    """
    tally = Tally(model, structures)
    for batch in on_device(model, batches):
        inputs = {name: value for name, value in batch.items() if name not in LABELS}
        examples = len(inputs["input_ids"])
        gates = open_gates(model, examples, ffn_units=structures.ffn_units)
        with Gating(model, *gates):
            outputs = model(**inputs)
        directions, weights = _directions(model, outputs, inputs, seed)
        sums = [torch.zeros_like(tally.heads), torch.zeros_like(tally.ffn)]
        for index, (direction, weight) in enumerate(zip(directions, weights, strict=True)):
            last = index == len(directions) - 1
            gradients = torch.autograd.grad(direction.sum(), gates, retain_graph=not last, materialize_grads=True)
            shares = weight[:, None, None].to(gates[0].dtype) / 2
            sums = [old + (shares * new.square()).sum(0) for old, new in zip(sums, gradients, strict=True)]
        tally.add(sums[0], sums[1], examples)
    return tally.mean()


def _directions(
    model: PreTrainedModel, outputs: Mapping[str, Tensor], inputs: Batch, seed: int
) -> tuple[Float[Tensor, "K B"], Float[Tensor, "K B"]]:
    """Scalars s and weights w for every example, such that F = sum_k w_k (d s_k / d gate)^2."""
    real = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"])).bool()
    if "start_logits" in outputs:
        spans = torch.stack([outputs["start_logits"], outputs["end_logits"]], dim=1)
        spans = spans.masked_fill(~real[:, None, :], -torch.inf)  # padding is no place for an answer
        return _drawn(spans, torch.ones_like(spans[..., 0], dtype=torch.bool), real, inputs["input_ids"], seed)
    if "logits" not in outputs:
        raise UserError(
            "the model has no task head, and so no distribution", "divergence", "load it with one, or score otherwise"
        )
    logits = outputs["logits"]
    if logits.ndim == 3:
        return _drawn(logits, real, real, inputs["input_ids"], seed)
    if model.config.problem_type == "multi_label_classification":
        yes = logits.detach().sigmoid()
        return logits.T, (yes * (1 - yes)).T
    if model.config.problem_type == "regression" or logits.shape[1] == 1:
        return logits.T, torch.ones_like(logits.detach().T)
    logs = functional.log_softmax(logits, dim=-1)
    return logs.T, logs.detach().exp().T


def _drawn(
    logits: Float[Tensor, "B P C"],
    counted: Bool[Tensor, "B P"],
    real: Bool[Tensor, "B T"],
    ids: Tensor,
    seed: int,
) -> tuple[Float[Tensor, "1 B"], Float[Tensor, "1 B"]]:
    """The log-probability of one answer per counted position, drawn from the model itself.

    Positions are independent given the example, so the expected square of the summed gradient is the
    sum of their Fisher informations; divided by their number it is the mean.
    """
    logs = functional.log_softmax(logits, dim=-1)
    with torch.no_grad():
        below = logs.exp().cumsum(dim=-1)
        answers = (below < _uniform(counted, real, ids, seed)[..., None] * below[..., -1:]).sum(dim=-1, keepdim=True)
    chosen = logs.gather(-1, answers).squeeze(-1).where(counted, 0.0)
    return chosen.sum(dim=1)[None], 1 / counted.sum(dim=1).clamp(min=1)[None]


def _uniform(counted: Bool[Tensor, "B P"], real: Bool[Tensor, "B T"], ids: Tensor, seed: int) -> Float[Tensor, "B P"]:
    """Numbers in [0, 1) for the counted positions, from each example's own tokens: padding changes none."""
    drawn = np.zeros(counted.shape)
    for row, places, tokens, there in zip(drawn, *(x.cpu().numpy() for x in (counted, ids, real)), strict=True):
        rng = seeding.generator(seed, f"divergence {tokens[there].tolist()}")
        row[places] = rng.random(int(places.sum()))
    return torch.tensor(drawn, dtype=torch.float32, device=counted.device)
