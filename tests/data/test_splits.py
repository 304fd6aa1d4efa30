"""Who trains and who chooses."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supertickets.config import SelectionConfig
from supertickets.data.splits import selection_size, split_selection, subsample
from supertickets.errors import UserError

DEFAULT = SelectionConfig()
# 1000 labels, 70 % / 25 % / 5 %, mixed.
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [700, 250, 50]))


@pytest.mark.parametrize(
    ("n_train", "seeds", "size"),
    [
        (2000, 3, 334),  # a third of the pool each
        (2490, 3, 334),  # RTE
        (2490, 5, 249),  # a fifth of the pool would be 200: the smallest share is more
        (8551, 3, 856),  # CoLA: a tenth, rounded up
        (635, 3, 127),  # WNLI: a fifth, rounded down
        (96, 2, 19),
        (4, 2, 2),  # one per class
    ],
)
def test_size_of_the_selection_split(n_train: int, seeds: int, size: int) -> None:
    """A seed holds out its part of 1000, within a tenth and a fifth of the training set."""
    assert selection_size(n_train, seeds, DEFAULT, classes=2) == size


def test_size_follows_the_settings() -> None:
    """Pool and shares come from the config."""
    config = SelectionConfig(pooled_examples=300, min_share=0.01, max_share=0.5)
    assert selection_size(2000, 3, config) == 100


def test_a_split_is_stratified_and_whole() -> None:
    """Both parts hold the classes in their shares; together they are every example, once."""
    train, selection = split_selection(LABELS, 200, 0, stratify=True)
    assert np.bincount(LABELS[selection]).tolist() == [140, 50, 10]
    assert np.array_equal(np.sort(np.concatenate([train, selection])), np.arange(1000))


def test_a_seed_gives_its_own_split_again() -> None:
    """The same seed gives the same split, another seed another one."""
    first, again, other = (split_selection(LABELS, 200, seed, stratify=True)[1] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("stratify", [True, False])
def test_seeds_in_a_row_hold_out_different_examples(stratify: bool) -> None:
    """Five seeds that hold out a fifth each hold out every example once; the sixth draws anew."""
    held_out = [split_selection(LABELS, 200, seed, stratify)[1] for seed in range(6)]
    assert len(set(np.concatenate(held_out[:5]).tolist())) == 1000
    assert not any(np.array_equal(held_out[5], earlier) for earlier in held_out[:5])


def test_a_regression_is_shuffled_plainly() -> None:
    """Numbers without classes are split by chance alone, to the exact size."""
    values = np.linspace(0, 5, 50).astype(np.float32)
    train, selection = split_selection(values, 10, 0, stratify=False)
    assert (len(train), len(selection)) == (40, 10)
    assert values[selection].std() > 0.5


def test_a_rare_class_trains_first() -> None:
    """A class with one example stays in training; one with two is on both sides, however small the split."""
    labels = np.array([0] * 20 + [1] * 2 + [2])
    for seed in range(5):
        train, selection = split_selection(labels, 2, seed, stratify=True)
        assert set(labels[selection].tolist()) == {0, 1}
        assert set(labels[train].tolist()) == {0, 1, 2}


@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    share=st.floats(0.1, 0.5),
    seed=st.integers(0, 2**31 - 1),
)
def test_any_split_has_all_its_parts(counts: list[int], share: float, seed: int) -> None:
    """Whatever the classes: disjoint, complete, every class trained on, every class of two or more selected on."""
    labels = np.repeat(np.arange(len(counts)), counts)
    if max(counts) == 1:
        with pytest.raises(UserError, match="no class has two"):
            split_selection(labels, 1, seed, stratify=True)
        return
    train, selection = split_selection(labels, int(share * len(labels)), seed, stratify=True)
    assert np.array_equal(np.sort(np.concatenate([train, selection])), np.arange(len(labels)))
    assert set(labels[train].tolist()) == set(range(len(counts)))
    assert set(labels[selection].tolist()) == {name for name, count in enumerate(counts) if count > 1}


def test_subsamples_nest() -> None:
    """A smaller draw lies inside a larger one, and each keeps the classes' shares."""
    draws = [subsample(LABELS, n, 0, stratify=True) for n in (20, 100, 400, 1000, 2000)]
    for smaller, larger in pairwise(draws):
        assert set(smaller.tolist()) <= set(larger.tolist())
    assert [len(draw) for draw in draws] == [20, 100, 400, 1000, 1000]
    assert np.bincount(LABELS[draws[2]]).tolist() == [280, 100, 20]
    assert np.bincount(LABELS[draws[0]], minlength=3).min() == 1


def test_a_subsample_needs_one_of_each_class() -> None:
    """Fewer examples than classes are refused with both numbers."""
    with pytest.raises(UserError) as caught:
        subsample(LABELS, 2, 0, stratify=True)
    assert str(caught.value) == (
        "data.train_examples, data.report_examples: 2 examples cannot hold one of each of 3 classes; use 3 at least"
    )


def test_a_subsample_of_a_regression() -> None:
    """Numbers are drawn plainly, and nest too."""
    values = np.arange(30, dtype=np.float32)
    small, large = (subsample(values, n, 1, stratify=False) for n in (5, 15))
    assert (len(small), len(large)) == (5, 15)
    assert set(small.tolist()) <= set(large.tolist())
