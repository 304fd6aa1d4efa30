"""Workspace: a sweep's folder. Prepared once, opened by every run and every worker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, load_from_disk
from transformers import PreTrainedTokenizerBase

from supertickets import settings, storage
from supertickets.config import Config
from supertickets.data import files, splits
from supertickets.data.batching import tokenise
from supertickets.data.tasks import Task
from supertickets.encoders.checkpoints import config_of, resolve
from supertickets.encoders.loading import load, load_tokenizer
from supertickets.encoders.rewinding import RewindPoint
from supertickets.errors import UserError
from supertickets.experiments.runs import Run, settings_of

CONFIG_FILE = "config.yaml"
DATA_FILE = "data.json"
CACHE = "cache"


@dataclass(frozen=True)
class Splits:
    """Tokenised examples of one seed: to train on, to choose by, to report on."""

    train: Dataset
    selection: Dataset
    report: Dataset


@dataclass(frozen=True)
class Workspace:
    """One sweep's folder, its config and its task; `prepare` makes it, `open` reads it."""

    folder: Path
    config: Config
    task: Task

    @classmethod
    def prepare(cls, folder: Path, config: Config) -> Workspace:
        """Check encoder and data, tokenise once, and write what runs need; keeps what is there already.

        Raises UserError for bad data or encoder, and when the folder belongs to another config or to
        data that has changed since.
        """
        _check_owner(folder, config)
        source = resolve(config.encoder.name)
        config_of(source)
        loaded = files.read(config.data)
        known = folder / DATA_FILE
        if known.exists() and storage.read_json(known)["sha256"] != loaded.sha256:
            raise UserError("the data has changed since this sweep began", str(folder), "choose another --out folder")
        tokenizer = load_tokenizer(source)
        for split, examples, limit in (
            ("train", loaded.train, config.data.train_examples),
            ("report", loaded.report, config.data.report_examples),
        ):
            kept = examples if limit is None else examples.select(_subsample(examples, limit, loaded.task))
            tokenise(kept, tokenizer, config.encoder.max_length, folder / CACHE / split)
        storage.write_json(
            known, {"task": asdict(loaded.task), "sizes": loaded.sizes, "notes": loaded.notes, "sha256": loaded.sha256}
        )
        storage.write_text(folder / CONFIG_FILE, settings.dump(config))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Workspace:
        """Read a prepared folder; raises UserError when it is none."""
        if not (folder / CONFIG_FILE).is_file():
            raise UserError(
                "this is not a sweep's folder: config.yaml is missing", str(folder), "give the --out folder of find"
            )
        task = Task.from_dict(storage.read_json(folder / DATA_FILE)["task"])
        return cls(folder, settings.load(folder / CONFIG_FILE), task)

    @cached_property
    def source(self) -> str:
        """The resolved encoder: a folder or a hub id."""
        return resolve(self.config.encoder.name)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The encoder's tokenizer."""
        return load_tokenizer(self.source)

    @cached_property
    def data(self) -> dict[str, Any]:
        """Sizes, notes and checksum of the data, as `prepare` found them."""
        return storage.read_json(self.folder / DATA_FILE)

    def splits(self, seed: int) -> Splits:
        """The seed's own train and selection examples, and the report examples that all seeds share."""
        train = load_from_disk(str(self.folder / CACHE / "train"))
        report = load_from_disk(str(self.folder / CACHE / "report"))
        size = splits.selection_size(len(train), len(self.config.seeds), self.config.selection, self.task.classes)
        rest, held_out = splits.split_selection(
            np.asarray(train["labels"]), size, seed, self.task.kind == "classification"
        )
        return Splits(train.select(rest), train.select(held_out), report)

    def rewind_point(self, seed: int) -> RewindPoint:
        """The pretrained encoder with the seed's fresh task head."""
        model, _ = load(
            self.source, classes=self.task.classes, seed=seed, head_dropout=self.config.training.head_dropout
        )
        return RewindPoint.of(model)

    def run_folder(self, run: Run) -> Path:
        """Where the run's record lies."""
        return self.folder / "runs" / run.name

    def ticket_folder(self, run: Run) -> Path:
        """Where the run's ticket lies."""
        return self.folder / "tickets" / run.name


def _subsample(examples: Dataset, limit: int, task: Task) -> np.ndarray:
    # Seed 0 always: all seeds of a sweep, and all sweeps of a task, share the same subset.
    return splits.subsample(np.asarray(examples["label"]), limit, 0, task.kind == "classification")


def _check_owner(folder: Path, config: Config) -> None:
    if not (folder / CONFIG_FILE).exists():
        return
    theirs, ours = settings_of(settings.load(folder / CONFIG_FILE)), settings_of(config)
    changed = [
        f"{key} is {theirs.get(key)} there, {value} here" for key, value in ours.items() if theirs.get(key) != value
    ]
    if changed:
        raise UserError(
            f"this folder belongs to another config ({'; '.join(changed)})", str(folder), "choose another --out folder"
        )
