"""The model card of an exported model: what was kept, how it scored, and how to load it. No torch."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from supertickets.data.tasks import Task
from supertickets.experiments.delivered import Delivered
from supertickets.experiments.outcome import full_models, of_kind, spread
from supertickets.experiments.records import Record
from supertickets.experiments.statistics import summary

PIPELINES = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
}
OUTDATED = (
    "Its ticket is not in this folder: the model was pruned further after it was drawn. `config.json` lists the units "
    "that are left, under `supertickets`, and one entry of history for each mask."
)
NO_POOLING = (
    "The graph ends with the tokens' vectors: what sentence-transformers did after the encoder (pooling, normalising) "
    "is not in it, and is to be done by the program that runs it."
)


@dataclass(frozen=True)
class Facts:
    """What is known of any exported model; counts are pairs: what it has, and what the full model has.

    `encoder` is the pretrained one, None where no ticket names it. `weights` are those of encoder and
    embeddings. `outdated_ticket`: the model was pruned further than the ticket beside it says.
    `sentences`: it was saved by sentence-transformers.
    """

    architecture: str
    head: str
    encoder: str | None
    heads: tuple[int, int]
    neurons: tuple[int, int]
    tokens: tuple[int, int]
    weights: tuple[int, int]
    outdated_ticket: bool = False
    sentences: bool = False

    @property
    def pruned(self) -> bool:
        """Whether anything is gone."""
        return self.weights[0] < self.weights[1]


@dataclass(frozen=True)
class Sweep:
    """The sweep that a ticket was found by: its task, finished runs, chosen level, and what was delivered."""

    task: Task
    records: Sequence[Record]
    sparsity: float
    sentence: str
    delivered: Delivered | None


def model_card(facts: Facts, sweep: Sweep | None, *, onnx: bool) -> str:
    """The card as Markdown: `sweep` is None where scores are unknown."""
    title = f"# A {'pruned' if facts.pruned else 'tuned'} {facts.architecture} encoder"
    parts = [_front(facts, onnx), title, _kept(facts)]
    if facts.outdated_ticket:
        parts.append(OUTDATED)
    parts += (
        [_scores(sweep, onnx)]
        if sweep
        else ["Its scores are not known here: it was not exported from a finished sweep."]
    )
    if onnx and facts.sentences:
        parts.append(NO_POOLING)
    return "\n\n".join([*parts, _use(facts, onnx)]) + "\n"


def _front(facts: Facts, onnx: bool) -> str:
    library = "sentence-transformers" if facts.sentences and not onnx else "transformers"
    lines = [f"library_name: {library}"] + (
        [f"pipeline_tag: {PIPELINES[facts.head]}"] if facts.head in PIPELINES else []
    )
    tags = ["supertickets", *(["pruned"] if facts.pruned else []), *(["onnx"] if onnx else [])]
    return "\n".join(["---", *lines, f"tags: [{', '.join(tags)}]", "---"])


def _kept(facts: Facts) -> str:
    size, full = facts.weights
    rows = [
        ("attention heads", f"{facts.heads[0]} of {facts.heads[1]}"),
        ("FFN neurons", f"{facts.neurons[0]} of {facts.neurons[1]}"),
        *([("tokens", f"{facts.tokens[0]:,} of {facts.tokens[1]:,}")] if facts.tokens[0] < facts.tokens[1] else []),
        ("weights of encoder and embeddings", f"{size:,} ({size / full:.1%})"),
    ]
    parts = [_table(("kept", "of the full model"), rows)]
    if facts.encoder is not None:
        parts.insert(0, f"Made from the pretrained encoder {escaped(_plain_name(facts.encoder))}.")
    if facts.pruned:
        parts.append("The rest is not masked but gone: the model is smaller and faster.")
    return "\n\n".join(parts)


def escaped(text: str) -> str:
    """Text that is not ours as Markdown that shows it as it is, on one line: no HTML, no links, no cells."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*\[\]|])", r"\\\1", html.escape(one_line, quote=False))


def _plain_name(encoder: str) -> str:
    """An alias or a hub id as it is; of a local folder, whose place is nobody else's, the name alone."""
    local = encoder.startswith((".", "~", "/")) or encoder.count("/") > 1 or "\\" in encoder
    return PurePath(encoder).name if local else encoder


def _scores(sweep: Sweep, onnx: bool) -> str:
    task = sweep.task
    levels = [("full model", 0.0, full_models(sweep.records))]
    for kind in ("winning", "random", "losing"):
        levels += [(kind, level, group) for level, group in sorted(of_kind(sweep.records, kind).items())]
    rows = [
        (name, f"{level:g}" if level else "", f"{_share(group):.1%}", spread(summary(group)), str(len(group)))
        for name, level, group in levels
        if group
    ]
    head = ("kind", "level", "weights of the encoder's layers", f"{escaped(' and '.join(task.metrics))} × 100", "seeds")
    chosen = f"Level {sweep.sparsity:g} was chosen on examples held out of the training set, not on these scores."
    return "\n\n".join(
        [
            f"## Scores on {escaped(task.name)}",
            escaped(sweep.sentence),
            *([_delivered(sweep.delivered, onnx)] if sweep.delivered else []),
            _table(head, rows),
            f"Mean ± standard deviation over seeds, on the report split. {chosen} Random and losing tickets are "
            "controls: they have as many units as the winning ones.",
            *([escaped(task.note)] if task.note else []),
        ]
    )


def _delivered(model: Delivered, onnx: bool) -> str:
    """What was measured of the one model that is here, and how."""
    speed = model.speedup
    wide = " (a wide spread: the machine was busy)" if speed.wide else ""
    threads = "1 thread" if speed.threads == 1 else f"{speed.threads} threads"
    engine = "In torch, not in ONNX Runtime, where it was not timed, it runs" if onnx else "It runs"
    soup, which = model.soup, f"that of seed {model.seed}"
    if soup is not None:
        which = f"the {soup.recipe} soup of seeds {', '.join(map(str, soup.seeds))} (the mean of their weights)"
    return (
        f"The model in this folder is {which}; it scores {100 * model.report:.1f}. {engine} "
        f"{speed.median:.2f} times as fast as the full model: the median of {speed.pairs} pairs, 10th to 90th "
        f"percentile {speed.p10:.2f} to {speed.p90:.2f}{wide}, of one batch of {speed.batch_size} texts of "
        f"{speed.length} tokens, fp32, {escaped(speed.device)}, {threads}."
    )


def _use(facts: Facts, onnx: bool) -> str:
    auto, trusted = f"AutoModel{facts.head.removeprefix('Model')}", ", trust_remote_code=True" if facts.pruned else ""
    if onnx:
        lines = ["import onnxruntime", "from transformers import AutoTokenizer", ""]
        lines += ['tokenizer = AutoTokenizer.from_pretrained("this folder")']
        lines += ['session = onnxruntime.InferenceSession("this folder/model.onnx")']
        lines += ['inputs = tokenizer(["A text."], return_tensors="np")']
        lines += ["names = [put.name for put in session.get_inputs()]"]
        lines += ["outputs = session.run(None, {name: inputs[name] for name in names})"]
    elif facts.sentences:
        lines = ["from sentence_transformers import SentenceTransformer", ""]
        lines += [f'model = SentenceTransformer("this folder"{trusted})']
    else:
        lines = [f"from transformers import {auto}, AutoTokenizer", ""]
        both = (("model", auto), ("tokenizer", "AutoTokenizer"))
        lines += [f'{name} = {loaded}.from_pretrained("this folder"{trusted})' for name, loaded in both]
        lines += [] if "MultipleChoice" in auto else ['outputs = model(**tokenizer(["A text."], return_tensors="pt"))']
    code = "\n".join(["## Use", "", "```python", *lines, "```"])
    if onnx or not facts.pruned:
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
