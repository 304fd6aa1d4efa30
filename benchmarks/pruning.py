"""What it costs to cut a base-size encoder down to half its heads and neurons, and how much faster it then runs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, MPNetConfig, PreTrainedConfig, PreTrainedModel

from benchmarks.figures import Figure
from benchmarks.measuring import Say, in_turns, seconds
from benchmarks.peak_memory import measured
from supertickets.encoders.families import structures_of
from supertickets.encoders.pruning import prune
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask

TASK = None
BASE: dict[str, Callable[..., PreTrainedConfig]] = {"bert": BertConfig, "mpnet": MPNetConfig}


@dataclass(frozen=True)
class Settings:
    """Layers of the random models (12: base size), share of units dropped, timed batch, rounds; runs for memory."""

    layers: int = 12
    sparsity: float = 0.5
    batch_size: int = 8
    length: int = 128
    rounds: int = 9
    processes: int = 3


QUICK = Settings(layers=2, batch_size=2, length=32, rounds=3, processes=1)


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Seconds and peak memory of prune() itself, and the full model's inference time over the pruned one's (fp32)."""
    figures: dict[str, Figure] = {}
    for name, family in BASE.items():
        say(f"{name} base")
        times, ratios = _one(family(num_hidden_layers=settings.layers), settings, say)
        figures[f"{name} base, seconds of prune()"] = Figure.of(times, goal=1.0, better="lower")
        memory = [measured(name, settings.layers, settings.sparsity) for _ in range(settings.processes)]
        figures[f"{name} base, peak memory of prune() / weights"] = Figure.of(memory, goal=1.2, better="lower")
        figures[f"{name} base, full / pruned inference time"] = Figure.of(ratios)
    return figures


def _one(config: PreTrainedConfig, settings: Settings, say: Say) -> tuple[list[float], list[float]]:
    full = AutoModelForSequenceClassification.from_config(config).eval()
    mask = ticket(full, settings.sparsity)
    times = []
    for _ in range(settings.rounds):
        pruned = copy.deepcopy(full)
        times.append(seconds(partial(prune, pruned, mask)))
    tokens = torch.full((settings.batch_size, settings.length), 5)
    work = {"full": partial(infer, full, tokens), "pruned": partial(infer, pruned, tokens)}
    for warm_up in work.values():
        warm_up()
    taken = in_turns(work, settings.rounds, say)
    return times, (taken["full"] / taken["pruned"]).tolist()


@torch.inference_mode()
def infer(model: PreTrainedModel, tokens: torch.Tensor) -> None:
    """One forward pass."""
    model(input_ids=tokens)


def ticket(model: PreTrainedModel, sparsity: float) -> Mask:
    """A winning ticket by random importance, so that layers end up uneven, as real ones do."""
    structures, rng = structures_of(model, "neuron"), np.random.default_rng(0)
    importance = Importance(structures, rng.random(structures.heads.shape), rng.random(structures.ffn.shape))
    return Mask.winning(importance, sparsity)
