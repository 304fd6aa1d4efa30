"""Each family's row of paths leads to the parts it names, and pruning keeps a model's own counts right."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from small_models import CONFIGS, build
from supertickets.encoders.families import (
    FAMILIES,
    check_fits,
    family_of,
    head_count,
    head_size,
    layers_of,
    part,
    replace_part,
    structures_of,
)
from supertickets.encoders.pruning import prune
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask

HEADS = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
FFN = np.array([[1], [0], [1]], dtype=bool)


def test_every_family_has_a_small_model() -> None:
    """The rows of the table and the models that the tests run on are the same."""
    assert set(FAMILIES) == set(CONFIGS)
    assert all(name in row.model_types for name, row in FAMILIES.items())


def test_every_path_of_the_row_resolves(model: PreTrainedModel) -> None:
    """In each of the three layers: four square projections, an FFN from 32 to 48 and back, and their parents."""
    family, layers = family_of(model.config.model_type), layers_of(model)
    assert (len(layers), head_count(model), head_size(model)) == (3, 4, 8)
    shapes = {"query": (32, 32), "key": (32, 32), "value": (32, 32), "output": (32, 32)}
    shapes |= {"ffn_in": (48, 32), "ffn_out": (32, 48)}
    for layer in layers:
        for name, shape in shapes.items():
            linear = part(layer, getattr(family, name))
            assert isinstance(linear, nn.Linear), name
            assert tuple(linear.weight.shape) == shape, name
        core, ffn = part(layer, family.core), part(layer, family.ffn)
        assert part(layer, family.query) in core.modules()
        assert part(layer, family.ffn_in) in ffn.modules()


def test_the_row_names_every_projection(model: PreTrainedModel) -> None:
    """A layer's matrices are the six that the row names, so that no unit's weights are forgotten."""
    family = family_of(model.config.model_type)
    named = {getattr(family, name) for name in ("query", "key", "value", "output", "ffn_in", "ffn_out")}
    for layer in layers_of(model):
        assert {path for path, module in layer.named_modules() if isinstance(module, nn.Linear)} == named


@pytest.mark.parametrize(
    "head",
    [AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification],
)
@pytest.mark.parametrize("family", CONFIGS)
def test_layers_are_found_under_any_head(family: str, head: type) -> None:
    """The encoder's structures do not depend on the task head on top of it."""
    structures = structures_of(build(family, head=head))
    plain = structures_of(build(family))
    assert np.array_equal(structures.heads, plain.heads) and np.array_equal(structures.ffn, plain.ffn)
    assert structures.encoder_weights == plain.encoder_weights


def test_weights_of_each_unit(model: PreTrainedModel) -> None:
    """A head of size 8 holds 3 (8 x 32 + 8) + 32 x 8 weights, an FFN sublayer 2 x 32 x 48 + 48 + 32."""
    structures = structures_of(model)
    assert structures.architecture == model.config.model_type
    assert (structures.heads.shape, structures.ffn.shape) == ((3, 4), (3, 1))
    assert set(structures.heads.flat) == {3 * (8 * 32 + 8) + 32 * 8}
    assert set(structures.ffn.flat) == {2 * 32 * 48 + 48 + 32}
    assert structures.total_weights == sum(weight.numel() for weight in model.base_model.parameters())


def test_counts_after_pruning(model: PreTrainedModel) -> None:
    """Wherever a module of the stock code holds a number of heads or features, it is that of what is left."""
    family = family_of(model.config.model_type)
    pruned = prune(copy.deepcopy(model), Mask(structures_of(model), HEADS, FFN))
    for layer, heads in zip(layers_of(pruned), HEADS, strict=True):
        kept, core = int(heads.sum()), part(layer, family.core)
        if not kept:
            assert not any(isinstance(module, nn.Linear) for module in core.modules())
            continue
        counts = {"num_attention_heads": kept, "n_heads": kept, "all_head_size": 8 * kept, "attention_head_size": 8}
        for name, count in counts.items():
            assert getattr(core, name, count) == count, name
        assert any(hasattr(core, name) for name in ("num_attention_heads", "n_heads"))
        for path in (family.query, family.key, family.value):
            linear = part(layer, path)
            assert isinstance(linear, nn.Linear)
            assert (linear.in_features, linear.out_features) == (32, 8 * kept)
            assert (linear.weight.shape, linear.bias.shape) == ((8 * kept, 32), (8 * kept,))
        output = part(layer, family.output)
        assert isinstance(output, nn.Linear)
        assert (output.in_features, output.out_features) == (8 * kept, 32)
    assert pruned.config.supertickets == {"heads": [[0, 2, 3], [], [1]], "ffn": [1, 0, 1]}
    assert pruned.config.num_attention_heads == 4  # the architecture's, so that the full model can be built again


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    """The sentence names the families and the file to add one to."""
    sentence = (
        "encoder: 'gpt2' is not an encoder family known here (bert, distilbert, electra, mpnet, roberta); "
        "choose one of these, or add a row to supertickets/encoders/families.py"
    )
    with pytest.raises(UserError) as caught:
        family_of("gpt2", "encoder")
    assert str(caught.value) == sentence


def test_a_pruned_model_has_no_structures() -> None:
    """Its units are gone, so nothing is drawn from it again."""
    model = build("bert")
    pruned = prune(model, Mask(structures_of(model), HEADS, FFN))
    with pytest.raises(UserError, match="pruned already"):
        structures_of(pruned)


def test_a_mask_fits_its_own_shape_only() -> None:
    """The same family with fewer layers is refused with both sizes; another hidden size is no other shape."""
    mask = Mask.full(structures_of(build("bert")))
    check_fits(mask, build("bert", hidden_size=16))
    with pytest.raises(UserError, match=r"the mask is for bert: 3 layers.*the model is bert: 2 layers"):
        check_fits(mask, build("bert", num_hidden_layers=2))


def test_parts_can_be_replaced() -> None:
    """A new module at a dotted path, or right under the layer, is found there again."""
    layer, new = layers_of(build("bert"))[0], nn.Identity()
    for path in ("output.dense", "intermediate"):
        replace_part(layer, path, new)
        assert part(layer, path) is new
