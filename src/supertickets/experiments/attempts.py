"""Work on many items in a pool, each tried again when it fails. No torch until a pool is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path
from typing import Any, TypeVar

from supertickets.experiments.failures import ATTEMPTS, fault_of, whole_pool
from supertickets.experiments.interrupts import in_flight
from supertickets.experiments.under_way import Marks

T = TypeVar("T")
Again = Callable[[T, Exception], bool]


def completed(
    pool: Executor,
    work: Callable[[T, Path], None],
    items: Iterable[T],
    folder: Path,
    again: Again[T],
    is_ready: Callable[[T], bool] = lambda item: True,
    at_once: int | None = None,
) -> Iterator[T]:
    """Work on all items in the pool and yield each when it is done; `again` says whether to retry one that failed.

    An item that waits for others is taken up when `is_ready` says so, and left where that never comes. No more
    than `at_once` (what the pool works on at once) are submitted, so that whoever stops it waits for these alone.
    """
    waiting, running = list(items), dict[Future[None], T]()
    window = getattr(pool, "size", len(waiting)) if at_once is None else at_once
    try:
        with in_flight() as stopping, Marks(folder) as marks:
            while True:
                while len(running) < window and not stopping():
                    item = next(filter(is_ready, waiting), None)
                    if item is None:
                        break
                    waiting.remove(item)
                    _mark(marks.begin, item)
                    with whole_pool():
                        running[pool.submit(work, item, folder)] = item
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    item = running.pop(future)
                    _mark(marks.end, item)
                    fault = fault_of(future)
                    if fault is None:
                        yield item
                    elif again(item, fault):
                        waiting.insert(0, item)
    finally:
        for future in running:
            future.cancel()


def _mark(how: Callable[[str], None], item: object) -> None:
    """Say that work on an item begins or ends, where it is a run."""
    if hasattr(item, "name"):
        how(item.name)


def insisting() -> Callable[[Any, Exception], bool]:
    """For `completed`: every item is tried again, and the last attempt's error raised."""
    attempts = Counter[Any]()

    def again(item: Any, fault: Exception) -> bool:
        attempts[item] += 1
        if attempts[item] == ATTEMPTS:
            raise fault
        return True

    return again


def insist(pool: Executor, work: Callable[..., None], *arguments: Any) -> None:
    """Do one piece of work, again while it fails; raises its error after the last attempt, UserError at once.

    Like a run it is finished before the first Ctrl-C counts.
    """
    fault: Exception | None = None
    with in_flight() as stopping:
        for _ in range(ATTEMPTS):
            with whole_pool():
                future = pool.submit(work, *arguments)
            fault = fault_of(future)
            if fault is None or stopping():
                break
    if fault is not None:
        raise fault
