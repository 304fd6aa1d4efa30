"""A sharing experiment without training: records whose predictions are right at a known rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from supertickets.config import Config, DataConfig, ShareConfig, SharedTaskConfig
from supertickets.data.tasks import Task
from supertickets.experiments.records import Cost, Record, Size
from supertickets.experiments.sharing_outcome import METHODS, Method, Sharing, TaskRuns
from supertickets.learning.metrics import Scores, score
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures

TASK = Task("toy", "classification", ("no", "yes"), ("accuracy",))
STRUCTURES = Structures("bert", np.full((2, 4), 10), np.full((2, 1), 50), 200, 400)  # 180 in units
RATES: Mapping[Method, float] = {"full": 0.7, "winning": 0.72, "multitask": 0.75, "sharing": 0.85, "random": 0.74}


def record(seed: int, right: np.ndarray, kind: str, sparsity: float, mask: Mask) -> Record:
    """A record whose predictions are right where `right` says so; all labels are class 1."""
    labels = np.ones(len(right), np.int64)
    logits = np.stack([~right, right], axis=1).astype(np.float32)
    arrays = {f"{split}_{part}": x for split in ("report", "selection") for part, x in _parts(logits, labels)}
    scores: Scores = score(TASK, logits, labels)
    remaining = mask.weights_remaining
    seconds = {"loading": 1.0, "evaluation": 2.0} | ({"training": 5.0} if kind in ("full", "winning") else {})
    return Record(
        name=f"{kind}-{sparsity}-s{seed}",
        kind=kind,
        sparsity=sparsity,
        seed=seed,
        selection=scores,
        report=scores,
        size=Size(remaining.all, remaining.encoder, mask.heads_per_layer, mask.ffn_per_layer),
        cost=Cost(seconds, 0),
        settings={},
        provenance={"versions": {"supertickets": "0.1.0"}, "time": "2026-01-01", "origin": {"data": "f00d"}},
        arrays=arrays | {"heads": mask.heads, "ffn": mask.ffn},
    )


def _parts(logits: np.ndarray, labels: np.ndarray) -> list[tuple[str, np.ndarray]]:
    return [("predictions", logits), ("labels", labels)]


def mask_without(*heads: int) -> Mask:
    """A mask that drops these heads (0 to 7) and no FFN sublayer."""
    kept = np.ones(8, bool)
    kept[list(heads)] = False
    return Mask(STRUCTURES, kept.reshape(2, 4), np.ones((2, 1), bool))


def experiment(
    gains: Mapping[str, float],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    methods: Sequence[Method] = METHODS,
    n: int = 400,
    undone: Sequence[tuple[Method, int]] = (),
) -> Sharing:
    """Tasks by name, each with what sharing gains on multitask there; `undone` names runs (arm, seed) not finished.

    Task number i drops the heads 0 to i. Every model finds the same examples hard.
    """
    arms = tuple(method for method in methods if method not in ("full", "winning"))
    config = ShareConfig(
        tasks={name: SharedTaskConfig(train="a.csv", test="b.csv") for name in gains}, seeds=tuple(seeds), arms=arms
    )
    tasks = []
    for index, (name, gain) in enumerate(gains.items()):
        rng, ticket = np.random.default_rng(index), mask_without(*range(index + 1))
        hard = rng.uniform(size=n)
        found: dict[Method, tuple[Record, ...]] = {}
        for method in methods:
            rate = RATES["multitask"] + gain if method == "sharing" else RATES[method]
            mask = ticket if method in ("winning", "sharing", "random") else Mask.full(STRUCTURES)
            sparsity = 0.1 if mask is ticket else 0.0
            found[method] = tuple(
                record(seed, hard + rng.normal(size=n) * 0.02 < rate, method, sparsity, mask)
                for seed in seeds
                if (method, seed) not in undone
            )
        tasks.append(
            TaskRuns(
                name=name,
                config=Config(data=DataConfig(train="a.csv", test="b.csv")),
                task=TASK,
                data={"sizes": {"train": {"rows": 900}, "report": {"rows": n}}, "notes": [f"a note on {name}"]},
                sparsity=0.1,
                records=found,
                tickets=dict.fromkeys(seeds, ticket),
                sweep=(*found["full"], *found["winning"]),
            )
        )
    return Sharing(config, tuple(tasks), tuple(f"{arm}-s{seed}-f00d" for arm, seed in undone), ())
