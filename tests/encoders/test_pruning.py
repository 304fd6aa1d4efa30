"""Pruned models equal gated ones, are as small as the mask says, and keep working."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    AlbertForPreTraining,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForNextSentencePrediction,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForSequenceClassification,
    BertLMHeadModel,
    ElectraForPreTraining,
    PreTrainedModel,
    RobertaForCausalLM,
)

from small_models import CONFIGS, VARIANTS, batch, build
from supertickets.config import FfnUnit
from supertickets.encoders.families import layers_of, structures_of
from supertickets.encoders.gating import gate
from supertickets.encoders.pruning import keep, kept_units, left_units, prune, unshare_config
from supertickets.encoders.pruning import mask_of as left_in
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask

HEADS = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
FFN = np.array([[1], [0], [0]], dtype=bool)
NEURONS = np.zeros((3, 48), dtype=bool)
NEURONS[0, 3:11], NEURONS[1, ::5] = True, True
UNITS = pytest.mark.parametrize("units", get_args(FfnUnit))


def mask_of(model: PreTrainedModel, units: FfnUnit = "sublayer") -> Mask:
    """A mask with a layer without heads, layers without FFN (or neurons), and a layer without either."""
    return Mask(structures_of(model, units), HEADS, FFN if units == "sublayer" else NEURONS)


def random_mask(model: PreTrainedModel, units: FfnUnit, seed: int) -> Mask:
    """Half of the units, layer by layer any number of them."""
    structures, rng = structures_of(model, units), np.random.default_rng(seed)
    return Mask(structures, rng.random(structures.heads.shape) < 0.5, rng.random(structures.ffn.shape) < 0.5)


def logits(model: PreTrainedModel, **settings: Any) -> torch.Tensor:
    """The model's logits on one batch."""
    with torch.no_grad():
        found = model(**batch(), **settings).logits
    assert isinstance(found, torch.Tensor)
    return found


@UNITS
def test_pruned_logits_equal_gated_logits(model: PreTrainedModel, units: FfnUnit) -> None:
    """Gating and pruning are one function of the input, and another one than the full model's."""
    mask, inputs = mask_of(model, units), batch()
    with torch.no_grad():
        full = model(**inputs).logits
        with gate(model, mask):
            gated = model(**inputs).logits
        pruned = prune(copy.deepcopy(model), mask)(**inputs).logits
    torch.testing.assert_close(pruned, gated, rtol=0, atol=1e-6)
    assert (full - gated).abs().max() > 1e-3


@pytest.mark.parametrize("heads", [0, 1])
@pytest.mark.parametrize("ffn", [0, 1])
@UNITS
def test_nothing_but_one_kind_is_left(model: PreTrainedModel, heads: int, ffn: int, units: FfnUnit) -> None:
    """No head at all, no FFN unit at all, neither, or everything: still the gated model's logits."""
    structures = structures_of(model, units)
    mask = Mask(structures, np.full(structures.heads.shape, bool(heads)), np.full(structures.ffn.shape, bool(ffn)))
    with gate(model, mask):
        gated = logits(model)
    torch.testing.assert_close(logits(prune(model, mask)), gated, rtol=0, atol=1e-6)


@pytest.mark.parametrize("settings", [{"share_att_key": True}, {"relative_attention": False}, {"conv_kernel_size": 3}])
def test_other_debertas(settings: dict[str, Any]) -> None:
    """With shared position keys as in v3, without relative positions, and with a convolution as in v2 xlarge."""
    model = build("deberta-v2", **settings)
    mask = mask_of(model)
    with gate(model, mask):
        gated = logits(model)
    torch.testing.assert_close(logits(prune(model, mask)), gated, rtol=0, atol=1e-6)


@UNITS
def test_pruned_gradients_equal_gated_gradients(model: PreTrainedModel, units: FfnUnit) -> None:
    """Every weight that is left gets the gradient it gets in the gated model."""
    mask, inputs = mask_of(model, units), batch()
    pruned = prune(copy.deepcopy(model), mask)
    pruned(**inputs).loss.backward()
    with gate(model, mask):
        model(**inputs).loss.backward()
    full = dict(model.named_parameters())
    for name, weight in pruned.named_parameters():
        if weight.shape == full[name].shape and weight.grad is not None:
            torch.testing.assert_close(weight.grad, full[name].grad, rtol=1e-4, atol=1e-6)


@UNITS
def test_size_is_what_the_mask_says(model: PreTrainedModel, units: FfnUnit) -> None:
    """Parameters that are left in the encoder's layers and in the encoder are the mask's shares, exactly."""
    mask = mask_of(model, units)
    structures = mask.structures
    pruned = prune(copy.deepcopy(model), mask)
    in_layers = sum(weight.numel() for layer in layers_of(pruned) for weight in layer.parameters())
    in_encoder = sum(weight.numel() for weight in pruned.base_model.parameters())
    assert in_layers == round(mask.weights_remaining.encoder * structures.encoder_weights)
    assert in_encoder == round(mask.weights_remaining.all * structures.total_weights)
    dropped = structures.heads[~mask.heads].sum() + structures.ffn[~mask.ffn].sum()
    assert model.num_parameters() - pruned.num_parameters() == dropped > 0


def test_weights_of_a_head_count_once(model: PreTrainedModel) -> None:
    """Heads, FFN sublayers and what belongs to no unit add up to the encoder's layers."""
    structures = structures_of(model)
    # Per layer: two layer norms and the output projection's bias belong to no unit.
    rest = 3 * (4 * 32 + 32)
    if model.config.model_type == "modernbert":
        rest = 5 * 32  # no biases anywhere, and no layer norm before the first attention
    assert int(structures.heads.sum() + structures.ffn.sum()) + rest == structures.encoder_weights


@UNITS
def test_pruned_model_trains(model: PreTrainedModel, units: FfnUnit) -> None:
    """Ten steps on one batch bring its loss down, a layer without heads and FFN included, and move its weights."""
    pruned, inputs = prune(copy.deepcopy(model), mask_of(model, units)), batch()
    before = copy.deepcopy(pruned.state_dict())
    optimiser = torch.optim.AdamW(pruned.parameters(), lr=1e-2)
    losses = []
    for _ in range(10):
        optimiser.zero_grad()
        loss = pruned(**inputs).loss
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    after = pruned.state_dict()
    still = {name for name, value in before.items() if torch.equal(after[name], value)}
    # ModernBERT's layer norms stand before attention and FFN: without these they feed nothing.
    dead = {"model.layers.1.attn_norm.weight", "model.layers.2.mlp_norm.weight"}
    dead |= {"model.layers.1.mlp_norm.weight"} if units == "sublayer" else set()
    assert still == (dead if structures_of(model).architecture == "modernbert" else set())


@pytest.mark.parametrize("family", [family for family in CONFIGS if family not in ("albert", "mpnet")])
def test_pruned_model_trains_with_checkpoints(family: str) -> None:
    """Gradient checkpointing, which all but two families have, gives the gradients of the plain backward pass."""
    model = prune(build(family), mask_of(build(family), "neuron"))
    model(**batch()).loss.backward()
    plain = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()
    model.activation_checkpointing_enable()
    still = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    for module in still:
        module.p = 0.0
    model.train()
    model(**batch()).loss.backward()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, plain[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("before", [False, True], ids=["asked after", "asked before, too"])
@pytest.mark.parametrize("family", CONFIGS)
def test_one_entry_of_attentions_for_each_layer(family: str, before: bool) -> None:
    """With as many heads as the layer kept, none included; hidden states as ever. Pruning may come between calls."""
    model, asked = build(family), {"output_attentions": True, "output_hidden_states": True}
    if before:
        model(**batch(), **asked)
    prune(model, mask_of(model))
    found = model(**batch(), **asked)
    each = 2 if family == "albert" else 1  # its sets of weights are used twice
    heads = [count for count in (3, 0, 1) for _ in range(each)]
    assert [tuple(layer.shape) for layer in found.attentions] == [(6, count, 10, 10) for count in heads]
    assert [tuple(state.shape) for state in found.hidden_states] == [(6, 10, 32)] * (3 * each + 1)
    for layer in found.attentions:
        torch.testing.assert_close(layer.sum(-1), torch.ones(layer.shape[:-1]), rtol=0, atol=1e-5)
    assert torch.equal(found.logits, logits(model))


@pytest.mark.parametrize("family", [family for family, attention in VARIANTS if attention == "sdpa"])
def test_fused_attention_returns_no_weights_for_any_layer(family: str) -> None:
    """A bypass adds none either; both backends give the same logits."""
    model = build(family, "sdpa")
    prune(model, mask_of(model))
    assert model(**batch()).attentions is None
    fused = logits(model)
    model.set_attn_implementation("eager")
    torch.testing.assert_close(logits(model), fused, rtol=0, atol=1e-6)


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


@pytest.mark.parametrize("family", CONFIGS)
def test_pruned_models_keep_a_config_that_others_can_write(family: str, tmp_path: Path) -> None:
    """What is kept goes to config.json as plain JSON and says what the mask says."""
    model = build(family)
    prune(model, mask_of(model, "neuron"))
    model.config.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())["supertickets"]
    assert written == model.config.supertickets
    assert written["heads"] == [[0, 2, 3], [], [1]]
    assert written["ffn"] == ["1fe000000000", "842108421084", "000000000000"]
    heads, ffn = kept_units(model) or ([], [])
    assert heads == written["heads"]
    assert ffn == [row.nonzero()[0].tolist() for row in NEURONS]


@pytest.mark.parametrize("first", get_args(FfnUnit))
@pytest.mark.parametrize("second", get_args(FfnUnit))
@pytest.mark.parametrize("family", CONFIGS)
def test_pruning_twice_is_pruning_once_what_either_drops(family: str, first: FfnUnit, second: FfnUnit) -> None:
    """Bit for bit, with masks of either kind in either order; masks number the full model's units both times."""
    twice, once, kept = build(family), build(family), []
    for seed, units in enumerate((first, second)):
        mask = random_mask(twice, units, seed)
        kept.append((mask.heads, np.broadcast_to(mask.ffn, (3, 48)), mask.ffn if units == "sublayer" else True))
        prune(twice, mask)
    heads, neurons = kept[0][0] & kept[1][0], kept[0][1] & kept[1][1]
    whole = np.broadcast_to(kept[0][2] & kept[1][2], (3, 48)).all(axis=1)
    prune(once, Mask(structures_of(once, "neuron"), heads, neurons | ~whole[:, None]))
    prune(once, Mask(structures_of(once), np.ones((3, 4), dtype=bool), whole[:, None]))
    ours, theirs = once.state_dict(), twice.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert torch.equal(logits(once), logits(twice))
    assert kept_units(once) == kept_units(twice)
    assert not heads.all() and not neurons.all()


def test_a_pruned_model_can_be_gated() -> None:
    """Gates of units that are gone already change nothing; closing others equals pruning them."""
    model = build("mpnet")
    prune(model, random_mask(model, "neuron", 0))
    more = random_mask(model, "neuron", 1)
    with gate(model, more):
        gated = logits(model)
    torch.testing.assert_close(logits(prune(model, more)), gated, rtol=0, atol=1e-6)


def test_pruning_what_is_gone_changes_nothing(model: PreTrainedModel) -> None:
    """The same mask again is no error, and every weight and logit stays."""
    for units in get_args(FfnUnit):
        prune(model, mask_of(model, units))
        before, outputs = copy.deepcopy(model.state_dict()), logits(model)
        prune(model, mask_of(model, units))
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert torch.equal(logits(model), outputs)


def test_keeping_by_number() -> None:
    """Heads and neurons are numbered as in the full model; None drops a sublayer with its bias."""
    model = build("bert")
    assert kept_units(model) is None
    assert [list(row) for row in left_units(model)[0]] == [[0, 1, 2, 3]] * 3
    keep(model, [[1, 3], [0, 1, 2, 3], []], [range(48), None, [4, 9]])
    keep(model, [[3], [0, 3], [2]], [[40, 47], range(48), [9, 10]])
    assert kept_units(model) == left_units(model) == ([[3], [0, 3], []], [[40, 47], None, [9]])
    full = build("bert")
    sliced, whole = layers_of(model)[0], layers_of(full)[0]
    assert torch.equal(sliced.attention.self.query.weight, whole.attention.self.query.weight[24:32])
    assert torch.equal(sliced.output.dense.weight, whole.output.dense.weight[:, [40, 47]])
    assert torch.equal(sliced.output.dense.bias, whole.output.dense.bias)


def test_mask_of_another_shape_is_refused() -> None:
    """A mask of another architecture, or of other numbers of layers or neurons, is one sentence with both sizes."""
    small, other, wide = build("bert", num_hidden_layers=2), build("roberta"), build("bert", intermediate_size=64)
    for wrong in (small, other, wide):
        mask = Mask.full(structures_of(wrong, "neuron" if wrong is wide else "sublayer"))
        with pytest.raises(UserError, match=r"the mask is for .* the model is bert: 3 layers"):
            prune(build("bert"), mask)


def test_models_that_share_a_config_are_pruned_apart() -> None:
    """Two models of one config object, pruned by different masks, are each what their own gates said."""
    config = CONFIGS["bert"]()
    pair = [BertForSequenceClassification(config).eval() for _ in range(2)]
    masks = [random_mask(model, "neuron", seed) for seed, model in enumerate(pair)]
    for model, mask in zip(pair, masks, strict=True):
        with gate(model, mask):
            gated = logits(model)
        torch.testing.assert_close(logits(prune(model, mask)), gated, rtol=0, atol=1e-6)
        assert left_in(model, mask.structures) == mask
        assert model.config is model.bert.config is model.bert.encoder.layer[0].attention.self.config
    assert not hasattr(config, "supertickets") and config.model_type == "bert"


def test_a_config_is_unshared_once() -> None:
    """Every module that referred to the old one refers to the new one, which says the same."""
    model = build("bert")
    old = model.config
    new = unshare_config(model)
    assert new is model.config is model.bert.config is not old
    assert new.to_dict() == old.to_dict()


def test_a_config_of_other_weights_is_refused() -> None:
    """A full model built from a pruned one's config, or a pruned one with a full config, is one sentence."""
    pruned = build("bert", "sdpa")
    mask = mask_of(pruned, "neuron")
    prune(pruned, mask)
    full = BertForSequenceClassification(pruned.config)
    for use in (lambda: prune(full, mask), lambda: gate(full, mask), lambda: kept_units(full)):
        with pytest.raises(UserError, match=r"layer 0 has weights of 4 heads and 48 neurons, .* 3 heads and 8 neurons"):
            use()
    prune((outer := build("bert")).bert, mask)
    for use in (lambda: prune(outer, mask), lambda: structures_of(outer)):
        with pytest.raises(UserError, match="units are gone, but its config does not say which; prune the whole model"):
            use()


@UNITS
def test_the_units_left_are_a_mask(model: PreTrainedModel, units: FfnUnit) -> None:
    """All of a full model; after two masks what both keep; a sublayer is there while one neuron is."""
    structures = structures_of(model, units)
    first, second = random_mask(model, units, 0), random_mask(model, units, 1)
    assert left_in(model, structures) == Mask.full(structures)
    prune(prune(model, first), second)
    assert left_in(model, structures) == first & second
    if units == "neuron":
        assert left_in(model, structures_of(model)).ffn.all()
    with pytest.raises(UserError, match="the mask is for"):
        left_in(model, structures_of(build("bert", num_hidden_layers=2)))


def test_history_has_an_entry_for_each_mask(tmp_path: Path) -> None:
    """With its checksum and what was left after it; saved, loaded and pruned again, the list goes on."""
    model = build("bert", head=AutoModel)
    masks = [random_mask(model, "neuron", seed) for seed in range(2)]
    prune(model, masks[0]).save_pretrained(tmp_path)
    loaded = prune(AutoModel.from_pretrained(tmp_path), masks[1])
    history, left = loaded.config.supertickets["history"], [masks[0], masks[0] & masks[1]]
    assert [entry["mask_sha256"] for entry in history] == [mask.sha256 for mask in masks]
    assert [entry["heads"] for entry in history] == [int(mask.heads.sum()) for mask in left]
    assert [entry["neurons"] for entry in history] == [int(mask.ffn.sum()) for mask in left]
    assert len(model.config.supertickets["history"]) == 1 and masks[0].sha256 != masks[1].sha256


@pytest.mark.parametrize(
    ("head", "family"),
    [
        (BertForPreTraining, "bert"),
        (BertForNextSentencePrediction, "bert"),
        (ElectraForPreTraining, "electra"),
        (AlbertForPreTraining, "albert"),
    ],
)
def test_heads_of_pretraining_come_back(head: Any, family: str, tmp_path: Path) -> None:
    """Saved with their head, and loaded with it, weight by weight."""
    model = prune(head(CONFIGS[family]()), mask_of(build(family)))
    model.save_pretrained(tmp_path)
    auto = AutoModelForNextSentencePrediction if "Next" in head.__name__ else AutoModelForPreTraining
    ours, theirs = model.state_dict(), auto.from_pretrained(tmp_path).state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (lambda: BertLMHeadModel(CONFIGS["bert"]()), "prune: a pruned BertLMHeadModel could be saved, but not loaded"),
        (lambda: RobertaForCausalLM(CONFIGS["roberta"]()), "prune: a pruned RobertaForCausalLM could be saved, but"),
        (lambda: build("bert", is_decoder=True), "this is a decoder, which reads only to the left"),
    ],
)
def test_heads_that_could_not_be_loaded_are_refused(model: Any, sentence: str) -> None:
    """One sentence, and the model stays as it is."""
    full = model()
    before = full.num_parameters()
    with pytest.raises(UserError, match=sentence):
        prune(full, Mask(structures_of(full), HEADS, FFN))
    assert full.num_parameters() == before and kept_units(full) is None
