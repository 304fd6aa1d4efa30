"""The model card of an exported ticket: what was kept, how it scored, and how to load it. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supertickets.data.tasks import Task
from supertickets.experiments.outcome import full_models, of_kind, spread
from supertickets.experiments.records import Record
from supertickets.experiments.statistics import summary

PIPELINES = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
}


@dataclass(frozen=True)
class Facts:
    """What is known of any pruned model: its architecture and head, units kept of all, shares of weights kept.

    `weights` are those of encoder and embeddings, `size` how many there are.
    """

    architecture: str
    head: str
    heads: tuple[int, int]
    neurons: tuple[int, int]
    weights: float
    size: int


@dataclass(frozen=True)
class Sweep:
    """The sweep that a ticket was found by: its task, its finished runs and its outcome.json."""

    task: Task
    records: Sequence[Record]
    outcome: Mapping[str, Any]


def model_card(facts: Facts, sweep: Sweep | None, *, onnx: bool, sentences: bool) -> str:
    """The card as Markdown: `sweep` is None where scores are unknown; `sentences` is for sentence-transformers."""
    parts = [_front(facts, onnx, sentences), f"# A pruned {facts.architecture} encoder", _kept(facts)]
    parts += (
        [_scores(sweep)] if sweep else ["Its scores are not known here: it was not exported from a finished sweep."]
    )
    return "\n\n".join([*parts, _use(facts, onnx, sentences)]) + "\n"


def _front(facts: Facts, onnx: bool, sentences: bool) -> str:
    library = "sentence-transformers" if sentences else "transformers"
    lines = [f"library_name: {library}"] + (
        [f"pipeline_tag: {PIPELINES[facts.head]}"] if facts.head in PIPELINES else []
    )
    return "\n".join(["---", *lines, f"tags: [supertickets, pruned{', onnx' if onnx else ''}]", "---"])


def _kept(facts: Facts) -> str:
    rows = [
        ("attention heads", f"{facts.heads[0]} of {facts.heads[1]}"),
        ("FFN neurons", f"{facts.neurons[0]} of {facts.neurons[1]}"),
        ("weights of encoder and embeddings", f"{facts.size:,} ({facts.weights:.1%})"),
    ]
    return (
        _table(("kept", "of the full model"), rows)
        + "\n\nThe rest is not masked but gone: the model is smaller and faster."
    )


def _scores(sweep: Sweep) -> str:
    outcome, task = sweep.outcome, sweep.task
    levels = {0.0: full_models(sweep.records)} | of_kind(sweep.records, "winning")
    rows = [
        (f"{level:g}" if level else "full model", f"{_share(group):.1%}", spread(summary(group)), str(len(group)))
        for level, group in sorted(levels.items())
        if group
    ]
    chosen = f"Level {outcome['sparsity']:g} was chosen on examples held out of the training set, not on these scores."
    return "\n\n".join(
        [
            f"## Scores on {task.name}",
            str(outcome["sentence"]),
            _table(("level", "weights of the encoder's layers", f"{' and '.join(task.metrics)} × 100", "seeds"), rows),
            f"Mean ± standard deviation over seeds, on the report split. {chosen}",
            *([task.note] if task.note else []),
        ]
    )


def _use(facts: Facts, onnx: bool, sentences: bool) -> str:
    auto = f"AutoModel{facts.head.removeprefix('Model')}"
    if onnx:
        lines = ["import onnxruntime", "", 'session = onnxruntime.InferenceSession("model.onnx")']
    elif sentences:
        lines = ["from sentence_transformers import SentenceTransformer", ""]
        lines += ['model = SentenceTransformer("this folder", trust_remote_code=True)']
    else:
        lines = [f"from transformers import {auto}", ""]
        lines += [f'model = {auto}.from_pretrained("this folder", trust_remote_code=True)']
    code = "\n".join(["## Use", "", "```python", *lines, "```"])
    if onnx:
        return code
    return (
        f"{code}\n\nThe code that is trusted is `modeling_supertickets.py` in this folder; it needs torch and "
        "transformers alone. After `import supertickets` the same call works without `trust_remote_code`. Do not pass "
        "`ignore_mismatched_sizes=True` to a stock class: that fills a full-size model with random weights."
    )


def _share(group: Sequence[Record]) -> float:
    return sum(record.size.weights_encoder for record in group) / len(group)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
