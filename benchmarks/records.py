"""A sweep's folder with made-up records and tickets, as many as wanted; nothing was trained for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import numpy as np

from supertickets import seeding, settings, storage
from supertickets.config import Config, DataConfig, EncoderConfig, TicketsConfig
from supertickets.data.tasks import Task
from supertickets.experiments.origins import write_data
from supertickets.experiments.plans import plan
from supertickets.experiments.records import Cost, Record, Size
from supertickets.experiments.runs import Run, TicketRun, settings_of
from supertickets.experiments.workspace import Workspace
from supertickets.learning.metrics import score
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask, draw
from supertickets.tickets.structures import Structures
from supertickets.tickets.ticket import Ticket

LAYERS, HEADS = 6, 12
EXAMPLES = {"selection": 300, "report": 300}
TASK = Task("rte", "classification", ("entailment", "not_entailment"), ("accuracy",))
# Seeds x (1 full model + winning levels + 2 kinds x control levels), by the number of records.
SHAPES = {10: (2, 2, 1), 30: (2, 8, 3), 1000: (40, 12, 6), 10_000: (100, 49, 25)}


def made_up(folder: Path, records: int) -> Workspace:
    """Write config, data facts, records and tickets of a finished grid with so many records."""
    seeds, levels, controls = SHAPES[records]
    steps = tuple(round(0.9 * (step + 1) / levels, 4) for step in range(levels))
    config = Config(
        data=DataConfig(TASK.name, folder="glue"),
        encoder=EncoderConfig("minilm"),
        tickets=TicketsConfig(levels=steps, control_levels=steps[:controls]),
        seeds=tuple(range(seeds)),
    )
    storage.write_text(folder / "config.yaml", settings.dump(config))
    size = {"file": "train.tsv", "rows": 2490, "official": 2490, "partial": False, "left_out": 0}
    write_data(folder, {"task": asdict(TASK), "sizes": {"train": size, "report": size}, "origin": {"data": "f00d"}})
    sweep = Workspace(folder, config, TASK)
    with _without_syncing():
        for run in plan(config):
            record, ticket = finished(run)
            record.save(sweep.run_folder(run))
            if ticket is not None:
                ticket.save(sweep.ticket_folder(run))
    return sweep


@contextmanager
def _without_syncing() -> Iterator[None]:
    """Files that are thrown away need not outlive a power cut; 40 000 of them would take minutes to sync."""
    with mock.patch.object(os, "fsync", lambda descriptor: None):
        yield


def finished(run: Run) -> tuple[Record, Ticket | None]:
    """What a run might have left: guesses that are right as often as its sparsity lets them."""
    rng = seeding.generator(run.seed, f"{run.kind} {run.sparsity}")
    sizes = np.full((LAYERS, HEADS), 49_000), np.full((LAYERS, 1), 1_180_000)
    structures = Structures("bert", *sizes, 10_650_000, 22_700_000)
    scores = seeding.generator(run.seed, "importance")
    importance = Importance(structures, scores.gamma(1.0, size=(LAYERS, HEADS)), scores.gamma(2.0, size=(LAYERS, 1)))
    mask = Mask.full(structures)
    if isinstance(run, TicketRun):
        mask = draw(run.kind, importance, run.sparsity, rng=rng)
    arrays: dict[str, np.ndarray] = {"heads": mask.heads, "ffn": mask.ffn}
    if run.kind == "full":
        arrays |= {"importance_heads": importance.heads, "importance_ffn": importance.ffn}
    found = {}
    for split, n in EXAMPLES.items():
        own = run.seed if split == "selection" else 0
        labels = seeding.generator(own, f"{split} labels").integers(TASK.classes, size=n)
        guesses = np.where(rng.random(n) < 0.8 - 0.3 * run.sparsity**2, labels, 1 - labels)
        logits = (2.0 * np.eye(TASK.classes)[guesses] + 0.1 * rng.normal(size=(n, TASK.classes))).astype(np.float32)
        arrays |= {f"{split}_predictions": logits, f"{split}_labels": labels}
        found[split] = score(TASK, logits, labels)
    remaining = mask.weights_remaining
    origin = {"commit": "0" * 40, "machine": {"cpu": "none", "cores": 2}, "time": "2026-01-01T00:00:00+00:00"}
    record = Record(
        name=run.name,
        kind=run.kind,
        sparsity=run.sparsity,
        seed=run.seed,
        selection=found["selection"],
        report=found["report"],
        size=Size(remaining.all, remaining.encoder, mask.heads_per_layer, mask.ffn_per_layer),
        cost=Cost({"loading": 0.4, "training": 60 * remaining.encoder, "evaluation": 3.0}, 6471),
        settings=settings_of(run.config),
        provenance=origin | {"versions": {"supertickets": "0.1.0", "torch": "2.13.0"}, "threads": 1},
        arrays=arrays,
    )
    if not isinstance(run, TicketRun):
        return record, None
    return record, Ticket(mask, run.kind, run.sparsity, run.seed, "minilm", "0" * 64, importance, origin)
