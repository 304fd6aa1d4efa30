"""The model card says what was kept and how to load it, and claims no scores that are not known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supertickets.reports.card import Facts, model_card

FACTS = Facts("bert", "ForTokenClassification", heads=(30, 72), neurons=(4608, 9216), weights=0.625, size=12_345_678)


def test_card_counts_what_was_kept() -> None:
    """Units of all units, and weights with their share."""
    card = model_card(FACTS, None, onnx=False, sentences=False)
    assert "| attention heads | 30 of 72 |" in card and "| FFN neurons | 4608 of 9216 |" in card
    assert "| weights of encoder and embeddings | 12,345,678 (62.5%) |" in card
    assert "Its scores are not known here" in card and "## Scores" not in card


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
    card = model_card(replace(FACTS, head=head), None, onnx=False, sentences=False)
    assert front in card and call in card and "trust_remote_code=True" in card


def test_card_of_other_kinds() -> None:
    """An ONNX folder needs no code of ours, a sentence-transformers model is loaded as one."""
    onnx = model_card(FACTS, None, onnx=True, sentences=False)
    assert "onnxruntime" in onnx and "trust_remote_code" not in onnx and "pruned, onnx]" in onnx
    sentences = model_card(replace(FACTS, head="Model"), None, onnx=False, sentences=True)
    assert "SentenceTransformer(" in sentences and "library_name: sentence-transformers" in sentences
