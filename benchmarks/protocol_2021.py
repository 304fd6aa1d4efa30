"""The sweep of one seed as the code released with the paper runs it, on today's torch.

Written from a description of that code: tune the full model; score it once with the accumulation of
the released code; then, for every kind and level, go back to the pretrained weights, mask, and train.
Masked heads are multiplied by zero and keep their cost; a masked FFN sublayer is skipped and costs
nothing, forwards and backwards. fp32 throughout. Batches are fixed contiguous chunks of the training
file, shuffled once, in the same order every epoch, each padded to its own longest example.

Kept from our side, so that the two sweeps train the same thing: the learning rate, warmup and
optimiser's mathematics (AdamW; torch's plain implementation of it), the pretrained encoder with the
seed's head, the seed's training examples, and tickets of the same sizes (the released code drew random
tickets with replacement, hence larger ones). The released code scored the report split after every
epoch; here it is done once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerBase

from supertickets import seeding
from supertickets.config import TrainingConfig
from supertickets.encoders.families import family_of, layers_of, part
from supertickets.encoders.pruning import prune
from supertickets.experiments.plans import plan
from supertickets.experiments.runs import TicketRun
from supertickets.experiments.workspace import Workspace
from supertickets.learning.scoring import score
from supertickets.tickets.masks import Mask, draw

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Done:
    """One trained model of the sweep: which, and its logits (n, classes) on the report examples."""

    kind: str
    sparsity: float
    seed: int
    predictions: np.ndarray


def sweep_of_seed(sweep: Workspace, seed: int) -> Iterator[Done]:
    """The full model, then every ticket that our plan has for this seed."""
    start, splits, recipe = sweep.rewind_point(seed), sweep.splits(seed), sweep.config.training
    in_file_order = chunks(splits.train, sweep.tokenizer, recipe.batch_size)
    batches = shuffled_once(in_file_order, seed)
    report = chunks(splits.report, sweep.tokenizer, recipe.batch_size)
    tuned = start.model()
    train(tuned, batches, recipe, seed)
    yield Done("full", 0.0, seed, predict(tuned, report))
    importance = score(tuned, in_file_order, scorer="as_released")
    for run in plan(sweep.config):
        if isinstance(run, TicketRun) and run.seed == seed:
            rng = seeding.generator(seed, "random ticket")
            model = masked(start.model(), draw(run.kind, importance, run.sparsity, rng=rng))
            train(model, batches, recipe, seed)
            yield Done(run.kind, run.sparsity, seed, predict(model, report))


def chunks(examples: Dataset, tokenizer: PreTrainedTokenizerBase, size: int) -> list[Batch]:
    """Contiguous chunks in file order, each padded to its longest example."""
    collate = DataCollatorWithPadding(tokenizer)
    rows = list(examples.remove_columns("length"))
    return [dict(collate(rows[start : start + size])) for start in range(0, len(rows), size)]


def shuffled_once(batches: Sequence[Batch], seed: int) -> list[Batch]:
    """The same batches in one random order."""
    return [batches[index] for index in seeding.generator(seed, "chunk order").permutation(len(batches))]


def masked(model: PreTrainedModel, mask: Mask) -> PreTrainedModel:
    """The model at its full size, dropped heads multiplied by zero, dropped FFN sublayers skipped."""
    prune(model, Mask(mask.structures, np.ones_like(mask.heads), mask.ffn))
    family = family_of(model.config.model_type)
    for layer, kept in zip(layers_of(model), mask.heads, strict=True):
        keep = torch.tensor(kept, dtype=torch.float32, device=model.device)
        part(layer, family.output).register_forward_pre_hook(_multiplied(keep))
    return model


def train(model: PreTrainedModel, batches: Sequence[Batch], recipe: TrainingConfig, seed: int) -> None:
    """Plain fp32 steps over the batches, in their order, epoch after epoch."""
    steps = round(recipe.epochs * len(batches))
    optimiser = torch.optim.AdamW(_groups(model, recipe.weight_decay), lr=recipe.learning_rate)
    schedule = LambdaLR(optimiser, lambda step: _warmup_linear(step / steps, recipe.warmup))
    torch.manual_seed(seed)
    model.train()
    for step in range(steps):
        model(**_on(model, batches[step % len(batches)])).loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    model.eval()


@torch.inference_mode()
def predict(model: PreTrainedModel, batches: Sequence[Batch]) -> np.ndarray:
    """Logits (n, classes) in the order of the examples."""
    return np.concatenate([model(**_on(model, batch)).logits.cpu().numpy() for batch in batches])


def _warmup_linear(progress: float, warmup: float) -> float:
    """Up to 1 over the warmup, then 1 - progress: it jumps down to 1 - warmup where the warmup ends."""
    return progress / warmup if progress < warmup else 1 - progress


def _groups(model: PreTrainedModel, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and embeddings, none on biases and layer norms."""
    weights = list(model.parameters())
    return [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ]


def _multiplied(keep: Tensor) -> Callable[[nn.Module, tuple[Tensor]], tuple[Tensor]]:
    def hook(_: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
        heads = arguments[0].unflatten(-1, (len(keep), -1))
        return ((heads * keep[:, None]).flatten(-2),)

    return hook


def _on(model: PreTrainedModel, batch: Batch) -> Batch:
    return {name: value.to(model.device) for name, value in batch.items()}
