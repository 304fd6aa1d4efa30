"""Several processes: who each is, and what cannot work."""

from __future__ import annotations

import pytest

from supertickets.errors import UserError
from supertickets.learning.processes import check_alone, check_launch, rank, threads_of_a_process, world


def launched(monkeypatch: pytest.MonkeyPatch, number: int, of: int) -> None:
    """The variables that torchrun sets."""
    for name, value in (("WORLD_SIZE", of), ("RANK", number), ("LOCAL_WORLD_SIZE", of), ("MASTER_ADDR", "here")):
        monkeypatch.setenv(name, str(value))


def test_alone_it_is_the_first_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a launcher there is one process, also where a scheduler has set a number or two of its own."""
    monkeypatch.setenv("RANK", "3")
    assert (world(), rank(), threads_of_a_process(8)) == (1, 0, 8)
    check_launch(7, 2, None)
    check_alone("share")


def test_launched_it_knows_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Number, count and threads come from the launcher; what several cannot do is one sentence."""
    launched(monkeypatch, 1, 2)
    assert (world(), rank(), threads_of_a_process(8), threads_of_a_process(1)) == (2, 1, 4, 1)
    check_launch(32, None, None)
    check_launch(32, 1, None)
    with pytest.raises(UserError, match=r"training\.batch_size: a batch of 7 .* 2 processes evenly; .* multiple of 2"):
        check_launch(7, None, None)
    for workers, address in ((2, None), ("ray", None), (None, "auto")):
        with pytest.raises(UserError, match="--workers: 2 processes train one run together"):
            check_launch(32, workers, address)
    with pytest.raises(UserError, match="share: works in one process, not in 2"):
        check_alone("share")


def test_a_launcher_that_started_one_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """`accelerate launch --cpu --num_processes 2` starts one process without a word; that is no DDP."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    check_launch(32, None, None)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(UserError, match="started one process, not several; leave --cpu out"):
        check_launch(32, None, None)
