"""A ticket's model folder gives the model back, bit for bit, or says in one sentence why not."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from small_examples import tokenizer
from small_models import CONFIGS, EAGER_ONLY, batch, build
from supertickets.encoders import checkpoints, modeling_supertickets
from supertickets.encoders.export import save_ticket_model
from supertickets.encoders.families import family_of, structures_of
from supertickets.encoders.loading import load
from supertickets.encoders.pruning import kept_units, prune
from supertickets.encoders.rewinding import RewindPoint
from supertickets.errors import UserError
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask
from supertickets.tickets.ticket import Ticket

HEADS = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
FFN = np.array([[1], [0], [0]], dtype=bool)


def ticket_model(family: str = "bert", **settings: Any) -> tuple[PreTrainedModel, Ticket]:
    """A pruned model with its ticket, under the attention that transformers chooses by itself."""
    model = build(family, "eager" if family in EAGER_ONLY else "sdpa", **settings)
    structures = structures_of(model)
    mask = Mask(structures, HEADS, FFN)
    rng = np.random.default_rng(0)
    importance = Importance(structures, rng.random(HEADS.shape), rng.random(FFN.shape))
    ticket = Ticket(mask, "winning", 0.5, 7, "some/encoder", RewindPoint.of(model).sha256, importance, {"git": "abc"})
    return prune(model, mask), ticket


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ticket's model folder, to be broken, or changed on purpose: without its checksums anyone may."""
    model, ticket = ticket_model()
    save_ticket_model(tmp_path / "ticket", model, tokenizer(), ticket)
    return tmp_path / "ticket"


def changed(folder: Path) -> Path:
    """The folder without its checksums."""
    (folder / "checksums.json").unlink()
    return folder


def refusal(folder: Path) -> str:
    """The one sentence with which loading is refused."""
    with pytest.raises(UserError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("family", CONFIGS)
def test_logits_come_back_bit_for_bit(family: str, tmp_path: Path) -> None:
    """Saved and loaded, the model is as small as before, keeps its trained head, and gives the same logits."""
    model, ticket = ticket_model(family, num_labels=3)
    save_ticket_model(tmp_path / "ticket", model, tokenizer(), ticket)
    loaded, _ = load(tmp_path / "ticket", seed=5)
    inputs = {name: value for name, value in batch().items() if name != "labels"}
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    assert loaded.num_parameters() == model.num_parameters()
    assert kept_units(loaded) == kept_units(model)
    assert loaded.config.num_labels == 3
    assert not loaded.training


def test_regression_comes_back_as_regression(tmp_path: Path) -> None:
    """One output, and squared error; two classes are refused."""
    model, ticket = ticket_model(num_labels=1, problem_type="regression")
    save_ticket_model(tmp_path / "ticket", model, tokenizer(), ticket)
    loaded, _ = load(tmp_path / "ticket")
    with pytest.raises(UserError, match="this ticket's trained head has 1 classes"):
        load(tmp_path / "ticket", classes=2)
    assert (loaded.config.num_labels, loaded.config.problem_type) == (1, "regression")


def test_saved_again_it_is_the_same(folder: Path, tmp_path: Path) -> None:
    """A loaded ticket model can be saved and loaded once more without a change."""
    model, loaded_tokenizer = load(folder)
    save_ticket_model(tmp_path / "again", model, loaded_tokenizer, Ticket.load(folder))
    again, _ = load(tmp_path / "again")
    ours, theirs = model.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_the_folder_holds_model_tokenizer_and_ticket(folder: Path) -> None:
    """Weights in safetensors, nothing pickled, the ticket as it was, the kept units in the config."""
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "ticket.json", "ticket.safetensors"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pkl", ".pickle")) for name in names)
    ticket = Ticket.load(folder)
    assert (ticket.mask, ticket.importance) == (ticket_model()[1].mask, ticket_model()[1].importance)
    config = json.loads((folder / "config.json").read_text())
    assert config["supertickets"] == {
        "heads": [[0, 2, 3], [], [1]],
        "ffn": [1, 0, 0],
        "family": family_of("bert").row(),
        "history": [{"mask_sha256": ticket.mask.sha256, "heads": 4, "neurons": 48, "version": version("supertickets")}],
    }
    listed = json.loads((folder / "checksums.json").read_text())
    assert set(listed) == names - {"checksums.json"}
    assert AutoTokenizer.from_pretrained(folder).get_vocab() == tokenizer().get_vocab()


def test_neurons_come_back(tmp_path: Path) -> None:
    """A ticket of single neurons loads as small as it was, with equal logits."""
    model = build("bert", "sdpa")
    structures = structures_of(model, "neuron")
    mask = Mask(structures, HEADS, np.random.default_rng(0).random(structures.ffn.shape) < 0.5)
    ticket = Ticket(mask, "winning", 0.5, 7, "some/encoder", RewindPoint.of(model).sha256)
    save_ticket_model(tmp_path / "ticket", prune(model, mask), tokenizer(), ticket)
    loaded, _ = load(tmp_path / "ticket")
    inputs = {name: value for name, value in batch().items() if name != "labels"}
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    assert loaded.num_parameters() == model.num_parameters()
    assert Ticket.load(tmp_path / "ticket").mask == mask


def test_a_first_folder_still_loads(folder: Path) -> None:
    """Folders of version 0.1 list the kept units under the architecture's own type, without the row of paths."""
    expected, _ = load(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["auto_map"], config["supertickets"]["family"]
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    (folder / "modeling_supertickets.py").unlink()
    loaded, _ = load(changed(folder))
    assert loaded.config.model_type == "supertickets-bert"
    ours, theirs = loaded.state_dict(), expected.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_loading_leaves_the_generator_alone(folder: Path) -> None:
    """Building the small model draws nothing from the caller's numbers."""
    before = torch.get_rng_state()
    load(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_full_model_is_no_tickets_model(tmp_path: Path) -> None:
    """One sentence, and no folder."""
    with pytest.raises(UserError, match="this model is not pruned"):
        save_ticket_model(tmp_path / "ticket", build("bert"), tokenizer(), ticket_model()[1])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_keeps_the_old_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last file cannot be written, the folder is the one from before."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model, ticket = ticket_model()

    def fail(*_: object) -> None:
        raise RuntimeError("the machine stopped")

    monkeypatch.setattr(Ticket, "save", fail)
    with pytest.raises(RuntimeError, match="the machine stopped"):
        save_ticket_model(folder, model, tokenizer(), ticket)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["ticket"]


def test_saving_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No progress bar of transformers runs over our own lines."""
    monkeypatch.setattr(logging, "_tqdm_active", True)
    monkeypatch.setattr(logging, "enable_progress_bar", lambda: None)  # the tests' environment forbids it
    model, ticket = ticket_model()
    save_ticket_model(tmp_path / "ticket", model, tokenizer(), ticket)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [0, 500, 30_000])
def test_torn_weights(folder: Path, size: int) -> None:
    """A weights file that was cut, wherever, is one sentence, with checksums and without."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert "model.safetensors is not the file that was exported: its checksum differs" in refusal(folder)
    sentence = refusal(changed(folder))
    assert sentence.startswith((f"{folder}: the weights do not fit", f"{folder}: its weights cannot be read"))


def test_a_listed_file_that_is_gone(folder: Path) -> None:
    """A file that was exported with the model, such as its tokenizer's settings, is missed by name."""
    (folder / "tokenizer_config.json").unlink()
    assert checkpoints.CHECKSUMS_FILE == modeling_supertickets.CHECKSUMS_FILE
    with pytest.raises(UserError, match=r"tokenizer_config\.json was written with this model and is missing"):
        load(folder)


def test_weights_of_other_units(folder: Path) -> None:
    """A config that lists another head than the weights hold is one sentence, and no model with random weights."""
    config = json.loads((folder / "config.json").read_text())
    config["supertickets"]["heads"][0] = [0, 1, 2, 3]
    (folder / "config.json").write_text(json.dumps(config))
    assert refusal(changed(folder)).startswith(f"{folder}: the weights do not fit the units that config.json lists")


@pytest.mark.parametrize(
    "units",
    [
        {"heads": [[0], [1]], "ffn": [1, 0]},  # two layers of three
        {"heads": [[0, 9], [], [1]], "ffn": [1, 0, 0]},  # a head that is not there
        {"heads": [[0, 2, 3], [], [1]]},
        [1, 2, 3],
    ],
)
def test_units_that_cannot_be(folder: Path, units: object) -> None:
    """A list of kept units that was edited by hand is one sentence."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"supertickets": units}))
    assert refusal(changed(folder)).startswith(f"{folder}: the ")


def test_the_auto_classes_compare_checksums(folder: Path) -> None:
    """One weight changed after the export is one sentence for transformers' own loading, and gone with the list."""
    path = folder / "model.safetensors"
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(bytes(body))
    for auto in (AutoModel, AutoModelForSequenceClassification):
        with pytest.raises(
            OSError, match=r"model\.safetensors is not the file that was exported: its checksum differs"
        ):
            auto.from_pretrained(folder)
    changed(folder)
    AutoModel.from_pretrained(folder)


def test_trained_on_and_saved_in_place_it_loads(folder: Path) -> None:
    """Saving into an exported folder, loaded or pruned in memory, takes its checksums away: the change was meant."""
    loaded, _ = load(folder)
    in_memory, ticket = ticket_model()
    for model in (loaded, in_memory):
        save_ticket_model(folder, model, tokenizer(), ticket)
        assert (folder / "checksums.json").is_file()
        with torch.no_grad():
            model.classifier.bias.add_(1)
        model.save_pretrained(folder)
        assert not (folder / "checksums.json").exists()
        assert torch.equal(load(folder)[0].classifier.bias, model.classifier.bias)
