"""The lowest layers as a ticket are no smaller than the ticket beside them, and by less than a layer larger."""

from __future__ import annotations

import numpy as np
import pytest

from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures
from supertickets.tickets.truncation import lowest_layers

STRUCTURES = Structures("toy", np.full((6, 12), 10), np.full((6, 1), 240), encoder_weights=2160, total_weights=3000)


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_as_large_as_the_ticket(sparsity: float) -> None:
    """Whole layers from the first on, at least the ticket's weights, and one layer fewer would be less."""
    rng = np.random.default_rng(0)
    ticket = Mask.winning(Importance(STRUCTURES, rng.random((6, 12)), rng.random((6, 1))), sparsity)
    mask = lowest_layers(ticket)
    layers = int(mask.heads.any(axis=1).sum())
    assert mask.heads[:layers].all() and mask.ffn[:layers].all()
    assert not mask.heads[layers:].any() and not mask.ffn[layers:].any()
    larger = mask.weights_remaining.all - ticket.weights_remaining.all
    assert 0 <= larger < 360 / 3000
