"""How much faster a pruned model runs, measured as a user would meet it: batches of their own text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from supertickets.learning.scoring import Batch


@dataclass(frozen=True)
class Speedup:
    """Ratio of the full model's time to the pruned model's: median and 10th to 90th percentile of pairs."""

    median: float
    p10: float
    p90: float
    pairs: int
    threads: int
    batch_size: int
    length: int


def speedup(full: PreTrainedModel, pruned: PreTrainedModel, batches: Sequence[Batch], *, pairs: int = 15) -> Speedup:
    """Time both models on the same batches in interleaved pairs, so that a noisy machine hits both alike."""
    batch = {name: value for name, value in batches[len(batches) // 2].items() if name != "labels"}
    for model in (full, pruned):
        _seconds(model, batch)  # warm-up
    ratios = [_seconds(full, batch) / _seconds(pruned, batch) for _ in range(pairs)]
    low, median, high = np.percentile(ratios, [10, 50, 90])
    size, length = batch["input_ids"].shape
    return Speedup(float(median), float(low), float(high), pairs, torch.get_num_threads(), size, length)


def _seconds(model: PreTrainedModel, batch: Batch) -> float:
    model.eval()
    start = time.perf_counter()
    with torch.inference_mode():
        model(**batch)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
