"""A unit's magnitude is the norm of exactly the weights that pruning it removes."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from small_models import CONFIGS, build
from supertickets.config import FfnUnit
from supertickets.encoders.families import structures_of
from supertickets.encoders.pruning import prune
from supertickets.learning.magnitude import magnitude
from supertickets.learning.scoring import score
from supertickets.tickets.masks import Mask


def sum_of_squares(model: PreTrainedModel) -> float:
    """Over all weights, in double precision."""
    return sum(float(weight.detach().double().square().sum()) for weight in model.parameters())


@pytest.mark.parametrize("ffn_units", get_args(FfnUnit))
@pytest.mark.parametrize("family", CONFIGS)
def test_magnitude_is_the_norm_of_what_pruning_removes(family: str, ffn_units: FfnUnit) -> None:
    """The dropped units' magnitudes, squared, add up to the drop in the model's sum of squares; again when pruned."""
    model, structures = build(family), structures_of(build(family), ffn_units)
    heads, ffn = np.ones(structures.heads.shape, bool), np.ones(structures.ffn.shape, bool)
    heads[1, 2], ffn[0, -1] = False, False
    again = heads.copy()
    again[1, 0] = False
    for mask in (Mask(structures, heads, ffn), Mask(structures, again, ffn)):
        importance, before = score(model, [], scorer="magnitude", ffn_units=ffn_units), sum_of_squares(model)
        dropped = (importance.heads[~mask.heads] ** 2).sum() + (importance.ffn[~mask.ffn] ** 2).sum()
        assert dropped > 0.01
        assert dropped == pytest.approx(before - sum_of_squares(prune(model, mask)), rel=1e-4)
    gone = score(model, [], scorer="magnitude", ffn_units=ffn_units)
    assert gone.heads[1, 2] == gone.heads[1, 0] == gone.ffn[0, -1] == 0


def test_an_ffn_without_neurons_has_the_norm_of_its_bias() -> None:
    """As a sublayer it still holds its output bias; as neurons it holds nothing."""
    model = build("bert")
    structures = structures_of(model, "neuron")
    ffn = np.ones(structures.ffn.shape, bool)
    ffn[1] = False
    prune(model, Mask(structures, np.ones(structures.heads.shape, bool), ffn))
    bias = torch.as_tensor(model.bert.encoder.layer[1].output.dense.bias)
    with torch.no_grad():
        as_sublayer = magnitude(model, [], structures_of(model), 0)
        as_neurons = magnitude(model, [], structures, 0)
    assert as_sublayer.ffn[1, 0] == pytest.approx(float(bias.detach().norm()), rel=1e-5)
    assert as_neurons.ffn[1].max() == 0 < as_neurons.ffn[0].min()
