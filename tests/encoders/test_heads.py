"""Every task head that transformers puts on an encoder gates, prunes, saves, loads and runs in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from small_models import CONFIGS, build
from supertickets.encoders.families import structures_of
from supertickets.encoders.gating import gate
from supertickets.encoders.pruning import prune
from supertickets.testing import check_family
from supertickets.testing.inputs import inputs_for
from supertickets.testing.masks import uneven

# ForSequenceClassification is what tests/test_testing.py runs on every family.
HEADS = [
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS if name != "bert"]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
@pytest.mark.parametrize("family", ["bert", *SLOW])
def test_head_passes_the_battery(family: str, head: type) -> None:
    """A family passes every check under this head, whose labels it is given."""
    model = build(family, head=head)
    assert len(inputs_for(model)) == {"AutoModel": 2, "AutoModelForQuestionAnswering": 4}.get(head.__name__, 3)
    check_family(model)


@pytest.mark.parametrize(
    ("classes", "kind"),
    [(1, None), (1, "regression"), (3, "single_label_classification"), (3, "multi_label_classification")],
)
def test_every_kind_of_sequence_labels(classes: int, kind: str | None) -> None:
    """Regression and several labels at once get floats, classes whole numbers, and a loss comes out."""
    model = build("bert", num_labels=classes, problem_type=kind)
    inputs = inputs_for(model)
    assert inputs["labels"].is_floating_point() == (kind != "single_label_classification")
    assert np.isfinite(model(**inputs).loss.item())


def test_sentence_encoder_embeds_as_its_gates_say(tiny_bert_folder: Path, tmp_path: Path) -> None:
    """The encoder inside a SentenceTransformer, pruned in place, gives the gated embeddings, saved and loaded too."""
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="needs sentence-transformers")
    texts = ["a good film", "the plot is not smart at all", "dull"]
    embedder = sentence_transformers.SentenceTransformer(str(tiny_bert_folder), device="cpu")
    encoder = embedder[0].auto_model
    mask = uneven(structures_of(encoder, "neuron"))
    full = embedder.encode(texts)
    with gate(encoder, mask):
        gated = embedder.encode(texts)
    prune(encoder, mask)
    pruned = embedder.encode(texts)
    assert np.abs(pruned - gated).max() < 1e-6 < 1e-3 < np.abs(gated - full).max()
    embedder.save(str(tmp_path / "embedder"))
    again = sentence_transformers.SentenceTransformer(str(tmp_path / "embedder"), device="cpu")
    assert np.array_equal(again.encode(texts), pruned)
    assert len(AutoTokenizer.from_pretrained(tmp_path / "embedder")) == len(
        AutoTokenizer.from_pretrained(tiny_bert_folder)
    )
