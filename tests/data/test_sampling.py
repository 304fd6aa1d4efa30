"""The order of training examples: everything once, little padding, nothing repeated."""

from __future__ import annotations

import numpy as np
import pytest

from supertickets.data.sampling import BATCHES_PER_POOL, LengthBuckets, Slices

LENGTHS = np.random.default_rng(0).integers(4, 100, 1003).tolist()


def epoch(sampler: LengthBuckets, size: int = 8) -> list[list[int]]:
    """One epoch, cut into batches as a DataLoader cuts it."""
    order = list(sampler)
    return [order[start : start + size] for start in range(0, len(order), size)]


def padding(batches: list[list[int]]) -> float:
    """Share of the tokens that is padding when each batch is padded to its longest."""
    real = sum(LENGTHS[index] for batch in batches for index in batch)
    return 1 - real / sum(len(batch) * max(LENGTHS[index] for index in batch) for batch in batches)


@pytest.mark.parametrize("examples", [1, 7, 8, 9, 400, 401, 1003])
def test_every_index_once_an_epoch(examples: int) -> None:
    """Each of two epochs is a permutation of all indices, whatever the last batch and the last pool hold."""
    sampler = LengthBuckets(LENGTHS[:examples], 8, seed=0)
    assert len(sampler) == examples
    for _ in range(2):
        assert sorted(sampler) == list(range(examples))


def test_batches_are_of_similar_length() -> None:
    """Padding falls from over 40 % in random order to under 5 %."""
    shuffled = np.random.default_rng(1).permutation(len(LENGTHS)).tolist()
    assert padding([shuffled[start : start + 8] for start in range(0, 1003, 8)]) > 0.4
    assert padding(epoch(LengthBuckets(LENGTHS, 8, seed=0))) < 0.05


def test_the_short_rest_comes_last() -> None:
    """1003 examples make 125 whole batches, and then the one of 3 from the last pool."""
    sampler = LengthBuckets(LENGTHS, 8, seed=0)
    for _ in range(3):
        assert [len(batch) for batch in epoch(sampler)] == [8] * 125 + [3]
        order = epoch(sampler)
        assert all(max(LENGTHS[i] for i in batch) - min(LENGTHS[i] for i in batch) < 40 for batch in order[:-1])


def test_batches_do_not_come_in_order_of_length() -> None:
    """The batches of an epoch are shuffled: neighbours' lengths are uncorrelated."""
    means = [np.mean([LENGTHS[index] for index in batch]) for batch in epoch(LengthBuckets(LENGTHS, 8, seed=0))]
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3


def test_one_small_pool_of_unequal_lengths_still_mixes() -> None:
    """64 examples of 64 different lengths, all in one pool, meet in other batches in the next epoch."""
    sampler = LengthBuckets(list(range(36, 100)), 8, seed=0)
    first, second = ({frozenset(batch) for batch in epoch(sampler)} for _ in range(2))
    assert len(first & second) <= 1


def test_every_epoch_makes_new_batches() -> None:
    """Neither the order of the batches nor what is in them repeats (D13)."""
    sampler = LengthBuckets(LENGTHS, 8, seed=0)
    first, second = ({frozenset(batch) for batch in epoch(sampler)} for _ in range(2))
    assert len(first & second) < 0.05 * len(first)


def test_a_seed_is_an_order() -> None:
    """Equal seeds give equal epochs, first and second; another seed gives another order."""
    ours, same, other = (LengthBuckets(LENGTHS, 8, seed=seed) for seed in (3, 3, 4))
    for _ in range(2):
        assert list(ours) == list(same)
    assert list(LengthBuckets(LENGTHS, 8, seed=3)) != list(other)


def test_a_pool_mixes_many_batches() -> None:
    """With as many examples as one pool holds, each batch spans at most a tenth of its length and a few tokens."""
    batches = epoch(LengthBuckets(LENGTHS[: 8 * BATCHES_PER_POOL], 8, seed=0))
    spans = [max(LENGTHS[i] for i in batch) - min(LENGTHS[i] for i in batch) for batch in batches]
    assert max(spans) <= 0.1 * 100 + 6


@pytest.mark.parametrize("of", [1, 2, 3, 4])
@pytest.mark.parametrize("examples", [1, 3, 8, 9, 11, 16])
def test_parts_make_up_each_batch(examples: int, of: int) -> None:
    """All processes' parts of a batch are the batch that one process has; they differ by one example at most."""

    def order() -> LengthBuckets:
        return LengthBuckets(list(range(1, examples + 1)), 4, seed=3)

    alone = list(order())
    batches = [alone[start : start + 4] for start in range(0, examples, 4)]
    parts = [list(Slices(order(), number, of)) for number in range(of)]
    assert {len(Slices(order(), number, of)) for number in range(of)} == {len(batches)}
    for turn, batch in enumerate(batches):
        each = [part[turn] for part in parts]
        if len(batch) < of:
            assert each == [batch] * of
        else:
            assert sorted(index for part in each for index in part) == sorted(batch)
            assert max(map(len, each)) - min(map(len, each)) <= 1
