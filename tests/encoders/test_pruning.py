"""Pruned models equal gated ones, are as small as the mask says, and keep working."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from small_models import batch, build
from supertickets.encoders.families import layers_of, structures_of
from supertickets.encoders.gating import gate
from supertickets.encoders.pruning import prune
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask

HEADS = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
FFN = np.array([[1], [0], [0]], dtype=bool)


def mask_of(model: PreTrainedModel) -> Mask:
    """A mask with a layer without heads, layers without FFN, and a layer without either."""
    return Mask(structures_of(model), HEADS, FFN)


def test_pruned_logits_equal_gated_logits(model: PreTrainedModel) -> None:
    """Gating and pruning are one function of the input, and another one than the full model's."""
    mask, inputs = mask_of(model), batch()
    with torch.no_grad():
        full = model(**inputs).logits
        with gate(model, mask):
            gated = model(**inputs).logits
        pruned = prune(copy.deepcopy(model), mask)(**inputs).logits
    torch.testing.assert_close(pruned, gated, rtol=0, atol=1e-6)
    assert (full - gated).abs().max() > 1e-3


def test_pruned_gradients_equal_gated_gradients(model: PreTrainedModel) -> None:
    """Every weight that is left gets the gradient it gets in the gated model."""
    mask, inputs = mask_of(model), batch()
    pruned = prune(copy.deepcopy(model), mask)
    pruned(**inputs).loss.backward()
    with gate(model, mask):
        model(**inputs).loss.backward()
    full = dict(model.named_parameters())
    for name, weight in pruned.named_parameters():
        if weight.shape == full[name].shape and weight.grad is not None:
            torch.testing.assert_close(weight.grad, full[name].grad, rtol=1e-4, atol=1e-6)


def test_size_is_what_the_mask_says(model: PreTrainedModel) -> None:
    """Parameters that are left in the encoder's layers and in the encoder are the mask's shares, exactly."""
    mask = mask_of(model)
    structures = mask.structures
    pruned = prune(copy.deepcopy(model), mask)
    in_layers = sum(weight.numel() for layer in layers_of(pruned) for weight in layer.parameters())
    in_encoder = sum(weight.numel() for weight in pruned.base_model.parameters())
    assert in_layers == round(mask.weights_remaining.encoder * structures.encoder_weights)
    assert in_encoder == round(mask.weights_remaining.all * structures.total_weights)


def test_weights_of_a_head_count_once(model: PreTrainedModel) -> None:
    """Heads, FFN sublayers and what belongs to no unit add up to the encoder's layers."""
    structures = structures_of(model)
    # Per layer: two layer norms and the output projection's bias belong to no unit.
    rest = 3 * (4 * 32 + 32)
    assert int(structures.heads.sum() + structures.ffn.sum()) + rest == structures.encoder_weights


def test_pruned_model_trains(model: PreTrainedModel) -> None:
    """Ten steps on one batch bring its loss down, a layer without heads and FFN included."""
    pruned, inputs = prune(copy.deepcopy(model), mask_of(model)), batch()
    optimiser = torch.optim.AdamW(pruned.parameters(), lr=1e-2)
    losses = []
    for _ in range(10):
        optimiser.zero_grad()
        loss = pruned(**inputs).loss
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(
    "head",
    [
        AutoModel,
        AutoModelForMaskedLM,
        AutoModelForMultipleChoice,
        AutoModelForQuestionAnswering,
        AutoModelForTokenClassification,
    ],
)
def test_any_task_head(head: type) -> None:
    """Gating equals pruning under every head that transformers puts on a BERT."""
    model = build("bert", "sdpa", head)
    inputs = {name: value for name, value in batch().items() if name != "labels"}
    if head is AutoModelForMultipleChoice:
        inputs = {name: value.view(3, 2, -1) for name, value in inputs.items()}
    with torch.no_grad():
        with gate(model, mask_of(model)):
            gated = model(**inputs)[0]
        pruned = prune(model, mask_of(model))(**inputs)[0]
    torch.testing.assert_close(pruned, gated, rtol=0, atol=1e-6)


def test_full_mask_changes_nothing(model: PreTrainedModel) -> None:
    """Pruning nothing, the 0 % level of a sweep, leaves the outputs bit for bit."""
    inputs = batch()
    with torch.no_grad():
        before = model(**inputs).logits
        after = prune(model, Mask.full(structures_of(model)))(**inputs).logits
    assert torch.equal(before, after)


def test_mask_of_another_shape_is_refused() -> None:
    """A mask of another architecture or another number of layers is one sentence with both sizes."""
    small, other = build("bert", num_hidden_layers=2), build("roberta")
    for wrong in (small, other):
        mask = Mask.full(structures_of(wrong))
        with pytest.raises(UserError, match=r"the mask is for .* the model is bert: 3 layers"):
            prune(build("bert"), mask)


def test_pruning_twice_is_refused() -> None:
    """A pruned model says so, instead of slicing the wrong heads."""
    model = build("bert")
    mask = mask_of(model)
    prune(model, mask)
    with pytest.raises(UserError, match="pruned already"):
        prune(model, mask)
