"""Sums over examples, and their mean."""

from __future__ import annotations

import pytest
import torch

from small_models import batch, build
from supertickets.encoders.families import structures_of
from supertickets.errors import UserError
from supertickets.learning.tally import Tally, on_device


def test_the_mean_is_over_all_that_was_counted() -> None:
    """Sums of 3 and 1 examples: (6 + 2) / 4 for each head, (3 + 5) / 4 for each FFN sublayer."""
    model = build("bert")
    tally = Tally(model, structures_of(model))
    heads, ffn = torch.ones(3, 4), torch.ones(3, 1)
    tally.add(6 * heads, 3 * ffn, 3)
    tally.add(2 * heads, 5 * ffn, 1)
    importance = tally.mean()
    assert importance.structures == structures_of(model) and importance.scale == "raw"
    assert importance.heads.tolist() == 3 * [4 * [2.0]] and importance.ffn.tolist() == 3 * [[2.0]]


def test_nothing_counted_is_refused() -> None:
    """One sentence instead of a division by zero."""
    with pytest.raises(UserError, match="no batch came"):
        Tally(build("bert"), structures_of(build("bert"))).mean()


def test_batches_go_where_the_model_is() -> None:
    """Every tensor of every batch lands on the model's device, unchanged."""
    model = build("bert").to("meta")
    (moved,) = on_device(model, [batch()])
    assert {name: (value.device.type, value.shape) for name, value in moved.items()} == {
        name: ("meta", value.shape) for name, value in batch().items()
    }
