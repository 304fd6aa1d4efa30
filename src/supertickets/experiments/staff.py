"""Who executes the runs, and with how many threads each: this machine's processes, or Ray."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from supertickets.config import ClusterConfig
from supertickets.errors import UserError
from supertickets.experiments.executors import (
    check_workers,
    cores,
    default_workers,
    executor,
    limit_threads,
    use_share,
)
from supertickets.experiments.ray_workers import RayExecutor, check_ray
from supertickets.experiments.together import Together
from supertickets.learning.processes import threads_of_a_process, world


@dataclass(frozen=True)
class OnRay:
    """Ray instead of processes: of this machine, or of the cluster at an address."""

    address: str | None = None


def chosen(workers: int | str | None, ray_address: str | None = None) -> int | OnRay:
    """What executes the runs: a number of processes, by default one a core, or Ray.

    Raises UserError for a number that this machine does not have, for any other word, and when Ray is
    asked for and not installed.
    """
    if world() > 1:
        return 1  # all processes train each run together
    if ray_address is not None and workers not in (None, "ray"):
        what = f"a cluster's nodes decide how many runs there are at once, not --workers {workers}"
        raise UserError(what, f"--ray-address {ray_address}", "leave one of the two out")
    if workers == "ray" or ray_address is not None:
        check_ray(ray_address)
        return OnRay(ray_address)
    if isinstance(workers, str):
        raise UserError(f"neither a number nor ray: {workers!r}", "--workers", f"choose 1 to {cores()}, or ray")
    return default_workers() if workers is None else check_workers(workers)


@contextmanager
def opened(workers: int | OnRay, share: ClusterConfig) -> Iterator[tuple[Executor, int]]:
    """The executor, and how many runs it does at once; raises UserError when Ray cannot be had."""
    if isinstance(workers, OnRay):
        with RayExecutor(share, workers.address) as pool:
            yield pool, pool.size
    elif world() > 1:
        limit_threads(threads_of_a_process(cores()))
        yield Together(), 1
    else:
        with executor(workers) as processes:
            yield processes, workers


def use_threads_of_a_run(workers: int | OnRay, share: ClusterConfig) -> None:
    """Give this process the threads that a run will have."""
    if isinstance(workers, OnRay):
        limit_threads(share.cores_per_run)
    else:
        use_share(workers)
