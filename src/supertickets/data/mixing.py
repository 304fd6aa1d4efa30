"""The order of batches over several tasks: each batch is of one task, tasks take turns in random order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

from supertickets import seeding
from supertickets.config import Mixture
from supertickets.data.sampling import LengthBuckets
from supertickets.errors import UserError

ANNEALED = 0.8  # how far the exponent falls from proportional, 1, over the epochs (Stickland and Murray, 2019)


def shares(sizes: Mapping[str, int], mixture: Mixture, temperature: float, progress: float) -> dict[str, float]:
    """Each task's share of an epoch's batches, adding up to 1.

    `proportional` to the tasks' sizes, `temperature`: to sizes ** (1 / temperature), `annealed`: to
    sizes ** (1 - 0.8 * progress), with `progress` from 0 in the first epoch to 1 in the last, or `uniform`.
    """
    exponent = {
        "proportional": 1.0,
        "temperature": 1 / temperature,
        "annealed": 1 - ANNEALED * progress,
        "uniform": 0.0,
    }[mixture]
    scaled = {task: size**exponent for task, size in sizes.items()}
    total = sum(scaled.values())
    return {task: value / total for task, value in scaled.items()}


def apportion(total: int, parts: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that add up to `total`, as near to the shares as can be (largest remainders; ties: the first)."""
    exact = {task: total * part for task, part in parts.items()}
    counts = {task: math.floor(value) for task, value in exact.items()}
    left = total - sum(counts.values())
    by_remainder = sorted(exact, key=lambda task: counts[task] - exact[task])
    return counts | {task: counts[task] + 1 for task in by_remainder[:left]}


class MixedBatches(Sampler[list[int]]):
    """Batches of indices into the tasks' examples laid end to end, in the order of `lengths`.

    An epoch has as many batches as the tasks hold together; the mixture says whose they are, largest
    remainders rounded, and their order is shuffled. A task's own examples come in length buckets,
    reshuffled each time round. `weights` (task -> share, adding up to 1) stand in for the mixture; a
    task of share zero changes nothing for the others. Raises UserError for weights that do not add
    up, or of other tasks.
    """

    def __init__(
        self,
        lengths: Mapping[str, Sequence[int]],
        batch_size: int,
        seed: int,
        *,
        epochs: int,
        mixture: Mixture = "proportional",
        temperature: float = 2.0,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        starts = np.cumsum([0, *(len(values) for values in lengths.values())])
        self._starts = dict(zip(lengths, starts.tolist(), strict=False))
        drawn = _drawn(lengths, weights)
        self._batches = {task: math.ceil(len(lengths[task]) / batch_size) for task in drawn}
        self._streams = {
            task: _batches(LengthBuckets(lengths[task], batch_size, seeding.derive(seed, f"batch order {task}")))
            for task in drawn
        }
        self._mixture, self._temperature, self._weights = mixture, temperature, weights
        self._epochs, self._epoch = epochs, 0
        self._generator = torch.Generator().manual_seed(seeding.derive(seed, "task order"))
        self.drawn_of = dict.fromkeys(lengths, 0)  # examples so far

    @property
    def drawn(self) -> int:
        """Examples so far, of all tasks."""
        return sum(self.drawn_of.values())

    def __len__(self) -> int:
        """Batches in an epoch, whatever the mixture."""
        return sum(self._batches.values())

    def __iter__(self) -> Iterator[list[int]]:
        counts = apportion(len(self), self._parts())
        self._epoch += 1
        turns = [task for task, count in counts.items() for _ in range(count)]
        for turn in torch.randperm(len(turns), generator=self._generator).tolist():
            task = turns[turn]
            batch = next(self._streams[task])
            self.drawn_of[task] += len(batch)
            yield [self._starts[task] + index for index in batch]

    def _parts(self) -> dict[str, float]:
        if self._weights is not None:
            return {task: self._weights[task] for task in self._batches}
        progress = self._epoch / max(self._epochs - 1, 1)
        return shares(self._batches, self._mixture, self._temperature, min(progress, 1.0))


def _drawn(lengths: Mapping[str, Sequence[int]], weights: Mapping[str, float] | None) -> list[str]:
    """The tasks that are drawn at all."""
    if weights is None:
        return list(lengths)
    if set(weights) != set(lengths):
        raise UserError(f"weights are for {', '.join(weights)}; the tasks are {', '.join(lengths)}", "sampling.weights")
    total = sum(weights.values())
    if abs(total - 1) > 1e-6:
        raise UserError(f"weights add up to {total:g}, not to 1", "sampling.weights")
    return [task for task in lengths if weights[task] > 0]


def _batches(buckets: LengthBuckets) -> Iterator[list[int]]:
    """The buckets' batches, epoch after epoch without end."""
    while True:
        order = list(buckets)
        for start in range(0, len(order), buckets.batch_size):
            yield order[start : start + buckets.batch_size]
