"""Gates come off without a trace, and their gradients are the loss's derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForMultipleChoice, PreTrainedModel

from small_models import batch, build
from supertickets.encoders.families import structures_of
from supertickets.encoders.gating import Gating, gate, open_gates
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask


def test_removed_gates_leave_no_trace(model: PreTrainedModel) -> None:
    """After the block the logits are bit for bit those before it, and no hook is left."""
    inputs, none = batch(), Mask.full(structures_of(model))
    closed = Mask(none.structures, np.zeros_like(none.heads), np.zeros_like(none.ffn))
    with torch.no_grad():
        before = model(**inputs).logits
        with gate(model, closed):
            assert not torch.equal(model(**inputs).logits, before)
        assert torch.equal(model(**inputs).logits, before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_gate_gradient_is_the_finite_difference(model: PreTrainedModel) -> None:
    """d loss / d gate equals the central difference of the loss, for every head and every FFN sublayer."""
    model, inputs, step = model.double(), batch(), 1e-5
    heads, ffn = (gates.detach().double().requires_grad_() for gates in open_gates(model))
    with Gating(model, heads, ffn):
        analytic = torch.autograd.grad(model(**inputs).loss, (heads, ffn))
    with torch.no_grad():
        for which, gates in enumerate((heads, ffn)):
            for index in np.ndindex(*gates.shape):
                losses = []
                for sign in (1, -1):
                    moved = [heads.detach().clone(), ffn.detach().clone()]
                    moved[which][index] += sign * step
                    with Gating(model, *moved):
                        losses.append(model(**inputs).loss.item())
                numeric = (losses[0] - losses[1]) / (2 * step)
                assert analytic[which][index].item() == pytest.approx(numeric, abs=1e-7, rel=1e-4)


def test_one_gate_per_example(model: PreTrainedModel) -> None:
    """Closing a head for one example changes that example's logits and no other's."""
    inputs = batch()
    heads, ffn = (gates.detach() for gates in open_gates(model, 6))
    with torch.no_grad():
        before = model(**inputs).logits
        heads[2, 1, 3] = 0
        with Gating(model, heads, ffn):
            after = model(**inputs).logits
    changed = (before - after).abs().amax(1) > 1e-6
    assert changed.tolist() == [False, False, True, False, False, False]


def test_an_example_gate_serves_all_its_choices() -> None:
    """In multiple choice, closing an example's head changes all its choices and no other example's."""
    model = build("bert", head=AutoModelForMultipleChoice)
    inputs = {name: value.view(3, 2, -1) for name, value in batch().items() if name != "labels"}
    heads, ffn = (gates.detach() for gates in open_gates(model, 3))
    with torch.no_grad():
        before = model(**inputs).logits
        heads[1, 0, 0] = 0
        with Gating(model, heads, ffn):
            after = model(**inputs).logits
    assert ((before - after).abs() > 1e-6).tolist() == [[False, False], [True, True], [False, False]]


def test_gates_for_another_architecture_are_refused() -> None:
    """The sentence carries both sizes."""
    mask = Mask.full(structures_of(build("roberta")))
    with pytest.raises(UserError, match=r"the mask is for roberta: 3 layers.* the model is bert: 3 layers"):
        gate(build("bert"), mask)
