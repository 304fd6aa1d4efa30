"""The user's own data: CSV, TSV, JSONL and Parquet files, dataset folders, hub datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from supertickets.config import DataConfig
from supertickets.data import labels
from supertickets.data.arrow import read_dataset, read_parquet
from supertickets.data.examples import Loaded, load
from supertickets.data.tables import Table, read_csv, read_jsonl
from supertickets.data.tasks import ACCURACY, CORRELATIONS, Columns, Task
from supertickets.errors import UserError


def _read_tsv(path: Path, columns: Columns) -> Table:
    return read_csv(path, columns, delimiter="\t")


READERS: dict[str, Callable[[Path, Columns], Table]] = {
    ".csv": read_csv,
    ".tsv": _read_tsv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_jsonl,
    ".parquet": read_parquet,
}

REMEDY = "name the file's columns with data.text, data.text_pair and data.label (--text, --text-pair, --label)"


def read_own(config: DataConfig) -> Loaded:
    """Read the user's training and report examples.

    The classes are those of the training examples; a report label outside them is refused.
    """
    if config.train is None or config.test is None:
        raise UserError(
            "both data.train and data.test are needed", "data", "give a file to train on and one to report on"
        )
    pair = () if config.text_pair is None else (config.text_pair,)
    columns = Columns((config.text,), pair, (config.label,), REMEDY)
    train, report = _read(config.train, columns), _read(config.test, columns)
    task = _task(config, train)
    return load(task, train, report, unknown_label=f"use only labels that {config.train} has, too")


def _read(source: str, columns: Columns) -> Table:
    path = Path(source)
    if path.is_dir() or path.suffix.lower() not in READERS:
        if path.is_file():
            known = ", ".join(READERS)
            raise UserError(f"unknown kind of file {path.suffix or path.name}", source, f"give one of {known}")
        return read_dataset(source, columns)
    return READERS[path.suffix.lower()](path, columns)


def _task(config: DataConfig, train: Table) -> Task:
    assert config.train is not None
    name = config.task or Path(config.train).stem
    kind = labels.kind_of(train) if config.kind == "auto" else config.kind
    if kind == "regression":
        return Task(name, "regression", (), CORRELATIONS)
    names = labels.class_names(train)
    if len(names) < 2:
        labels.check_enough(train, labels.class_ids(train, names), kind, len(names))
    return Task(name, "classification", names, ACCURACY)
