"""A view of a full model: computes what the pruned model does, and trains nothing but the ticket's weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from small_models import CONFIGS, VARIANTS, batch, build
from supertickets.config import FfnUnit
from supertickets.encoders.families import structures_of
from supertickets.encoders.pruning import prune
from supertickets.encoders.views import View
from supertickets.tickets.masks import Mask

UNITS: tuple[FfnUnit, ...] = ("sublayer", "neuron")
STILL: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def uneven(model: PreTrainedModel, units: FfnUnit) -> Mask:
    """The first layer loses half of its heads and a third of its FFN, the second all of both, the third nothing."""
    structures = structures_of(model, units)
    heads, ffn = np.ones(structures.heads.shape, np.bool_), np.ones(structures.ffn.shape, np.bool_)
    heads[0, [0, 2]] = False
    ffn[0, ::3] = False
    heads[1], ffn[1] = False, False
    return Mask(structures, heads, ffn)


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize(("family", "attention"), VARIANTS)
def test_logits_are_the_pruned_models(family: str, attention: str, units: FfnUnit) -> None:
    """In evaluation and, under the same dropout, in training mode: logits and loss, bit for bit."""
    model = build(family, attention)
    mask = uneven(model, units)
    pruned, view = prune(build(family, attention), mask), View(model, mask)
    for training in (False, True):
        model.train(training)
        pruned.train(training)
        outputs = []
        for run in (view, pruned):
            torch.manual_seed(3)
            outputs.append(run(**batch()))
        ours, theirs = outputs
        assert torch.equal(ours.logits, theirs.logits)
        assert torch.equal(ours.loss, theirs.loss)
    first, second = (view(**batch()).logits for _ in range(2))
    if family != "modernbert":  # which has no dropout by default
        assert not torch.equal(first, second)


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("family", CONFIGS)
def test_gradients_are_the_pruned_models(family: str, units: FfnUnit) -> None:
    """Kept parts get the pruned model's gradients, dropped parts zeros, missing weights none at all."""
    model = build(family)
    mask = uneven(model, units)
    pruned, view = prune(build(family), mask), View(model, mask)
    view(**batch()).loss.backward()
    pruned(**batch()).loss.backward()
    expected = {name: weight.grad for name, weight in pruned.named_parameters()}
    full = dict(model.named_parameters())
    assert view.missing == set(full) - set(expected)
    assert view.missing and view.slices
    for name, weight in full.items():
        if name in view.missing:
            assert weight.grad is None, name
            continue
        theirs, part = expected[name], view.slices.get(name)
        if theirs is None:  # a position table that this input does not use
            assert weight.grad is None or not weight.grad.any()
            continue
        assert weight.grad is not None
        kept = weight.grad if part is None else weight.grad.index_select(part.dim, part.kept)
        torch.testing.assert_close(kept, theirs, rtol=1e-5, atol=1e-7, msg=name)
        if part is not None:
            assert not weight.grad.index_select(part.dim, part.dropped).any(), name
            assert sorted([*part.kept.tolist(), *part.dropped.tolist()]) == list(range(weight.shape[part.dim]))


@pytest.mark.parametrize("family", CONFIGS)
def test_the_full_model_stays_as_it_is(family: str) -> None:
    """Weights, config, class and modules of the full model; a change of its weights shows in the view at once."""
    model = build(family)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    config, modules = model.config.to_dict(), [type(module) for module in model.modules()]
    mask = uneven(model, "sublayer")
    view = View(model, mask)
    old = view(**batch()).logits
    assert model.config.to_dict() == config and [type(module) for module in model.modules()] == modules
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.1)
        new = view(**batch()).logits
        assert not torch.equal(new, old)
        assert torch.equal(new, prune(model, mask)(**batch()).logits)


def test_a_view_has_no_weights_of_its_own() -> None:
    """Its skeleton lies on no device: it costs no memory."""
    model = build("bert")
    skeleton = View(model, uneven(model, "neuron"))._skeleton
    tensors = [*skeleton.parameters(), *skeleton.buffers()]
    assert tensors and all(tensor.is_meta for tensor in tensors)


def test_a_view_follows_its_model_to_another_type() -> None:
    """In double precision, too, and under autocast the outputs are the pruned model's."""
    model = build("bert")
    mask = uneven(model, "neuron")
    pruned, view = prune(build("bert"), mask), View(model, mask)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        ours = view(**batch()).logits
        assert ours.dtype == torch.bfloat16
        assert torch.equal(ours, pruned(**batch()).logits)
    torch.nn.Module.to(model, torch.float64)
    torch.nn.Module.to(pruned, torch.float64)
    assert view(**batch()).logits.dtype == torch.float64
    assert torch.equal(view(**batch()).logits, pruned(**batch()).logits)


def test_hooks_on_the_full_model_run_in_the_view() -> None:
    """A hook that was there when the view was made acts in it as it does in the pruned model."""
    models = [build("bert", **STILL) for _ in range(2)]
    for model in models:
        model.classifier.register_forward_hook(lambda _, __, output: 2 * output)
    mask = uneven(models[0], "sublayer")
    plain = prune(build("bert", **STILL), mask)(**batch()).logits
    ours, theirs = View(models[0], mask)(**batch()).logits, prune(models[1], mask)(**batch()).logits
    assert torch.equal(ours, theirs)
    assert torch.equal(ours, 2 * plain)


def test_a_full_mask_is_the_full_model() -> None:
    """Nothing sliced, nothing missing, the same logits."""
    model = build("bert")
    view = View(model, Mask.full(structures_of(model)))
    assert not view.slices and not view.missing
    assert torch.equal(view(**batch()).logits, model(**batch()).logits)
