"""The public API as a user writes it: checked by mypy --strict, never run."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from supertickets import (
    Config,
    Importance,
    Mask,
    RewindPoint,
    Structures,
    Ticket,
    UserError,
    export,
    find,
    gate,
    load,
    predict,
    prune,
    prune_vocabulary,
    score,
    structures_of,
)
from supertickets.testing import check_family


def low_level(model: PreTrainedModel, batches: Iterable[dict[str, Any]]) -> PreTrainedModel:
    """The pieces, on a model and a training loop of one's own."""
    start = RewindPoint.of(model)
    importance = score(model, batches)
    assert_type(importance, Importance)
    mask = Mask.winning(importance, 0.3, min_heads=1)
    assert_type(mask, Mask)
    assert_type(Mask.random(mask, np.random.default_rng(0)), Mask)
    assert_type(mask & Mask.losing(importance, 0.3), Mask)
    assert_type(mask.jaccard(mask), float)
    assert_type(mask.weights_remaining.encoder, float)
    with gate(model, mask):
        pass
    fresh = start.model()
    assert_type(fresh, PreTrainedModel)
    return prune(fresh, mask)


def loading() -> None:
    """An encoder by alias, folder or hub id; full size, then smaller."""
    model, tokenizer = load("minilm", classes=2, seed=0)
    assert_type(model, PreTrainedModel)
    assert_type(tokenizer, PreTrainedTokenizerBase)
    small = prune(copy.deepcopy(model), Mask.full(Structures.from_dict({})))
    assert_type(small, PreTrainedModel)


def tickets(folder: Path) -> str:
    """A ticket is read back, and checked against the architecture it is for."""
    ticket = Ticket.load(folder)
    assert_type(ticket.mask, Mask)
    ticket.check_fits(ticket.mask.structures)
    return ticket.kind


def settings() -> tuple[int, ...]:
    """Settings are frozen values; a fault in them is one exception."""
    try:
        config = Config(seeds=(0, 1, 2), budget="smoke")
    except UserError as fault:
        raise SystemExit(str(fault)) from fault
    return config.seeds


def finer(model: PreTrainedModel, batches: list[dict[str, Any]]) -> PreTrainedModel:
    """Single neurons, scored without labels in several rounds; the same types as whole sublayers."""
    assert_type(structures_of(model, "neuron"), Structures)
    importance = score(model, batches, scorer="divergence", ffn_units="neuron", rounds=4, multiple=8)
    assert_type(importance, Importance)
    return prune(model, Mask.winning(importance, 0.5, multiple=8))


def delivering(folder: Path, texts: Iterable[str]) -> None:
    """From a budget to a folder for others, and predictions with it."""
    found = find("rte", data="glue", target="params=0.8", out=folder, set=["units.ffn=neuron"])
    assert_type(found.model, Path)
    assert_type(export(found.model, to="hf", out="small"), Path)
    assert_type(export(folder, to="onnx", out=folder / "onnx"), Path)
    assert_type(predict(folder, "new.csv", out="preds.csv", text="text", format="csv", backend="onnx"), Path)
    model, tokenizer = load(found.model)
    model, tokenizer = prune_vocabulary(model, tokenizer, texts)
    assert_type(model, PreTrainedModel)
    assert_type(tokenizer, PreTrainedTokenizerBase)


def battery(model: PreTrainedModel) -> None:
    """Raises AssertionError, or says nothing."""
    check_family(model)
