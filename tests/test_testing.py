"""The public batteries pass on everything of ours, and each of their checks can fail."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import nn
from transformers import GPT2Config, GPT2Model, PreTrainedModel, PreTrainedTokenizerFast

from small_models import CONFIGS, EAGER_ONLY, build
from supertickets.encoders import families, onnx, pruning
from supertickets.encoders import modeling_supertickets as shrinking
from supertickets.encoders.families import BERT, FAMILIES, Family, layers_of, register, structures_of
from supertickets.encoders.gating import Gating, gate
from supertickets.encoders.loading import load
from supertickets.errors import UserError
from supertickets.learning.scoring import ORDERED, SCORERS, Batch
from supertickets.testing import CHECKS, SCORER_CHECKS, CheckLeftOut, check_family, check_scorer, family_checks
from supertickets.testing import families as battery
from supertickets.testing.masks import half
from supertickets.testing.passes import largest_difference, outputs
from supertickets.tickets.importance import Importance
from supertickets.tickets.structures import Structures

PAGE = Path(__file__).resolve().parents[1] / "docs" / "add-a-family.md"
EXPORTED = ("bert", "modernbert")  # an export takes as long as all other checks: the other families' are slow tests
CASES = [
    pytest.param(family, name, marks=[pytest.mark.slow] if name == "onnx_runtime" and family not in EXPORTED else [])
    for family in CONFIGS
    for name in CHECKS
]


@pytest.mark.parametrize(("family", "name"), CASES)
def test_every_family_passes_every_check(family: str, name: str) -> None:
    """Each architecture on a small random classifier, with SDPA where it has that."""
    checks = dict(family_checks(build(family, "eager" if family in EAGER_ONLY else "sdpa")))
    assert list(checks) == list(CHECKS)
    checks[name]()


def test_the_model_is_left_as_it_was() -> None:
    """Weights, mode and config are what they were, and a model in training mode is checked like any other."""
    model = build("bert").train()
    weights, config = copy.deepcopy(model.state_dict()), model.config.to_dict()
    check_family(model)
    assert model.training and model.config.to_dict() == config
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_own_inputs_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is given is the batch that every check sees."""
    model, seen = build("bert"), []
    monkeypatch.setattr(battery, "CHECKS", {"looks": lambda _, inputs: seen.append(inputs["input_ids"].shape)})
    check_family(model, {"input_ids": torch.ones(2, 5, dtype=torch.long)})
    check_family(model)
    assert seen == [(2, 5), (3, 12)]


def test_a_missing_package_is_named_in_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without onnxruntime the check is left out, with the reason, and not silently."""
    monkeypatch.setattr(battery, "find_spec", lambda name: None if name == "onnxruntime" else name)
    monkeypatch.setattr(battery, "CHECKS", {"onnx_runtime": CHECKS["onnx_runtime"]})
    with pytest.warns(CheckLeftOut, match="left out onnx_runtime: needs the package onnxruntime"):
        check_family(build("bert"))


def test_an_architecture_without_a_row_is_bad_input() -> None:
    """It is one sentence that names the known ones, and no failed check."""
    model = GPT2Model(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=20))
    with pytest.raises(UserError, match="'gpt2' is not an encoder family known here"):
        check_family(model)


def break_row(family: str, **changes: Any) -> Callable[[pytest.MonkeyPatch], None]:
    """A row of the table that is wrong in one entry."""
    return lambda patch: patch.setitem(FAMILIES, family, replace(FAMILIES[family], **changes))


def forget_head_count(patch: pytest.MonkeyPatch) -> None:
    """Slice DeBERTa's projections and leave the number of heads, which its forward pass reads, as it was."""
    keep_heads = shrinking._keep_heads

    def forgetful(layer: nn.Module, kept: list[int], size: int, family: dict[str, Any]) -> None:
        core = shrinking.part(layer, family["core"])
        heads = core.num_attention_heads
        keep_heads(layer, kept, size, family)
        if kept:
            core.num_attention_heads = heads

    patch.setattr(shrinking, "_keep_heads", forgetful)


def drop_bias_with_neurons(patch: pytest.MonkeyPatch) -> None:
    """Drop the output bias with the last neuron, which belongs to the sublayer."""
    keep_neurons = shrinking._keep_neurons
    patch.setattr(shrinking, "_keep_neurons", lambda layer, kept, family: keep_neurons(layer, kept or None, family))


def keep_bias_without_ffn(patch: pytest.MonkeyPatch) -> None:
    """Keep the output bias of a sublayer that is dropped."""
    keep_neurons = shrinking._keep_neurons
    patch.setattr(shrinking, "_keep_neurons", lambda layer, kept, family: keep_neurons(layer, kept or [], family))


def drop_bias_with_heads(patch: pytest.MonkeyPatch) -> None:
    """Drop the output bias with the last head."""
    patch.setattr(shrinking.Constant, "forward", lambda self, states: torch.zeros_like(states))


def half_gates(patch: pytest.MonkeyPatch) -> None:
    """Gates that act half as much as they should where they are almost open."""
    plain = Gating.__init__
    patch.setattr(
        Gating,
        "__init__",
        lambda self, model, heads, ffn: plain(self, model, heads, ffn.detach() + ffn / 2 - ffn.detach() / 2),
    )


def forget_first_mask(patch: pytest.MonkeyPatch) -> None:
    """Number the units of a pruned model as those of the full one, so that others go."""
    patch.setattr(pruning, "_places", lambda units, among: [unit % len(among) for unit in units])


def miscount(patch: pytest.MonkeyPatch) -> None:
    """Count a weight too many in every head."""
    plain = families._head_weights
    patch.setattr(families, "_head_weights", lambda layer, family: plain(layer, family) + 4)


def save_without_units(patch: pytest.MonkeyPatch) -> None:
    """Save under the architecture's own name, which loads as a full model."""
    patch.setattr(pruning, "own_config", lambda config: None)


def freeze_kept(patch: pytest.MonkeyPatch) -> None:
    """Put copies where training cannot see them."""
    plain = shrinking._keep_columns

    def detached(projection: nn.Linear, kept: list[int]) -> None:
        plain(projection, kept)
        projection.register_forward_pre_hook(lambda module, arguments: (arguments[0].detach(),))

    patch.setattr(shrinking, "_keep_columns", detached)


def hide_weights(patch: pytest.MonkeyPatch) -> None:
    """A bypass that transformers does not know as an attention."""
    patch.setattr(shrinking, "_without_heads", lambda stock: shrinking.NoHeads)


def other_under_sdpa(patch: pytest.MonkeyPatch) -> None:
    """A bypass that gives twice its output under one backend."""
    plain = shrinking.NoHeads.forward

    def forward(self: Any, hidden_states: torch.Tensor, *rest: Any, **named: Any) -> Any:
        output, weights = plain(self, hidden_states, *rest, **named)
        return (output if weights is not None else 2 * output), weights

    patch.setattr(shrinking.NoHeads, "forward", forward)


def other_in_onnx(patch: pytest.MonkeyPatch) -> None:
    """An exported model whose outputs are shifted, and whose export does not notice."""
    plain = onnx.OnnxModel.__call__

    def shifted(self: Any, **batch: torch.Tensor) -> Any:
        found = plain(self, **batch)
        found.logits += 0.1
        return found

    patch.setattr(onnx, "TOLERANCE", 1.0)
    patch.setattr(onnx.OnnxModel, "__call__", shifted)


BROKEN: list[tuple[str, str, Callable[[pytest.MonkeyPatch], None]]] = [
    ("gated_equals_pruned", "deberta-v2", forget_head_count),
    ("gated_equals_pruned", "mpnet", break_row("mpnet", position_bias=None)),
    ("gated_equals_pruned", "bert", break_row("bert", output="attention.self.value")),
    ("gate_gradients", "bert", half_gates),
    ("layer_without_heads", "bert", drop_bias_with_heads),
    ("layer_without_ffn", "bert", keep_bias_without_ffn),
    ("layer_without_neurons", "bert", drop_bias_with_neurons),
    ("nothing_left", "deberta-v2", break_row("deberta-v2", optional=())),
    ("pruning_twice", "bert", forget_first_mask),
    ("counted_weights", "bert", miscount),
    ("saved_equals_loaded", "bert", save_without_units),
    ("training_step", "bert", freeze_kept),
    ("attention_weights", "bert", hide_weights),
    ("attention_backends", "distilbert", other_under_sdpa),
    ("onnx_runtime", "bert", other_in_onnx),
]


@pytest.mark.parametrize(("name", "family", "break_it"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_family_fails_the_check(
    name: str, family: str, break_it: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check that is meant to find this fault raises AssertionError with its own name."""
    checks = dict(family_checks(build(family)))
    break_it(monkeypatch)
    with pytest.raises(AssertionError, match=f"^{name}: "):
        checks[name]()


def test_every_check_was_seen_to_fail() -> None:
    """The broken families reach each check of the table."""
    assert {name for name, _, _ in BROKEN} == set(CHECKS)


@pytest.mark.parametrize("name", SCORERS)
def test_every_scorer_passes(name: str) -> None:
    """Each scorer of the table, the ordered one as such."""
    check_scorer(name, ordered=name in ORDERED)


def importance(structures: Structures, scale: float = 1.0) -> Importance:
    """Scores 1, 2, 3 ... of every unit."""
    heads, ffn = (scale * np.arange(1.0, 1 + one.size).reshape(one.shape) for one in (structures.heads, structures.ffn))
    return Importance(structures, heads, ffn)


def flat(model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
    """Scores that are all the same."""
    return Importance(structures, np.ones(structures.heads.shape), np.ones(structures.ffn.shape))


def sublayers_only(model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
    """Scores of whole sublayers, whatever was asked for."""
    return importance(structures_of(model))


def unseeded(model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
    """Scores that are others every time."""
    return importance(structures, float(np.random.default_rng().random()))


def trains(model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
    """A scorer that moves the weights."""
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    return importance(structures)


def leaves_gates(model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
    """A scorer that forgets to take its hooks off."""
    layers_of(model)[0].register_forward_hook(lambda module, arguments, output: output * 1.01)
    return importance(structures)


def counts_batches(model: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
    """Scores that grow with the number of batches."""
    return importance(structures, float(sum(1 for _ in batches)))


@pytest.mark.parametrize(
    ("name", "scorer"),
    [
        ("one_score_per_unit", flat),
        ("one_score_per_unit", sublayers_only),
        ("same_for_a_seed", unseeded),
        ("leaves_the_model", trains),
        ("leaves_the_model", leaves_gates),
        ("independent_of_batches", counts_batches),
    ],
)
def test_a_broken_scorer_fails_the_check(name: str, scorer: Any) -> None:
    """The check that is meant to find this fault raises AssertionError with its own name."""
    assert name in SCORER_CHECKS
    with pytest.raises(AssertionError, match=f"^{name}, FFN (sublayer|neuron)s: "):
        check_scorer(scorer)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The code blocks of docs/add-a-family.md; what they register is forgotten afterwards."""
    if not PAGE.is_file():
        pytest.skip("the documentation is not part of the package")
    monkeypatch.setattr(families, "FAMILIES", dict(FAMILIES))
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_a_stranger_adds_a_family(page: list[str]) -> None:
    """The page's code, under 30 lines, makes an architecture that is not listed pass the battery."""
    assert "esm" not in FAMILIES and len(page[0].splitlines()) < 30 and "check_family" in page[0]
    namespace: dict[str, Any] = {}
    exec(compile(page[0], str(PAGE), "exec"), namespace)
    assert families.FAMILIES["esm"] is namespace["ESM"]
    exec(compile(page[1], str(PAGE), "exec"), namespace)
    assert list(namespace["CHECKS"]) == list(CHECKS)


def test_the_page_names_every_check(page: list[str]) -> None:
    """Each check of the battery, and each field of a row, stands in the page."""
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in (*CHECKS, *(field.name for field in fields(Family))) if f"`{name}`" not in text] == [
        "model_types"
    ]


@pytest.mark.parametrize(
    ("types", "what"), [(("bert",), "'bert' has a row already"), (("esm", "made-up"), "'made-up' is no model type")]
)
def test_register_refuses(types: tuple[str, ...], what: str) -> None:
    """A known or an unknown model type is one sentence, and nothing is registered."""
    before = dict(FAMILIES)
    with pytest.raises(UserError, match=what):
        register(replace(BERT, model_types=types))
    assert before == FAMILIES


def test_ordered_scorers_are_spared_one_check() -> None:
    """The 2021 code depends on batches: only `ordered` lets it pass."""
    with pytest.raises(AssertionError, match=r"^independent_of_batches, .* scores differ by \d+ %"):
        check_scorer("as_released")


def test_a_pruned_strangers_folder_brings_its_row(page: list[str], tmp_path: Path) -> None:
    """Where nobody called `register`, a folder of ESM loads, and its model is gated and pruned further."""
    namespace: dict[str, Any] = {}
    exec(compile(page[0].rpartition("check_family(")[0], str(PAGE), "exec"), namespace)
    model = namespace["EsmForSequenceClassification"](namespace["config"])
    pruning.prune(model, half(structures_of(model, "neuron"))).save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"[UNK]": 0}))).save_pretrained(tmp_path)
    del families.FAMILIES["esm"]
    loaded, _ = load(tmp_path)
    assert families.row_of(loaded.config) == namespace["ESM"]
    structures, more = structures_of(loaded, "neuron"), half(structures_of(loaded, "neuron"), seed=1)
    assert structures.architecture == "esm"
    inputs = {"input_ids": torch.full((2, 6), 5)}
    with gate(loaded, more):
        gated = outputs(loaded, inputs)
    assert largest_difference(outputs(pruning.prune(loaded, more), inputs), gated) < 1e-5
    with pytest.raises(UserError, match="'esm' is not an encoder family known here"):
        structures_of(namespace["EsmForSequenceClassification"](namespace["config"]))
