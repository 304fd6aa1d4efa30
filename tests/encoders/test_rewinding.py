"""Rewinding is exact, for full and for pruned models."""

from __future__ import annotations

import copy
from typing import get_args

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from small_models import CONFIGS, batch, build
from supertickets.config import FfnUnit
from supertickets.encoders.families import structures_of
from supertickets.encoders.pruning import prune
from supertickets.encoders.rewinding import RewindPoint
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask


def train_a_little(model: PreTrainedModel) -> None:
    """Three steps that move every weight."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(3):
        optimiser.zero_grad()
        model(**batch()).loss.backward()
        optimiser.step()


def test_restore_is_exact(model: PreTrainedModel) -> None:
    """After training and restoring, every weight and every logit is bit for bit what it was."""
    point, before = RewindPoint.of(model), copy.deepcopy(model.state_dict())
    train_a_little(model)
    assert not torch.equal(next(model.parameters()), next(iter(before.values())))
    point.restore(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("units", get_args(FfnUnit))
def test_restore_of_a_pruned_model_gives_the_pretrained_weights_of_its_units(
    model: PreTrainedModel, units: FfnUnit
) -> None:
    """A trained ticket goes back to what pruning the untrained model gives, bit for bit."""
    point, structures = RewindPoint.of(model), structures_of(model, units)
    heads = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
    ffn = np.arange(structures.ffn.size).reshape(structures.ffn.shape) % 3 == 1
    ffn[0] = False
    mask = Mask(structures, heads, ffn)
    expected = prune(point.model(), mask).state_dict()
    ticket = prune(model, mask)
    train_a_little(ticket)
    point.restore(ticket)
    assert all(torch.equal(value, expected[name]) for name, value in ticket.state_dict().items())


@pytest.mark.parametrize("family", CONFIGS)
def test_restore_of_a_model_that_was_pruned_twice(family: str) -> None:
    """Trained between and after: its weights are those of the pretrained units that both masks keep."""
    model = build(family)
    point, rng = RewindPoint.of(model), np.random.default_rng(0)
    masks = []
    for units in ("neuron", "sublayer", "neuron"):
        structures = point.structures(units)
        masks.append(Mask(structures, rng.random((3, 4)) < 0.7, rng.random(structures.ffn.shape) < 0.7))
        train_a_little(prune(model, masks[-1]))
    expected = point.model()
    for mask in reversed(masks):
        prune(expected, mask)
    point.restore(model)
    ours = model.state_dict()
    assert expected.state_dict().keys() == ours.keys()
    assert all(torch.equal(value, ours[name]) for name, value in expected.state_dict().items())


def test_point_does_not_move_with_the_model() -> None:
    """Training the model, or a copy handed out, leaves the point's checksum and weights alone."""
    model = build("bert")
    point = RewindPoint.of(model)
    before = point.sha256
    train_a_little(model)
    train_a_little(point.model())
    assert RewindPoint.of(point.model()).sha256 == before
    assert RewindPoint.of(model).sha256 != before


def test_checksum_is_the_encoders_not_the_heads() -> None:
    """Two task heads on one encoder rewind to one point's identity."""
    model = build("bert")
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.classifier.weight.add_(1)
    assert RewindPoint.of(model).sha256 == RewindPoint.of(other).sha256


def test_restoring_another_model_is_refused() -> None:
    """One sentence, and the other model's weights stay what they were."""
    other = build("bert", num_hidden_layers=2)
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(UserError, match="rewind point is of another model"):
        RewindPoint.of(build("bert")).restore(other)
    assert before.keys() == other.state_dict().keys()


def test_a_pruned_model_has_no_rewind_point() -> None:
    """The point is taken of the full pretrained model."""
    model = build("bert")
    prune(model, Mask.full(structures_of(model)))
    with pytest.raises(UserError, match="pruned already"):
        RewindPoint.of(model)


def test_a_point_knows_its_units() -> None:
    """The structures are those of the model that it was taken of, with sublayers or neurons."""
    model = build("bert")
    point = RewindPoint.of(model)
    assert point.structures() == structures_of(model)
    assert point.structures("neuron") == structures_of(model, "neuron") != point.structures()
