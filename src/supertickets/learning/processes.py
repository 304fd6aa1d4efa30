"""Several processes that train one model together (DDP): who this one is. No torch.

torchrun, and accelerate launch, start the same program several times and number the processes by
environment variables; nothing here is used by a program that was started alone.
"""

from __future__ import annotations

import os

from supertickets.errors import UserError


class Dismissed(Exception):
    """Raised in all processes but the first when a training has ended: what follows needs one process only."""


def world() -> int:
    """How many processes train together; 1 for a program that was started alone."""
    return int(os.environ["WORLD_SIZE"]) if {"WORLD_SIZE", "RANK", "MASTER_ADDR"} <= os.environ.keys() else 1


def rank() -> int:
    """This process's number, from 0."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def threads_of_a_process(cores: int) -> int:
    """The cores of this machine, shared by its processes."""
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def check_launch(batch_size: int, workers: int | str | None, ray_address: str | None) -> None:
    """Raise UserError where several processes cannot do the work: an uneven batch, workers of their own, a false start.

    `accelerate launch --cpu --num_processes N` starts one process and says nothing.
    """
    if os.environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_ADDR" in os.environ and world() == 1:
        what = "accelerate launch --cpu started one process, not several"
        raise UserError(
            what, "accelerate launch", "leave --cpu out and add --multi_gpu (it means DDP), or use torchrun"
        )
    if world() == 1:
        return
    if batch_size % world():
        what = f"a batch of {batch_size} cannot be shared by {world()} processes evenly"
        raise UserError(what, "training.batch_size", f"set it to a multiple of {world()}")
    if workers not in (None, 1) or ray_address is not None:
        what = f"{world()} processes train one run together, so runs cannot be spread over workers as well"
        raise UserError(what, "--workers", "leave it out, or start one process")


def check_alone(what: str) -> None:
    """Raise UserError among several processes, for what one alone can do."""
    if world() > 1:
        raise UserError(f"works in one process, not in {world()}", what, "start it without torchrun")
