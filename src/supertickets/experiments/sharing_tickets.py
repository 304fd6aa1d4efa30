"""What the tasks' super tickets keep, alone and together, and what they have in common. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from supertickets.tickets.masks import Mask


@dataclass(frozen=True)
class Weights:
    """Shares of the weights that tickets keep, means over seeds: of all weights, and of the encoder's layers."""

    all: float
    encoder: float


@dataclass(frozen=True)
class Kept:
    """Weights that the tasks' super tickets keep: each one, their mean over tasks, and their union, by seed."""

    by_task: Mapping[str, Weights]
    mean: Weights
    union: Weights
    by_seed: Mapping[int, Mapping[str, Weights]]  # seed -> mean, union


@dataclass(frozen=True)
class Overlap:
    """Jaccard of the tasks' super tickets, mean over seeds, and of random tickets of their sizes; `order` clusters."""

    tasks: tuple[str, ...]
    found: Float[np.ndarray, "T T"]
    chance: Float[np.ndarray, "T T"]
    order: tuple[int, ...]

    @property
    def pairs(self) -> tuple[float, float]:
        """Mean over pairs of different tasks: found, and by chance; NaN for one task."""
        upper = np.triu_indices(len(self.tasks), 1)
        if not len(upper[0]):
            return float("nan"), float("nan")
        return float(self.found[upper].mean()), float(self.chance[upper].mean())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "tasks": list(self.tasks),
            "jaccard": self.found.tolist(),
            "jaccard_by_chance": self.chance.tolist(),
            "order": list(self.order),
        }


def kept(tickets: Mapping[str, Mapping[int, Mask]]) -> Kept:
    """Weights kept by each task's tickets (task -> seed -> mask), by their mean and by their union."""
    seeds = _seeds_of_all(tickets)
    by_seed = {}
    for seed in seeds:
        masks = [by[seed] for by in tickets.values()]
        union = reduce(or_, masks)
        by_seed[seed] = {"mean": _mean([_weights(mask) for mask in masks]), "union": _weights(union)}
    return Kept(
        by_task={name: _mean([_weights(by[seed]) for seed in seeds]) for name, by in tickets.items()},
        mean=_mean([parts["mean"] for parts in by_seed.values()]),
        union=_mean([parts["union"] for parts in by_seed.values()]),
        by_seed=by_seed,
    )


def overlap(tickets: Mapping[str, Mapping[int, Mask]]) -> Overlap:
    """How much the tasks' tickets (task -> seed -> mask) have in common within a seed, against chance.

    Tasks are ordered by average linkage of 1 less the Jaccard, so that those with much in common are neighbours.
    """
    seeds, names = _seeds_of_all(tickets), tuple(tickets)
    found, chance = np.ones((2, len(names), len(names)))
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            pairs = [(tickets[one][seed], tickets[other][seed]) for seed in seeds]
            found[i, j] = np.mean([a.jaccard(b) for a, b in pairs])
            chance[i, j] = np.mean([a.expected_jaccard(b) for a, b in pairs])
    return Overlap(names, found, chance, _clustered(found))


def _seeds_of_all(tickets: Mapping[str, Mapping[int, Mask]]) -> list[int]:
    return sorted(set.intersection(*(set(by) for by in tickets.values())))


def _weights(mask: Mask) -> Weights:
    remaining = mask.weights_remaining
    return Weights(remaining.all, remaining.encoder)


def _mean(weights: Sequence[Weights]) -> Weights:
    return Weights(*(float(np.mean([getattr(w, name) for w in weights])) for name in ("all", "encoder")))


def _clustered(found: Float[np.ndarray, "T T"]) -> tuple[int, ...]:
    if len(found) < 3:
        return tuple(range(len(found)))
    apart = 1 - (found + found.T) / 2
    np.fill_diagonal(apart, 0)
    tree = linkage(squareform(apart), method="average", optimal_ordering=True)
    return tuple(int(leaf) for leaf in leaves_list(tree))
