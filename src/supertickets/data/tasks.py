"""Task: what is predicted and how it is scored; the known tasks, one row each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Literal

from supertickets.errors import UserError

Kind = Literal["classification", "regression"]
Role = Literal["text", "text_pair", "label"]


@dataclass(frozen=True)
class Task:
    """What is predicted: the class names in the order of their ids (none for regression) and the metrics.

    The main score is the mean over `metrics`; `note` is what a result has to say beside its numbers.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind == "classification" and len(self.labels) < 2:
            raise ValueError(f"task {self.name} has {len(self.labels)} classes; classification needs two at least")
        if self.kind == "regression" and self.labels:
            raise ValueError(f"task {self.name} is a regression but names {len(self.labels)} classes")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Task:
        """A task from its plain values, as `asdict` or JSON give them."""
        plain: dict[str, Any] = {**fields, "labels": tuple(fields["labels"]), "metrics": tuple(fields["metrics"])}
        return cls(**plain)

    @property
    def classes(self) -> int:
        """Outputs of the task head: the number of classes, or 1 for regression."""
        return len(self.labels) or 1


@dataclass(frozen=True)
class Columns:
    """Where a file keeps text, second text and label: for each, the names to try in this order.

    No second text, or no label, is asked for where there are no names for it. `remedy` is what to do
    about a file that lacks one of them.
    """

    text: tuple[str, ...]
    text_pair: tuple[str, ...] = ()
    label: tuple[str, ...] = ("label",)
    remedy: str = "the file is not laid out as published: fetch it again"

    def __iter__(self) -> Iterator[tuple[Role, tuple[str, ...]]]:
        """Each role that is asked for, with its names."""
        yield "text", self.text
        if self.text_pair:
            yield "text_pair", self.text_pair
        if self.label:
            yield "label", self.label


@dataclass(frozen=True)
class Layout:
    """One way a task is published: file names, format, columns, and the column names of files without a header."""

    train: str
    report: str
    columns: Columns
    format: Literal["tsv", "jsonl"] = "tsv"
    header: tuple[str, ...] = ()


@dataclass(frozen=True)
class KnownTask:
    """A published task: its layouts in the order tried, and its official sizes, so that partial data shows.

    `folders` are names of its folder besides its own, in lower case without punctuation. Rows labelled
    `unlabelled` are left out and counted; so are short rows where the published file has some (`ragged`).
    """

    task: Task
    layouts: tuple[Layout, ...]
    official_train: int
    official_report: int
    folders: tuple[str, ...] = ()
    unlabelled: str = ""
    ragged: bool = False


ACCURACY = ("accuracy",)
CORRELATIONS = ("pearson", "spearman")
CONTAMINATED = (
    "the encoders minilm and mpnet were tuned on pairs that include {source} after their pretraining, "
    "so results with them flatter this task"
)

_PAIR = ("sentence1",), ("sentence2",)
_BINARY = ("0", "1")
_ENTAILED = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")
_NLI_COLUMNS = Columns(*_PAIR, ("gold_label", "label"))


def _glue(columns: Columns, report: str = "dev.tsv", header: tuple[str, ...] = ()) -> Layout:
    return Layout("train.tsv", report, columns, header=header)


def _scitail(tsv: str = "", jsonl: str = "") -> tuple[Layout, Layout]:
    """SciTail's two formats: TSV without a header, and SNLI's JSON lines in files named `.txt`."""
    train, report = "scitail_1.0_train", "scitail_1.0_dev"
    return (
        Layout(f"{tsv}{train}.tsv", f"{tsv}{report}.tsv", Columns(*_PAIR), header=("sentence1", "sentence2", "label")),
        Layout(f"{jsonl}{train}.txt", f"{jsonl}{report}.txt", _NLI_COLUMNS, "jsonl"),
    )


def _classes(name: str, labels: tuple[str, ...], metrics: tuple[str, ...] = ACCURACY, source: str = "") -> Task:
    return Task(name, "classification", labels, metrics, CONTAMINATED.format(source=source) if source else "")


_ROWS = (
    KnownTask(
        _classes("cola", _BINARY, ("matthews",)),
        (_glue(Columns(("sentence",)), header=("source", "label", "star", "sentence")),),
        8551,
        1043,
    ),
    KnownTask(_classes("sst2", _BINARY), (_glue(Columns(("sentence",))),), 67349, 872),
    KnownTask(
        _classes("mrpc", _BINARY, ("accuracy", "f1")),
        (_glue(Columns(("#1 String",), ("#2 String",), ("Quality",))),),
        3668,
        408,
    ),
    KnownTask(Task("stsb", "regression", (), CORRELATIONS), (_glue(Columns(*_PAIR, ("score",))),), 5749, 1500),
    KnownTask(_classes("rte", _ENTAILED), (_glue(Columns(*_PAIR)),), 2490, 277),
    KnownTask(_classes("wnli", _BINARY), (_glue(Columns(*_PAIR)),), 635, 71),
    KnownTask(
        _classes("qnli", _ENTAILED, source="SQuAD 2.0"),
        (_glue(Columns(("question",), ("sentence",))),),
        104743,
        5463,
    ),
    KnownTask(
        _classes("qqp", _BINARY, ("accuracy", "f1"), source="Quora duplicates"),
        (_glue(Columns(("question1",), ("question2",), ("is_duplicate",))),),
        363846,
        40430,
        ragged=True,  # the published training file has a few broken lines
    ),
    KnownTask(
        _classes("mnli", _NLI, source="MultiNLI"),
        (
            _glue(_NLI_COLUMNS, report="dev_matched.tsv"),
            Layout("multinli_1.0_train.jsonl", "multinli_1.0_dev_matched.jsonl", _NLI_COLUMNS, "jsonl"),
            Layout("multinli_1.0_train.txt", "multinli_1.0_dev_matched.txt", _NLI_COLUMNS),
        ),
        392702,
        9815,
        folders=("multinli10",),
        unlabelled="-",
    ),
    KnownTask(
        _classes("snli", _NLI, source="SNLI"),
        (
            _glue(_NLI_COLUMNS),
            Layout("snli_1.0_train.jsonl", "snli_1.0_dev.jsonl", _NLI_COLUMNS, "jsonl"),
            Layout("snli_1.0_train.txt", "snli_1.0_dev.txt", _NLI_COLUMNS),
        ),
        549367,
        9842,
        folders=("snli10",),
        unlabelled="-",
    ),
    KnownTask(
        _classes("scitail", ("neutral", "entails")),
        (*_scitail(), *_scitail(tsv="tsv_format/", jsonl="snli_format/")),
        23097,
        1304,
        folders=("scitailv11", "scitailv10"),
        unlabelled="-",
    ),
)

KNOWN: Mapping[str, KnownTask] = MappingProxyType({row.task.name: row for row in _ROWS})


def known(name: str) -> KnownTask:
    """The known task of this name, in any spelling of case and punctuation (SST-2, sts_b); else UserError."""
    plain = normalised(name)
    if plain in KNOWN:
        return KNOWN[plain]
    near = get_close_matches(plain, KNOWN, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"choose from {', '.join(KNOWN)}"
    raise UserError(f"unknown task {name}", "data.task", remedy)


def normalised(name: str) -> str:
    """Lower case, letters and digits only: SST-2 and sst2 are one name."""
    return "".join(char for char in name.lower() if char.isalnum())
