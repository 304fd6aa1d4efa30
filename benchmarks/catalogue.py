"""The benchmarks by name. Adding one: a module with TASK, Settings, QUICK and measure, and its line here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module

from benchmarks.figures import Figure, Result
from benchmarks.measuring import Say, seconds

NAMES: tuple[str, ...] = ("train_throughput", "scoring_cost", "sweep_cost", "pruning", "pruned_speed", "sharing_step")
NAMES += ("ray_workers", "peers", "race", "faults", "fuzz", "scale")
ON_GPU: tuple[str, ...] = ("gpu_throughput",)  # measured where they are named, and by gpu.sh
NAMES += ON_GPU
BUSY = 0.5  # load average above which another program is likely to disturb the timings


def measure(name: str, *, quick: bool, say: Say) -> Result:
    """Run one benchmark on one torch thread; `quick` uses sizes so small that the figures mean nothing."""
    import torch

    load = os.getloadavg()[0]
    if load > BUSY:
        say(f"the machine is busy (load {load:.1f}): the figures will be wide, and may be wrong")
    module = import_module(f"benchmarks.{name}")
    settings = module.QUICK if quick else module.Settings()
    figures: dict[str, Figure] = {}
    torch.set_num_threads(1)
    took = seconds(lambda: figures.update(module.measure(settings, say)))
    say(f"done in {took:.0f} s")
    return Result.now(name, figures, facts(asdict(settings), module.TASK, load, took))


def facts(settings: Mapping[str, object], task: str | None, load: float, took: float) -> dict[str, object]:
    """The settings, and what else a reader of the figures has to know."""
    return {**settings, "task": task, "threads": 1, "load_before": round(load, 2), "seconds": round(took, 1)}
