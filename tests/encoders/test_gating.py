"""Gates come off without a trace, and their gradients are the loss's derivatives."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForMultipleChoice, PreTrainedModel

from small_models import CONFIGS, batch, build
from supertickets.config import FfnUnit
from supertickets.encoders.families import structures_of
from supertickets.encoders.gating import Gating, gate, open_gates
from supertickets.encoders.pruning import prune
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask


@pytest.mark.parametrize("units", ["sublayer", "neuron"])
def test_removed_gates_leave_no_trace(model: PreTrainedModel, units: FfnUnit) -> None:
    """After the block the logits are bit for bit those before it, and no hook is left."""
    inputs, none = batch(), Mask.full(structures_of(model, units))
    closed = Mask(none.structures, np.zeros_like(none.heads), np.zeros_like(none.ffn))
    with torch.no_grad():
        before = model(**inputs).logits
        with gate(model, closed):
            assert not torch.equal(model(**inputs).logits, before)
        assert torch.equal(model(**inputs).logits, before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def loss_of(model: PreTrainedModel) -> torch.Tensor:
    """Cross-entropy in the precision of the model; DeBERTa computes its own in single precision."""
    inputs = batch()
    return functional.cross_entropy(model(**inputs).logits, inputs["labels"])


def check_gradients(model: PreTrainedModel, units: FfnUnit, places: int) -> None:
    """Gate gradients, in double precision, against central differences at some places of each kind."""
    # ModernBERT turns queries and keys, and takes the softmax, in single precision: a larger step, a looser bound.
    single = model.config.model_type.endswith("modernbert")
    step, bound = (1e-2, 2e-6) if single else (1e-4, 1e-9)
    model, rng = model.double(), np.random.default_rng(0)
    heads, ffn = (gates.detach().double().requires_grad_() for gates in open_gates(model, ffn_units=units))
    with Gating(model, heads, ffn):
        analytic = torch.autograd.grad(loss_of(model), (heads, ffn))
    with torch.no_grad():
        for which, gates in enumerate((heads, ffn)):
            for place in rng.choice(gates.numel(), min(places, gates.numel()), replace=False):
                index, losses = np.unravel_index(place, tuple(gates.shape)), []
                for sign in (1, -1):
                    moved = [heads.detach().clone(), ffn.detach().clone()]
                    moved[which][index] += sign * step
                    with Gating(model, *moved):
                        losses.append(loss_of(model).item())
                assert analytic[which][index].item() == pytest.approx((losses[0] - losses[1]) / (2 * step), abs=bound)
    assert min(gradient.abs().max() for gradient in analytic) > 100 * bound


@pytest.mark.parametrize("units", ["sublayer", "neuron"])
def test_gate_gradient_is_the_finite_difference(model: PreTrainedModel, units: FfnUnit) -> None:
    """d loss / d gate equals the central difference of the loss, for heads, FFN sublayers and neurons."""
    check_gradients(model, units, places=12)


@pytest.mark.parametrize("units", ["sublayer", "neuron"])
@pytest.mark.parametrize("family", CONFIGS)
def test_gates_of_a_pruned_model(family: str, units: FfnUnit) -> None:
    """Numbered as in the full model: gradients are finite differences, and zero exactly where a unit is gone."""
    model, rng = build(family), np.random.default_rng(1)
    heads, ffn = rng.random((3, 4)) < 0.5, rng.random((3, 48)) < 0.5
    heads[1], ffn[2] = False, False
    prune(model, Mask(structures_of(model, "neuron"), heads, ffn))
    gates = open_gates(model, ffn_units=units)
    with Gating(model, *gates):
        found = torch.autograd.grad(model(**batch()).loss, gates)
    assert ((found[0] != 0).numpy() == heads).all()
    if units == "neuron":
        assert ((found[1] != 0).numpy() == ffn).all()
    else:  # an FFN without neurons still adds its bias, if it has one
        assert (found[1] != 0).numpy().ravel().tolist() == [True, True, family != "modernbert"]
    check_gradients(model, units, places=6)


def test_a_dropped_sublayer_has_no_gate() -> None:
    """Its gate, and those of its neurons, have no effect and no gradient."""
    model = build("distilbert")
    full = Mask.full(structures_of(model))
    prune(model, Mask(full.structures, full.heads, np.array([[True], [False], [True]])))
    for units in get_args(FfnUnit):
        gates = open_gates(model, ffn_units=units)
        with Gating(model, *gates):
            found = torch.autograd.grad(model(**batch()).loss, gates)[1]
        assert found.abs().sum(1).gt(0).tolist() == [True, False, True]


def test_one_gate_for_every_use_of_shared_weights() -> None:
    """In ALBERT, closing a gate closes it at both uses: the logits of a model pruned there, and of no other."""
    model = build("albert")
    heads, ffn = (gates.detach() for gates in open_gates(model, ffn_units="neuron"))
    heads[1, 2], ffn[0, 5:40] = 0, 0
    with torch.no_grad():
        with Gating(model, heads, ffn):
            gated = model(**batch()).logits
        full = model(**batch()).logits
        mask = Mask(structures_of(model, "neuron"), heads.bool().numpy(), ffn.bool().numpy())
        torch.testing.assert_close(prune(model, mask)(**batch()).logits, gated, rtol=0, atol=1e-6)
    assert (full - gated).abs().max() > 1e-3


@pytest.mark.parametrize("units", ["sublayer", "neuron"])
def test_one_gate_per_example(model: PreTrainedModel, units: FfnUnit) -> None:
    """Closing a head, or FFN units, for one example changes that example's logits and no other's."""
    inputs = batch()
    with torch.no_grad():
        before = model(**inputs).logits
        for kind in range(2):
            gates = [one.detach() for one in open_gates(model, 6, ffn_units=units)]
            gates[kind][2, 1, : 40 if kind else 1] = 0
            with Gating(model, *gates):
                after = model(**inputs).logits
            changed = (before - after).abs().amax(1) > 1e-6
            assert changed.tolist() == [False, False, True, False, False, False]


@pytest.mark.parametrize("units", ["sublayer", "neuron"])
def test_gates_have_the_full_shape(units: FfnUnit) -> None:
    """Ones, one for each unit of the full architecture, after any leading dimensions."""
    model, width = build("distilbert"), 1 if units == "sublayer" else 48
    prune(model, Mask.full(structures_of(model)))
    heads, ffn = open_gates(model, 5, 7, ffn_units=units)
    assert (heads.shape, ffn.shape) == ((5, 7, 3, 4), (5, 7, 3, width))
    assert heads.requires_grad and ffn.requires_grad and bool((heads == 1).all()) and bool((ffn == 1).all())


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
