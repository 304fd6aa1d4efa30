"""What a large sweep would cost on GPUs, worked out from counts and stated assumptions. No torch."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from supertickets.config import Config
from supertickets.experiments.plans import cost, plan
from supertickets.experiments.runs import Run, TuneRun

BACKWARD = 2.0  # of a forward pass
# Examples that the nine-task benchmark's eight tasks of the paper train on, and that are reported on.
GLUE = {
    "cola": (8551, 1043),
    "sst2": (67349, 872),
    "mrpc": (3668, 408),
    "stsb": (5749, 1500),
    "qqp": (363846, 40430),
    "mnli": (392702, 19647),
    "qnli": (104743, 5463),
    "rte": (2490, 277),
}


@dataclass(frozen=True)
class Card:
    """An encoder on a GPU: weights in its layers, tokens of an example, peak operations a second, and their use.

    A weight costs a multiplication and an addition for every token of a forward pass; attention's own
    products are left out (2 % for BERT-large at 128 tokens).
    """

    weights: float = 302e6  # BERT-large: 24 layers of 12.6 million
    tokens: int = 128
    peak: float = 312e12  # an A100's dense bf16
    use: float = 0.35

    @property
    def forward_seconds(self) -> float:
        """Of one example through the full model."""
        return 2 * self.weights * self.tokens / (self.peak * self.use)


def seconds_of(run: Run, train: int, report: int, card: Card) -> float:
    """One run's GPU seconds: its epochs, the scoring of a tuned model (one pass), the evaluation.

    A ticket's share of the full model's time is that of `plans.cost`. Selection examples count as trained
    on, loading and the start of processes not at all.
    """
    step = 1 + BACKWARD
    passes = run.config.training.epochs * step * train + report
    passes += step * train if isinstance(run, TuneRun) else 0.0
    return cost(run) * passes * card.forward_seconds


def gpu_hours(config: Config, tasks: Mapping[str, tuple[int, int]], card: Card) -> dict[str, float]:
    """GPU hours of the config's sweep on each task, given as examples (train, report)."""
    runs = plan(config)
    return {task: sum(seconds_of(run, *sizes, card) for run in runs) / 3600 for task, sizes in tasks.items()}


def wall_hours(config: Config, tasks: Mapping[str, tuple[int, int]], card: Card, gpus: int) -> float:
    """Hours until all tasks' sweeps are done on so many GPUs, a run on each: simulated as the sweep does it.

    Sweeps follow one another; in each, the next run in the plan's order that is ready takes the next free GPU.
    """
    return sum(_makespan(plan(config), sizes, card, gpus) for sizes in tasks.values()) / 3600


def _makespan(runs: Sequence[Run], sizes: tuple[int, int], card: Card, gpus: int) -> float:
    free, ends = [0.0] * gpus, dict[Run, float]()
    waiting = list(runs)
    while waiting:
        now = heapq.heappop(free)
        ready = [run for run in waiting if all(ends.get(tune, now + 1) <= now for tune in run.needs)]
        if not ready:  # until the next tuned model is there
            later = min(end for end in ends.values() if end > now)
            heapq.heappush(free, later)
            continue
        waiting.remove(ready[0])
        ends[ready[0]] = now + seconds_of(ready[0], *sizes, card)
        heapq.heappush(free, ends[ready[0]])
    return max(ends.values())
