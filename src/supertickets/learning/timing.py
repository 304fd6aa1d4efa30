"""How fast models run, in turns; a pruned model's speed as a user would meet it: on batches of their own text."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from transformers import PreTrainedModel

from supertickets.learning.scoring import Batch
from supertickets.learning.speed import Speedup


def speedup(full: PreTrainedModel, pruned: PreTrainedModel, batches: Sequence[Batch], *, pairs: int = 15) -> Speedup:
    """Time both models on one batch of middle length, on the pruned model's device.

    They take turns, pair by pair (`interleaved`).
    """
    device, middle = pruned.device, batches[len(batches) // 2]
    full = full.to(device)  # type: ignore[arg-type]
    batch = {name: value.to(device) for name, value in middle.items() if name != "labels"}
    ratios = np.divide(*interleaved([full, pruned], batch, pairs).T)
    low, median, high = np.percentile(ratios, [10, 50, 90])
    size, length = batch["input_ids"].shape
    threads = torch.get_num_threads()
    return Speedup(float(median), float(low), float(high), pairs, threads, size, length, device_name(pruned))


def interleaved(models: Sequence[PreTrainedModel], batch: Batch, rounds: int) -> Float[np.ndarray, "R M"]:
    """Seconds of each model on the batch in each round, after a warm-up of each.

    They take turns, so that a noisy machine hits all alike.
    """
    for model in models:
        _seconds(model, batch)
    return np.array([[_seconds(model, batch) for model in models] for _ in range(rounds)])


def _seconds(model: PreTrainedModel, batch: Batch) -> float:
    model.eval()
    _finish(model)
    start = time.perf_counter()
    with torch.inference_mode():
        model(**batch)
    _finish(model)
    return time.perf_counter() - start


def _finish(model: PreTrainedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


def device_name(model: PreTrainedModel) -> str:
    """What a model sits on: `cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else str(model.device.type)
