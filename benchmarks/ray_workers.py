"""What Ray brings and costs on one machine: two workers against one, and one against this process."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure
from benchmarks.measuring import Say
from benchmarks.workplace import config_for, workplace
from supertickets.config import ClusterConfig, Config, DataConfig, TicketsConfig, TrainingConfig
from supertickets.experiments.executors import InProcess
from supertickets.experiments.plans import plan
from supertickets.experiments.progress import Silent
from supertickets.experiments.ray_workers import RayExecutor
from supertickets.experiments.sweeps import run_missing
from supertickets.experiments.workspace import Workspace

TASK = "movie-reviews"


@dataclass(frozen=True)
class Settings:
    """Sizes of one measurement: every candidate does the same sweep once a round."""

    encoder: str = "minilm"
    train_examples: int = 256
    report_examples: int = 128
    epochs: float = 2.0
    levels: tuple[float, ...] = (0.2, 0.5)
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    rounds: int = 3


QUICK = Settings(train_examples=48, report_examples=32, epochs=1.0, levels=(0.5,), seeds=(0, 1), rounds=1)


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """A sweep in this process, on one Ray worker and on two, taking turns; workers are warm when the clock starts.

    What Ray adds to a run is the time of one worker less that of this process, over the runs: packing,
    the object store, the way back. The start of Ray and its workers, once a sweep, is a figure of its own.
    """
    candidates = {"this process": 0, "one Ray worker": 1, "two Ray workers": 2}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    starts: list[float] = []
    with workplace(config(settings)) as sweep:
        runs = len(plan(sweep.config))
        for turn in range(settings.rounds):
            names = list(candidates)
            for name in [*names[turn % 3 :], *names[: turn % 3]]:
                start, took = swept(sweep, candidates[name])
                times[name].append(took)
                starts += [start] if candidates[name] == 2 else []
                say(f"round {turn + 1} of {settings.rounds}: {name}, {runs} runs in {took:.1f} s, after {start:.1f} s")
    return figures({name: np.asarray(taken) for name, taken in times.items()}, starts, runs)


def figures(times: dict[str, np.ndarray], starts: list[float], runs: int) -> dict[str, Figure]:
    """Ratios and differences within each round."""
    one, two, here = (times[name] for name in ("one Ray worker", "two Ray workers", "this process"))
    return {
        "one Ray worker's time / two workers'": Figure.of((one / two).tolist(), goal=1.5),
        "this process's time / two Ray workers'": Figure.of((here / two).tolist()),
        "added by Ray, seconds a run": Figure.of(((one - here) / runs).tolist(), better="lower"),
        "start of Ray and its workers, seconds": Figure.of(starts, better="lower"),
        "a run in this process, seconds": Figure.of((here / runs).tolist(), better="lower"),
    }


def config(settings: Settings) -> Config:
    """Winning tickets only: every run is of one kind of work."""
    return config_for(
        DataConfig(TASK, train_examples=settings.train_examples, report_examples=settings.report_examples),
        settings.encoder,
        TrainingConfig(epochs=settings.epochs, learning_rate=2e-4),
        TicketsConfig(levels=settings.levels, control_levels=settings.levels, kinds=("winning",)),
        settings.seeds,
    )


def swept(sweep: Workspace, workers: int) -> tuple[float, float]:
    """Seconds until the workers are warm, and of the whole sweep in a fresh copy of its prepared folder; 0: no Ray."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(sweep.folder, Path(place) / "sweep"))
        start = time.perf_counter()
        with _executor(workers) as pool:
            wait([pool.submit(time.sleep, 1) for _ in range(workers)])  # in every worker, which loads torch first
            ready = time.perf_counter()
            run_missing(Workspace.open(folder), pool, max(1, workers), Silent())
            return ready - start, time.perf_counter() - ready


@contextmanager
def _executor(workers: int) -> Iterator[Executor]:
    if not workers:
        yield InProcess()
        return
    import ray

    # RayExecutor would start as many workers as there are cores; it joins what runs already.
    ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        with RayExecutor(ClusterConfig()) as pool:
            yield pool
    finally:
        ray.shutdown()
