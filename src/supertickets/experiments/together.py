"""DDP: several processes train each run together; the first leads the sweep, the others join it run by run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from supertickets.learning.processes import Dismissed, rank, world

T = TypeVar("T")
AGES = timedelta(days=365)  # the others wait while the first evaluates, writes and reports


class Together(Executor):
    """In the first process: does each call in all processes; those but the first leave it when its training ends.

    An error ends the program: the others may be waiting in the middle of a training.
    """

    size = 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do the call now, in all processes, and return its finished future."""
        _tell(("run", (fn, args, kwargs)))
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def together(lead: Callable[[], T]) -> T:
    """What `lead` returns, in every process: the first one does it, the others do the runs that it hands out.

    Alone it is `lead()`.
    """
    if world() == 1:
        return lead()
    if rank() == 0:
        result = lead()
        _tell(("result", result))
        return result
    while True:
        kind, message = _heard()
        if kind == "result":
            return message  # type: ignore[no-any-return]
        work, arguments, named = message
        try:
            work(*arguments, **named)
        except Dismissed:
            continue
        raise RuntimeError(f"{work.__name__} trained nothing, so there was nothing to leave it after")


def _tell(message: object) -> None:
    from torch import distributed

    distributed.broadcast_object_list([message], src=0, group=_group())


def _heard() -> Any:
    from torch import distributed

    box: list[Any] = [None]
    distributed.broadcast_object_list(box, src=0, group=_group())
    return box[0]


@cache
def _group() -> Any:
    """All processes, for messages: over gloo, which needs no GPU, and patient."""
    import torch
    from accelerate import PartialState
    from torch import distributed

    PartialState(cpu=not torch.cuda.is_available())  # as the Trainer will: the group that gradients go through
    return distributed.new_group(backend="gloo", timeout=AGES)
