"""export: what others get loads, says where it is from, and gives the same outputs; what cannot be is one sentence."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

import supertickets
from small_examples import tokenizer
from small_models import batch, build
from supertickets import storage
from supertickets.cli.app import main
from supertickets.encoders.families import structures_of
from supertickets.encoders.loading import load_pruned
from supertickets.encoders.onnx import load_onnx
from supertickets.encoders.pruning import prune
from supertickets.errors import UserError
from supertickets.experiments.delivery import deliver, super_run
from supertickets.experiments.workspace import Workspace
from supertickets.tickets.masks import Mask
from supertickets.tickets.ticket import Ticket
from supertickets.workflows.exporting import export
from supertickets.workflows.reporting import report
from tiny_sweeps import SHORTEST, config_of, run_all, write_films


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path) -> Path:
    """A finished sweep's folder: one tuned model, one winning ticket at 0.5, delivered and reported."""
    folder = tmp_path_factory.mktemp("export")
    records = run_all(folder / "out", config_of(write_films(folder / "films"), tiny_bert_folder, short=SHORTEST))
    deliver(folder / "out", super_run(Workspace.open(folder / "out"), records, 0.5))
    report(folder / "out")
    return folder / "out"


def pruned(head: type = AutoModel) -> PreTrainedModel:
    """A small BERT without its first layer's heads and its last FFN."""
    model = build("bert", "sdpa", head)
    structures = structures_of(model)
    heads, ffn = np.ones(structures.heads.shape, bool), np.ones(structures.ffn.shape, bool)
    heads[0], ffn[-1] = False, False
    return prune(model, Mask(structures, heads, ffn))


def saved(model: PreTrainedModel, folder: Path) -> Path:
    """A model's folder, as a user saves it."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def outputs(model: PreTrainedModel) -> torch.Tensor:
    """What the model says about a few tokens."""
    with torch.no_grad():
        found: torch.Tensor = model(**{name: value for name, value in batch().items() if name != "labels"})[0]
    return found


def refusal(*arguments: object, **options: object) -> str:
    """The one sentence with which an export is refused."""
    with pytest.raises(UserError) as caught:
        export(*arguments, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_sweeps_super_ticket(sweep: Path, tmp_path: Path) -> None:
    """The sweep's folder means its super ticket: same weights, same ticket, same tokenizer, loadable by name."""
    assert export(sweep, out=tmp_path / "out") == tmp_path / "out"
    ours = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    theirs, _ = supertickets.load(sweep / "super_ticket")
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    assert ours.config.id2label == {0: "no", 1: "yes"}
    assert Ticket.load(tmp_path / "out").mask == Ticket.load(sweep / "super_ticket").mask
    vocabulary = AutoTokenizer.from_pretrained(tmp_path / "out").get_vocab()
    assert vocabulary == AutoTokenizer.from_pretrained(sweep / "super_ticket").get_vocab()


def test_the_card_says_what_the_sweep_found(sweep: Path, tmp_path: Path) -> None:
    """Units kept, the sentence with its interval, and a row for the full model and each level."""
    card = (export(sweep / "super_ticket", out=tmp_path / "out") / "README.md").read_text()
    outcome = storage.read_json(sweep / "outcome.json")
    assert outcome["sentence"] in card and "Level 0.5 was chosen" in card
    mask = Ticket.load(sweep / "super_ticket").mask
    assert f"| attention heads | {mask.heads.sum()} of 8 |" in card
    assert f"| FFN neurons | {64 * mask.ffn.sum()} of 128 |" in card
    assert f"({mask.weights_remaining.all:.1%})" in card
    full, ticket = (100 * outcome[kind]["mean"] for kind in ("full", "ticket"))
    assert f"| full model |  | 100.0% | {full:.1f} | 1 |" in card
    assert f"| winning | 0.5 | {mask.weights_remaining.encoder:.1%} | {ticket:.1f} | 1 |" in card
    speed = storage.read_json(sweep / "speedup.json")
    assert f"that of seed 0; it scores {100 * speed['report']:.1f}" in card
    assert f"one batch of 12 texts of {speed['length']} tokens, fp32, cpu, 1 thread" in card
    encoder = Ticket.load(sweep / "super_ticket").encoder
    assert f"pretrained encoder {Path(encoder).name}." in card and encoder not in card
    assert card.startswith("---\nlibrary_name: transformers\npipeline_tag: text-classification\n")


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    """A pruned model that a user saved exports too, with any head; its card claims no scores."""
    model = pruned()
    out = export(str(saved(model, tmp_path / "own")), out=str(tmp_path / "out"))
    assert torch.equal(outputs(AutoModel.from_pretrained(out)), outputs(model))
    card = (out / "README.md").read_text()
    assert "Its scores are not known here" in card and "| attention heads | 8 of 12 |" in card
    assert 'AutoModel.from_pretrained("this folder", trust_remote_code=True)' in card
    assert 'AutoTokenizer.from_pretrained("this folder", trust_remote_code=True)' in card


def test_every_file_has_its_checksum(tmp_path: Path) -> None:
    """The list names every file but the card and itself, and a card may be edited."""
    out = export(saved(pruned(AutoModelForSequenceClassification), tmp_path / "own"), out=tmp_path / "out")
    listed = storage.read_json(out / "checksums.json")
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert set(listed) == files - {"README.md", "checksums.json"} and "modeling_supertickets.py" in listed
    (out / "README.md").write_text("my own words")
    supertickets.load(out)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "modeling_supertickets.py", "tokenizer.json"])
def test_a_changed_folder_is_refused(name: str, tmp_path: Path) -> None:
    """A file that was cut, edited or lost since the export is named in one sentence."""
    out = export(saved(pruned(AutoModelForSequenceClassification), tmp_path / "own"), out=tmp_path / "out")
    body = (out / name).read_bytes()
    (out / name).write_bytes(body[:-1])
    for call in (lambda: supertickets.load(out), lambda: export(out, out=tmp_path / "again")):
        with pytest.raises(UserError) as caught:
            call()
        assert str(caught.value) == (
            f"{out}: {name} is not the file that was exported: its checksum differs; make the folder again "
            "(`export`, or `find`), or delete checksums.json if it was meant"
        )
    assert not (tmp_path / "again").exists()


# Without our package, as on a machine that does not have it.
STRANGER = """
import sys, warnings
import numpy as np

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "supertickets":
            raise ImportError("there is no such package here")

sys.meta_path.insert(0, Hidden())
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(sys.argv[1], trust_remote_code=True, device="cpu")
assert type(model[0].auto_model).__name__ == "TicketBertModel", type(model[0].auto_model)
assert not [name for name in sys.modules if name.startswith("supertickets")]
np.save(sys.argv[2], model.encode(sys.argv[3:]))
"""


def sentence_model(folder: Path) -> Any:
    """A pruned encoder with pooling, as sentence-transformers has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports warn about what they import
        sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    place = saved(build("bert", "sdpa", AutoModel), folder / "plain")
    model = sentence_transformers.SentenceTransformer(modules=[Transformer(str(place)), Pooling(32)], device="cpu")
    inner = model[0].auto_model
    structures = structures_of(inner)
    heads, ffn = np.ones(structures.heads.shape, bool), np.ones(structures.ffn.shape, bool)
    heads[0], heads[1, :2], ffn[2] = False, False, False
    prune(inner, Mask(structures, heads, ffn))
    return model


def test_a_sentence_transformers_model_where_we_are_not(tmp_path: Path) -> None:
    """In a process that cannot import this package, `trust_remote_code=True` gives the same vectors."""
    model = sentence_model(tmp_path)
    texts = ["word7 word8", "word9"]
    model.save(str(tmp_path / "saved"))
    out = export(tmp_path / "saved", out=tmp_path / "out")
    arguments = [sys.executable, "-c", STRANGER, str(out), str(tmp_path / "vectors.npy"), *texts]
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), model.encode(texts), atol=1e-6)


def test_onnx_says_that_pooling_is_left_out(tmp_path: Path) -> None:
    """The graph of a sentence-transformers model ends before pooling, and the card says so."""
    sentence_model(tmp_path).save(str(tmp_path / "saved"))
    out = export(tmp_path / "saved", to="onnx", out=tmp_path / "out")
    assert list(load_onnx(out).outputs) == ["last_hidden_state", "pooler_output"]
    assert "what sentence-transformers did after the encoder (pooling, normalising)" in (out / "README.md").read_text()


def test_a_sentence_transformers_model_stays_one(tmp_path: Path) -> None:
    """Pruned in place, saved and exported, it embeds texts as before, under the name SentenceTransformer."""
    model = sentence_model(tmp_path)
    import sentence_transformers

    inner, texts = model[0].auto_model, ["word7 word8", "word9"]
    expected = model.encode(texts)
    model.save(str(tmp_path / "saved"))
    out = export(tmp_path / "saved", out=tmp_path / "out")
    for folder in (tmp_path / "saved", out):
        loaded = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
        np.testing.assert_allclose(loaded.encode(texts), expected, atol=1e-6)
        assert loaded[0].auto_model.num_parameters() == inner.num_parameters()
    assert "library_name: sentence-transformers" in (out / "README.md").read_text()
    encoder, _ = supertickets.load(out)
    assert torch.equal(outputs(encoder.base_model), outputs(inner))
    (out / "1_Pooling" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"1_Pooling/config\.json is not the file that was exported"):
        supertickets.load(out)


def test_onnx_says_the_same(tmp_path: Path) -> None:
    """The ONNX folder runs in ONNX Runtime, and has a card and checksums."""
    onnx = pytest.importorskip("supertickets.encoders.onnx")
    pytest.importorskip("onnxruntime")
    model = pruned(AutoModelForSequenceClassification)
    out = export(saved(model, tmp_path / "own"), to="onnx", out=tmp_path / "out")
    inputs = {name: value for name, value in batch().items() if name != "labels"}
    said = onnx.load_onnx(out)(**inputs).logits
    torch.testing.assert_close(said, outputs(model), atol=1e-4, rtol=0)
    code = re.search(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1].replace("this folder", str(out)), names)  # the card's own words run
    assert names["outputs"][0].shape == (1, said.shape[1])
    assert "model.onnx" in storage.read_json(out / "checksums.json")


def test_what_has_no_trained_weights(sweep: Path, tmp_path: Path) -> None:
    """A bare ticket, a sweep that is not finished, a full model, no folder: one sentence each, and nothing written."""
    bare = next((sweep / "tickets").iterdir())
    unfinished = tmp_path / "unfinished"
    shutil.copytree(sweep, unfinished, ignore=shutil.ignore_patterns("super_ticket"))
    full = saved(build("bert", head=AutoModel), tmp_path / "full")
    out = tmp_path / "out"
    assert refusal(bare, out=out) == (
        f"{bare}: this ticket is a mask without trained weights; export the sweep's folder, whose super_ticket is "
        "trained, or train a model pruned by this mask"
    )
    assert "this sweep has no super ticket yet" in refusal(unfinished, out=out)
    assert "this model has no trained head to classify texts with (it is a BertModel)" in refusal(full, out=out)
    assert "no such folder" in refusal(tmp_path / "missing", out=out)
    assert not out.exists()


def test_a_model_that_was_pruned_further(sweep: Path, tmp_path: Path) -> None:
    """Its ticket and its sweep's scores are no longer its own: the card says so, and the history has both masks."""
    folder = Path(shutil.copytree(sweep, tmp_path / "sweep")) / "super_ticket"
    assert (export(folder, out=tmp_path / "before") / "ticket.json").is_file()
    model, own_tokenizer = load_pruned(folder)
    first = Ticket.load(folder).mask
    heads = first.heads.copy()
    layer = int(heads.sum(axis=1).argmax())
    heads[layer, heads[layer].argmax()] = False
    second = Mask(first.structures, heads, first.ffn)
    prune(model, second).save_pretrained(folder)
    own_tokenizer.save_pretrained(folder)
    assert (folder / "ticket.json").is_file()  # the old one is still beside the smaller model
    out = export(folder, out=tmp_path / "out")
    assert not (out / "ticket.json").exists() and not (out / "ticket.safetensors").exists()
    card = (out / "README.md").read_text()
    assert "Its ticket is not in this folder: the model was pruned further" in card
    assert f"| attention heads | {heads.sum()} of 8 |" in card
    assert "Its scores are not known here" in card and "times as fast" not in card
    history = json.loads((out / "config.json").read_text())["supertickets"]["history"]
    assert [entry["mask_sha256"] for entry in history] == [first.sha256, second.sha256]
    assert [entry["heads"] for entry in history] == [int(first.heads.sum()), int(heads.sum())]
    single = structures_of(model, "neuron")
    ffn = np.ones(single.ffn.shape, bool)
    ffn[:, :8] = False  # inside the sublayers, of which the ticket knows wholes only
    model, _ = load_pruned(tmp_path / "before")
    prune(model, Mask(single, np.ones(single.heads.shape, bool), ffn)).save_pretrained(tmp_path / "before")
    assert not (export(tmp_path / "before", out=tmp_path / "neurons") / "ticket.json").exists()


@pytest.mark.parametrize("to", ["hf", "onnx"])
def test_from_a_smaller_vocabulary_to_a_loaded_model(to: Literal["hf", "onnx"], tmp_path: Path) -> None:
    """Vocabulary, pruning, export, loading: the same outputs on the same texts; the card counts of the full model."""
    model, texts = build("bert", "sdpa"), ["word7 word8 word9", "word12"]
    full = sum(weight.numel() for weight in model.base_model.parameters())
    model, fewer = supertickets.prune_vocabulary(model, tokenizer(), texts)
    structures = structures_of(model)
    ffn = np.ones(structures.ffn.shape, bool)
    ffn[1] = False
    model = prune(model, Mask(structures, np.ones(structures.heads.shape, bool), ffn))
    size = sum(weight.numel() for weight in model.base_model.parameters())
    model.save_pretrained(tmp_path / "own")
    fewer.save_pretrained(tmp_path / "own")
    out = export(tmp_path / "own", to=to, out=tmp_path / "out")
    again = AutoTokenizer.from_pretrained(out)
    encoded = again(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**fewer(texts, padding=True, return_tensors="pt")).logits
        loaded = load_onnx(out) if to == "onnx" else AutoModelForSequenceClassification.from_pretrained(out)
        torch.testing.assert_close(loaded(**encoded).logits, expected, atol=1e-4 if to == "onnx" else 0, rtol=0)
    card = (out / "README.md").read_text()
    assert f"| tokens | {len(again)} of 99 |" in card and len(again) < 60
    assert f"| {size:,} ({size / full:.1%}) |" in card


def test_a_full_tuned_model(tmp_path: Path) -> None:
    """A classifier that is not pruned exports, too: by stock code, or to ONNX; the card calls nothing pruned."""
    model = build("bert", "sdpa")
    own = saved(model, tmp_path / "own")
    out = export(own, out=tmp_path / "out")
    assert torch.equal(outputs(AutoModelForSequenceClassification.from_pretrained(out)), outputs(model))
    assert not (out / "modeling_supertickets.py").exists()
    card = (out / "README.md").read_text()
    assert "# A tuned bert encoder" in card and "| attention heads | 12 of 12 |" in card and "(100.0%)" in card
    inputs = {name: value for name, value in batch().items() if name != "labels"}
    said = load_onnx(export(own, to="onnx", out=tmp_path / "onnx"))(**inputs).logits
    torch.testing.assert_close(said, outputs(model), atol=1e-4, rtol=0)


def test_each_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ONNX folder has one list of checksums."""
    hashed: list[str] = []
    real = storage.sha256_file
    monkeypatch.setattr(storage, "sha256_file", lambda path: hashed.append(path.name) or real(path))
    out = export(saved(pruned(), tmp_path / "own"), to="onnx", out=tmp_path / "out")
    assert hashed.count("model.onnx") == 1 and "sha256" not in (out / "onnx.json").read_text()
    assert set(hashed) == set(storage.read_json(out / "checksums.json"))


def test_a_format_that_is_not_known(tmp_path: Path) -> None:
    """Without the type checks of these tests, another format is one sentence."""
    own = saved(pruned(), tmp_path / "own")
    with pytest.raises(UserError, match=r"to: 'tflite' is not a format known here \(hf, onnx\)"):
        inspect.unwrap(export)(own, to="tflite", out=tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_not_overwritten(tmp_path: Path) -> None:
    """--out must be new or empty; the files in it stay."""
    own = saved(pruned(), tmp_path / "own")
    (tmp_path / "out").mkdir()
    export(own, out=tmp_path / "out")
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert "already exists" in refusal(own, out=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before


def test_a_failed_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last file cannot be written, there is no folder."""
    own = saved(pruned(), tmp_path / "own")

    def fail(*_: object) -> None:
        raise RuntimeError("the machine stopped")

    monkeypatch.setattr("supertickets.encoders.export.write_checksums", fail)
    with pytest.raises(RuntimeError, match="the machine stopped"):
        export(own, out=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`supertickets export` prints where the folder is; what cannot be exported is exit code 2."""
    own = saved(pruned(), tmp_path / "own")
    capsys.readouterr()
    assert main(["export", str(own), "--to", "hf", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "supertickets-bert"
    assert main(["export", str(own), "--out", str(tmp_path / "out")]) == 2
    assert "already exists" in capsys.readouterr().err
