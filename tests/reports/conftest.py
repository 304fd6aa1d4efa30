"""A synthetic sweep: records with seeded fake predictions, as a finished sweep of 3 seeds leaves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from supertickets import seeding, settings, storage
from supertickets.config import Config, DataConfig, EncoderConfig
from supertickets.data.tasks import Task
from supertickets.experiments.plans import plan
from supertickets.experiments.records import Cost, Record, Size
from supertickets.experiments.runs import Run, settings_of
from supertickets.learning.metrics import score
from supertickets.learning.speed import Speedup
from supertickets.reports.findings import Findings, gather
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask, draw
from supertickets.tickets.structures import Structures

LAYERS, HEADS, NEURONS = 6, 12, 40
RATES = {"full": 0.80, "winning": 0.0, "random": -0.03, "losing": -0.06}
SELECTION_N, REPORT_N = 333, 277
VERSIONS = {"python": "3.11.2", "supertickets": "0.1.0", "torch": "2.13.0", "transformers": "5.24.0", "numpy": "2.4.0"}

Sweep = Callable[..., list[Record]]

SPEEDUP = Speedup(1.42, 1.37, 1.49, pairs=15, threads=1, batch_size=32, length=24, device="cpu")


def rate(kind: str, sparsity: float, gain: float) -> float:
    """The true rate of right answers: winning tickets rise by `gain` up to level 0.3 and fall past it."""
    winning = 0.80 + gain * min(sparsity, 0.3) / 0.3 - 0.9 * max(0.0, sparsity - 0.3) ** 2
    return RATES["full"] if kind == "full" else winning + RATES[kind] * (1 + sparsity)


def predictions(task: Task, labels: np.ndarray, right: float, rng: np.random.Generator) -> np.ndarray:
    """Logits, or numbers, that agree with the labels at the rate `right`; every model finds the same examples hard."""
    if task.kind == "regression":
        return (labels + rng.normal(size=len(labels)) * 3 * (1 - right)).astype(np.float32)
    hard = seeding.generator(len(labels), "how hard the examples are").normal(size=len(labels))
    hit = np.sqrt(0.9) * hard + np.sqrt(0.1) * rng.normal(size=len(labels)) < norm.ppf(min(right, 0.99))
    guess = np.where(hit, labels, (labels + rng.integers(1, task.classes, len(labels))) % task.classes)
    return (np.eye(task.classes)[guess] * 2 + rng.normal(size=(len(labels), task.classes)) * 0.1).astype(np.float32)


def labels_of(task: Task, n: int, rng: np.random.Generator) -> np.ndarray:
    """Class ids or numbers."""
    return rng.uniform(0, 5, n) if task.kind == "regression" else rng.integers(task.classes, size=n)


def importance_of(structures: Structures, seed: int) -> Importance:
    """Importance that seeds agree on in part."""
    shared, own = seeding.generator(0, "shared"), seeding.generator(seed, "importance")
    heads = shared.gamma(1.0, size=(LAYERS, HEADS)) + own.gamma(0.5, size=(LAYERS, HEADS))
    size = structures.ffn.shape
    return Importance(structures, heads, shared.gamma(2.0, size=size) + own.gamma(0.3, size=size))


def fake(run: Run, task: Task, gain: float) -> Record:
    """The record that a run might have left."""
    rng = seeding.generator(run.seed, f"{run.kind} {run.sparsity}")
    units = 1 if run.config.units.ffn == "sublayer" else NEURONS
    ffn = np.full((LAYERS, units), 1_180_000 // units)
    structures = Structures("bert", np.full((LAYERS, HEADS), 49_000), ffn, 10_650_000, 22_700_000)
    importance = importance_of(structures, run.seed)
    mask = Mask.full(structures)
    if run.kind != "full":
        mask = draw(run.kind, importance, run.sparsity, rng=seeding.generator(run.seed, "random ticket"))
    arrays: dict[str, np.ndarray] = {"heads": mask.heads, "ffn": mask.ffn}
    if run.kind == "full":
        arrays |= {"importance_heads": importance.heads, "importance_ffn": importance.ffn}
    luck = seeding.generator(run.seed, "luck of the seed").normal() * 0.006
    scores = {}
    for split, n in (("selection", SELECTION_N), ("report", REPORT_N)):
        own = run.seed if split == "selection" else 0
        labels = labels_of(task, n, seeding.generator(own, f"{split} labels"))
        guessed = predictions(task, labels, rate(run.kind, run.sparsity, gain) + luck, rng)
        arrays |= {f"{split}_predictions": guessed, f"{split}_labels": labels}
        scores[split] = score(task, guessed, labels)
    remaining = mask.weights_remaining
    seconds = {"loading": 0.4, "training": 60 * remaining.encoder + rng.uniform(), "evaluation": 3.0}
    return Record(
        name=run.name,
        kind=run.kind,
        sparsity=run.sparsity,
        seed=run.seed,
        **scores,
        size=Size(remaining.all, remaining.encoder, mask.heads_per_layer, mask.ffn_per_layer),
        cost=Cost(seconds | ({"scoring": 8.0} if run.kind == "full" else {}), 6471),
        settings=settings_of(run.config),
        provenance={
            "versions": VERSIONS,
            "commit": "0123456789abcdef0123456789abcdef01234567",
            "machine": {"cpu": "Example CPU", "cores": 2, "platform": "Linux"},
            "time": f"2026-01-0{1 + run.seed}T10:00:00+00:00",
            "threads": 1,
            "origin": {"data": "f00d"},
        },
        arrays=arrays,
    )


def data_of(task: Task) -> dict[str, Any]:
    """What `prepare` writes about the data: here of a partial copy."""
    size = {"file": "train.tsv", "rows": 2490, "official": 2490, "partial": False, "left_out": 0}
    return {
        "task": asdict(task),
        "sizes": {
            "train": size,
            "report": size | {"file": "dev.tsv", "rows": REPORT_N, "official": 300, "partial": True},
        },
        "notes": ["report set is partial: 277 of the 300 published examples"],
        "sha256": "f00d",
    }


@pytest.fixture
def task() -> Task:
    """A task on pairs with two classes and a note, as qnli has one."""
    return Task("rte", "classification", ("entailment", "not_entailment"), ("accuracy",), "results flatter this task")


@pytest.fixture
def config() -> Config:
    """7 winning levels, 3 control levels, 3 seeds: the defaults."""
    return Config(data=DataConfig(task="rte", folder="glue"), encoder=EncoderConfig(name="minilm"))


@pytest.fixture
def synthetic_records() -> Sweep:
    """The builder: (config, task, gain) -> the records of a finished sweep; `gain` is the true gain at level 0.3."""

    def build(config: Config, task: Task, gain: float = 0.05) -> list[Record]:
        return [fake(run, task, gain) for run in plan(config)]

    return build


@pytest.fixture
def findings(config: Config, task: Task, synthetic_records: Sweep) -> Findings:
    """The findings of a finished sweep with a true gain, from few resamples."""
    return gather(config, task, data_of(task), synthetic_records(config, task), SPEEDUP, resamples=200)


@pytest.fixture
def fine_findings(config: Config, task: Task, synthetic_records: Sweep) -> Findings:
    """As `findings`, of a sweep over single neurons (40 a layer), scored in three rounds, with a teacher."""
    fine = replace(
        config,
        units=replace(config.units, ffn="neuron"),
        scoring=replace(config.scoring, rounds=3),
        training=replace(config.training, teacher="full"),
    )
    return gather(fine, task, data_of(task), synthetic_records(fine, task), SPEEDUP, resamples=200)


@pytest.fixture
def sweep_folder(tmp_path: Path) -> Callable[[Config, Task, Sequence[Record]], Path]:
    """Writes records, config and data facts as a sweep does, and returns the folder."""

    def write(config: Config, task: Task, records: Sequence[Record]) -> Path:
        folder = tmp_path / "sweep"
        storage.write_text(folder / "config.yaml", settings.dump(config))
        storage.write_json(folder / "data.json", data_of(task))
        for record in records:
            record.save(folder / "runs" / record.name)
        return folder

    return write
