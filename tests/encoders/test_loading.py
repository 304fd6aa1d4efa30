"""A name and a seed give one model, and nothing else in the process changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    AlbertTokenizer,
    AutoModel,
    AutoModelForTokenClassification,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    CamembertTokenizer,
    DebertaV2Tokenizer,
    PreTrainedModel,
    XLMRobertaTokenizer,
)

from small_examples import tokenizer
from small_models import CONFIGS, build
from supertickets.encoders.families import structures_of
from supertickets.encoders.loading import head_modules, load, load_pruned, seeded
from supertickets.encoders.loading import head_of as saved_head
from supertickets.encoders.pruning import kept_units, prune
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask


@pytest.fixture
def encoder(tiny_bert_folder: Path, tmp_path: Path) -> Path:
    """A model folder of one's own, to be broken."""
    return Path(shutil.copytree(tiny_bert_folder, tmp_path / "encoder"))


def saved(folder: Path, model: PreTrainedModel) -> Path:
    """The folder, with this model and a tokenizer in it."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def encoder_of(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The weights inside the encoder."""
    return dict(model.base_model.state_dict())


def head_of(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The weights of the task head."""
    inside = f"{model.base_model_prefix}."
    return {name: value for name, value in model.state_dict().items() if not name.startswith(inside)}


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    """Equal names and equal bits."""
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def refusal(folder: Path) -> str:
    """The one sentence with which loading is refused."""
    with pytest.raises(UserError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_head_is_the_seeds(tiny_bert_folder: Path) -> None:
    """One seed draws the same head bit for bit, another seed another one, on the same pretrained encoder."""
    first, again, other = (load(tiny_bert_folder, seed=seed)[0] for seed in (3, 3, 4))
    assert same(head_of(first), head_of(again))
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    pretrained = BertModel.from_pretrained(tiny_bert_folder).state_dict()
    assert same(encoder_of(first), pretrained) and same(encoder_of(other), pretrained)


def test_the_head_does_not_depend_on_what_was_drawn_before(tiny_bert_folder: Path) -> None:
    """The global generator neither decides the head nor moves."""
    expected = head_of(load(tiny_bert_folder)[0])
    torch.manual_seed(99)
    torch.rand(7)
    before = torch.get_rng_state()
    assert same(head_of(load(tiny_bert_folder)[0]), expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_purpose_has_its_own_numbers() -> None:
    """Inside the block (seed, purpose) decides; after it the caller's numbers go on."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    drawn = []
    for seed, purpose in ((0, "head"), (0, "head"), (0, "mask"), (1, "head")):
        with seeded(seed, purpose):
            drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[3])
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_classes_and_regression(tiny_bert_folder: Path, classes: int) -> None:
    """The head has as many outputs as classes; one class means squared error, more mean cross entropy."""
    model, _ = load(tiny_bert_folder, classes=classes)
    inputs = torch.tensor([[5, 6, 7]])
    labels = torch.tensor([0.25]) if classes == 1 else torch.tensor([1])
    output = model(input_ids=inputs, labels=labels)
    assert output.logits.shape == (1, classes)
    expected = (output.logits[0, 0] - 0.25) ** 2 if classes == 1 else nn.functional.cross_entropy(output.logits, labels)
    torch.testing.assert_close(output.loss, expected)


@pytest.mark.parametrize("family", CONFIGS)
def test_head_dropout_is_the_heads(family: str, tmp_path: Path) -> None:
    """The setting reaches every dropout outside the encoder and none inside."""
    model, _ = load(saved(tmp_path, build(family)), head_dropout=0.35)
    outside = [module.p for module in head_modules(model) if isinstance(module, nn.Dropout)]
    inside = {module.p for module in model.base_model.modules() if isinstance(module, nn.Dropout)}
    assert outside and set(outside) == {0.35}
    assert 0.35 not in inside


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("family", CONFIGS)
def test_a_tuned_models_folder_gives_its_encoder_and_a_fresh_head(family: str, classes: int, tmp_path: Path) -> None:
    """A classifier of two classes, loaded for one to three: its encoder bit for bit, the seed's own head."""
    tuned = build(family, num_labels=2)
    first, again, other = (load(saved(tmp_path, tuned), classes=classes, seed=seed)[0] for seed in (0, 0, 1))
    for model in (first, other):
        assert same(encoder_of(model), encoder_of(tuned))
    assert same(head_of(first), head_of(again))
    for name, value in head_of(first).items():
        theirs = head_of(tuned)[name]
        assert value.shape != theirs.shape or not torch.equal(value, theirs)
        if value.ndim == 2:  # biases and norms start the same for every seed
            assert not torch.equal(value, head_of(other)[name])


def test_a_pooler_may_be_fresh(tmp_path: Path) -> None:
    """A language model's checkpoint has no pooler: it is drawn with the head, and the layers are the checkpoint's."""
    source = BertForMaskedLM(CONFIGS["bert"]())
    loaded, _ = load(saved(tmp_path, source))
    assert same(dict(loaded.bert.encoder.state_dict()), dict(source.bert.encoder.state_dict()))


def test_weights_are_fp32_and_the_tokenizer_comes_along(tmp_path: Path) -> None:
    """A checkpoint in half precision trains in fp32."""
    model, loaded_tokenizer = load(saved(tmp_path, build("bert").half()))
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert loaded_tokenizer.get_vocab() == tokenizer().get_vocab()
    assert structures_of(model) == structures_of(build("bert"))


@pytest.mark.parametrize("size", [0, 7, 1000, 20_000])
def test_torn_weights(encoder: Path, size: int) -> None:
    """A weights file that was cut, wherever, is one sentence."""
    path = encoder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert refusal(encoder).startswith(f"{encoder}: its weights cannot be read (")


def test_weights_of_another_size_than_the_config_says(encoder: Path, tmp_path: Path) -> None:
    """Nothing is filled up with random values: a wrong width and a missing layer are each one sentence."""
    config = json.loads((encoder / "config.json").read_text())
    for change, sentence in (
        ({"intermediate_size": 48}, "intermediate.dense.bias is (64,) there, (48,) by config.json; 6 in all)"),
        ({"num_hidden_layers": 3}, "encoder.layer.2.attention.output.LayerNorm.bias is missing; 16 in all)"),
    ):
        (encoder / "config.json").write_text(json.dumps(config | change))
        message = refusal(encoder)
        assert "its weights are not those of its config.json (bert.encoder.layer." in message
        assert sentence in message


def test_a_torn_tokenizer(encoder: Path) -> None:
    """A tokenizer that cannot be read is one sentence."""
    (encoder / "vocab.txt").unlink(missing_ok=True)
    (encoder / "tokenizer.json").write_text('{"version": "1.0", "mod')
    assert "tokenizer cannot be loaded" in refusal(encoder)


@pytest.mark.parametrize("longest", [None, "512", True, 7, 100.5, -1, float("nan"), [512]])
def test_a_tokenizer_without_a_longest_input(encoder: Path, longest: object) -> None:
    """A model_max_length that no length can be is refused with its file and value."""
    file = encoder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": longest}))
    if longest is None:  # for the library this is no limit
        assert load(encoder)[1].model_max_length > 10**20
        return
    assert f"its tokenizer_config.json has model_max_length '{longest}'; give the most tokens" in refusal(encoder)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A path without a folder is refused before anything is loaded."""
    assert "there is no such folder" in refusal(tmp_path / "missing")


def test_a_decoder_is_refused(tmp_path: Path) -> None:
    """BERT as a decoder reads to the left only, and so is no encoder."""
    config = BertConfig(**{**CONFIGS["bert"]().to_dict(), "is_decoder": True})
    assert "this is a decoder" in refusal(saved(tmp_path, BertModel(config)))


def test_heads_that_transformers_4_pruned(tmp_path: Path) -> None:
    """A checkpoint with `pruned_heads` in its config, weights sliced, gives the pruned model with equal logits."""
    full = build("bert", "sdpa")
    structures = structures_of(full)
    heads = np.ones(structures.heads.shape, bool)
    heads[0, 1], heads[2, :3] = False, False
    expected = prune(full, Mask(structures, heads, np.ones(structures.ffn.shape, bool)))
    folder = saved(tmp_path, expected)
    (folder / "modeling_supertickets.py").unlink()
    config = json.loads((folder / "config.json").read_text())
    del config["auto_map"], config["supertickets"]
    config |= {"model_type": "bert", "pruned_heads": {"0": [1], "2": [0, 1, 2]}, "architectures": ["BertModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    for loaded in (load(folder)[0], load_pruned(folder)[0]):
        assert same(encoder_of(loaded), {n: v for n, v in encoder_of(expected).items() if n in encoder_of(loaded)})
        assert kept_units(loaded) == kept_units(expected)
        assert not hasattr(loaded.config, "pruned_heads")
        loaded.save_pretrained(tmp_path / "again")
    assert kept_units(AutoModel.from_pretrained(tmp_path / "again")) == kept_units(expected)


def test_a_pruned_encoder_gets_a_fresh_head(tmp_path: Path) -> None:
    """A pruned folder without a classifier gives its encoder bit for bit, and the seed's own head of any size."""
    full = build("bert", "sdpa", AutoModel)
    structures = structures_of(full)
    heads = np.ones(structures.heads.shape, bool)
    heads[1, 1:] = False
    expected = prune(full, Mask(structures, heads, np.ones(structures.ffn.shape, bool)))
    folder = saved(tmp_path, expected)
    first, again, other = (load(folder, classes=3, seed=seed)[0] for seed in (0, 0, 1))
    assert same(encoder_of(first), dict(expected.state_dict()))
    assert same(head_of(first), head_of(again)) and not torch.equal(first.classifier.weight, other.classifier.weight)
    assert first.classifier.weight.shape == (3, 32) and kept_units(first) == kept_units(expected)


def test_load_pruned_keeps_the_head(tmp_path: Path) -> None:
    """The model comes back with the head it was saved with, in its own precision; a full one is one sentence."""
    full = build("distilbert", "sdpa", AutoModelForTokenClassification).half()
    structures = structures_of(full)
    heads = np.ones(structures.heads.shape, bool)
    heads[1, 1:] = False
    expected = prune(full, Mask(structures, heads, np.ones(structures.ffn.shape, bool)))
    loaded, _ = load_pruned(saved(tmp_path / "ticket", expected))
    assert isinstance(loaded, type(expected)) and loaded.dtype == torch.float16
    assert same(dict(loaded.state_dict()), dict(expected.state_dict()))
    with pytest.raises(UserError, match="the model in this folder is not pruned; give a ticket's model folder"):
        load_pruned(saved(tmp_path / "full", build("bert")))


@pytest.mark.parametrize(
    ("names", "head"),
    [
        (["BertModel"], "Model"),
        (["TicketDebertaV2ForMultipleChoice"], "ForMultipleChoice"),
        (["BertForPreTraining"], "ForPreTraining"),
        (["TicketXLMRobertaModel"], "Model"),
        (["BertLMHeadModel"], "LMHeadModel"),
        (["RobertaForCausalLM"], "ForCausalLM"),
        (["Classifier"], "Classifier"),
        (None, "Model"),
    ],
)
def test_head_of_a_config(names: list[str] | None, head: str) -> None:
    """The end of the class name says which head a model was saved with; an unknown one is not taken for none."""
    assert saved_head(BertConfig(architectures=names)) == head


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("albert", AlbertTokenizer),
        ("camembert", CamembertTokenizer),
        ("deberta-v2", DebertaV2Tokenizer),
        ("xlm-roberta", XLMRobertaTokenizer),
    ],
)
def test_unigram_tokenizers_come_along(family: str, kind: Any, tmp_path: Path) -> None:
    """Families whose tokenizers were sentencepiece models need the fast tokenizer's file only, pruned or not."""
    special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<mask>"]
    vocabulary = [*((word, 0.0) for word in special), *((f"▁{letter}", -1.0) for letter in "abcdefgh")]
    own = kind(vocab=vocabulary)
    model = build(family)
    for place in (tmp_path / "full", tmp_path / "pruned"):
        model.save_pretrained(place)
        own.save_pretrained(place)
        model, loaded = load(place)
        assert type(loaded) is kind and loaded("b d a") == own("b d a")
        assert len(set(loaded("b d a")["input_ids"])) >= 3
        prune(model, Mask.full(structures_of(model)))


def test_a_head_that_nothing_loads_is_not_dropped(tmp_path: Path) -> None:
    """A pruned model that was saved by a class of one's own is one sentence, and no bare encoder."""
    folder = saved(tmp_path, prune(build("bert"), Mask.full(structures_of(build("bert")))))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["TwoTowers"]}))
    with pytest.raises(UserError, match=r"a pruned model with another head than Model, ForSeq.*: TwoTowers"):
        load_pruned(folder)


def test_a_tickets_classes_are_its_own(tmp_path: Path) -> None:
    """Other classes or labels than the trained head has are one sentence; its own, or none, load it."""
    labels = ["bad", "so so", "good"]
    model = build("bert", num_labels=3, id2label=dict(enumerate(labels)))
    folder = saved(tmp_path, prune(model, Mask.full(structures_of(model))))
    for asked in ({}, {"classes": 3}, {"labels": labels}, {"classes": 3, "labels": labels}):
        assert list(load(folder, **asked)[0].config.id2label.values()) == labels
    wrong: list[dict[str, Any]] = [
        {"classes": 5},
        {"classes": 2},
        {"labels": ["a", "b", "c"]},
        {"labels": labels[::-1]},
    ]
    for asked in wrong:
        with pytest.raises(UserError, match=r"trained head has 3 classes \(bad, so so, good\), not those asked for"):
            load(folder, **asked)


def test_dropout_inside_the_encoder(tiny_bert_folder: Path) -> None:
    """It is set where the encoder drops hidden states and attention, and nowhere else; without it nothing changes."""
    raised, _ = load(tiny_bert_folder, encoder_dropout=0.35, head_dropout=0.05)
    stock, _ = load(tiny_bert_folder)
    inside = {module.p for module in raised.base_model.modules() if isinstance(module, torch.nn.Dropout)}
    assert inside == {0.35} and raised.dropout.p == 0.05
    assert raised.config.attention_probs_dropout_prob == 0.35
    assert {module.p for module in stock.base_model.modules() if isinstance(module, torch.nn.Dropout)} == {0.1}
    same = zip(raised.state_dict().values(), stock.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in same)
