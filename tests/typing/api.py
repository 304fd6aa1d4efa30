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
    gate,
    load,
    prune,
    score,
)


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
