"""Predictions are the model's own, example by example, in the order of the examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from small_examples import examples, one_by_one, tokenizer
from small_models import CONFIGS, build
from supertickets.learning.evaluation import predict


@pytest.mark.parametrize("family", CONFIGS)
def test_predictions_equal_a_plain_loop(family: str) -> None:
    """Sorted, batched and padded, every example gets the logits it gets alone."""
    model, data = build(family, num_labels=3), examples(23)
    predictions = predict(model, data, tokenizer(), batch_size=5)
    assert (predictions.shape, predictions.dtype) == ((23, 3), np.float32)
    np.testing.assert_allclose(predictions, one_by_one(model, data), atol=2e-6)


def test_predictions_follow_the_examples() -> None:
    """The examples in another order, or in other batches, get the same predictions in that order."""
    model, data = build("bert"), examples(23)
    order = np.random.default_rng(0).permutation(23)
    straight = predict(model, data, tokenizer())
    np.testing.assert_allclose(predict(model, data.select(order), tokenizer()), straight[order], atol=2e-6)
    for batch_size in (1, 4, 23):
        np.testing.assert_allclose(predict(model, data, tokenizer(), batch_size=batch_size), straight, atol=2e-6)


def test_regression_predictions_are_one_number_each() -> None:
    """One output gives shape (n,), also for a single example."""
    model, data = build("bert", num_labels=1, problem_type="regression"), examples(9, regression=True)
    predictions = predict(model, data, tokenizer(), batch_size=4)
    assert predictions.shape == (9,)
    np.testing.assert_allclose(predictions, one_by_one(model, data)[:, 0], atol=2e-6)
    assert predict(model, data.select([3]), tokenizer()).shape == (1,)


def test_no_dropout_and_no_gradients() -> None:
    """A model in training mode predicts as in evaluation mode, and nothing is left to differentiate."""
    model, data = build("bert"), examples(9)
    expected = predict(model, data, tokenizer())
    state = torch.get_rng_state()
    assert np.array_equal(predict(model.train(), data, tokenizer()), expected)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(weight.grad is None for weight in model.parameters())
