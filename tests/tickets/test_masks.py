from __future__ import annotations

import hashlib
import pickle
from typing import Any, get_args

import numpy as np
import pytest

from supertickets.config import Kind, Ranking
from supertickets.errors import UserError
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import KINDS, Mask, WeightsRemaining, draw
from supertickets.tickets.structures import Structures

STRUCTURES = Structures("toy", np.full((2, 4), 10), np.full((2, 1), 100), encoder_weights=300, total_weights=1000)
HEADS = np.array([[1.0, 2, 3, 4], [8, 7, 6, 5]])
IMPORTANCE = Importance(STRUCTURES, HEADS, np.array([[2.0], [1.0]]))


def mask(heads: str, ffn: str) -> Mask:
    """A mask from rows of digits."""
    rows = [np.array([[digit == "1" for digit in row] for row in text.split()]) for text in (heads, ffn)]
    return Mask(STRUCTURES, *rows)


def test_full_keeps_everything() -> None:
    """The full mask keeps every unit and every weight."""
    full = Mask.full(STRUCTURES)
    assert full == mask("1111 1111", "1 1")
    assert full.weights_remaining == WeightsRemaining(1.0, 1.0)


def test_winning_by_hand() -> None:
    """Half of 8 heads and of 2 FFNs: the lowest normalised heads of both layers, and the lower FFN."""
    assert Mask.winning(IMPORTANCE, 0.5) == mask("0011 1100", "1 0")
    assert Mask.losing(IMPORTANCE, 0.5) == mask("1100 0011", "0 1")


def test_min_heads_protects_the_best_or_the_lowest() -> None:
    """At 0.9 all but the best head of each layer go; of a losing ticket all but the lowest."""
    assert Mask.winning(IMPORTANCE, 0.9) == mask("0001 1000", "1 0")
    assert Mask.losing(IMPORTANCE, 0.9) == mask("1000 0001", "0 1")
    assert Mask.winning(IMPORTANCE, 0.9, min_heads=2) == mask("0011 1100", "1 0")


def test_min_heads_zero_may_empty_a_layer() -> None:
    """Without a minimum, a layer of zero scores loses all its heads."""
    importance = Importance(STRUCTURES, np.array([[0.0] * 4, [1, 1, 1, 1]]), IMPORTANCE.ffn)
    assert Mask.winning(importance, 0.5, min_heads=0).heads_per_layer == (0, 4)
    assert Mask.winning(importance, 0.5).heads_per_layer == (1, 3)


def test_ties_fall_by_position() -> None:
    """Equal scores are dropped from the first position on, in winning and in losing tickets."""
    importance = Importance(STRUCTURES, np.ones((2, 4)), np.ones((2, 1)))
    assert Mask.winning(importance, 0.5) == mask("0001 0111", "0 1")
    assert Mask.losing(importance, 0.5) == mask("0001 0111", "0 1")


def test_ffn_has_a_sparsity_of_its_own() -> None:
    """`ffn_sparsity` moves FFNs alone; 0 keeps them all."""
    assert Mask.winning(IMPORTANCE, 0.5, ffn_sparsity=0.0) == mask("0011 1100", "1 1")
    assert Mask.losing(IMPORTANCE, 0.0, ffn_sparsity=0.5) == mask("1111 1111", "0 1")


def test_joint_by_hand() -> None:
    """Importance per weight is .1 to .8 for heads, .02 and .01 for FFNs: 40 % of 280 weights pay for the lower FFN."""
    assert Mask.winning(IMPORTANCE, 0.4, ranking="joint") == mask("1111 1111", "1 0")
    assert Mask.winning(IMPORTANCE, 0.8, ranking="joint") == mask("0011 1111", "0 0")
    assert Mask.losing(IMPORTANCE, 0.8, ranking="joint") == mask("1111 0011", "0 0")


def test_blocks_by_hand() -> None:
    """Blocks of two are 1-2, 5-6, 2-4 and 9-9; half of them are 1-2 and 2-4, and from above 9-9 and 5-6."""
    structures = Structures("toy", np.full((2, 1), 10), np.full((2, 4), 5), 100, 100)
    ffn = np.array([[5.0, 1, 2, 6], [9, 4, 9, 2]])
    importance = Importance(structures, np.ones((2, 1)), ffn, "order")
    for maker, kept in ((Mask.winning, [[1, 0, 0, 1], [1, 0, 1, 0]]), (Mask.losing, [[0, 1, 1, 0], [0, 1, 0, 1]])):
        for sparsity in (0.5, 0.74):
            assert maker(importance, sparsity, multiple=2).ffn.tolist() == np.array(kept, bool).tolist()
    assert Mask.winning(importance, 0.5, multiple=6) == Mask.winning(importance, 0.5, multiple=2)
    assert Mask.winning(importance, 0.5, multiple=1).ffn.tolist() == [[1, 0, 0, 1], [1, 0, 1, 0]]
    assert Mask.winning(importance, 0.4, multiple=4).ffn_per_layer == (4, 4)


def test_refuses_an_impossible_multiple() -> None:
    """There is no block of nothing."""
    for drawing in (Mask.winning, Mask.losing):
        with pytest.raises(UserError, match=r"^multiple: must be at least 1, not 0$"):
            drawing(IMPORTANCE, 0.5, multiple=0)
    with pytest.raises(UserError, match=r"^multiple: must be at least 1, not 0$"):
        Mask.random(Mask.full(STRUCTURES), np.random.default_rng(0), multiple=0)


def test_joint_refuses_an_order() -> None:
    """Places in an order are no scores that weights could be held against."""
    order = Importance(STRUCTURES, IMPORTANCE.heads, IMPORTANCE.ffn, "order")
    with pytest.raises(
        UserError, match=r"^ranking: the joint ranking needs scores per weight, not an order; rank apart$"
    ):
        Mask.winning(order, 0.5, ranking="joint")


def test_share_survives_binary_fractions() -> None:
    """0.29 of 100 heads are 29, although 0.29 * 100 is below 29 in binary."""
    structures = Structures("wide", np.ones((1, 100), int), np.ones((1, 1), int), 101, 101)
    importance = Importance(structures, np.arange(100.0)[None], np.ones((1, 1)))
    assert 100 * 0.29 < 29
    assert Mask.winning(importance, 0.29).heads_per_layer == (71,)


def test_weights_remaining_by_hand() -> None:
    """Five heads of 10 and one FFN of 100 gone: 850 of 1000 weights, 150 of the encoder's 300."""
    assert mask("1000 0011", "1 0").weights_remaining == WeightsRemaining(all=0.85, encoder=0.5)


def test_random_repeats_with_its_generator() -> None:
    """The same generator state gives the same ticket; another seed another one."""
    like = Mask.winning(IMPORTANCE, 0.5)
    draws = [Mask.random(like, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_kinds_are_the_configs() -> None:
    """The table of kinds has exactly the keys of `config.Kind`."""
    assert set(KINDS) == set(get_args(Kind))


@pytest.mark.parametrize("ranking", get_args(Ranking))
def test_draw_is_the_named_constructor(ranking: Ranking) -> None:
    """`draw` gives what the classmethods give, and random has the winning ticket's size."""
    rng = np.random.default_rng(0)
    structures = Structures("toy", STRUCTURES.heads, np.full((2, 12), 8), encoder_weights=300, total_weights=1000)
    importance = Importance(structures, HEADS, np.arange(24.0).reshape(2, 12))
    common: dict[str, Any] = {"min_heads": 2, "ranking": ranking, "multiple": 3}
    winning = draw("winning", importance, 0.8, rng=rng, **common)
    assert winning == Mask.winning(importance, 0.8, **common)
    assert draw("losing", importance, 0.8, rng=rng, **common) == Mask.losing(importance, 0.8, **common)
    random = draw("random", importance, 0.8, rng=rng, **common)
    assert random == Mask.random(winning, np.random.default_rng(0), min_heads=2, multiple=3)


def test_and_or() -> None:
    """`&` keeps what both keep, `|` what either keeps."""
    one, other = mask("1100 1111", "1 0"), mask("0110 1111", "0 0")
    assert one & other == mask("0100 1111", "0 0")
    assert one | other == mask("1110 1111", "1 0")


def test_jaccard_by_hand() -> None:
    """Common over united units: 5 of 8 with FFNs, 5 of 7 heads; equal masks and two empty ones give 1."""
    one, other, none = mask("1100 1111", "1 0"), mask("0110 1111", "0 0"), mask("0000 0000", "0 0")
    assert one.jaccard(other) == 5 / 8
    assert one.jaccard_heads(other) == 5 / 7
    assert one.jaccard(one) == 1
    assert none.jaccard(none) == none.jaccard_heads(none) == none.expected_jaccard(none) == 1
    assert one.jaccard(none) == 0


def test_expected_jaccard_is_what_random_masks_have() -> None:
    """The expectation is within 0.01 of the mean over 2000 pairs of random tickets."""
    like, smaller = Mask.winning(IMPORTANCE, 0.5), Mask.winning(IMPORTANCE, 0.75)
    rng = np.random.default_rng(0)
    pairs = [(Mask.random(like, rng, min_heads=0), Mask.random(smaller, rng, min_heads=0)) for _ in range(2000)]
    assert np.mean([a.jaccard(b) for a, b in pairs]) == pytest.approx(like.expected_jaccard(smaller), abs=0.01)


def test_masks_of_two_architectures_do_not_mix() -> None:
    """Comparing or combining them raises one sentence that names both."""
    other = Mask.full(Structures("other", STRUCTURES.heads, STRUCTURES.ffn, 300, 1000))
    sentence = r"masks of toy: 2 layers.* and of other: 2 layers"
    for mixing in (lambda a, b: a & b, lambda a, b: a | b, Mask.jaccard, Mask.jaccard_heads, Mask.expected_jaccard):
        with pytest.raises(UserError, match=sentence):
            mixing(Mask.full(STRUCTURES), other)


def test_masks_with_another_vocabulary_do_mix() -> None:
    """Embeddings belong to no unit: masks over another vocabulary are comparable."""
    other = Mask.full(Structures("toy", STRUCTURES.heads, STRUCTURES.ffn, 300, 2000))
    assert mask("1100 1111", "1 0").jaccard(other) == 0.7


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
@pytest.mark.parametrize("maker", [Mask.winning, Mask.losing])
def test_refuses_sparsity_out_of_range(maker: Any, sparsity: float) -> None:
    """Sparsity is in [0, 1), for heads and for FFN units."""
    with pytest.raises(UserError, match=f"^sparsity: must be at least 0 and below 1, not {sparsity:g}$"):
        maker(IMPORTANCE, sparsity)
    with pytest.raises(UserError, match=r"^ffn_sparsity: must be"):
        maker(IMPORTANCE, 0.5, ffn_sparsity=sparsity)


@pytest.mark.parametrize("min_heads", [-1, 5])
def test_refuses_impossible_min_heads(min_heads: int) -> None:
    """`min_heads` is at most the head count of a layer."""
    sentence = f"^min_heads: must be between 0 and the 4 heads of a layer, not {min_heads}$"
    for drawing in (
        lambda: Mask.winning(IMPORTANCE, 0.5, min_heads=min_heads),
        lambda: Mask.losing(IMPORTANCE, 0.5, min_heads=min_heads),
        lambda: Mask.random(Mask.full(STRUCTURES), np.random.default_rng(0), min_heads=min_heads),
    ):
        with pytest.raises(UserError, match=sentence):
            drawing()


def test_random_refuses_a_size_that_the_minimum_forbids() -> None:
    """Three heads cannot give two layers two heads each."""
    with pytest.raises(UserError, match="3 heads are kept, but min_heads 2 in 2 layers need 4"):
        Mask.random(mask("1100 1000", "1 1"), np.random.default_rng(0), min_heads=2)


def test_joint_refuses_a_second_sparsity() -> None:
    """The joint ranking has one budget: a separate FFN sparsity contradicts it."""
    with pytest.raises(UserError, match="one sparsity for all units"):
        Mask.winning(IMPORTANCE, 0.5, ranking="joint", ffn_sparsity=0.5)


def test_refuses_what_is_no_mask() -> None:
    """Wrong shapes and numbers in place of booleans raise one sentence."""
    with pytest.raises(UserError, match=r"heads has shape \(2, 3\), the structures have \(2, 4\)"):
        Mask(STRUCTURES, np.ones((2, 3), bool), np.ones((2, 1), bool))
    with pytest.raises(UserError, match="ffn must hold booleans, not float64"):
        Mask(STRUCTURES, np.ones((2, 4), bool), np.ones((2, 1)))


def test_is_a_value() -> None:
    """Read-only, equal and hashed by value, whole after pickling."""
    one = mask("1100 1111", "1 0")
    assert {one, mask("1100 1111", "1 0"), pickle.loads(pickle.dumps(one))} == {one}
    assert one != mask("1100 1111", "1 1")
    assert one != STRUCTURES
    assert (one.heads_per_layer, one.ffn_per_layer) == ((2, 4), (1, 0))
    with pytest.raises(ValueError, match="read-only"):
        one.heads[0, 0] = False


def test_absent_units_are_dropped_and_do_not_count() -> None:
    """Shares are of the five heads and one FFN there; protection is of the heads that a layer has."""
    gone = mask("0111 1100", "1 0")
    importance = Importance(STRUCTURES, HEADS, IMPORTANCE.ffn, present=(gone.heads, gone.ffn))
    assert Mask.winning(importance, 0.0) == Mask.losing(importance, 0.0) == gone
    assert Mask.winning(importance, 0.4) == mask("0001 1100", "1 0")
    assert Mask.losing(importance, 0.4) == mask("0110 0100", "1 0")
    assert Mask.winning(importance, 0.9, min_heads=3).heads_per_layer == (3, 2)
    # 120 of the 150 weights that are there: the FFN, which is the lowest per weight, and two heads.
    assert Mask.winning(importance, 0.8, ranking="joint") == mask("0001 1100", "0 0")
    drawn = [Mask.random(Mask.winning(importance, 0.4), np.random.default_rng(seed), within=gone) for seed in range(20)]
    assert all((one & gone) == one and int(one.heads.sum()) == 3 for one in drawn) and len(set(drawn)) > 3
    with pytest.raises(UserError, match=r"Mask\.random: it keeps units that the masks are not to be drawn from"):
        Mask.random(Mask.full(STRUCTURES), np.random.default_rng(0), within=gone)


def test_blocks_divide_what_every_layer_has() -> None:
    """Layers of 12 and 6 neurons, of 12: blocks of 8 become blocks of 2, and all kinds drop as many."""
    structures = Structures("toy", np.full((2, 4), 10), np.full((2, 12), 5), encoder_weights=300, total_weights=1000)
    there = np.ones((2, 12), bool)
    there[1, ::2] = False
    importance = Importance(structures, HEADS, np.arange(24.0).reshape(2, 12), present=(HEADS > 0, there))
    for kind in get_args(Kind):
        found = draw(kind, importance, 0.5, rng=np.random.default_rng(0))
        assert int(found.ffn.sum()) == 18 - 2 * 4 and not found.ffn[~there].any()
        assert all(count % 2 == 0 for count in found.ffn_per_layer)


def test_a_checksum_of_units() -> None:
    """It is that of the bytes of heads and then of FFN units, and another for another mask."""
    assert mask("0111 1100", "1 0").sha256 == hashlib.sha256(bytes([0, 1, 1, 1, 1, 1, 0, 0, 1, 0])).hexdigest()
    assert mask("0111 1100", "1 0").sha256 != mask("0111 1100", "0 1").sha256
