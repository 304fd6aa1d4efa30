"""The file that travels with exported models: it stands alone, and what it leaves behind are working modules."""

from __future__ import annotations

import ast
import copy
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.models.distilbert.modeling_distilbert import DistilBertSelfAttention

from small_models import CONFIGS, batch, build
from supertickets.encoders import modeling_supertickets as shrinking
from supertickets.encoders.families import FAMILIES
from supertickets.encoders.modeling_supertickets import (
    Constant,
    NoFfn,
    NoHeads,
    layers_at,
    linear,
    part,
    projection_paths,
    replace_part,
    shrink,
    unpack,
)

EVERY_HEAD, EVERY_NEURON = [0, 1, 2, 3], list(range(48))
NO_HEADS_IN_TWO = [[], [1, 2], []]
FFN: list[list[int] | None] = [None, [], [0, 5, 47]]


def shrunk(family: str, **settings: Any) -> PreTrainedModel:
    """A model with layers of every kind: without heads, without FFN, without neurons."""
    model = build(family, **settings)
    shrink(model, NO_HEADS_IN_TWO, FFN, FAMILIES[family].row())
    return model


def logits(model: PreTrainedModel) -> torch.Tensor:
    """The model's logits on one batch."""
    with torch.no_grad():
        found = model(**batch()).logits
    assert isinstance(found, torch.Tensor)
    return found


def test_it_stands_alone() -> None:
    """A copy of the file needs torch, transformers and the standard library, nothing else of this package."""
    tree = ast.parse(Path(shrinking.__file__).read_text())
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name.partition(".")[0] for name in names} <= {"torch", "transformers"} | sys.stdlib_module_names


@pytest.mark.parametrize("family", CONFIGS)
def test_a_shrunk_model_is_copied_and_pickled_whole(family: str) -> None:
    """Bypass modules survive deepcopy and pickle, and the copies' logits are bit for bit the model's."""
    model = shrunk(family)
    assert sum(isinstance(module, NoHeads) for module in model.modules()) == 2
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(logits(other), logits(model))
        assert {type(a) for a in other.modules()} == {type(a) for a in model.modules()}


@pytest.mark.parametrize("family", CONFIGS)
def test_its_weights_keep_their_stock_names(family: str) -> None:
    """What is left has the names that a stock checkpoint has, so a stock checkpoint's reader finds them."""
    model, full = shrunk(family), build(family)
    names, stock = set(model.state_dict()), set(full.state_dict())
    assert names < stock
    assert {name for name in stock - names if "norm" in name.lower()} == set()


@pytest.mark.parametrize("family", CONFIGS)
def test_the_config_is_left_alone(family: str) -> None:
    """Shrinking writes nothing into the config: that is for the caller."""
    assert shrunk(family).config.to_dict() == build(family).config.to_dict()


@pytest.mark.parametrize("family", CONFIGS)
def test_shrinking_in_two_steps_numbers_units_as_they_are(family: str) -> None:
    """The second step counts among what the first has left; the outcome is that of one step, bit for bit."""
    once, twice = build(family), build(family)
    row = FAMILIES[family].row()
    shrink(once, [[3], EVERY_HEAD, []], [[7], None, []], row)
    shrink(twice, [[0, 2, 3], EVERY_HEAD, []], [[1, 7, 9], None, [4]], row)
    shrink(twice, [[2], EVERY_HEAD, []], [[1], EVERY_NEURON, []], row)
    ours, theirs = once.state_dict(), twice.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert torch.equal(logits(once), logits(twice))


def test_frozen_weights_stay_frozen() -> None:
    """A sliced projection requires a gradient exactly if it did before."""
    model = build("bert")
    model.base_model.requires_grad_(False)
    shrink(model, NO_HEADS_IN_TWO, FFN, FAMILIES["bert"].row())
    assert not any(weight.requires_grad for weight in model.base_model.parameters())
    assert model.classifier.weight.requires_grad


def test_without_memory_for_weights_too() -> None:
    """On the meta device, where transformers builds a model before it reads the weights."""
    with torch.device("meta"):
        model = build("bert")
    shrink(model, NO_HEADS_IN_TWO, FFN, FAMILIES["bert"].row())
    assert {name: value.shape for name, value in model.state_dict().items()} == {
        name: value.shape for name, value in shrunk("bert").state_dict().items()
    }
    assert all(weight.is_meta for weight in model.parameters())


def test_layers_must_be_as_many() -> None:
    """Units for another number of layers are no units of this model."""
    with pytest.raises(ValueError, match="shorter"):
        shrink(build("bert"), [EVERY_HEAD], [EVERY_NEURON], FAMILIES["bert"].row())


@pytest.mark.parametrize(("heads", "neurons"), [([4], EVERY_NEURON), (EVERY_HEAD, [48])])
def test_units_that_are_not_there(heads: list[int], neurons: list[int]) -> None:
    """A fifth head of four, or a neuron beyond the last, cannot be kept."""
    with pytest.raises((LookupError, RuntimeError)):
        shrink(build("bert"), [heads] * 3, [neurons] * 3, FAMILIES["bert"].row())


def test_unpacking() -> None:
    """1 is every neuron, 0 no FFN at all, a string the bits of the kept ones, first neuron first."""
    kept = {"heads": [[0, 2], []], "ffn": [1, 0, "8001c0", "000000"]}
    heads, ffn = unpack(kept, 20)
    assert heads == [[0, 2], []]
    assert ffn == [list(range(20)), None, [0, 15, 16, 17], []]


@pytest.mark.parametrize("entry", ["8001", "8001c000", "xyz", "2", 2, None])
def test_unpacking_something_else(entry: Any) -> None:
    """Bits for another number of neurons, and what is no such entry at all."""
    with pytest.raises(ValueError):
        unpack({"heads": [[0]], "ffn": [entry]}, 20)


def test_what_is_left_without_heads() -> None:
    """The stock attention's class and its dropouts, no projection, and the output's bias for every token."""
    core = layers_at(shrunk("distilbert").base_model, "transformer.layer.*")[0].attention
    assert isinstance(core, NoHeads) and isinstance(core, DistilBertSelfAttention)
    assert type(core).__name__ == "NoHeads"
    assert [name for name, _ in core.named_parameters()] == ["out_lin.bias"]
    output, weights = core(torch.randn(2, 5, 32), attention_mask=None)
    assert torch.equal(output, core.out_lin.bias.expand(2, 5, 32))
    assert weights.shape == (2, 0, 5, 5)


def test_constant_and_no_ffn() -> None:
    """A bias is broadcast, a missing one is zeros; a dropped FFN adds zeros."""
    hidden, projection = torch.randn(2, 5, 7), nn.Linear(7, 3)
    assert torch.equal(Constant(projection)(hidden), projection.bias.expand(2, 5, 3))
    assert torch.equal(Constant(nn.Linear(7, 3, bias=False))(hidden), torch.zeros(2, 5, 3))
    assert torch.equal(NoFfn()(hidden), torch.zeros(2, 5, 7))


def test_parts_are_found_and_replaced() -> None:
    """A new module at a dotted path, or right under the layer, is found there again."""
    layer, new = layers_at(build("bert").base_model, "encoder.layer.*")[0], nn.Identity()
    assert linear(layer, "output.dense").out_features == 32
    for path in ("output.dense", "intermediate"):
        replace_part(layer, path, new)
        assert part(layer, path) is new
    with pytest.raises(TypeError, match=r"output\.dense is a Identity, not a linear projection"):
        linear(layer, "output.dense")


def test_every_child_of_every_group_is_a_layer() -> None:
    """Two groups of two layers are four, each once, however often the forward pass comes by."""
    model = build("albert", num_hidden_groups=2, inner_group_num=2, num_hidden_layers=8)
    found = layers_at(model.base_model, FAMILIES["albert"].layers)
    assert len(found) == len({id(layer) for layer in found}) == 4


def test_optional_projections_only_where_they_are() -> None:
    """DeBERTa has five projections of heads, or three where position keys are shared."""
    row = FAMILIES["deberta-v2"].row()
    for settings, count in (({}, 5), ({"share_att_key": True}, 3), ({"pos_att_type": ["c2p"]}, 4)):
        layer = layers_at(build("deberta-v2", **settings).base_model, row["layers"])[0]
        assert len(projection_paths(layer, row)) == count
