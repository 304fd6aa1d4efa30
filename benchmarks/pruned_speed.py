"""How much faster a pruned encoder runs than the full one, next to what its arithmetic allows."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.figures import Figure
from benchmarks.measuring import Say, in_turns, seconds
from supertickets.encoders.families import structures_of
from supertickets.encoders.loading import load
from supertickets.encoders.onnx import export_onnx, load_onnx
from supertickets.encoders.pruning import prune
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask

TASK = None
GOALS = {1: 0.9, 32: 0.95}  # of the ideal speed-up, by batch size, in torch
ROUNDS = (3, 41)  # fewest and most, whatever the time

Work = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Settings:
    """Encoders, shares of heads and neurons that are gone, batches, and seconds for the rounds of each comparison."""

    encoders: tuple[str, ...] = ("minilm", "mpnet")
    shares: tuple[float, ...] = (0.25, 0.5, 0.75)
    batch_sizes: tuple[int, ...] = (1, 32)
    length: int = 128
    seconds: float = 20.0


QUICK = Settings(encoders=("minilm",), shares=(0.5,), batch_sizes=(1,), length=32, seconds=0.5)


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Speed-up, and speed-up over the ratio of floating-point operations, in torch and in ONNX Runtime (fp32)."""
    figures: dict[str, Figure] = {}
    for encoder in settings.encoders:
        try:
            full, tokenizer = load(encoder)
        except UserError as fault:  # mpnet's packages are no dependency
            say(f"{encoder} is left out: {fault}")
            continue
        models = {"full": full.eval()}
        models |= {f"{share:.0%} gone": prune(copy.deepcopy(full), even(full, share)) for share in settings.shares}
        for batch_size in settings.batch_sizes:
            batch = random_batch(full, batch_size, settings.length)
            operations = {name: flops(model, batch) for name, model in models.items()}
            work: Work = {name: partial(infer, model, batch) for name, model in models.items()}
            label = f"{encoder}, batch {batch_size}, torch"
            figures |= _compared(label, work, operations, settings, say, GOALS.get(batch_size))
        figures |= _under_onnx(encoder, models, tokenizer, settings, say)
    return figures


def _under_onnx(
    encoder: str, models: dict[str, PreTrainedModel], tokenizer: PreTrainedTokenizerBase, settings: Settings, say: Say
) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, model) in enumerate(models.items()):
            say(f"{encoder}, {name}: export to ONNX")
            export_onnx(model, tokenizer, Path(folder) / str(number))
        exported = {name: load_onnx(Path(folder) / str(number)) for number, name in enumerate(models)}
    for batch_size in settings.batch_sizes:
        batch = random_batch(models["full"], batch_size, settings.length)
        operations = {name: flops(model, batch) for name, model in models.items()}
        work: Work = {name: partial(session, **batch) for name, session in exported.items()}
        figures |= _compared(f"{encoder}, batch {batch_size}, ONNX Runtime", work, operations, settings, say, None)
    return figures


def _compared(
    label: str, work: Work, operations: dict[str, int], settings: Settings, say: Say, goal: float | None
) -> dict[str, Figure]:
    for warm_up in work.values():
        warm_up()
    once = sum(seconds(one) for one in work.values())
    rounds = int(np.clip(settings.seconds / once, *ROUNDS))
    say(f"{label}: {rounds} rounds of {once:.2f} s")
    taken = in_turns(work, rounds, lambda line: None)
    figures: dict[str, Figure] = {}
    for name in list(work)[1:]:
        ratios, ideal = taken["full"] / taken[name], operations["full"] / operations[name]
        figures[f"{label}, {name}: speed-up / ideal {ideal:.2f}"] = Figure.of((ratios / ideal).tolist(), goal=goal)
        figures[f"{label}, {name}: speed-up"] = Figure.of(ratios.tolist())
    return figures


def even(model: PreTrainedModel, share: float) -> Mask:
    """The same share of heads and of neurons (to a multiple of 8) gone in every layer, at random."""
    structures, rng = structures_of(model, "neuron"), np.random.default_rng(0)
    heads = round((1 - share) * structures.heads_per_layer)
    neurons = 8 * round((1 - share) * structures.units_per_layer / 8)
    keep = (np.arange(structures.heads_per_layer) < heads, np.arange(structures.units_per_layer) < neurons)
    return Mask(structures, *(rng.permuted(np.tile(row, (structures.layers, 1)), axis=1) for row in keep))


def flops(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> int:
    """Floating-point operations of a forward pass; under eager attention, where torch's counter sees all of them."""
    backend = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        infer(model, batch)
    model.set_attn_implementation(backend)
    return int(counter.get_total_flops())


@torch.no_grad()
def infer(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> None:
    """One forward pass."""
    model(**batch)


def random_batch(model: PreTrainedModel, size: int, length: int) -> dict[str, torch.Tensor]:
    """Token ids without padding, (size, length), and their attention mask."""
    ids = torch.randint(5, model.config.vocab_size, (size, length), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
