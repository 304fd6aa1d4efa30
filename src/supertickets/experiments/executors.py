"""Where runs execute, behind concurrent.futures' interface: in this process, or in worker processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from threading import RLock, Thread
from types import TracebackType
from typing import Any

from tqdm import tqdm

from supertickets.errors import UserError

MOST_BY_DEFAULT = 8  # each worker holds a model and its optimiser in memory


class InProcess(Executor):
    """Runs each call at once, in this process."""

    size = 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` now and return its finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as fault:
            future.set_exception(fault)
        return future


def executor(workers: int) -> Executor:
    """The executor for a number of workers, each with its share of this machine's cores as threads."""
    if workers == 1:
        use_share(workers)
        return InProcess()
    return Processes(workers)


class Processes(ProcessPoolExecutor):
    """Worker processes, spawned; a fault or an interrupt ends them at once instead of waiting for what they work on."""

    def __init__(self, size: int) -> None:
        super().__init__(size, mp_context=_Workers(), initializer=_start_worker, initargs=(size,))
        self.size = size

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for process in [*(self._processes or {}).values()]:
                process.kill()
        super().__exit__(kind, fault, trace)


class _Worker(SpawnProcess):
    """A spawned process that does not run its parent's script again: the user's needs no `__main__` guard."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        main = sys.modules["__main__"]
        hidden = {name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__}
        main.__spec__ = None
        # Ctrl-C goes to all processes of a terminal: what it means is decided in the first one.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return SpawnProcess._Popen(process_obj)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for name, value in hidden.items():
                setattr(main, name, value)


class _Workers(SpawnContext):
    """Spawned, as a forked torch process inherits locked thread pools."""

    Process = _Worker


def _start_worker(workers: int) -> None:
    """Give a worker its threads; end it when its parent is gone (it would wait for ever), but not on Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None
    Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
    tqdm.set_lock(RLock())  # its own is a semaphore of the system's, which a worker that is ended would leave behind
    use_share(workers)


def default_workers() -> int:
    """One worker per core, which beats one process with a thread per core, up to eight; one worker on a GPU."""
    import torch

    return 1 if torch.cuda.is_available() else min(cores(), MOST_BY_DEFAULT)


def check_workers(workers: int) -> int:
    """The number itself; raises UserError below 1 or above this machine's cores."""
    if not 1 <= workers <= cores():
        raise UserError(f"{workers} workers on {cores()} cores", "--workers", f"choose 1 to {cores()}")
    return workers


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def use_share(workers: int) -> None:
    """Give this process the threads that each of so many workers has: its share of the cores."""
    limit_threads(max(1, cores() // workers))


def limit_threads(threads: int) -> None:
    """Give torch this many threads, or fewer where OMP_NUM_THREADS says so: too many make it many times slower."""
    import torch

    wanted = os.environ.get("OMP_NUM_THREADS", "")
    torch.set_num_threads(min(threads, int(wanted)) if wanted.isdecimal() and int(wanted) else threads)
