"""Whose turn it is: shares of the mixtures, whole batches of one task, and what a task of weight zero changes."""

from __future__ import annotations

from collections import Counter

import pytest

from supertickets.data.mixing import MixedBatches, apportion, shares
from supertickets.errors import UserError

LENGTHS = {"big": [5] * 80, "middle": [7] * 40, "small": [9] * 10}
STARTS = {"big": 0, "middle": 80, "small": 120}


def task_of(batch: list[int]) -> str:
    """The one task that all of a batch's examples are of."""
    (task,) = {max((t for t in STARTS if STARTS[t] <= index), key=lambda t: STARTS[t]) for index in batch}
    return task


def mixed(**given: object) -> MixedBatches:
    """Batches of 8 of the three tasks over three epochs."""
    return MixedBatches(LENGTHS, 8, 3, **{"epochs": 3, **given})  # type: ignore[arg-type]


def test_shares_of_each_mixture() -> None:
    """Sizes 16, 4, 1: proportional 16/21, square roots 4/7 at temperature 2, thirds uniform, annealed from one on."""
    sizes = {"a": 16, "b": 4, "c": 1}
    assert shares(sizes, "proportional", 2.0, 0.0)["a"] == pytest.approx(16 / 21)
    assert shares(sizes, "temperature", 2.0, 0.0) == pytest.approx({"a": 4 / 7, "b": 2 / 7, "c": 1 / 7})
    assert shares(sizes, "uniform", 2.0, 0.0) == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
    assert shares(sizes, "annealed", 2.0, 0.0) == pytest.approx(shares(sizes, "proportional", 2.0, 0.0))
    last = shares(sizes, "annealed", 2.0, 1.0)
    assert last["a"] == pytest.approx(16**0.2 / (16**0.2 + 4**0.2 + 1))


def test_apportioned_counts_add_up() -> None:
    """Seven batches by thirds are 3, 2 and 2; exact shares stay exact."""
    assert apportion(7, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}) == {"a": 3, "b": 2, "c": 2}
    assert apportion(10, {"a": 0.5, "b": 0.3, "c": 0.2}) == {"a": 5, "b": 3, "c": 2}


def test_proportional_sees_every_example_once_an_epoch() -> None:
    """In each of three epochs every index comes once, in batches of one task, in another order."""
    batches = mixed()
    epochs = [list(batches) for _ in range(3)]
    for epoch in epochs:
        assert sorted(index for batch in epoch for index in batch) == list(range(130))
        assert Counter(map(task_of, epoch)) == {"big": 10, "middle": 5, "small": 2}
        assert len(epoch) == len(batches) == 17
    assert epochs[0] != epochs[1] != epochs[2]
    assert batches.drawn == 390


def test_uniform_gives_small_tasks_more_turns() -> None:
    """17 batches uniformly are 6, 6 and 5; the small task goes round again within the epoch."""
    assert Counter(map(task_of, mixed(mixture="uniform"))) == {"big": 6, "middle": 6, "small": 5}


def test_annealed_ends_nearer_to_uniform() -> None:
    """The small task's turns rise from 2 over the epochs."""
    batches = mixed(mixture="annealed")
    turns = [Counter(map(task_of, batches))["small"] for _ in range(3)]
    assert turns[0] == 2
    assert turns[0] < turns[1] <= turns[2]


def test_the_seed_decides_the_order() -> None:
    """Equal seeds give equal batches, another seed others."""
    first, again, other = (MixedBatches(LENGTHS, 8, seed, epochs=1) for seed in (1, 1, 2))
    assert list(first) == list(again)
    assert list(MixedBatches(LENGTHS, 8, 1, epochs=1)) != list(other)


def test_a_task_of_weight_zero_changes_nothing() -> None:
    """With and without a third task of weight zero the batches are the same, index by index."""
    two = {task: LENGTHS[task] for task in ("big", "middle")}
    without = MixedBatches(two, 8, 3, epochs=1, weights={"big": 0.7, "middle": 0.3})
    beside = mixed(weights={"big": 0.7, "middle": 0.3, "small": 0.0})
    assert list(without) == list(beside)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"big": 0.5, "middle": 0.3, "small": 0.1}, "weights add up to 0.9, not to 1"),
        ({"big": 0.5, "other": 0.5}, "weights are for big, other; the tasks are big, middle, small"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: dict[str, float], words: str) -> None:
    """The sum, or the names, stand in the message."""
    with pytest.raises(UserError, match=words):
        mixed(weights=weights)
