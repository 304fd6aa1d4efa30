"""What the whole sweep of one task costs: the 2021 protocol against ours, on the same machine and data."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.figures import Figure
from benchmarks.measuring import Say, quantiles, score_difference, seconds
from benchmarks.protocol_2021 import Done, sweep_of_seed
from benchmarks.workplace import config_for, workplace
from supertickets.config import Config, DataConfig, TicketsConfig, TrainingConfig
from supertickets.experiments.executors import default_workers, executor
from supertickets.experiments.progress import Silent
from supertickets.experiments.records import Record
from supertickets.experiments.sweeps import run_missing
from supertickets.experiments.workspace import Workspace

TASK = "movie-reviews"
SEEDS = (0, 1)


@dataclass(frozen=True)
class Settings:
    """Sizes of one measurement, threads of the 2021 process, and our workers (None: the default number)."""

    encoder: str = "minilm"
    train_examples: int = 256
    report_examples: int = 128
    epochs: float = 2.0
    learning_rate: float = 2e-4
    levels: tuple[float, ...] = (0.1, 0.25, 0.4, 0.55, 0.7)
    old_threads: int = 1
    workers: int | None = None


QUICK = Settings(train_examples=64, report_examples=64, epochs=1.0, levels=(0.3, 0.6))


@dataclass(frozen=True)
class Spent:
    """What a piece of work took: wall seconds, and processor seconds of this process and its finished workers."""

    wall: float
    processor: float


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Ratios of what both sweeps take, and the difference of their mean scores.

    Ours runs between the two seeds of 2021's, so that a machine that slows down or warms up harms
    both alike; the start of our workers counts, preparing the data (the same for both) does not.
    """
    with workplace(config(settings)) as sweep:
        first, before = _old(sweep, SEEDS[0], settings.old_threads, say)
        ours, spent = _ours(sweep, settings.workers or default_workers(), say)
        second, after = _old(sweep, SEEDS[1], settings.old_threads, say)
        labels = np.asarray(sweep.splits(SEEDS[0]).report["labels"])
    gap, draws = score_difference(_right(ours, labels), _right([*first, *second], labels))
    low, p10, p90, high = quantiles(draws, 0.025, 0.1, 0.9, 0.975)
    say(f"ours less 2021's, points: {gap:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}")
    wall = [2 * half.wall / spent.wall for half in (before, after)]
    processor = [2 * half.processor / spent.processor for half in (before, after)]
    return {
        "2021's wall time / ours": Figure.of(wall, goal=4.0),
        "2021's processor time / ours": Figure.of(processor),
        "mean score, ours less 2021's, points": Figure.exact(gap, (p10, p90)),
        "mean score, upper end of the 95 % interval": Figure.exact(high, goal=0.0),
        "2021's sweep, wall seconds": Figure.exact(before.wall + after.wall, better="lower"),
        "our sweep, wall seconds": Figure.exact(spent.wall, better="lower"),
    }


def config(settings: Settings) -> Config:
    """Our sweep: three kinds at every level, two seeds, everything else at its default."""
    return config_for(
        DataConfig(TASK, train_examples=settings.train_examples, report_examples=settings.report_examples),
        settings.encoder,
        TrainingConfig(epochs=settings.epochs, learning_rate=settings.learning_rate),
        TicketsConfig(levels=settings.levels, control_levels=settings.levels),
        SEEDS,
    )


def _old(sweep: Workspace, seed: int, threads: int, say: Say) -> tuple[list[Done], Spent]:
    done: list[Done] = []
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    spent = _spent(lambda: done.extend(sweep_of_seed(sweep, seed)))
    torch.set_num_threads(before)
    say(f"2021's, seed {seed}: {len(done)} models in {spent.wall:.0f} s ({spent.processor:.0f} s of processor)")
    return done, spent


def _ours(sweep: Workspace, workers: int, say: Say) -> tuple[list[Record], Spent]:
    records: list[Record] = []

    def run() -> None:
        with executor(workers) as pool:
            records.extend(run_missing(sweep, pool, workers, Silent()))

    spent = _spent(run)
    say(f"ours: {len(records)} models in {spent.wall:.0f} s ({spent.processor:.0f} s of processor), {workers} workers")
    return records, spent


def _spent(work: Callable[[], object]) -> Spent:
    before = os.times()
    wall = seconds(work)
    return Spent(wall, sum(os.times()[:4]) - sum(before[:4]))


def _right(models: Sequence[Done | Record], labels: np.ndarray) -> np.ndarray:
    """For every seed and report example, the share of the seed's models that are right: (seeds, examples)."""
    return np.stack(
        [
            np.mean([_predictions(m).argmax(axis=1) == labels for m in models if m.seed == seed], axis=0)
            for seed in SEEDS
        ]
    )


def _predictions(model: Done | Record) -> np.ndarray:
    return model.predictions if isinstance(model, Done) else model.arrays["report_predictions"]
