"""Workspace: a sweep's folder. Prepared once, opened by every run and every worker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, load_from_disk
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from supertickets import locking, provenance, settings, storage
from supertickets.config import Config, TrainingConfig
from supertickets.data import files, splits
from supertickets.data.batching import KEY_FILE, tokenise, tokenizer_sha256
from supertickets.data.tasks import Task
from supertickets.encoders.checkpoints import load_tokenizer, resolve
from supertickets.encoders.families import longest_input, structures_of
from supertickets.encoders.loading import load
from supertickets.encoders.pruning import kept_units
from supertickets.encoders.rewinding import RewindPoint
from supertickets.errors import UserError
from supertickets.experiments.delivered import Delivered
from supertickets.experiments.layout import CACHE, CONFIG_FILE, DATA_FILE, ENCODER, RUNS, TARGET_FILE, TICKETS
from supertickets.experiments.origins import read_data, task_of, write_data
from supertickets.experiments.runs import COMMON_SEED, Run, SoupRun, TaskRun, TransferRun, settings_of
from supertickets.learning.training import resolved_precision
from supertickets.tickets.drawing import check_min_heads, check_rounds
from supertickets.tickets.structures import Structures


@dataclass(frozen=True)
class Splits:
    """Tokenised examples of one seed: to train on, to choose by, to report on."""

    train: Dataset
    selection: Dataset
    report: Dataset


@dataclass(frozen=True)
class Inputs:
    """What a config names, read and checked: data, cut to the examples in use, and the encoder's tokenizer.

    `origin` is what results depend on beside the settings: checksums of the whole data and of the encoder
    (weights, config, tokenizer), and the precision that `auto` means on this machine.
    """

    config: Config
    loaded: files.Loaded
    examples: dict[str, Dataset]
    structures: Structures
    max_length: int
    tokenizer: PreTrainedTokenizerBase
    origin: dict[str, str]

    @classmethod
    def read(cls, config: Config) -> Inputs:
        """Read all of it and write nothing; raises UserError for whatever would fail later."""
        model, tokenizer = load(resolve(config.encoder.name))
        if kept_units(model) is not None:
            what, do = "this model is pruned already", "start from the full pretrained model"
            raise UserError(what, config.encoder.name, do)
        structures = structures_of(model, config.units.ffn)
        check_min_heads(config.tickets.min_heads, structures)
        check_rounds(config.scoring.rounds, structures)
        loaded = files.read(config.data)
        limits = {"train": config.data.train_examples, "report": config.data.report_examples}
        examples = {split: _cut(getattr(loaded, split), limit, loaded.task) for split, limit in limits.items()}
        held_out(examples["train"]["label"], config, loaded.task, config.seeds[0])
        origin = {
            "data": loaded.sha256,
            "encoder": _encoder_sha256(model, tokenizer),
            "precision": resolved_precision(config.training),
        }
        longest = min(config.encoder.max_length, longest_input(model))
        return cls(config, loaded, examples, structures, longest, tokenizer, origin)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Examples that a seed trains on, chooses by (its own) and reports on."""
        rest, chosen_by = held_out(self.examples["train"]["label"], self.config, self.loaded.task, self.config.seeds[0])
        return len(rest), len(chosen_by), len(self.examples["report"])

    def put(self, folder: Path) -> Workspace:
        """Tokenise once and write what runs need, `config.yaml` last: it makes the folder this config's.

        Keeps what is there already. Raises UserError when the folder belongs to another config or to
        data or an encoder that has changed since.
        """
        _check_owner(folder, self.config, self.origin)
        self.lay_out(folder, {})
        return Workspace.open(folder)

    def lay_out(self, folder: Path, more: Mapping[str, Any]) -> None:
        """Write tokens, facts about the data (and `more` of them) and, last, the config."""
        storage.remove_leftovers(folder)
        for split, examples in self.examples.items():
            tokenise(examples, self.tokenizer, self.max_length, folder / CACHE / split)
        about = {"task": asdict(self.loaded.task), "sizes": self.loaded.sizes, "notes": self.loaded.notes}
        write_data(folder, {**about, "origin": self.origin, **more})
        storage.write_text(folder / CONFIG_FILE, settings.dump(self.config))


@dataclass(frozen=True)
class Workspace:
    """One sweep's folder, its config and its task; `prepare` makes it, `open` reads it."""

    folder: Path
    config: Config
    task: Task

    @classmethod
    def prepare(cls, folder: Path, config: Config) -> Workspace:
        """Read and check encoder and data, and put what runs need into the folder; raises UserError."""
        return Inputs.read(config).put(folder)

    @classmethod
    def open(cls, folder: Path) -> Workspace:
        """Read a prepared folder; raises UserError when it is none."""
        if not (folder / CONFIG_FILE).is_file():
            raise UserError(
                "this is not a sweep's folder: config.yaml is missing", str(folder), "give the --out folder of find"
            )
        return cls(folder, settings.load(folder / CONFIG_FILE), task_of(folder))

    @property
    def encoder_name(self) -> str:
        """The encoder, as tickets name it."""
        return self.config.encoder.name

    @cached_property
    def source(self) -> str:
        """The resolved encoder: a folder or a hub id; on another machine the one that travelled with the data."""
        own = self.folder / ENCODER
        return str(own) if own.is_dir() else resolve(self.config.encoder.name)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The encoder's tokenizer."""
        return load_tokenizer(self.source)

    @cached_property
    def data(self) -> dict[str, Any]:
        """Sizes, notes and checksum of the data, as `prepare` found them."""
        return read_data(self.folder)

    def splits(self, seed: int) -> Splits:
        """The seed's train and selection examples, and the report examples that all seeds share."""
        train = load_from_disk(str(self.folder / CACHE / "train"))
        report = load_from_disk(str(self.folder / CACHE / "report"))
        rest, chosen_by = held_out(train["labels"], self.config, self.task, seed)
        return Splits(train.select(rest), train.select(chosen_by), report)

    def rewind_point(self, seed: int, training: TrainingConfig | None = None) -> RewindPoint:
        """The pretrained encoder with the seed's fresh task head, or with the one that all seeds have in common.

        An encoder without a pooler of its own gets that together with the head. Dropout is that of `training`, or of
        the sweep's own settings.
        """
        training = training or self.config.training
        model, _ = load(
            self.source,
            classes=self.task.classes,
            labels=self.task.labels,
            seed=seed if self.config.encoder.head == "per_seed" else COMMON_SEED,
            head_dropout=training.head_dropout,
            encoder_dropout=training.encoder_dropout,
        )
        return RewindPoint.of(model)

    def run_folder(self, run: Run | TaskRun | TransferRun | SoupRun) -> Path:
        """Where the run's record lies."""
        return self.folder / RUNS / run.name

    def ticket_folder(self, run: Run | TransferRun) -> Path:
        """Where the run's ticket lies."""
        return self.folder / TICKETS / run.name


def encoder_sha256(name: str) -> str:
    """Checksum of an encoder's weights, config and tokenizer; raises UserError when there is no such encoder."""
    return _encoder_sha256(*load(resolve(name)))


def _encoder_sha256(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    about = {k: v for k, v in model.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
    parts = (
        RewindPoint(model).sha256,  # no copy: the model is not trained
        json.dumps(about, sort_keys=True, default=str),
        tokenizer_sha256(tokenizer),
    )
    return provenance.hash_text(parts)


def _cut(examples: Dataset, limit: int | None, task: Task) -> Dataset:
    if limit is None:
        return examples
    # Seed 0 always: all seeds of a sweep, and all sweeps of a task, share the same subset.
    return examples.select(splits.subsample(np.asarray(examples["label"]), limit, 0, task.kind == "classification"))


def held_out(labels: Any, config: Config, task: Task, seed: int) -> tuple[splits.Indices, splits.Indices]:
    """Indices that the seed trains on, and those that it chooses by; with a common split every seed's are the same."""
    common = config.selection.split == "common"
    size = splits.selection_size(len(labels), 1 if common else len(config.seeds), config.selection, task.classes)
    own = COMMON_SEED if common else seed
    return splits.split_selection(np.asarray(labels), size, own, task.kind == "classification")


def check_not_a_strangers(folder: Path) -> None:
    """Raise UserError for a folder with files that no sweep made; a preparation that failed leaves cache and lock."""
    if (folder / CONFIG_FILE).exists():
        return
    own = {DATA_FILE, TARGET_FILE, locking.LOCK_FILE, locking.HOLDER_FILE}
    own |= {CACHE} if all((path / KEY_FILE).is_file() for path in (folder / CACHE).glob("[!.]*")) else set()
    found = [path for path in folder.glob("*") if not path.name.endswith(storage.PARTIAL)]
    others = sorted(path.name for path in found if path.name not in own)
    if others:
        raise UserError(
            f"this folder holds other files ({', '.join(others[:3])})",
            str(folder),
            "choose a new or empty --out folder",
        )


def _check_owner(folder: Path, config: Config, origin: Mapping[str, str]) -> None:
    check_not_a_strangers(folder)
    if not (folder / CONFIG_FILE).exists():
        return
    if settings.names(folder / CONFIG_FILE, "tasks") or settings.names(folder / CONFIG_FILE, "shares"):
        what = "this is not the folder of one task's sweep"
        raise UserError(what, str(folder), "choose another --out folder")
    theirs, ours = settings_of(settings.load(folder / CONFIG_FILE)), settings_of(config)
    changed = [
        f"{'the number of seeds' if key == 'selection.seeds' else key} is {theirs.get(key)} there, {value} here"
        for key, value in ours.items()
        if theirs.get(key) != value
    ]
    if changed:
        what, do = f"this folder belongs to another config ({'; '.join(changed)})", "choose another --out folder"
        if theirs.get("selection.seeds") != ours.get("selection.seeds"):
            do += "; a sweep grows in levels, not in seeds, as their number sets what each holds out"
        raise UserError(what, str(folder), do)
    _check_nothing_left_out(folder, config)
    known = read_data(folder)["origin"]
    for what, now in origin.items():
        if known.get(what) != now:
            before = f", from {known.get(what)} to {now}" if what == "precision" else ""
            raise UserError(
                f"the {what} has changed since this sweep began{before}", str(folder), "choose another --out folder"
            )


def _check_nothing_left_out(folder: Path, now: Config) -> None:
    """Raise UserError where a delivered super ticket would be replaced by one that was chosen from less.

    Until it is delivered a sweep may shrink as well as grow.
    """
    try:
        delivered = Delivered.load(folder)
    except UserError:  # it is measured anew
        return
    if delivered is None or delivered.chosen_from is None:
        return
    before, where = delivered.chosen_from, str(folder)
    there, elsewhere = "the super ticket in this folder was chosen from", "choose another --out folder"
    extents = (("tickets.levels", before.levels, now.tickets.levels), ("seeds", before.seeds, now.seeds))
    for setting, theirs, ours in extents:
        left_out = ", ".join(f"{value:g}" for value in theirs if value not in ours)
        if left_out:
            what = f"{there} {setting} {left_out}, too, which this config leaves out"
            raise UserError(what, where, f"add what is left out, or {elsewhere}" if setting != "seeds" else elsewhere)
    if (before.strategy, now.strategy) == ("grid", "race"):
        what = f"{there} a whole grid, and a race would choose from less"
        raise UserError(what, where, f"set strategy=grid, or {elsewhere}")
