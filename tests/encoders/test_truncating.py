"""A truncated encoder is its lower layers: its last hidden states are those that the full one has there."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from small_models import CONFIGS, batch, build
from supertickets.encoders.families import layers_of
from supertickets.encoders.truncating import truncate
from supertickets.errors import UserError


def hidden(model: PreTrainedModel) -> tuple[torch.Tensor, ...]:
    """The hidden states after the embeddings and after each layer."""
    inputs = {name: value for name, value in batch().items() if name != "labels"}
    with torch.inference_mode():
        found: tuple[torch.Tensor, ...] = model.eval()(**inputs, output_hidden_states=True).hidden_states
    return found


@pytest.mark.parametrize("family", [family for family in CONFIGS if family not in ("albert", "modernbert")])
def test_the_lower_layers_are_what_they_were(family: str) -> None:
    """Every hidden state up to the cut is the full model's, and the model still gives logits."""
    full, cut = build(family), truncate(build(family), 2)
    assert len(layers_of(cut)) == 2 == cut.config.num_hidden_layers
    ours, theirs = hidden(cut), hidden(full)
    assert len(ours) == 3
    for one, other in zip(ours, theirs, strict=False):
        torch.testing.assert_close(one, other)


def test_modernbert_too() -> None:
    """Its last norm stands after the last layer, whichever that is; only states below it can be compared."""
    full, cut = build("modernbert"), truncate(build("modernbert"), 2)
    for one, other in zip(hidden(cut)[:2], hidden(full), strict=False):
        torch.testing.assert_close(one, other)


def test_what_cannot_be_cut_is_refused() -> None:
    """No layer left, more than there are, and layers that share their weights."""
    for layers in (0, 4):
        with pytest.raises(UserError, match=f"between 1 and the 3 layers of the encoder, not {layers}"):
            truncate(build("bert"), layers)
    with pytest.raises(UserError, match="share their weights"):
        truncate(build("albert"), 1)
