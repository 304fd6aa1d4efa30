"""The 2021 code's defects (PAPER section 3), D1 to D14: ours has none of them.

D2 (random tickets drawn with replacement) has its tests in test_masks.py. D3 (one task's step moves
weights outside its ticket) can only happen where tasks share an encoder: here tickets train
physically pruned, so that no weight outside the ticket is left to move.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset

from small_examples import examples, one_by_one, padded, tokenizer
from small_models import CONFIGS, build
from supertickets.config import Config, ScorerName, TrainingConfig
from supertickets.data import splits
from supertickets.data.batching import tokenise
from supertickets.data.known import read_known
from supertickets.data.sampling import LengthBuckets
from supertickets.data.tasks import Task
from supertickets.encoders.export import save_ticket_model
from supertickets.encoders.families import structures_of
from supertickets.encoders.gating import Gating, gate, open_gates
from supertickets.encoders.loading import load
from supertickets.encoders.pruning import prune
from supertickets.encoders.rewinding import RewindPoint
from supertickets.experiments.delivery import super_run
from supertickets.experiments.outcome import choose, conclude
from supertickets.experiments.records import Cost, Record, Size
from supertickets.experiments.workspace import Workspace
from supertickets.learning.evaluation import predict
from supertickets.learning.metrics import score as score_predictions
from supertickets.learning.scoring import score
from supertickets.learning.training import TicketTrainer, train
from supertickets.tickets.masks import Mask
from supertickets.tickets.ticket import Ticket

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "supertickets"
TASK = Task("toy", "classification", ("no", "yes"), ("accuracy",))
FAST = TrainingConfig(epochs=1, batch_size=8, learning_rate=1e-3, precision="fp32")
HEADS = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
FFN = np.array([[1], [0], [0]], dtype=bool)


def ticket_of(name: str = "bert", **settings: object) -> Ticket:
    """A ticket with a layer without heads and layers without FFN."""
    model = build(name, **settings)
    mask = Mask(structures_of(model), HEADS, FFN)
    return Ticket(mask, "winning", 0.5, 0, name, RewindPoint.of(model).sha256)


def spread_of(scorer: ScorerName, ways: Sequence[list[dict[str, torch.Tensor]]]) -> float:
    """The largest relative difference between head scores over several ways of giving the same examples."""
    model = build("bert")
    found = np.stack([score(model, batches, scorer=scorer).heads for batches in ways])
    return float(((found.max(0) - found.min(0)) / found.mean(0)).max())


def test_d1_scores_do_not_depend_on_order_or_batch_size() -> None:
    """D1: reversed or regrouped batches move the released score by over 20 %, and ours by rounding alone."""
    data = examples(24)
    batches = padded(data, 6)
    assert spread_of("as_released", [batches, batches[::-1]]) > 0.2
    assert spread_of("as_released", [padded(data, 4), padded(data, 12)]) > 0.2
    for scorer in ("as_described", "taylor", "divergence"):
        assert spread_of(scorer, [batches, batches[::-1], padded(data, 1), padded(data, 24)]) < 1e-3


def test_d4_evaluation_needs_no_training() -> None:
    """D4: a model that was never trained is evaluated, and its predictions are its own."""
    model, data = build("bert"), examples(9)
    predictions = predict(model, data, tokenizer())
    np.testing.assert_allclose(predictions, one_by_one(model, data), atol=2e-6)
    assert score_predictions(TASK, predictions, np.asarray(data["labels"])).n == 9


def test_d5_rewinding_starts_from_the_pretrained_weights() -> None:
    """D5: a ticket trained in the process that tuned the full model equals one trained in a process that did not."""
    point = RewindPoint.of(build("bert"))
    mask = Mask(structures_of(point.model()), HEADS, FFN)

    def retrained() -> dict[str, torch.Tensor]:
        model = prune(point.model(), mask)
        train(model, examples(24), tokenizer(), FAST, seed=0)
        return dict(model.state_dict())

    before, identity = retrained(), point.sha256
    tuned = point.model()
    train(tuned, examples(24), tokenizer(), FAST, seed=0)
    score(tuned, padded(examples(24), 8))
    after = retrained()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert RewindPoint.of(point.model()).sha256 == identity != RewindPoint.of(tuned).sha256


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """What importing every module does in a fresh process with odd arguments: the folder it ran in, what it saw."""
    folder = tmp_path_factory.mktemp("imports")
    code = """
import logging, pkgutil, importlib, sys
root = logging.getLogger(); before = (list(root.handlers), root.level)
import supertickets
for module in pkgutil.walk_packages(supertickets.__path__, "supertickets."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print("logging", (list(root.handlers), root.level) == before)
print("argv", " ".join(sys.argv[1:]))
"""
    arguments = [sys.executable, "-c", code, "--do_train", "--no-such-flag"]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return folder, dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_d6_importing_has_no_side_effects(imports: tuple[Path, dict[str, str]]) -> None:
    """D6: importing every module reads no arguments, makes no folder or log, prints nothing."""
    folder, seen = imports
    assert list(folder.iterdir()) == []
    assert seen == {"logging": "True", "argv": "--do_train --no-such-flag"}


def test_d6_sizes_come_from_masks_not_from_names(tmp_path: Path) -> None:
    """D6: a ticket in a folder that claims another size has the size of its mask, with missing parents made."""
    ticket = ticket_of()
    folder = tmp_path / "not" / "there" / "h0.9_f0.9_144_12"
    ticket.save(folder)
    found = Ticket.load(folder).mask.weights_remaining
    assert found == ticket.mask.weights_remaining
    pruned = prune(build("bert"), ticket.mask)
    left = sum(weight.numel() for weight in pruned.base_model.parameters())
    assert left == round(found.all * ticket.mask.structures.total_weights)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_d7_a_stored_model_predicts(classes: int, tmp_path: Path) -> None:
    """D7: a trained ticket model, whatever its head, predicts from its folder what it predicted in memory."""
    kind = "regression" if classes == 1 else "single_label_classification"
    model = prune(build("bert", "sdpa", num_labels=classes, problem_type=kind), ticket_of().mask)
    data = examples(24, regression=classes == 1)
    train(model, data, tokenizer(), FAST, seed=0)
    save_ticket_model(tmp_path / "ticket", model, tokenizer(), ticket_of())
    stored, its_tokenizer = load(tmp_path / "ticket")
    expected = predict(model, data, tokenizer())
    assert expected.shape == ((24,) if classes == 1 else (24, classes))
    assert np.array_equal(predict(stored, data, its_tokenizer), expected)


def test_d8_a_task_needs_its_own_files_only(tmp_path: Path) -> None:
    """D8: with RTE alone in the folder, RTE is read, and every other task is missed by name, not half prepared."""
    (tmp_path / "RTE").mkdir()
    rows = "".join(f"{row}\ta film {row}\ta movie\t{('entailment', 'not_entailment')[row % 2]}\n" for row in range(8))
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / "RTE" / name).write_text(f"index\tsentence1\tsentence2\tlabel\n{rows}")
    loaded = read_known("rte", tmp_path)
    assert (len(loaded.train), len(loaded.report)) == (8, 8)
    assert [path.name for path in tmp_path.iterdir()] == ["RTE"]


@pytest.mark.parametrize("stratify", [True, False])
def test_d9_any_share_of_the_training_set(stratify: bool) -> None:
    """D9: 1, 10 and 20 % of 5000 examples (the data-size study) are drawn exactly, each inside the next."""
    labels = np.random.default_rng(0).integers(0, 3, 5000)
    draws = [set(splits.subsample(labels, n, 0, stratify).tolist()) for n in (50, 500, 1000)]
    assert [len(drawn) for drawn in draws] == [50, 500, 1000]
    assert draws[0] < draws[1] < draws[2]


@pytest.mark.parametrize("family", CONFIGS)
def test_d10_regression_predictions_are_values(family: str) -> None:
    """D10: predictions are the model's outputs, all different, and not the argmax of one column, which is zero."""
    model = build(family, num_labels=1, problem_type="regression")
    predictions = predict(model, examples(12, regression=True), tokenizer())
    assert len(set(predictions.tolist())) == 12
    np.testing.assert_allclose(predictions, one_by_one(model, examples(12))[:, 0], atol=2e-6)


def test_d11_importing_leaves_logging_alone(imports: tuple[Path, dict[str, str]]) -> None:
    """D11: the root logger has its handlers and its level after every module is imported."""
    assert imports[1]["logging"] == "True"


def test_d11_every_import_is_declared() -> None:
    """D11: the package imports what pyproject.toml asks for and nothing else, and no debugger."""
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked_for = [*project["dependencies"]]
    asked_for += [line for extra in ("onnx", "ray") for line in project["optional-dependencies"][extra]]
    declared = {re.split(r"[\[<>=~! ]", line, maxsplit=1)[0] for line in asked_for}
    called = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
    # Parts of what is asked for: datasets hands out pyarrow tables, transformers raises huggingface_hub's errors
    # and wraps tokenizers, pydantic's own errors come from pydantic_core.
    brought = {
        "pyarrow": "datasets",
        "huggingface_hub": "transformers",
        "tokenizers": "transformers",
        "pydantic_core": "pydantic",
    }
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(str(node.module).partition(".")[0])
            elif isinstance(node, ast.Name):
                assert node.id not in ("breakpoint", "set_trace"), path
    outside = found - set(sys.stdlib_module_names) - {"supertickets"}
    assert {brought.get(name, called.get(name, name)) for name in outside} <= declared


def test_d12_gates_are_no_parameters() -> None:
    """D12: gates are in no parameter list, no state_dict and no optimiser; training under them leaves them as set."""
    model = build("bert")
    names, keys = [name for name, _ in model.named_parameters()], list(model.state_dict())
    heads, ffn = (gates.detach().clone().requires_grad_() for gates in open_gates(model))
    with torch.no_grad():
        heads[0, 1] = 0
    before = heads.detach().clone()
    with Gating(model, heads, ffn):
        assert [name for name, _ in model.named_parameters()] == names
        assert list(model.state_dict()) == keys
        train(model, examples(24), tokenizer(), FAST, seed=0)
    assert torch.equal(heads.detach(), before)
    assert not any("gate" in name or "mask" in name for name in keys)


def test_d12_optimisers_hold_the_models_weights_only(tmp_path: Path) -> None:
    """D12: under gates the Trainer's optimiser has exactly the model's parameters."""
    from transformers import TrainingArguments

    model = build("bert")
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    with gate(model, ticket_of().mask):
        trainer = TicketTrainer(model=model, args=arguments, train_dataset=examples(8), training_config=FAST)
        held = {id(weight) for group in trainer.create_optimizer().param_groups for weight in group["params"]}
    assert held == {id(weight) for weight in model.parameters()}


def test_d12_a_closed_gate_can_be_scored_again() -> None:
    """D12: the gradient at a closed gate is the loss's derivative, not zero, so that a dropped unit can come back."""
    model, inputs = build("bert"), padded(examples(8), 8)[0]
    heads, ffn = (gates.detach() for gates in open_gates(model))
    heads[0, 1], ffn[2, 0] = 0, 0
    heads.requires_grad_()
    ffn.requires_grad_()
    with Gating(model, heads, ffn):
        head_gradients, ffn_gradients = torch.autograd.grad(model(**inputs).loss, (heads, ffn))
    assert head_gradients[0, 1].abs() > 1e-6
    assert ffn_gradients[2, 0].abs() > 1e-6


def test_d13_texts_are_cut_by_tokens(tiny_bert_folder: Path, tmp_path: Path) -> None:
    """D13: a text of long words and one of short words both keep 16 tokens, whatever they hold in characters."""
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(tiny_bert_folder)
    texts = ["movie " * 30, "a " * 30]
    tokens = tokenise(Dataset.from_dict({"text": texts, "label": [0, 1]}), words, 16, tmp_path / "cache")
    assert list(tokens["length"]) == [16, 16]
    assert [words.decode(ids[1:-1]).split() for ids in tokens["input_ids"]] == [["movie"] * 14, ["a"] * 14]


def test_d13_batches_are_reshuffled_every_epoch() -> None:
    """D13: over three epochs of 40 batches almost no batch comes twice (as trained: test_training.py)."""
    sampler = LengthBuckets(examples(320)["length"], 8, seed=0)
    epochs = []
    for _ in range(3):
        order = list(sampler)
        epochs.append({frozenset(order[start : start + 8]) for start in range(0, 320, 8)})
    assert len(set().union(*epochs)) > 0.95 * 120


def record(kind: str, sparsity: float, seed: int, right: float, rng: np.random.Generator) -> Record:
    """A record that is right on about this share of its selection examples, and at random on the report split."""
    arrays: dict[str, np.ndarray] = {}
    scores = {}
    for split, share in (("selection", right), ("report", rng.random())):
        hits = np.random.default_rng(seed).random(200) < share
        arrays[f"{split}_labels"] = np.ones(200, np.int64)
        arrays[f"{split}_predictions"] = np.stack([~hits, hits], axis=1).astype(np.float32)
        scores[split] = score_predictions(TASK, arrays[f"{split}_predictions"], arrays[f"{split}_labels"])
    size = Size(1 - sparsity / 2, 1 - sparsity, (1,), (1,))
    return Record(
        f"{kind}-{sparsity}-{seed}",
        kind,
        sparsity,
        seed,
        size=size,
        cost=Cost({}, 0),
        settings={},
        provenance={},
        arrays=arrays,
        **scores,
    )


def sweep(rng: np.random.Generator) -> list[Record]:
    """Three seeds whose winning tickets are best at 0.4 on the selection split; the report split is a toss."""
    curve = {0.2: 0.80, 0.4: 0.90, 0.6: 0.70}
    records = [record("full", 0.0, seed, 0.82, rng) for seed in range(3)]
    records += [record("winning", level, seed, right, rng) for level, right in curve.items() for seed in range(3)]
    return records + [record("random", 0.6, seed, 0.75, rng) for seed in range(3)]


def test_d14_the_choice_never_sees_report_scores() -> None:
    """D14: whatever the report scores and arrays are, level, phases and delivered run stay; what is reported moves."""
    space = Workspace(Path("unused"), Config(), TASK)
    found, reported, by_the_paper = set(), set(), set()
    for draw in range(8):
        records = sweep(np.random.default_rng(draw))
        choice = choose(records)
        found.add((choice.sparsity, tuple(choice.phases.labels.items()), super_run(space, records, 0.4).name))
        outcome = conclude(TASK, records, "minilm")
        reported.add(outcome.ticket.mean)
        by_the_paper.add(outcome.dev_selected.sparsity)
        assert outcome.dev_selected.gap >= 0
    assert len(found) == 1
    assert choice.sparsity == 0.4 and choice.phases.labels == {0.2: "I", 0.4: "I", 0.6: "III"}
    assert len(reported) > 4 and len(by_the_paper) > 1


def test_d14_records_without_a_report_split_choose_the_same() -> None:
    """D14: with the report arrays and scores gone altogether, the choice is what it was."""
    records = sweep(np.random.default_rng(0))
    blind = [
        replace(
            one,
            report=replace(one.report, main=float("nan"), metrics={}, n=0),
            arrays={name: array for name, array in one.arrays.items() if name.startswith("selection")},
        )
        for one in records
    ]
    assert choose(blind) == choose(records)


def test_d14_selection_examples_are_taken_from_training_examples_only() -> None:
    """D14: a seed's selection split and what it trains on part the training set between them; seeds differ."""
    labels = np.random.default_rng(0).integers(0, 2, 300)
    held = []
    for seed in range(3):
        rest, selection = splits.split_selection(labels, 60, seed, True)
        assert sorted([*rest.tolist(), *selection.tolist()]) == list(range(300))
        held.append(frozenset(selection.tolist()))
    assert len(set(held)) == 3
