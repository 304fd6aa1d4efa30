"""The model card says what was kept and how to load it, and claims no scores that are not known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from supertickets.config import Config
from supertickets.data.tasks import Task
from supertickets.experiments.delivered import Delivered, Mixed
from supertickets.experiments.outcome import spread
from supertickets.experiments.records import Record
from supertickets.experiments.statistics import summary
from supertickets.learning.speed import Speedup
from supertickets.reports.card import Facts, Sweep, model_card

FACTS = Facts(
    "bert",
    "ForTokenClassification",
    "minilm",
    heads=(30, 72),
    neurons=(4608, 9216),
    tokens=(30522, 30522),
    weights=(12_500_000, 20_000_000),
)
DELIVERED = Delivered(Speedup(1.42, 1.37, 1.49, 15, 1, 32, 24, "cpu"), seed=2, report=0.7431)


def test_card_counts_what_was_kept() -> None:
    """Units of all units, weights with their share, and the encoder that it was made from."""
    card = model_card(FACTS, None, onnx=False)
    assert "| attention heads | 30 of 72 |" in card and "| FFN neurons | 4608 of 9216 |" in card
    assert "| weights of encoder and embeddings | 12,500,000 (62.5%) |" in card and "| tokens |" not in card
    assert "Made from the pretrained encoder minilm." in card
    assert "Its scores are not known here" in card and "## Scores" not in card
    fewer = model_card(replace(FACTS, tokens=(5000, 30522)), None, onnx=False)
    assert "| tokens | 5,000 of 30,522 |" in fewer


@pytest.mark.parametrize(
    ("encoder", "name"),
    [
        ("someone/bert-small", "someone/bert-small"),
        ("/home/me/models/my-bert", "my-bert"),
        ("./my-bert", "my-bert"),
        ("models/of/mine", "mine"),
    ],
)
def test_card_tells_no_folder_of_ones_own(encoder: str, name: str) -> None:
    """A hub id is named in full, of a local folder only what it is called."""
    assert f"encoder {name}." in model_card(replace(FACTS, encoder=encoder), None, onnx=False)
    assert "pretrained encoder" not in model_card(replace(FACTS, encoder=None), None, onnx=False)


def test_card_of_a_sweep(config: Config, task: Task, synthetic_records: Callable[..., list[Record]]) -> None:
    """Every level with its controls, and of the one delivered model its seed, score, speed and how that was timed."""
    records = synthetic_records(config, task)
    sweep = Sweep(task, records, 0.4, "The sentence.", DELIVERED)
    card = model_card(FACTS, sweep, onnx=False)
    for kind in ("winning", "random", "losing"):
        group = [record for record in records if (record.kind, record.sparsity) == (kind, 0.4)]
        share = sum(record.size.weights_encoder for record in group) / len(group)
        assert f"| {kind} | 0.4 | {share:.1%} | {spread(summary(group))} | {len(group)} |" in card
    assert "that of seed 2; it scores 74.3." in card
    assert (
        "1.42 times as fast as the full model: the median of 15 pairs, 10th to 90th percentile 1.37 to 1.49, " in card
    )
    assert "of one batch of 32 texts of 24 tokens, fp32, cpu, 1 thread." in card and "wide" not in card
    slow = replace(DELIVERED, speedup=replace(DELIVERED.speedup, p90=2.0))
    shaky = model_card(FACTS, replace(sweep, delivered=slow), onnx=False)
    assert "1.37 to 2.00 (a wide spread" in shaky
    assert "times as fast" not in model_card(FACTS, replace(sweep, delivered=None), onnx=False)
    assert "in torch" not in card.lower()
    onnx = model_card(FACTS, sweep, onnx=True)
    assert "In torch, not in ONNX Runtime, where it was not timed, it runs 1.42 times as fast" in onnx


def test_card_of_an_outdated_ticket() -> None:
    """A model that was pruned further says where its units are listed."""
    assert (
        "its ticket is not in this folder" in model_card(replace(FACTS, outdated_ticket=True), None, onnx=False).lower()
    )
    assert "its ticket" not in model_card(FACTS, None, onnx=False).lower()


@pytest.mark.parametrize(
    ("head", "front", "call"),
    [
        ("ForTokenClassification", "pipeline_tag: token-classification\n", "AutoModelForTokenClassification.from_pre"),
        ("ForMultipleChoice", "library_name: transformers\ntags:", "AutoModelForMultipleChoice.from_pretrained"),
        ("Model", "library_name: transformers\ntags:", "AutoModel.from_pretrained"),
    ],
)
def test_card_loads_the_head(head: str, front: str, call: str) -> None:
    """The code is for the head that the model has, and so is the hub's label where it knows one."""
    card = model_card(replace(FACTS, head=head), None, onnx=False)
    assert front in card and call in card and "trust_remote_code=True" in card


def test_card_of_other_kinds() -> None:
    """An ONNX folder needs no code of ours, a sentence-transformers model loads as one, a full one by stock code."""
    onnx = model_card(FACTS, None, onnx=True)
    assert "onnxruntime" in onnx and "trust_remote_code" not in onnx and "pruned, onnx]" in onnx
    assert "pooling" not in onnx
    sentences = replace(FACTS, head="Model", sentences=True)
    hf = model_card(sentences, None, onnx=False)
    assert "SentenceTransformer(" in hf and "library_name: sentence-transformers" in hf and "pooling" not in hf
    bare = model_card(sentences, None, onnx=True)
    assert "(pooling, normalising) is not in it" in bare and "library_name: transformers" in bare
    full = model_card(replace(FACTS, weights=(20_000_000, 20_000_000)), None, onnx=False)
    assert "# A tuned bert encoder" in full and "tags: [supertickets]" in full and "not masked but gone" not in full
    assert "trust_remote_code" not in full and "modeling_supertickets" not in full


def test_a_soup_is_called_one(task: Task) -> None:
    """The card of a soup names its recipe and its seeds in place of one seed."""
    delivered = replace(DELIVERED, report=0.8, soup=Mixed("x", "greedy", (0, 2)))
    card = model_card(FACTS, Sweep(task, [], 0.5, "It wins.", delivered), onnx=False)
    assert (
        "The model in this folder is the greedy soup of seeds 0, 2 (the mean of their weights); it scores 80.0" in card
    )
