"""Bench: what every run needs around the paper's steps: its data, its rewind point, its clock, its record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from supertickets import provenance, seeding
from supertickets.config import Kind
from supertickets.data import splits
from supertickets.data.batching import EvaluationBatches, collator
from supertickets.encoders.rewinding import RewindPoint
from supertickets.experiments.curves import curve_arrays, watch_of
from supertickets.experiments.records import RESAMPLED, Cost, Record, Size
from supertickets.experiments.runs import Run, SoupRun, TaskRun, TicketRun, TransferRun, TuneRun, settings_of
from supertickets.experiments.workspace import Splits, Workspace
from supertickets.learning.evaluation import predict
from supertickets.learning.metrics import score as score_predictions
from supertickets.learning.processes import world
from supertickets.learning.scoring import ORDERED, Batch, score, score_resampled
from supertickets.learning.timing import device_name
from supertickets.learning.training import train
from supertickets.learning.watching import Watch
from supertickets.tickets.importance import Importance, Scale
from supertickets.tickets.masks import Mask
from supertickets.tickets.ticket import Ticket

SCORING_BATCH = 32


@dataclass(frozen=True)
class Result:
    """What a run made: its record, its model, and its ticket if it is a ticket's run."""

    record: Record
    model: PreTrainedModel
    ticket: Ticket | None


class Bench:
    """One run's workplace; it keeps the time of each stage and turns the end state into a Record."""

    def __init__(self, run: Run | TaskRun | TransferRun | SoupRun, sweep: Workspace) -> None:
        self._run, self._sweep = run, sweep
        self._seconds: dict[str, float] = {}
        self._trained_examples = 0
        self._watch: Watch | None = None

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The encoder's tokenizer."""
        return self._sweep.tokenizer

    @cached_property
    def splits(self) -> Splits:
        """The seed's train, selection and report examples."""
        return self._sweep.splits(self._run.seed)

    @cached_property
    def rewind_point(self) -> RewindPoint:
        """The pretrained encoder with the seed's head, before any training."""
        with self.timed("loading"):
            return self._sweep.rewind_point(self._run.seed, self._run.config.training)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the block's wall time to a stage."""
        start = time.perf_counter()
        yield
        self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - start

    def credit(self, examples: int) -> None:
        """Count examples that a training of several tasks has seen of this run's task."""
        self._trained_examples += examples

    def train(self, model: PreTrainedModel, teacher_logits: np.ndarray | None = None, *, second: bool = False) -> None:
        """Fine-tune `model` on the seed's training examples, and on the teacher's outputs for them if there are any.

        `second`: with the batches and dropout of a second seed that goes with the seed. A run of a race's first
        seed may be ended on the way, as hopeless; its record then says so.
        """
        if isinstance(self._run, TuneRun | TicketRun):
            self._watch = watch_of(self._run, self._sweep, self.splits.selection)
        with self.timed("training"):
            done = train(
                model,
                self.splits.train,
                self._sweep.tokenizer,
                self._run.config.training,
                seed=seeding.derive(self._run.seed, "second training") if second else self._run.seed,
                log_folder=self._sweep.run_folder(self._run) / "logs",
                teacher_logits=teacher_logits,
                watch=self._watch,
            )
        self._trained_examples += done.examples

    def scoring_batches(self) -> Iterator[Batch]:
        """The seed's training examples (or a stratified draw of them, as many as the config says).

        By length, to pad little, but for scorers that depend on the order: these get that of the file.
        """
        scoring, examples, task = self._run.config.scoring, self.splits.train, self._sweep.task
        if scoring.examples is not None:
            labels = np.asarray(examples["labels"])
            stratify = task.kind == "classification"
            examples = examples.select(splits.subsample(labels, scoring.examples, self._run.seed, stratify))
        collate = collator(self._sweep.tokenizer)
        by_length = scoring.scorer not in ORDERED
        for _, batch in EvaluationBatches(examples, collate, SCORING_BATCH, by_length=by_length):
            yield batch

    def score(self, model: PreTrainedModel) -> tuple[Importance, list[Importance]]:
        """The tuned model's importance as the config has it scored, and that on resamples of the examples, if any."""
        units, scoring, seed = self._run.config.units, self._run.config.scoring, self._run.seed
        batches = self.scoring_batches()
        with self.timed("scoring"):
            if scoring.resamples:
                name, times = scoring.scorer, scoring.resamples
                return score_resampled(model, batches, scorer=name, seed=seed, resamples=times, ffn_units=units.ffn)
            found = score(
                model,
                batches,
                scorer=scoring.scorer,
                seed=seed,
                ffn_units=units.ffn,
                rounds=scoring.rounds,
                multiple=units.multiple,
            )
            return found, []

    def importance_for(self, run: TicketRun) -> Importance:
        """What the ticket is drawn by: its own seed's importance, or the consensus of all seeds and their resamples."""
        if run.config.tickets.importance == "seed":
            return self.importance_of(run.tune)
        several = [one for tune in run.needs for one in self.resampled_of(tune) or [self.importance_of(tune)]]
        return Importance.consensus(several, joint=run.config.tickets.ranking == "joint")

    def importance_of(self, tune: TuneRun | TransferRun) -> Importance:
        """The importance that the seed's tuned model left in its record."""
        arrays, config = Record.load(self._sweep.run_folder(tune), tune.name).arrays, tune.config
        structures = self.rewind_point.structures(config.units.ffn)
        scale: Scale = "order" if config.scoring.rounds > 1 else "raw"
        return Importance(structures, arrays["importance_heads"], arrays["importance_ffn"], scale)

    def resampled_of(self, tune: TuneRun) -> list[Importance]:
        """The same on each resample of the examples that were scored; empty where there is none."""
        arrays = Record.load(self._sweep.run_folder(tune), tune.name).arrays
        if RESAMPLED[0] not in arrays:
            return []
        structures = self.rewind_point.structures(tune.config.units.ffn)
        return [Importance(structures, *both) for both in zip(*(arrays[name] for name in RESAMPLED), strict=True)]

    def teacher_logits(self, tune: TuneRun) -> np.ndarray | None:
        """What the seed's tuned model gave for the training examples; None where tickets have no teacher."""
        if tune.config.training.teacher == "none":
            return None
        return Record.load(self._sweep.run_folder(tune), tune.name).arrays["train_predictions"]

    def ticket(self, kind: Kind, mask: Mask, importance: Importance) -> Ticket:
        """The mask with its rewind point and origin."""
        return Ticket(
            mask=mask,
            kind=kind,
            sparsity=self._run.sparsity,
            seed=self._run.seed,
            encoder=self._sweep.encoder_name,
            rewind_sha256=self.rewind_point.sha256,
            importance=importance,
            provenance=provenance.collect(),
        )

    def result(
        self,
        model: PreTrainedModel,
        mask: Mask,
        *,
        importance: Importance | None = None,
        resampled: Sequence[Importance] = (),
        ticket: Ticket | None = None,
        more: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> Result:
        """Evaluate the trained model on both splits and put everything into one Record, with `more` arrays.

        A tuned model that is to teach also leaves its outputs for the training examples, in their order.
        """
        arrays = _arrays(mask, importance, resampled) | curve_arrays(self._watch) | dict(more)
        if isinstance(self._run, TuneRun) and self._run.config.training.teacher == "full":
            with self.timed("teaching"):
                arrays["train_predictions"] = predict(model, self.splits.train, self._sweep.tokenizer)
        with self.timed("evaluation"):
            for split in ("selection", "report"):
                examples = getattr(self.splits, split)
                arrays[f"{split}_predictions"] = predict(model, examples, self._sweep.tokenizer)
                arrays[f"{split}_labels"] = np.asarray(examples["labels"])
        scores = {
            split: score_predictions(self._sweep.task, arrays[f"{split}_predictions"], arrays[f"{split}_labels"])
            for split in ("selection", "report")
        }
        remaining = mask.weights_remaining
        record = Record(
            name=self._run.name,
            kind=self._run.kind,
            sparsity=self._run.sparsity,
            seed=self._run.seed,
            **scores,
            size=Size(remaining.all, remaining.encoder, mask.heads_per_layer, mask.ffn_per_layer),
            cost=Cost(self._seconds, self._trained_examples),
            settings=settings_of(self._run.config) | (self._run.settings if isinstance(self._run, SoupRun) else {}),
            provenance=provenance.collect()
            | {"threads": torch.get_num_threads(), "device": device_name(model)}
            | ({"processes": world()} if world() > 1 else {})
            | {"origin": self._sweep.data["origin"]},
            arrays=arrays,
            stopped=None if self._watch is None else self._watch.stopped,
        )
        return Result(record, model, ticket)


def _arrays(mask: Mask, importance: Importance | None, resampled: Sequence[Importance]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {"heads": mask.heads, "ffn": mask.ffn}
    if importance is not None:
        arrays |= {"importance_heads": importance.heads, "importance_ffn": importance.ffn}
    if resampled:
        both = [one.heads for one in resampled], [one.ffn for one in resampled]
        arrays |= {name: np.stack(each).astype(np.float32) for name, each in zip(RESAMPLED, both, strict=True)}
    return arrays
