"""The speed-up is a ratio of times, with its spread and its conditions."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from small_examples import examples, padded
from small_models import build
from supertickets.encoders.families import structures_of
from supertickets.encoders.pruning import prune
from supertickets.learning import timing
from supertickets.learning.timing import interleaved, speedup
from supertickets.tickets.masks import Mask


def test_ratio_of_the_full_models_time_to_the_pruned_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Median, 10th and 90th percentile over interleaved pairs, after a warm-up of each model."""
    full, pruned = build("bert"), build("bert")
    clock = {id(full): iter([9.0, 3.0, 4.0, 5.0]), id(pruned): iter([9.0, 1.0, 2.0, 1.0])}
    order: list[str] = []

    def seconds(model: PreTrainedModel, _: object) -> float:
        order.append("full" if model is full else "pruned")
        return next(clock[id(model)])

    monkeypatch.setattr(timing, "_seconds", seconds)
    found = speedup(full, pruned, padded(examples(20), 8), pairs=3)
    assert order == ["full", "pruned"] * 4
    assert (found.median, found.p10, found.p90) == pytest.approx((3.0, 2.2, 4.6))


def test_models_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round times each model once, in their order, after a round of warm-up that does not count."""
    models = [build("bert"), build("bert"), build("bert")]
    clock = iter([9.0, 9.0, 9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    order: list[int] = []

    def seconds(model: PreTrainedModel, _: object) -> float:
        order.append(next(index for index, one in enumerate(models) if one is model))
        return next(clock)

    monkeypatch.setattr(timing, "_seconds", seconds)
    assert interleaved(models, {}, 2).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert order == [0, 1, 2] * 3


def test_the_conditions_are_told() -> None:
    """Pairs, threads, and the size and length of the middle batch, which both models run without its labels."""
    full = build("bert").train()
    structures = structures_of(full)
    heads = np.zeros(structures.heads.shape, dtype=bool)
    pruned = prune(copy.deepcopy(full), Mask(structures, heads, np.zeros(structures.ffn.shape, dtype=bool)))
    batches = padded(examples(20), 8)
    found = speedup(full, pruned, batches, pairs=5)
    assert (found.pairs, found.threads, found.batch_size) == (5, torch.get_num_threads(), 8)
    assert found.length == batches[1]["input_ids"].shape[1]
    assert 0 < found.p10 <= found.median <= found.p90
