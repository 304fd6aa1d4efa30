"""A pruned model's folder loads through transformers' own classes: with this package, and without it."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModel, BertConfig, BertForSequenceClassification, PreTrainedModel

from small_examples import tokenizer
from small_models import CONFIGS, EAGER_ONLY, batch, build
from supertickets.encoders import families, modeling_supertickets, registry
from supertickets.encoders.families import structures_of
from supertickets.encoders.modeling_supertickets import HEADS
from supertickets.encoders.pruning import kept_units, prune
from supertickets.tickets.masks import Mask

# Without the package: whatever tries to import it fails, as on a machine that does not have it.
STRANGER = """
import json, sys, traceback
import numpy as np

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "supertickets":
            raise ImportError("there is no such package here")

if {hide}:
    sys.meta_path.insert(0, Hidden())
import torch, transformers

for folder, auto in json.loads(sys.argv[1]):
    inputs = {{name: torch.from_numpy(array) for name, array in np.load(folder + "/inputs.npz").items()}}
    try:
        getattr(transformers, auto).from_pretrained(folder)
    except ValueError as refused:
        assert "custom code" in str(refused) and "trust_remote_code=True" in str(refused), refused
    else:
        raise AssertionError("loaded without the flag")
    model, found = getattr(transformers, auto).from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
    assert not found["missing_keys"] and not found["mismatched_keys"] and not found["unexpected_keys"], found
    assert type(model).__name__.startswith("Ticket") and not [name for name in sys.modules if "supertickets." in name
        and not name.startswith("transformers_modules")]
    with torch.no_grad():
        np.save(folder + "/outputs.npy", model.eval()(**inputs)[0].numpy())
    model.save_pretrained(folder + "-again")
    transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
"""


def auto_name(head: str) -> str:
    """The Auto class of a head."""
    return f"AutoModel{head.removeprefix('Model')}"


def pruned(family: str, head: str = "ForSequenceClassification", *, neurons: bool = True) -> PreTrainedModel:
    """A model without the heads of its first layer, with half of the others, and with some neurons or no FFN."""
    attention = "eager" if family in EAGER_ONLY else "sdpa"
    model = build(family, attention, getattr(transformers, auto_name(head)))
    structures = structures_of(model, "neuron" if neurons else "sublayer")
    rng = np.random.default_rng(0)
    heads, ffn = rng.random(structures.heads.shape) < 0.5, rng.random(structures.ffn.shape) < 0.5
    heads[0], heads[1, 0], ffn[-1] = False, True, False
    return prune(model, Mask(structures, heads, ffn))


def inputs_of(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """A batch without labels; two choices where the head chooses."""
    plain = {name: value for name, value in batch().items() if name != "labels"}
    several = type(model).__name__.endswith("ForMultipleChoice")
    return {name: value[:, None].repeat(1, 2, 1) for name, value in plain.items()} if several else plain


def outputs(model: PreTrainedModel) -> torch.Tensor:
    """What the head, or the encoder, says."""
    with torch.no_grad():
        found: torch.Tensor = model(**inputs_of(model))[0]
    return found


def saved(model: PreTrainedModel, folder: Path) -> Path:
    """The folder of a model and a tokenizer, as a user saves them."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def run(python: Path | str, code: str, folder: Path, *arguments: str) -> str:
    """Run code elsewhere, offline, without anyone to answer a prompt; returns what it prints."""
    environment = os.environ | {"HF_MODULES_CACHE": str(folder / "modules"), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    command = [str(python), "-I", "-c", code, *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=250, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", CONFIGS)
def test_auto_classes_load_it(family: str, head: str, tmp_path: Path) -> None:
    """Saved with save_pretrained, every family under every head comes back through its Auto class, bit for bit."""
    if auto_name(head) not in modeling_supertickets.auto_map(type(CONFIGS[family]()).__name__):
        pytest.skip("this family has no such head")
    model = pruned(family, head)
    folder = saved(model, tmp_path)
    auto = getattr(transformers, auto_name(head))
    loaded, found = auto.from_pretrained(folder, output_loading_info=True, attn_implementation=None)
    assert not any(found[kind] for kind in ("missing_keys", "mismatched_keys", "unexpected_keys"))
    assert torch.equal(outputs(loaded), outputs(model))
    assert loaded.num_parameters() == model.num_parameters() and kept_units(loaded) == kept_units(model)
    assert isinstance(loaded, type(model)) and loaded.config.model_type == f"supertickets-{family}"


def test_pipeline_runs_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """transformers' pipeline takes the folder as it takes any other, without a complaint."""
    model = pruned("bert")
    logging.getLogger("transformers").propagate = True
    try:
        found = transformers.pipeline("text-classification", model=str(saved(model, tmp_path)))("word7 word8", top_k=2)
    finally:
        logging.getLogger("transformers").propagate = False
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    with torch.no_grad():
        expected = model(**tokenizer()("word7 word8", return_tensors="pt")).logits.softmax(-1)[0]
    assert {row["label"]: pytest.approx(row["score"], abs=1e-6) for row in found} == {
        f"LABEL_{index}": value for index, value in enumerate(expected.tolist())
    }


def test_whole_sublayers_come_back(tmp_path: Path) -> None:
    """A dropped FFN sublayer takes its bias with it, and loads so."""
    model = pruned("bert", neurons=False)
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(saved(model, tmp_path))
    assert torch.equal(outputs(loaded), outputs(model))
    assert loaded.config.supertickets["ffn"][-1] == 0


def test_another_head_takes_the_encoder(tmp_path: Path) -> None:
    """A pruned language model's folder gives its encoder to AutoModel and to a fresh classifier."""
    model = pruned("bert", "ForMaskedLM")
    folder = saved(model, tmp_path)
    encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    for name, value in model.bert.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], value)
        assert torch.equal(classifier.bert.state_dict()[name], value)


def test_folder_has_one_code_file_and_our_own_type(tmp_path: Path) -> None:
    """The config names the own type and, for each head, a class of the one Python file beside it."""
    folder = saved(pruned("bert"), tmp_path)
    assert [path.name for path in folder.glob("*.py")] == ["modeling_supertickets.py"]
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "supertickets-bert"
    assert set(config["auto_map"]) == {"AutoConfig", *map(auto_name, HEADS)}
    assert config["auto_map"]["AutoModel"] == "modeling_supertickets.TicketBertModel"


def stranger_loads(python: Path | str, folder: Path, *, hide: bool) -> None:
    """All heads of a tiny BERT, and all families, load without the package and say the same."""
    kinds = [("bert", head) for head in HEADS] + [(family, "ForSequenceClassification") for family in CONFIGS]
    expected, asked = {}, []
    for family, head in kinds:
        model = pruned(family, head)
        place = saved(model, folder / f"{family}-{head}")
        np.savez(place / "inputs.npz", **{name: value.numpy() for name, value in inputs_of(model).items()})
        expected[place] = outputs(model).numpy()
        asked.append((str(place), auto_name(head)))
    run(python, STRANGER.format(hide=hide), folder, json.dumps(asked))
    for place, said in expected.items():
        np.testing.assert_allclose(np.load(place / "outputs.npy"), said, atol=1e-6)
        again = place.with_name(f"{place.name}-again")
        assert (again / "modeling_supertickets.py").is_file()
        assert "--" not in (again / "config.json").read_text()


def test_without_the_package_the_flag_loads_it_and_no_flag_is_refused(tmp_path: Path) -> None:
    """One process that cannot import the package: clear refusals without the flag, equal outputs with it."""
    stranger_loads(sys.executable, tmp_path, hide=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_clean_environment_loads_it(tmp_path: Path) -> None:
    """A new virtual environment with torch and transformers alone loads every folder."""
    wanted = ("torch", "transformers", "numpy")
    constraints = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
    pins = [line for line in constraints if line.partition("==")[0].strip() in wanted]
    assert len(pins) == len(wanted)
    venv.create(tmp_path / "clean", with_pip=True)
    python = tmp_path / "clean" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *pins], check=True, timeout=1500)
    stranger_loads(python, tmp_path / "folders", hide=False)


def test_attention_weights_of_a_pruned_model() -> None:
    """What a pruned model can record is what the full one could: a tensor per layer, with its kept heads."""
    model = build("bert", "eager")
    structures = structures_of(model)
    heads = np.ones(structures.heads.shape, bool)
    heads[1, :3] = False
    prune(model, Mask(structures, heads, np.ones(structures.ffn.shape, bool)))
    found = model(**inputs_of(model), output_attentions=True, output_hidden_states=True)
    assert [weights.shape[1] for weights in found.attentions] == [4, 1, 4]
    assert len(found.hidden_states) == 4
    assert type(model) is BertForSequenceClassification


def test_copies_pickles_and_configs(tmp_path: Path) -> None:
    """A loaded model can be copied, pickled and saved again, and its config builds one of its shape."""
    model = AutoModel.from_pretrained(saved(pruned("mpnet", "Model"), tmp_path))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(other) is type(model) and torch.equal(outputs(other), outputs(model))
    model.save_pretrained(tmp_path / "again")
    assert torch.equal(outputs(AutoModel.from_pretrained(tmp_path / "again")), outputs(model))
    assert AutoModel.from_config(model.config).num_parameters() == model.num_parameters()
    config = pickle.loads(pickle.dumps(model.config))
    assert type(config) is type(model.config) and config.to_dict() == model.config.to_dict()


def test_pruned_again_and_saved(tmp_path: Path) -> None:
    """A loaded model prunes further, and its folder loads."""
    model = AutoModel.from_pretrained(saved(pruned("bert", "Model"), tmp_path / "once"))
    structures = structures_of(model)
    heads = np.ones(structures.heads.shape, bool)
    heads[:, 0] = False
    prune(model, Mask(structures, heads, np.ones(structures.ffn.shape, bool)))
    again = AutoModel.from_pretrained(saved(model, tmp_path / "twice"))
    assert torch.equal(outputs(again), outputs(model))
    assert all(0 not in row for row in again.config.supertickets["heads"])


@pytest.mark.parametrize("heads", [[0, 9], [1, 0], [1, 1], [-1]])
def test_heads_that_cannot_be(heads: list[int], tmp_path: Path) -> None:
    """A config with heads that are not there builds nothing."""
    folder = saved(pruned("bert"), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["supertickets"]["heads"][1] = heads
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="kept heads must be ascending numbers below 4"):
        AutoModel.from_config(AutoConfig.from_pretrained(folder))


def test_lists_of_families_agree() -> None:
    """What is registered is what can be pruned, under one own type."""
    assert set(registry.MODEL_TYPES) == set(families.FAMILIES)
    assert registry.OWN_TYPE == families.OWN_TYPE == modeling_supertickets.OWN_TYPE
    for model_type in registry.MODEL_TYPES:
        assert AutoConfig.for_model(f"supertickets-{model_type}").model_type == f"supertickets-{model_type}"


def test_model_type_of_a_pruned_model(tiny_bert_folder: Path, tmp_path: Path) -> None:
    """In memory and in the file it is the own one, also for a model that was loaded from a file."""
    model = AutoModel.from_pretrained(tiny_bert_folder)
    assert model.config.model_type == "bert"
    prune(model, Mask.full(structures_of(model)))
    assert model.config.model_type == "supertickets-bert"
    assert AutoConfig.from_pretrained(saved(model, tmp_path)).model_type == "supertickets-bert"


def test_a_strangers_config_is_left_alone() -> None:
    """A config class that transformers does not have stays what it is."""

    class Own(BertConfig):
        model_type = "bert"

    config = Own()
    registry.own_config(config)
    assert type(config) is Own


@pytest.mark.parametrize("first", ["supertickets", "transformers.models.auto.modeling_auto"])
def test_registration_is_lazy(first: str, tmp_path: Path) -> None:
    """In either order of imports the folder loads, and until then no architecture's modules are imported for it."""
    folder = saved(pruned("bert", "Model"), tmp_path)
    code = f"""
import importlib, sys
importlib.import_module({first!r})
import supertickets
from transformers import AutoModel
own = [name for name in sys.modules if name.startswith("supertickets.encoders.modeling") or ".modeling_mpnet" in name]
assert not own, own
print(type(AutoModel.from_pretrained({str(folder)!r})).__name__)
assert not [name for name in sys.modules if ".modeling_mpnet" in name]
"""
    assert run(sys.executable, code, tmp_path).split()[-1] == "TicketBertModel"


def test_unknown_names_are_attribute_errors() -> None:
    """The module makes classes for what transformers has, and nothing else."""
    names: list[Any] = ["TicketNoSuchModel", "BertModel", "Ticket"]
    assert not [name for name in names if hasattr(modeling_supertickets, name)]
