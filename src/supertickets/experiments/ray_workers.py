"""Runs as Ray tasks behind concurrent.futures' interface: a run takes its share of a node, the driver writes.

Ray is imported inside functions only: whoever does not ask for it needs no Ray.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from supertickets import provenance
from supertickets.config import ClusterConfig
from supertickets.errors import UserError
from supertickets.experiments import parcels
from supertickets.experiments.executors import cores
from supertickets.experiments.failures import DistantError, last_line
from supertickets.experiments.ray_nodes import Answer, Order, drop, perform

GIB = 2**30
POLL = 5.0  # seconds between two looks at whether there still is a node that can take a run
PATIENCE = 12  # such looks without one before the sweep stops
LOST = "its worker or its node was lost"


def check_ray(address: str | None) -> None:
    """Raise UserError, in one sentence with the remedy, when Ray is not installed."""
    if find_spec("ray") is None:
        where = "--workers ray" if address is None else f"--ray-address {address}"
        raise UserError("ray is not installed", where, "pip install 'supertickets[ray]'")


class RayExecutor(Executor):
    """Ray tasks, each with its share of a node; on this machine, or on a running cluster's nodes.

    Nodes need no shared filesystem: data and encoder go into the object store once, each node keeps a
    copy while the sweep lasts, and what a run writes comes back to be written here. Raises UserError
    when there is no cluster at the address, or no node has a run's share.
    """

    def __init__(self, share: ClusterConfig, address: str | None = None) -> None:
        self._share, self._token = share, secrets.token_hex(6)
        self._owned = _connect(address)
        self._resources = _resources(share)
        self._task = _task(self._resources)
        self._pending: set[Any] = set()
        self._shared: dict[Path, Any] = {}
        self._lock, self._closed = threading.Lock(), False
        self.size = _places(self._resources)
        self._threads = ThreadPoolExecutor(max(1, self.size), thread_name_prefix="ray-run")
        if not self.size:
            self.shutdown()
            raise UserError(f"no node has {_words(self._resources)}", "cluster", _remedy(share))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand a piece of work to Ray; what it writes into the folder among its arguments is written here."""
        assert not kwargs
        return self._threads.submit(self._do, fn, args)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop what still runs, have the nodes remove their copies, and leave the cluster."""
        import ray

        with self._lock:
            self._closed = True
            pending = list(self._pending)
        for task in pending:
            with suppress(Exception):  # it may have ended, or the cluster may be gone
                ray.cancel(task, force=True)
        self._threads.shutdown(wait, cancel_futures=True)
        with suppress(Exception):  # a cluster that is gone has nothing to remove
            _clear(self._token)
        if self._owned:
            ray.shutdown()

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._threads.shutdown(wait=True)
        self.shutdown()

    def _do(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        run = next((one for one in arguments if isinstance(one, parcels.AnyRun)), None)
        folder = next((one for one in arguments if isinstance(one, Path)), None)
        alone = run is None or folder is None
        own: parcels.Parcel = {} if run is None or folder is None else parcels.own_of(run, folder)
        shared = None if run is None or folder is None else self._put(run, folder)
        versions = provenance.collect()["versions"]
        order = Order(work, arguments, None if alone else folder, own, self._share.cores_per_run, versions, self._token)
        answer = self._wait(order, shared)
        if answer.bad_input is not None:
            raise UserError(*answer.bad_input)
        if answer.error is not None:
            raise DistantError(*answer.error)
        if folder is not None:
            parcels.land(answer.files, folder)
        return answer.value

    def _put(self, run: parcels.AnyRun, folder: Path) -> Any:
        import ray

        with self._lock:
            if folder not in self._shared:
                self._shared[folder] = ray.put(dict(parcels.shared_by_all(run, folder)))
            return self._shared[folder]

    def _wait(self, order: Order, shared: Any) -> Answer:
        """The task's answer; raises DistantError when its worker or node was lost, UserError when none is left."""
        import ray

        with self._lock:  # `shutdown` cancels what is pending, and what comes later is not begun
            if self._closed:
                raise CancelledError
            task = self._task.remote(order, shared)
            self._pending.add(task)
        try:
            vain = 0
            while not ray.wait([task], timeout=POLL)[0]:
                vain = 0 if _places(self._resources) else vain + 1
                if vain >= PATIENCE:
                    ray.cancel(task, force=True)
                    what = f"no node is left that has {_words(self._resources)}"
                    raise UserError(what, "--workers ray", "add one and run the same command again")
            answer = ray.get(task)
            assert isinstance(answer, Answer)
            return answer
        except ray.exceptions.RayError as fault:
            started = not isinstance(fault, ray.exceptions.RayTaskError)  # what `perform` raises is no error of Ray
            line = f"{LOST} ({type(fault).__name__})" if started else f"it could not start: {last_line(fault)}"
            raise DistantError(line, "".join(traceback.format_exception(fault))) from fault
        finally:
            with self._lock:
                self._pending.discard(task)


def _connect(address: str | None) -> bool:
    """Start Ray here, or join a cluster; whether it was us who did, and not the caller before."""
    import ray

    if ray.is_initialized():
        return False
    if address is not None:
        _check_reachable(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a local cluster of ours reports to nobody
    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init("local", num_cpus=cores(), include_dashboard=False, **quiet)
        else:
            ray.init(address, **quiet)
    except Exception as fault:  # of any kind: that a node was slow to start is a bare Exception
        if address is None:
            what = f"Ray could not be started here ({last_line(fault)})"
            raise UserError(what, "--workers ray", "try again, or give a number of workers") from fault
        remedy = "start one with `ray start --head`, or use --workers ray for this machine alone"
        if str(address).startswith("ray://"):
            remedy = "see that its head runs and, where it asks for a token, that RAY_AUTH_MODE=token is set"
        raise UserError(
            f"no Ray cluster can be joined ({last_line(fault)})", f"--ray-address {address}", remedy
        ) from None
    return True


def _check_reachable(address: str) -> None:
    """Raise UserError where nobody listens at HOST:PORT: Ray itself tries for a quarter of an hour."""
    host, colon, port = address.rpartition(":")
    remedy = "give auto, HOST:PORT of a head's GCS, or ray://HOST:10001"
    if not address or (colon and "/" not in host and not port.isdecimal()):
        raise UserError("not the address of a Ray cluster", f"--ray-address {address}", remedy)
    if colon and "/" not in host:
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as fault:
            raise UserError(f"no Ray cluster can be joined ({fault})", f"--ray-address {address}", remedy) from fault


def _resources(share: ClusterConfig) -> dict[str, float]:
    """What one run takes, by Ray's names; without a setting a whole GPU where the cluster has any."""
    gpus = share.gpus_per_run
    if gpus is None:
        gpus = 1.0 if any(_has(node, "GPU") for node in _alive()) else 0.0
    memory = 0.0 if share.memory_per_run is None else share.memory_per_run * GIB
    wanted = {"CPU": float(share.cores_per_run), "GPU": gpus, "memory": memory}
    return {name: amount for name, amount in wanted.items() if amount}


def _task(resources: dict[str, float]) -> Any:
    """`perform` as a Ray task that takes these resources; a lost one is ours to try again, so that all are counted."""
    import ray

    options: dict[str, Any] = {"num_cpus": resources["CPU"], "num_gpus": resources.get("GPU", 0), "max_retries": 0}
    if "memory" in resources:
        options["memory"] = resources["memory"]
    return ray.remote(**options)(perform)


def _places(resources: dict[str, float]) -> int:
    """How many runs the nodes that are alive can do at once."""
    return sum(min(int(_has(node, name) / amount) for name, amount in resources.items()) for node in _alive())


def _alive() -> Sequence[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _has(node: dict[str, Any], name: str) -> float:
    return float(node["Resources"].get(name, 0.0))


def _words(resources: dict[str, float]) -> str:
    names = {"CPU": "cores", "GPU": "GPUs", "memory": "GiB of memory"}
    amounts = {name: amount / GIB if name == "memory" else amount for name, amount in resources.items()}
    return ", ".join(f"{amount:g} {names[name]}" for name, amount in amounts.items()) + " for a run"


def _remedy(share: ClusterConfig) -> str:
    return f"lower {', '.join(f'cluster.{name}' for name in vars(share))}, or add a node"


def _clear(token: str) -> None:
    """Have every node remove its copy of data and encoder."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(drop)
    nodes = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in _alive()]
    ray.wait(
        [task.options(scheduling_strategy=node).remote(token) for node in nodes], num_returns=len(nodes), timeout=10
    )
