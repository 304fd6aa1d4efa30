"""A watched training is the same training, and one that is ended stops where it was told to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from small_examples import examples, tokenizer
from small_models import build
from supertickets.config import TrainingConfig
from supertickets.learning.evaluation import predict
from supertickets.learning.training import Trained, train
from supertickets.learning.watching import Watch

SETTINGS = TrainingConfig(epochs=2, batch_size=8, learning_rate=1e-3, precision="fp32")


def never(share: float, predictions: np.ndarray) -> bool:
    """Goes on."""
    return False


def trained(watch: Watch | None, **given: Any) -> tuple[PreTrainedModel, Trained]:
    """A BERT of three layers with its dropout on, after eight steps."""
    model = build("bert", **given)
    return model, train(model, examples(32), tokenizer(), SETTINGS, seed=3, watch=watch)


def test_watching_changes_no_bit_of_the_weights() -> None:
    """With dropout on, a training with four looks on the way ends with the same weights, loss and generators."""
    torch.manual_seed(11)
    watch = Watch(examples(12), (0.1, 0.3, 0.5, 0.8), never)
    watched, one = trained(watch)
    after = torch.rand(3)
    torch.manual_seed(11)
    alone, other = trained(None)
    assert one == other and torch.equal(after, torch.rand(3))
    assert watch.stopped is None and sorted(watch.curve) == [0.1, 0.3, 0.5, 0.8]
    for (name, ours), theirs in zip(watched.state_dict().items(), alone.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_the_curve_is_that_of_the_weights_on_the_way() -> None:
    """A look at the half is what a training ended there predicts, and its examples count by the half."""
    held_out = examples(12)
    whole = Watch(held_out, (0.5, 0.75), never)
    trained(whole)
    half = Watch(held_out, (0.5, 0.75), lambda share, predictions: share == 0.5)
    model, done = trained(half)
    assert half.stopped == 0.5 and list(half.curve) == [0.5]
    assert (done.steps, done.examples) == (4, 32)
    assert np.array_equal(whole.curve[0.5], half.curve[0.5])
    np.testing.assert_allclose(predict(model, held_out, tokenizer()), whole.curve[0.5], atol=1e-6)
    assert not np.allclose(whole.curve[0.75], whole.curve[0.5])
    assert not model.training


@pytest.mark.parametrize("shares", [(0.99,), ()])
def test_the_end_is_no_checkpoint(shares: tuple[float, ...]) -> None:
    """Where the next step is the last, the finished run says more: nothing is looked at and nothing ended."""
    watch = Watch(examples(12), shares, lambda share, predictions: True)
    _, done = trained(watch)
    assert watch.stopped is None and watch.curve == {} and done.steps == 8
