"""(tuned model, batches) -> Importance: how much the loss depends on each head and each FFN sublayer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from supertickets import seeding
from supertickets.config import ScorerName
from supertickets.encoders.families import family_of, head_count, layers_of, part, structures_of
from supertickets.encoders.gating import Gating, open_gates
from supertickets.errors import UserError
from supertickets.tickets.importance import Importance

Batch = Mapping[str, Tensor]
Scorer = Callable[[PreTrainedModel, Iterable[Batch], int], Importance]


def score(
    model: PreTrainedModel, dataloader: Iterable[Batch], *, scorer: ScorerName | Scorer = "as_described", seed: int = 0
) -> Importance:
    """Importance of every head (L, H) and FFN sublayer (L, 1) of a tuned model, raw (not normalised).

    Batches are mappings of tensors with labels, as any `AutoModelFor...` head takes them. The model
    is scored in evaluation mode, without dropout, and is left as it was. `scorer` is a name of the
    table SCORERS, or a function of your own: (model, batches, seed) -> Importance. Raises UserError
    when there is no batch, or no labels. Paper: section 3, importance score.
    """
    structures_of(model)  # refuses unknown families and pruned models before any work
    with _frozen(model):
        return (SCORERS[scorer] if isinstance(scorer, str) else scorer)(model, dataloader, seed)


def as_described(model: PreTrainedModel, batches: Iterable[Batch], seed: int) -> Importance:
    """E_x |dL(x) / d gate|: the paper's text. Equal for any batch size and order."""
    return _mean_over_examples(model, batches, torch.abs)


def taylor(model: PreTrainedModel, batches: Iterable[Batch], seed: int) -> Importance:
    """E_x (dL(x) / d gate)^2: the squared first-order Taylor score."""
    return _mean_over_examples(model, batches, torch.square)


def as_released(model: PreTrainedModel, batches: Iterable[Batch], seed: int) -> Importance:
    """The 2021 code: per-token absolute values of the batch-mean loss, gradients never reset.

    After N batches the score is 1/N sum_k (N - k + 1) g_k, so it depends on batch size and order;
    kept to compare with published numbers, not to be used.
    """
    prefix, total, count = _zeros(model), _zeros(model), 0
    for batch in _on_device(model, batches):
        ids = batch["input_ids"].flatten(0, -2)
        heads, ffn = _gate_gradients(model, batch, ids.shape, torch.ones((), device=ids.device))
        prefix = [old + new.abs().sum((0, 1)) for old, new in zip(prefix, (heads, ffn), strict=True)]
        total = [old + new for old, new in zip(total, prefix, strict=True)]
        count += 1
    return _importance(model, total, count)


def magnitude(model: PreTrainedModel, batches: Iterable[Batch], seed: int) -> Importance:
    """Euclidean norm of the weights that each unit holds, biases included; looks at no data."""
    family, heads, ffn = family_of(model.config.model_type), [], []
    for layer in layers_of(model):
        rows = [part(layer, path) for path in (family.query, family.key, family.value)]
        squares = sum(_by_head(model, weight) for linear in rows for weight in linear.parameters())
        output = part(layer, family.output)
        assert isinstance(output, nn.Linear)
        heads.append(squares + _by_head(model, output.weight.T))
        both = (part(layer, family.ffn_in), part(layer, family.ffn_out))
        ffn.append(torch.stack([w.square().sum() for linear in both for w in linear.parameters()]).sum(0, keepdim=True))
    return _importance(model, [torch.stack(heads).sqrt(), torch.stack(ffn).sqrt()], 1)


def random(model: PreTrainedModel, batches: Iterable[Batch], seed: int) -> Importance:
    """Uniform scores from the seed: the control that any scorer must beat."""
    structures = structures_of(model)
    rng = seeding.generator(seed, "random importance")
    return Importance(structures, rng.random(structures.heads.shape), rng.random(structures.ffn.shape))


# Scorers whose result depends on the order of batches: they get the examples in the order of the file, as in 2021.
ORDERED: frozenset[ScorerName] = frozenset({"as_released"})

SCORERS: dict[ScorerName, Scorer] = {
    "as_described": as_described,
    "as_released": as_released,
    "taylor": taylor,
    "magnitude": magnitude,
    "random": random,
}


def _mean_over_examples(
    model: PreTrainedModel, batches: Iterable[Batch], size: Callable[[Tensor], Tensor]
) -> Importance:
    """Mean over examples of `size` of each example's own gate gradients, one backward pass per batch."""
    total, count = _zeros(model), 0
    for batch in _on_device(model, batches):
        items = _labelled_items(batch)
        heads, ffn = _gate_gradients(model, batch, items.shape, items.sum())
        # The sum of all items' losses was differentiated; an example's loss is the mean over its own.
        shares = items.clamp(min=1)[:, None, None]
        total = [old + size(new / shares).sum(0) for old, new in zip(total, (heads, ffn), strict=True)]
        count += len(items)
    return _importance(model, total, count)


def _gate_gradients(
    model: PreTrainedModel, batch: Batch, per: tuple[int, ...], scale: Tensor
) -> tuple[Float[Tensor, "*per L H"], Float[Tensor, "*per L 1"]]:
    """d(scale x loss) / d gate for gates with leading dimensions `per`; one forward and one backward pass."""
    heads, ffn = open_gates(model, *per)
    with Gating(model, heads, ffn):
        loss = model(**batch).loss
    if loss is None:
        raise UserError(
            "the batches carry no labels", "score(model, dataloader)", "add the labels the model's head takes"
        )
    gradients = torch.autograd.grad(loss * scale, (heads, ffn))
    return gradients[0], gradients[1]


def _labelled_items(batch: Batch) -> Int[Tensor, " B"]:
    """How many labelled items (one, or its labelled tokens) each example adds to the batch's mean loss."""
    labels = batch.get("labels", batch.get("start_positions"))
    if labels is None:
        raise UserError(
            "the batches carry no labels", "score(model, dataloader)", "add the labels the model's head takes"
        )
    if labels.ndim == 1 or labels.is_floating_point():
        return torch.ones(len(labels), dtype=torch.long, device=labels.device)
    return (labels != -100).flatten(1).sum(1)


@contextmanager
def _frozen(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode without weight gradients, which the gates do not need; as before on leaving."""
    training = {module: module.training for module in model.modules()}
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    model.eval().requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for module, mode in training.items():
            module.training = mode
        for weight in trainable:
            weight.requires_grad_(True)


def _on_device(model: PreTrainedModel, batches: Iterable[Batch]) -> Iterator[Batch]:
    for batch in batches:
        yield {name: value.to(model.device) for name, value in batch.items()}


def _zeros(model: PreTrainedModel) -> list[Tensor]:
    layers = len(layers_of(model))
    return [torch.zeros(layers, head_count(model), device=model.device), torch.zeros(layers, 1, device=model.device)]


def _by_head(model: PreTrainedModel, weight: Tensor) -> Float[Tensor, " H"]:
    """Sum of squares of the rows (or bias entries) of each head."""
    return weight.square().reshape(head_count(model), -1).sum(1)


def _importance(model: PreTrainedModel, totals: Sequence[Tensor], count: int) -> Importance:
    """Sums over heads (L, H) and FFN sublayers (L, 1), divided by how many were added."""
    if count == 0:
        raise UserError("there is nothing to score on: no batch came", "score(model, dataloader)", "give at least one")
    heads, ffn = (np.asarray((total / count).detach().cpu(), dtype=np.float64) for total in totals)
    return Importance(structures_of(model), heads, ffn)
