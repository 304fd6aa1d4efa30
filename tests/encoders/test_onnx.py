"""An ONNX folder gives torch's numbers at any batch and length, or says in one sentence why not."""

from __future__ import annotations

import builtins
import importlib.util
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
)

from small_examples import examples, tokenizer
from small_models import CONFIGS, EAGER_ONLY, batch, build
from supertickets.encoders import onnx
from supertickets.encoders.families import structures_of
from supertickets.encoders.onnx import OnnxModel, export_onnx, largest_difference, load_onnx
from supertickets.encoders.pruning import prune
from supertickets.errors import UserError
from supertickets.learning.evaluation import predict
from supertickets.tickets.masks import Mask

# By layer: three of four heads; none; one. FFN: whole; none (in neurons: zero of them); some.
HEADS = ((1, 0, 1, 1), (0, 0, 0, 0), (0, 1, 0, 0))
HEADS_TO_OUTPUTS = {
    AutoModel: ["last_hidden_state", "pooler_output"],
    AutoModelForTokenClassification: ["logits"],
    AutoModelForQuestionAnswering: ["start_logits", "end_logits"],
    AutoModelForMaskedLM: ["logits"],
    AutoModelForMultipleChoice: ["logits"],
}


def spread(model: PreTrainedModel) -> PreTrainedModel:
    """The model with weights so large that every part of it shows in its outputs."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return model


def mask_of(model: PreTrainedModel, units: str = "sublayer") -> Mask:
    """A mask with every special case: a layer without heads, one without FFN or without any neuron."""
    structures = structures_of(model, units)
    ffn = np.ones(structures.ffn.shape, dtype=bool)
    ffn[1] = False
    ffn[2, structures.units_per_layer // 2 :] = units == "sublayer"
    return Mask(structures, np.array(HEADS, dtype=bool), ffn)


def inputs(model: PreTrainedModel, examples: int, tokens: int) -> dict[str, torch.Tensor]:
    """A padded batch of another shape than any that the export looks at, second texts included."""
    values = {name: value for name, value in batch(examples, tokens, seed=9).items() if name != "labels"}
    if (
        "token_type_ids" in inspect.signature(model.forward).parameters
        and getattr(model.config, "type_vocab_size", 0) > 1
    ):
        values["token_type_ids"] = (torch.arange(tokens) > tokens // 2).long().expand(examples, tokens)
    return values


def assert_equal(model: PreTrainedModel, exported: OnnxModel, names: list[str], *shape: int) -> None:
    """Both give the same outputs for one batch, and these are no constants."""
    values = inputs(model, *shape)
    with torch.no_grad():
        ours = model(**values)
    theirs = exported(**values)
    for name in names:
        assert ours[name].shape == getattr(theirs, name).shape and ours[name].std() > 0.01
        np.testing.assert_allclose(getattr(theirs, name).numpy(), ours[name].numpy(), atol=5e-5)


@pytest.mark.parametrize("pruned", ["full", "sublayer", "neuron"])
@pytest.mark.parametrize("family", CONFIGS)
def test_logits_equal_torch(family: str, pruned: str, tmp_path: Path) -> None:
    """Every family, whole and pruned to layers without heads and without FFN, at lengths that were not traced."""
    model = spread(build(family, "eager" if family in EAGER_ONLY else "sdpa", num_labels=3))
    if pruned != "full":
        prune(model, mask_of(model, pruned))
    export_onnx(model, tokenizer(), tmp_path / "onnx")
    exported = load_onnx(tmp_path / "onnx")
    for shape in ((1, 5), (2, 16), (5, 47)):
        assert_equal(model, exported, ["logits"], *shape)
    assert exported.config.model_type == family and exported.config.num_labels == 3
    assert AutoConfig.from_pretrained(tmp_path / "onnx").model_type == family


@pytest.mark.parametrize("head", [head for head in HEADS_TO_OUTPUTS if head is not AutoModelForMultipleChoice])
def test_every_task_head(head: Any, tmp_path: Path) -> None:
    """The outputs have the names that the model itself gives them."""
    model = spread(build("bert", head=head))
    export_onnx(prune(model, mask_of(model)), tokenizer(), tmp_path / "onnx")
    exported = load_onnx(tmp_path / "onnx")
    assert list(exported.outputs) == HEADS_TO_OUTPUTS[head]
    assert_equal(model, exported, HEADS_TO_OUTPUTS[head], 3, 11)


def test_multiple_choice(tmp_path: Path) -> None:
    """Token ids (B, C, T) become one logit for each choice."""
    model = spread(build("bert", head=AutoModelForMultipleChoice))
    export_onnx(model, tokenizer(), tmp_path / "onnx")
    ids = torch.randint(5, 99, (3, 2, 9), generator=torch.Generator().manual_seed(0))
    values = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    found = load_onnx(tmp_path / "onnx")(**values).logits
    with torch.no_grad():
        np.testing.assert_allclose(found.numpy(), model(**values).logits.numpy(), atol=5e-5)
    assert found.shape == (3, 2)


def test_a_position_bias_of_other_heads_would_show(tmp_path: Path) -> None:
    """MPNet with the columns of the wrong heads is far from the right one, so that equality above means something."""
    model = spread(build("mpnet", num_labels=3))
    mask = mask_of(model)
    other = spread(build("mpnet", num_labels=3))
    with torch.no_grad():
        table = other.base_model.encoder.relative_attention_bias.weight
        table.copy_(table.roll(1, dims=1))
    export_onnx(prune(other, mask), tokenizer(), tmp_path / "onnx")
    assert largest_difference(prune(model, mask), load_onnx(tmp_path / "onnx")) > 1e-3


def test_predict_takes_either(tmp_path: Path) -> None:
    """`predict` gives the same numbers and the same classes with torch and with ONNX Runtime."""
    model = spread(build("bert", num_labels=3))
    export_onnx(model, tokenizer(), tmp_path / "onnx")
    data = examples(23)
    ours, theirs = (predict(m, data, tokenizer(), batch_size=5) for m in (model, load_onnx(tmp_path / "onnx")))
    np.testing.assert_allclose(theirs, ours, atol=1e-4)
    assert np.array_equal(theirs.argmax(1), ours.argmax(1)) and len(set(ours.argmax(1))) > 1


def test_the_folder(tmp_path: Path) -> None:
    """Graph, config, tokenizer, and a file that says how far from torch it is; the model is left as it was."""
    model = build("bert", id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1}).train()
    export_onnx(model, tokenizer(), tmp_path / "onnx")
    folder = tmp_path / "onnx"
    assert {"model.onnx", "config.json", "tokenizer.json", "onnx.json"} <= {path.name for path in folder.iterdir()}
    about = json.loads((folder / "onnx.json").read_text())
    assert (about["format"], about["longest"]) == ("supertickets onnx 1", 64)
    assert 0 <= about["difference"] <= 1e-4
    listed = json.loads((folder / "checksums.json").read_text())
    assert set(listed) == {path.name for path in folder.iterdir()} - {"checksums.json"} and "sha256" not in about
    assert load_onnx(folder).config.id2label == {0: "no", 1: "yes"}
    assert AutoTokenizer.from_pretrained(folder).get_vocab() == tokenizer().get_vocab()
    assert all(module.training for module in model.modules())


def test_as_many_threads_as_torch(tmp_path: Path) -> None:
    """ONNX Runtime gets torch's number of threads."""
    export_onnx(build("bert"), tokenizer(), tmp_path / "onnx")
    torch.set_num_threads(2)
    assert load_onnx(tmp_path / "onnx")._session.get_session_options().intra_op_num_threads == 2


def refused(tmp_path: Path, model: PreTrainedModel) -> str:
    """The one sentence with which an export is refused; nothing is left behind."""
    with pytest.raises(UserError) as caught:
        export_onnx(model, tokenizer(), tmp_path / "onnx")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    return str(caught.value)


def test_a_graph_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is in the sentence, and no folder is left; NaN is a difference, too."""
    model = build("bert")
    real = OnnxModel.__call__

    def shifted(self: OnnxModel, **values: torch.Tensor) -> Any:
        found = real(self, **values)
        found.logits = found.logits + 0.25
        return found

    monkeypatch.setattr(OnnxModel, "__call__", shifted)
    assert "differ from torch's by 0.25, more than 0.0001" in refused(tmp_path, model)
    monkeypatch.undo()
    with torch.no_grad():
        model.classifier.bias.fill_(float("nan"))
    assert "differ from torch's by nan" in refused(tmp_path, model)


def test_only_fp32(tmp_path: Path) -> None:
    """Half precision is one sentence."""
    assert "only fp32 models" in refused(tmp_path, build("bert").to(torch.bfloat16))


def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ONNX Runtime both doors say how to install it."""
    real = importlib.util.find_spec
    monkeypatch.setattr(onnx, "find_spec", lambda name: None if name == "onnxruntime" else real(name))
    sentence = refused(tmp_path, build("bert"))
    assert sentence == ("ONNX needs the package onnxruntime, which is not installed; pip install 'supertickets[onnx]'")
    with pytest.raises(UserError, match="pip install"):
        load_onnx(tmp_path)


def test_an_occupied_folder(tmp_path: Path) -> None:
    """What is there stays."""
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="already exists"):
        export_onnx(build("bert"), tokenizer(), tmp_path / "onnx")
    assert [path.name for path in tmp_path.rglob("*")] == ["onnx", "mine.txt"]


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_a_changed_file_is_refused(name: str, tmp_path: Path) -> None:
    """One changed byte, a cut file, a missing file: one sentence that names it."""
    export_onnx(build("bert"), tokenizer(), tmp_path / "onnx")
    path = tmp_path / "onnx" / name
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    for damaged in (bytes(body), bytes(body[:20])):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=f"{name} is not the file that was exported: its checksum") as caught:
            load_onnx(tmp_path / "onnx")
        assert str(tmp_path / "onnx") in str(caught.value)
    path.unlink()
    with pytest.raises(UserError, match="no such file") as missing:
        load_onnx(tmp_path / "onnx")
    assert missing.value.where == str(path)


@pytest.mark.parametrize("about", [{"format": "other", "longest": 64}, {"format": "supertickets onnx 1"}])
def test_another_tools_folder_is_refused(about: dict[str, str], tmp_path: Path) -> None:
    """Without our own account of the graph a folder is not taken."""
    (tmp_path / "onnx.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="not an ONNX folder that was exported here"):
        load_onnx(tmp_path)


def test_no_onnxscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra names onnx and onnxruntime only, so nothing else may be imported."""
    real = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "onnxscript":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)
    export_onnx(build("bert", head=AutoModelForSequenceClassification), tokenizer(), tmp_path / "onnx")
    assert (tmp_path / "onnx" / "model.onnx").is_file()
