"""(tuned model, batches) -> Importance: how much the loss, or the output, depends on each head and FFN unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from supertickets import seeding
from supertickets.config import FfnUnit, ScorerName
from supertickets.encoders.families import structures_of
from supertickets.encoders.gating import Gating, open_gates
from supertickets.encoders.pruning import mask_of
from supertickets.errors import UserError
from supertickets.learning.divergence import divergence
from supertickets.learning.iterative import in_rounds
from supertickets.learning.magnitude import magnitude
from supertickets.learning.tally import Batch as Batch
from supertickets.learning.tally import Tally, on_device
from supertickets.tickets.importance import Importance
from supertickets.tickets.structures import Structures

Scorer = Callable[[PreTrainedModel, Iterable[Batch], Structures, int], Importance]


def score(
    model: PreTrainedModel,
    dataloader: Iterable[Batch],
    *,
    scorer: ScorerName | Scorer = "as_described",
    seed: int = 0,
    ffn_units: FfnUnit = "sublayer",
    rounds: int = 1,
    multiple: int = 8,
) -> Importance:
    """Importance of every head (L, H) and FFN sublayer (L, 1), or neuron (L, U), of a tuned model.

    Batches are mappings of tensors with labels, as any `AutoModelFor...` head takes them. The model
    is scored in evaluation mode, without dropout, and is left as it was; units that a pruned model
    lacks score 0 and are marked (`Importance.present`), so that masks drawn from the scores drop them
    and a sparsity is a share of what is left. `scorer` is a name of the table SCORERS, or a function
    of your own: (model, batches, structures to fill, seed) -> Importance. One round gives raw scores
    (not normalised).
    More give the order of dropping of iterative pruning: each drops its share of the units, neurons
    in blocks of `multiple`, and scores what is left again; batches are then kept in memory.
    Raises UserError when there is no batch, no labels that the scorer needs, or more rounds than
    units. Paper: section 3, importance score.
    """
    structures = structures_of(model, ffn_units)
    chosen = SCORERS[scorer] if isinstance(scorer, str) else scorer
    with _frozen(model):
        if rounds == 1:
            left = mask_of(model, structures)
            return replace(chosen(model, dataloader, structures, seed), present=(left.heads, left.ffn))
        batches = list(dataloader)
        return in_rounds(model, lambda: chosen(model, batches, structures, seed), structures, rounds, multiple)


def score_resampled(
    model: PreTrainedModel,
    dataloader: Iterable[Batch],
    *,
    scorer: ScorerName,
    seed: int,
    resamples: int,
    ffn_units: FfnUnit = "sublayer",
) -> tuple[Importance, list[Importance]]:
    """What `score` gives, and the same on each of several bootstrap resamples of the examples, in one pass.

    An example counts in a resample as often as a Poisson variable of mean 1 says, drawn from the seed in
    the order of the examples: the bootstrap for a stream of unknown length. The scorer is one of
    PER_EXAMPLE. Raises UserError when there is no example, or none that counts in some resample.
    """
    structures, rng = structures_of(model, ffn_units), seeding.generator(seed, "resamples of the scored examples")
    tally, several = Tally(model, structures), [Tally(model, structures) for _ in range(resamples)]
    with _frozen(model):
        for heads, ffn in _each_example(model, dataloader, structures, PER_EXAMPLE[scorer]):
            tally.add(heads.sum(0), ffn.sum(0), len(heads))
            counts = torch.tensor(rng.poisson(1.0, (resamples, len(heads))), dtype=heads.dtype, device=heads.device)
            for one, times in zip(several, counts, strict=True):
                one.add(torch.tensordot(times, heads, 1), torch.tensordot(times, ffn, 1), int(times.sum()))
    left = mask_of(model, structures)
    found = [replace(one.mean(), present=(left.heads, left.ffn)) for one in (tally, *several)]
    return found[0], found[1:]


def as_described(model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
    """E_x |dL(x) / d gate|: the paper's text. Equal for any batch size and order."""
    return _mean_over_examples(model, batches, structures, PER_EXAMPLE["as_described"])


def taylor(model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
    """E_x (dL(x) / d gate)^2: the squared first-order Taylor score."""
    return _mean_over_examples(model, batches, structures, PER_EXAMPLE["taylor"])


def as_released(model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
    """The 2021 code: per-token absolute values of the batch-mean loss, gradients never reset.

    After N batches the score is 1/N sum_k (N - k + 1) g_k, so it depends on batch size and order;
    kept to compare with published numbers, not to be used.
    """
    prefix, total = Tally(model, structures), Tally(model, structures)
    for batch in on_device(model, batches):
        ids = batch["input_ids"].flatten(0, -2)
        heads, ffn = _gate_gradients(model, batch, ids.shape, torch.ones((), device=ids.device), structures)
        prefix.add(heads.abs().sum((0, 1)), ffn.abs().sum((0, 1)), 1)
        total.add(prefix.heads, prefix.ffn, 1)
    return total.mean()


def random(model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
    """Uniform scores from the seed: the control that any scorer must beat."""
    rng = seeding.generator(seed, "random importance")
    heads, ffn, left = rng.random(structures.heads.shape), rng.random(structures.ffn.shape), mask_of(model, structures)
    return Importance(structures, heads, ffn, present=(left.heads, left.ffn))


# Scorers that are the mean over examples of a function of each one's gate gradients: these can be resampled.
PER_EXAMPLE: dict[ScorerName, Callable[[Tensor], Tensor]] = {"as_described": torch.abs, "taylor": torch.square}

# Scorers whose result depends on the order of batches: they get the examples in the order of the file, as in 2021.
ORDERED: frozenset[ScorerName] = frozenset({"as_released"})

SCORERS: dict[ScorerName, Scorer] = {
    "as_described": as_described,
    "as_released": as_released,
    "taylor": taylor,
    "divergence": divergence,
    "magnitude": magnitude,
    "random": random,
}


def _mean_over_examples(
    model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, size: Callable[[Tensor], Tensor]
) -> Importance:
    """Mean over examples of `size` of each example's own gate gradients."""
    tally = Tally(model, structures)
    for heads, ffn in _each_example(model, batches, structures, size):
        tally.add(heads.sum(0), ffn.sum(0), len(heads))
    return tally.mean()


def _each_example(
    model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, size: Callable[[Tensor], Tensor]
) -> Iterator[tuple[Float[Tensor, "B L H"], Float[Tensor, "B L U"]]]:
    """`size` of each example's own gate gradients, batch by batch, with one backward pass per batch."""
    for batch in on_device(model, batches):
        items = _labelled_items(batch)
        heads, ffn = _gate_gradients(model, batch, items.shape, items.sum(), structures)
        # The sum of all items' losses was differentiated; an example's loss is the mean over its own.
        shares = items.clamp(min=1)[:, None, None]
        yield size(heads / shares), size(ffn / shares)


def _gate_gradients(
    model: PreTrainedModel, batch: Batch, per: tuple[int, ...], scale: Tensor, structures: Structures
) -> tuple[Float[Tensor, "*per L H"], Float[Tensor, "*per L U"]]:
    """d(scale x loss) / d gate for gates with leading dimensions `per`; one forward and one backward pass."""
    gates = open_gates(model, *per, ffn_units=structures.ffn_units)
    with Gating(model, *gates):
        loss = model(**batch).loss
    if loss is None:
        raise UserError(
            "the batches carry no labels", "score(model, dataloader)", "add the labels the model's head takes"
        )
    heads, ffn = torch.autograd.grad(loss * scale, gates, materialize_grads=True)  # a pruned model may lack all FFNs
    return heads, ffn


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
