"""Each family's row of paths leads to the parts it names, and pruning keeps a model's own counts right."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from small_models import CONFIGS, build
from supertickets.config import FfnUnit
from supertickets.encoders.families import (
    FAMILIES,
    Family,
    check_fits,
    family_of,
    head_count,
    head_size,
    layers_of,
    longest_input,
    neuron_count,
    part,
    structures_of,
)
from supertickets.encoders.modeling_supertickets import linear, projection_paths
from supertickets.encoders.pruning import prune
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask

HEADS = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
FFN = np.array([[1], [0], [1]], dtype=bool)
# Weights of a head of size 8 in a hidden size of 32: query, key and value with biases, and the output's columns.
PLAIN_HEAD, PLAIN_FFN = 3 * (8 * 32 + 8) + 32 * 8, 2 * 32 * 48 + 48 + 32
HEAD_WEIGHTS = {
    "modernbert": 4 * 8 * 32,
    "deberta-v2": PLAIN_HEAD + 2 * (8 * 32 + 8),
}  # no biases; position projections
FFN_WEIGHTS = {"modernbert": 3 * 32 * 48}  # no biases; two inputs
NEURON_WEIGHTS = {"modernbert": 3 * 32}


WRAPPED = """
from torch import nn
from transformers import BertConfig, BertModel
from supertickets import UserError
from supertickets.encoders.families import structures_of
inner = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
try:
    structures_of(nn.Sequential(BertModel(inner)))
except UserError as refusal:
    print(refusal)
"""


def test_every_family_has_a_small_model() -> None:
    """The rows of the table and the models that the tests run on are the same."""
    assert set(FAMILIES) == set(CONFIGS)
    assert all(name in row.model_types for name, row in FAMILIES.items())


def test_what_only_holds_a_model_is_refused() -> None:
    """A sentence-transformers model, a wrapper: one sentence, where no type check is in between."""
    done = subprocess.run([sys.executable, "-c", WRAPPED], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == (
        "model: Sequential is not a model of transformers; give the encoder in it "
        "(of a SentenceTransformer: model[0].auto_model)"
    ), done.stderr


def test_every_path_of_the_row_resolves(model: PreTrainedModel) -> None:
    """In each of the three layers: projections in blocks of 4 heads of 8, an FFN of 48 neurons, and their parents."""
    family, layers = family_of(model.config.model_type), layers_of(model)
    assert (len(layers), head_count(model), head_size(model), neuron_count(model)) == (3, 4, 8, 48)
    blocks = {"modernbert": [3], "deberta-v2": [1] * 5}.get(model.config.model_type, [1] * 3)
    for layer in layers:
        paths = projection_paths(layer, asdict(family))
        assert [linear(layer, path).weight.shape for path in paths] == [(32 * count, 32) for count in blocks]
        assert linear(layer, family.output).weight.shape == (32, 32)
        assert linear(layer, family.ffn_in).out_features in (48, 96)
        assert linear(layer, family.ffn_out).weight.shape == (32, 48)
        core, ffn = part(layer, family.core), part(layer, family.ffn)
        assert all(part(layer, path) in core.modules() for path in paths)
        assert part(layer, family.ffn_in) in ffn.modules()


def test_the_row_names_every_projection(model: PreTrainedModel) -> None:
    """A layer's matrices are those that the row names, so that no unit's weights are forgotten."""
    family = family_of(model.config.model_type)
    for layer in layers_of(model):
        named = {*projection_paths(layer, asdict(family)), family.output, family.ffn_in, family.ffn_out}
        assert {path for path, module in layer.named_modules() if isinstance(module, nn.Linear)} == named


@pytest.mark.parametrize("family", CONFIGS)
def test_the_row_is_plain_json(family: str) -> None:
    """It comes back from JSON as it went in, and names the same parts as the row itself."""
    plain = FAMILIES[family].row()
    assert json.loads(json.dumps(plain)) == plain
    assert (
        Family(**{name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()})
        == (FAMILIES[family])
    )


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
    """As counted by hand: a head's rows and columns, an FFN's matrices and biases."""
    structures, name = structures_of(model), model.config.model_type
    assert (structures.architecture, structures.ffn_units) == (name, "sublayer")
    assert (structures.heads.shape, structures.ffn.shape) == ((3, 4), (3, 1))
    assert set(structures.heads.flat) == {HEAD_WEIGHTS.get(name, PLAIN_HEAD)}
    assert set(structures.ffn.flat) == {FFN_WEIGHTS.get(name, PLAIN_FFN)}
    assert structures.total_weights == sum(weight.numel() for weight in model.base_model.parameters())


def test_weights_of_each_neuron(model: PreTrainedModel) -> None:
    """Its row (two if gated) with its bias and its column; all neurons hold the sublayer but for the output's bias."""
    neurons, sublayers = structures_of(model, "neuron"), structures_of(model)
    name = model.config.model_type
    assert (neurons.ffn_units, neurons.ffn.shape) == ("neuron", (3, 48))
    assert set(neurons.ffn.flat) == {NEURON_WEIGHTS.get(name, 32 + 1 + 32)}
    bias = 0 if name == "modernbert" else 32
    assert (neurons.ffn.sum(axis=1) + bias == sublayers.ffn[:, 0]).all()
    assert np.array_equal(neurons.heads, sublayers.heads)
    assert (neurons.encoder_weights, neurons.total_weights) == (sublayers.encoder_weights, sublayers.total_weights)


@pytest.mark.parametrize("units", ["sublayer", "neuron"])
def test_a_pruned_model_still_tells_its_full_units(model: PreTrainedModel, units: FfnUnit) -> None:
    """Whatever is gone, structures are those of the full architecture; no random number is drawn for that."""
    full = structures_of(model, units)
    prune(model, Mask(structures_of(model), HEADS, FFN))
    state = torch.get_rng_state()
    assert structures_of(model, units) == full
    assert torch.equal(torch.get_rng_state(), state)


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
        fused = 3 if pruned.config.model_type.endswith("modernbert") else 1
        assert fused == 3 or any(hasattr(core, name) for name in ("num_attention_heads", "n_heads"))
        for path in projection_paths(layer, asdict(family)):
            projection = linear(layer, path)
            assert (projection.in_features, projection.out_features) == (32, fused * 8 * kept)
            assert projection.weight.shape == (fused * 8 * kept, 32)
            assert projection.bias is None or projection.bias.shape == (fused * 8 * kept,)
        output = linear(layer, family.output)
        assert (output.in_features, output.out_features) == (8 * kept, 32)
        assert output.weight.shape == (32, 8 * kept)
    kept = {"heads": [[0, 2, 3], [], [1]], "ffn": [1, 0, 1], "family": family.row()}
    assert {name: pruned.config.supertickets[name] for name in kept} == kept
    assert pruned.config.num_attention_heads == 4  # the architecture's, so that the full model can be built again


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    """The sentence names the families and the file to add one to."""
    sentence = (
        "encoder: 'gpt2' is not an encoder family known here (albert, bert, camembert, deberta-v2, distilbert, "
        "electra, modernbert, mpnet, roberta, xlm-roberta); "
        "choose one of these, or add yours: docs/add-a-family.md says how"
    )
    with pytest.raises(UserError) as caught:
        family_of("gpt2", "encoder")
    assert str(caught.value) == sentence


def test_an_exported_models_own_type_has_the_row_of_its_architecture() -> None:
    """The prefix says that it is pruned, the rest which family it is of."""
    assert family_of("supertickets-deberta-v2") is FAMILIES["deberta-v2"]
    with pytest.raises(UserError, match="'supertickets-gpt2' is not"):
        family_of("supertickets-gpt2")


def test_a_mask_fits_its_own_shape_only() -> None:
    """The same family with fewer layers is refused with both sizes, another width with the weights of a unit."""
    mask = Mask.full(structures_of(build("bert")))
    check_fits(mask, build("bert", vocab_size=50))  # embeddings belong to no unit
    with pytest.raises(UserError, match="the mask is for bert with 1,048 weights in a head, the model has 268"):
        check_fits(mask, build("bert", hidden_size=16))
    with pytest.raises(UserError, match="the mask is for bert with 3,152 weights in a FFN unit, the model has 4,192"):
        check_fits(mask, build("bert", intermediate_size=64))
    with pytest.raises(UserError, match=r"the mask is for bert: 3 layers.*the model is bert: 2 layers"):
        check_fits(mask, build("bert", num_hidden_layers=2))


def test_a_mask_of_neurons_fits_a_model_with_as_many() -> None:
    """Masks of neurons and of sublayers fit the same model, pruned or not; another number of neurons is refused."""
    model = build("bert")
    sublayers, neurons = Mask.full(structures_of(model)), Mask.full(structures_of(model, "neuron"))
    prune(model, Mask(structures_of(model), HEADS, FFN))
    for mask in (sublayers, neurons):
        check_fits(mask, model)
    with pytest.raises(UserError, match=r"the mask is for bert: .* 48 .*, the model is bert: .* 40 "):
        check_fits(neurons, build("bert", intermediate_size=40))


@pytest.mark.parametrize("family", CONFIGS)
def test_the_longest_input_runs_and_no_position_is_left_over(family: str) -> None:
    """Of 64 position embeddings, RoBERTa's kin and MPNet never use two; with one more token absolute positions end."""
    model, offset = build(family), 2 if family in ("roberta", "xlm-roberta", "camembert", "mpnet") else 0
    longest = longest_input(model)
    assert longest == 64 - offset
    with torch.no_grad():
        model(input_ids=torch.full((1, longest), 5))
        if family not in ("deberta-v2", "modernbert"):  # their positions are relative
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=torch.full((1, longest + 1), 5))


@pytest.mark.parametrize("settings", [{"share_att_key": True}, {"relative_attention": False}])
def test_optional_projections_are_counted_where_they_are(settings: dict[str, bool]) -> None:
    """DeBERTa's position projections exist only with relative attention and keys that are not shared."""
    assert set(structures_of(build("deberta-v2", **settings)).heads.flat) == {PLAIN_HEAD}
