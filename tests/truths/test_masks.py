"""Laws of masks: sizes, nesting, protection, and the published numbers (PAPER §1.2, D2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import gcd
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supertickets.config import Kind, Ranking
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask, draw
from supertickets.tickets.structures import Structures

SPARSITIES = st.floats(0, 0.999)
SCORES = st.one_of(st.integers(0, 3), st.floats(0, 1e3))  # small whole numbers make ties and zero layers
fast = settings(max_examples=60, deadline=None, database=None)

# (nominal level, heads dropped, FFNs dropped, % of all weights remaining by the released formula): BERT-base
PUBLISHED = [
    (0.1, 14, 1, 93.18),
    (0.2, 28, 2, 86.35),
    (0.3, 43, 3, 79.35),
    (0.4, 57, 4, 72.52),
    (0.5, 72, 5, 65.52),
    (0.6, 86, 6, 58.70),
    (0.7, 100, 7, 51.87),
    (0.8, 115, 8, 44.87),
]
BASE_GRID = [7, 14, 21, 28, 36, 43, 50, 57, 64, 72, 79, 86, 93, 100, 108, 115, 122, 129, 132, 132]
LARGE_GRID = [9, 19, 28, 38, 48, 57, 67, 76, 86, 96, 105, 115, 124, 134, 144, 153]


def bert(layers: int, heads: int, hidden: int, inner: int, *, biases: bool = True) -> Structures:
    """BERT's numbers, for any size: vocabulary 30522, 512 positions, 2 segments, pooler."""
    size = hidden // heads
    head = 4 * size * hidden + 3 * size * biases
    ffn = 2 * hidden * inner + (inner + hidden) * biases
    encoder = layers * (
        heads * (4 * size * hidden + 3 * size) + hidden + 2 * hidden * inner + inner + hidden + 4 * hidden
    )
    embeddings = (30522 + 512 + 2) * hidden + 2 * hidden
    total = encoder + embeddings + hidden * hidden + hidden
    return Structures("bert", np.full((layers, heads), head), np.full((layers, 1), ffn), encoder, total)


def scored(structures: Structures, seed: int = 0) -> Importance:
    """Some importance without ties."""
    rng = np.random.default_rng(seed)
    return Importance(structures, rng.random(structures.heads.shape), rng.random(structures.ffn.shape))


@st.composite
def pieces(draw_value: st.DrawFn) -> tuple[np.ndarray, ...]:
    """Scores and weights for the heads and FFN units of a small encoder, every unit with weights of its own.

    Only arrays: the shape checker throws dice, which Hypothesis forbids while it draws, so `built` follows in the test.
    """
    layers, heads, units = (draw_value(st.integers(1, most)) for most in (4, 5, 6))

    def filled(values: st.SearchStrategy[float], width: int) -> np.ndarray:
        size = layers * width
        return np.array(draw_value(st.lists(values, min_size=size, max_size=size))).reshape(layers, width)

    weights = st.integers(1, 50)
    return filled(SCORES, heads), filled(SCORES, units), filled(weights, heads), filled(weights, units)


def built(parts: tuple[np.ndarray, ...]) -> Importance:
    """Importance of drawn pieces."""
    head_scores, ffn_scores, heads, ffn = parts
    prunable = int(heads.sum() + ffn.sum())
    structures = Structures("toy", heads, ffn, encoder_weights=prunable + 7, total_weights=prunable + 20)
    return Importance(structures, head_scores, ffn_scores)


def drawn(
    kind: Kind, importance: Importance, sparsity: float, min_heads: int, ranking: Ranking, multiple: int = 8
) -> Mask:
    """A mask whose random numbers start anew at each call, as the sweep's do for each level of a seed."""
    rng = np.random.default_rng(7)
    return draw(
        kind,
        importance,
        sparsity,
        rng=rng,
        min_heads=min(min_heads, importance.structures.heads_per_layer),
        ranking=ranking,
        multiple=multiple,
    )


MULTIPLES = st.integers(1, 8)  # of at most 6 units: blocks of 1 to 6
every_kind = pytest.mark.parametrize("kind", get_args(Kind))
every_ranking = pytest.mark.parametrize("ranking", get_args(Ranking))


@every_kind
@every_ranking
@given(
    parts=pieces(),
    sparsities=st.lists(SPARSITIES, min_size=2, max_size=4),
    min_heads=st.integers(0, 5),
    multiple=MULTIPLES,
)
@fast
def test_masks_nest_as_sparsity_grows(
    kind: Kind, ranking: Ranking, parts: tuple[np.ndarray, ...], sparsities: list[float], min_heads: int, multiple: int
) -> None:
    """What a sparser mask keeps, every denser mask of the same kind keeps."""
    importance = built(parts)
    masks = [drawn(kind, importance, sparsity, min_heads, ranking, multiple) for sparsity in sorted(sparsities)]
    for larger, smaller in pairwise(masks):
        assert larger & smaller == smaller


@every_ranking
@given(parts=pieces(), sparsity=SPARSITIES, min_heads=st.integers(0, 5), seed=st.integers(0, 1000), multiple=MULTIPLES)
@fast
def test_controls_have_exactly_the_winning_size(
    ranking: Ranking, parts: tuple[np.ndarray, ...], sparsity: float, min_heads: int, seed: int, multiple: int
) -> None:
    """Random and losing tickets keep as many heads, and as many FFN units, as the winning ticket."""
    importance = built(parts)
    winning = drawn("winning", importance, sparsity, min_heads, ranking, multiple)
    random = Mask.random(
        winning,
        np.random.default_rng(seed),
        min_heads=min(min_heads, winning.structures.heads_per_layer),
        multiple=multiple,
    )
    for mask in (random, drawn("losing", importance, sparsity, min_heads, ranking, multiple)):
        assert (mask.heads.sum(), mask.ffn.sum()) == (winning.heads.sum(), winning.ffn.sum())


@every_kind
@every_ranking
@given(parts=pieces(), sparsity=SPARSITIES, multiple=MULTIPLES)
@fast
def test_a_layers_units_go_in_whole_blocks(
    kind: Kind, ranking: Ranking, parts: tuple[np.ndarray, ...], sparsity: float, multiple: int
) -> None:
    """Each layer drops a multiple of the block, and among its units the lowest (winning) or highest (losing)."""
    importance = built(parts)
    block = gcd(importance.structures.units_per_layer, multiple)
    mask = drawn(kind, importance, sparsity, 0, ranking, multiple)
    assert {int(n) % block for n in (~mask.ffn).sum(axis=1)} == {0}
    per_weight = importance.ffn / importance.structures.ffn
    scores = per_weight if ranking == "joint" else importance.normalised().ffn
    for layer, keep in zip(scores if kind == "winning" else -scores, mask.ffn, strict=True):
        if kind != "random":
            assert max(layer[~keep], default=-np.inf) <= min(layer[keep], default=np.inf)


@pytest.mark.parametrize("maker", [Mask.winning, Mask.losing])
@given(parts=pieces(), sparsity=SPARSITIES, multiple=MULTIPLES)
@fast
def test_blocks_go_in_the_order_of_their_mean_scores(
    maker: Callable[..., Mask], parts: tuple[np.ndarray, ...], sparsity: float, multiple: int
) -> None:
    """Block by block, slowly: no dropped block of any layer scores above a kept one (below it, of a losing ticket)."""
    importance = built(parts)
    mask = maker(importance, sparsity, multiple=multiple)
    block, sign = gcd(importance.structures.units_per_layer, multiple), 1 if maker == Mask.winning else -1
    kept, dropped = [], []
    for layer, keep in zip(sign * importance.normalised().ffn, mask.ffn, strict=True):
        means = np.sort(layer).reshape(-1, block).mean(axis=1)
        n = int((~keep).sum()) // block
        dropped.extend(means[:n])
        kept.extend(means[n:])
    assert max(dropped, default=-np.inf) <= min(kept, default=np.inf)
    assert len(dropped) == int(sparsity * (len(dropped) + len(kept)) + 1e-9)


@every_kind
@every_ranking
@given(parts=pieces(), sparsity=SPARSITIES, min_heads=st.integers(0, 5))
@fast
def test_single_units_go_in_one_order_over_all_layers(
    kind: Kind, ranking: Ranking, parts: tuple[np.ndarray, ...], sparsity: float, min_heads: int
) -> None:
    """With blocks of one, kept FFN units are those of one stable sort of all, or of one permutation."""
    importance = built(parts)
    mask = drawn(kind, importance, sparsity, min_heads, ranking, multiple=1)
    scores = importance.ffn / importance.structures.ffn if ranking == "joint" else importance.normalised().ffn
    rng = np.random.default_rng(7)
    rng.permutation(importance.heads.size)
    order = rng.permutation(scores.size)
    if kind != "random":
        order = np.argsort(scores if kind == "winning" else -scores, axis=None, kind="stable")
    keep = np.ones(scores.shape, bool)
    keep.flat[order[: int((~mask.ffn).sum())]] = False
    np.testing.assert_array_equal(mask.ffn, keep)


@every_kind
@every_ranking
@given(parts=pieces(), sparsity=SPARSITIES, min_heads=st.integers(0, 5))
@fast
def test_every_layer_keeps_its_minimum_of_heads(
    kind: Kind, ranking: Ranking, parts: tuple[np.ndarray, ...], sparsity: float, min_heads: int
) -> None:
    """No layer keeps fewer than `min_heads` heads, whatever the kind."""
    importance = built(parts)
    mask = drawn(kind, importance, sparsity, min_heads, ranking)
    assert min(mask.heads_per_layer) >= min(min_heads, importance.structures.heads_per_layer)


def released(scores: np.ndarray, n: int, min_heads: int) -> np.ndarray:
    """The released loop (masking.py:64-117): walk up the scores, drop a head unless its layer is at the minimum."""
    keep = np.ones(scores.shape, dtype=bool)
    for position in np.argsort(scores, axis=None, kind="stable"):
        layer, head = divmod(int(position), scores.shape[1])
        if (~keep).sum() < n and keep[layer].sum() > min_heads:
            keep[layer, head] = False
    return keep


@given(parts=pieces(), sparsity=SPARSITIES, min_heads=st.integers(0, 5))
@fast
def test_winning_heads_are_the_released_loops(parts: tuple[np.ndarray, ...], sparsity: float, min_heads: int) -> None:
    """The heads that the winning ticket keeps are those of the 2021 loop on the same scores."""
    importance = built(parts)
    min_heads = min(min_heads, importance.structures.heads_per_layer)
    mask = Mask.winning(importance, sparsity, min_heads=min_heads)
    expected = released(importance.normalised().heads, int((~mask.heads).sum()), min_heads)
    np.testing.assert_array_equal(mask.heads, expected)


@given(parts=pieces(), sparsity=SPARSITIES, min_heads=st.integers(0, 5), multiple=MULTIPLES)
@fast
def test_number_of_dropped_units(parts: tuple[np.ndarray, ...], sparsity: float, min_heads: int, multiple: int) -> None:
    """Floor of the share of heads, unless the minimum per layer allows fewer; FFN blocks have no minimum."""
    importance = built(parts)
    structures = importance.structures
    min_heads = min(min_heads, structures.heads_per_layer)
    mask = Mask.winning(importance, sparsity, min_heads=min_heads, multiple=multiple)
    most, block = structures.heads.size - structures.layers * min_heads, gcd(structures.units_per_layer, multiple)
    assert (~mask.heads).sum() == min(int(sparsity * structures.heads.size + 1e-9), most)
    assert (~mask.ffn).sum() == block * int(sparsity * structures.ffn.size / block + 1e-9)


@given(parts=pieces(), sparsity=SPARSITIES, seed=st.integers(0, 1000))
@fast
def test_winning_keeps_most_importance_and_losing_least(
    parts: tuple[np.ndarray, ...], sparsity: float, seed: int
) -> None:
    """No random ticket of the size keeps more normalised importance than winning, or less than losing."""
    importance = built(parts)
    scores = importance.normalised()
    winning = Mask.winning(importance, sparsity, multiple=2)
    random = Mask.random(winning, np.random.default_rng(seed), multiple=2)
    losing = Mask.losing(importance, sparsity, multiple=2)
    kept = [float(scores.heads[mask.heads].sum() + scores.ffn[mask.ffn].sum()) for mask in (losing, random, winning)]
    assert kept[0] <= kept[1] + 1e-9
    assert kept[1] <= kept[2] + 1e-9


@given(parts=pieces(), sparsity=SPARSITIES, min_heads=st.integers(0, 5))
@fast
def test_joint_ranking_drops_the_longest_beginning_within_the_budget(
    parts: tuple[np.ndarray, ...], sparsity: float, min_heads: int
) -> None:
    """Joint tickets drop at most the share of prunable weights, and the next unit in line would pass it."""
    importance = built(parts)
    structures = importance.structures
    min_heads = min(min_heads, structures.heads_per_layer)
    mask = Mask.winning(importance, sparsity, min_heads=min_heads, ranking="joint", multiple=1)
    heads, ffn = importance.heads / structures.heads, importance.ffn / structures.ffn
    unprotected = released(heads, structures.heads.size, min_heads) == np.False_
    line = [*zip(heads[unprotected], structures.heads[unprotected], mask.heads[unprotected], strict=True)]
    line += [*zip(ffn.flat, structures.ffn.flat, mask.ffn.flat, strict=True)]
    line.sort(key=lambda unit: unit[0])
    dropped, budget = [unit for unit in line if not unit[2]], sparsity * structures.prunable_weights
    assert sum(weights for _, weights, _ in dropped) <= budget + 1e-6
    assert max((score for score, _, _ in dropped), default=0) <= min((s for s, _, keep in line if keep), default=np.inf)
    if len(dropped) < len(line):
        following = [weights for score, weights, keep in line if keep]
        assert sum(weights for _, weights, _ in dropped) + max(following) > budget - 1e-6


def test_random_tickets_lose_nothing_to_replacement() -> None:
    """D2: a random ticket of BERT-base drops 115 heads and 8 FFNs with each seed (released: 79.2, 6.0 on average)."""
    winning = Mask.winning(scored(bert(12, 12, 768, 3072)), 0.8, ffn_sparsity=8 / 12)
    masks = [Mask.random(winning, np.random.default_rng(seed)) for seed in range(300)]
    assert {int((~mask.heads).sum()) for mask in masks} == {115}
    assert {int((~mask.ffn).sum()) for mask in masks} == {8}
    assert {mask.weights_remaining for mask in masks} == {winning.weights_remaining}


def test_random_draws_reach_every_layer_of_bert_large() -> None:
    """D2: 307 heads drawn from 24 x 16 come from all layers alike (the released code never touched 16 to 23)."""
    winning = Mask.winning(scored(bert(24, 16, 1024, 4096)), 0.8)
    assert (~winning.heads).sum() == 307
    masks = [Mask.random(winning, np.random.default_rng(seed)) for seed in range(200)]
    assert all(min(mask.heads_per_layer) < 16 for mask in masks)
    dropped = np.mean([~mask.heads for mask in masks], axis=0)
    assert dropped.mean() == pytest.approx(307 / 384)
    np.testing.assert_allclose(dropped.mean(axis=1), 307 / 384, atol=0.03)  # by layer
    np.testing.assert_allclose(dropped, 307 / 384, atol=0.15)  # by head


@pytest.mark.parametrize(("level", "heads", "ffns", "percent"), PUBLISHED)
def test_published_sizes(level: float, heads: int, ffns: int, percent: float) -> None:
    """The paper's eight levels on BERT-base: heads, FFNs and weights remaining (its code leaves biases out)."""
    structures = bert(12, 12, 768, 3072, biases=False)
    assert structures.total_weights == 109_482_240
    mask = Mask.winning(scored(structures), level, ffn_sparsity=ffns / 12)
    assert ((~mask.heads).sum(), (~mask.ffn).sum()) == (heads, ffns)
    assert round(100 * mask.weights_remaining.all, 2) == percent
    exact = Mask.winning(scored(bert(12, 12, 768, 3072)), level, ffn_sparsity=ffns / 12).weights_remaining
    assert -0.06 < 100 * exact.all - percent < 0  # biases belong to the units, too


@pytest.mark.parametrize(
    ("structures", "step", "expected"),
    [(bert(12, 12, 768, 3072), 0.05, BASE_GRID[:19]), (bert(24, 16, 1024, 4096), 0.025, LARGE_GRID)],
)
def test_published_grids(structures: Structures, step: float, expected: Sequence[int]) -> None:
    """Heads dropped along the released grids, one head per layer kept: 132 of 144 at the most."""
    importance = scored(structures)
    found = [int((~Mask.winning(importance, step * i).heads).sum()) for i in range(1, len(expected) + 1)]
    assert found == expected


def test_at_most_all_but_one_head_per_layer() -> None:
    """BERT-large never drops more than 384 - 24 = 360 heads (PAPER §1.2), and without a minimum it may."""
    importance = scored(bert(24, 16, 1024, 4096))
    assert (~Mask.winning(importance, 0.975).heads).sum() == 360
    assert (~Mask.winning(importance, 0.975, min_heads=0).heads).sum() == 374


@pytest.mark.parametrize("maker", [Mask.winning, Mask.losing])
def test_scale_of_a_layers_head_scores_does_not_matter(maker: Callable[..., Mask]) -> None:
    """Scores are normalised within layers: one layer's scores times 1024 give the same ticket, ranked apart."""
    importance = scored(bert(12, 12, 768, 3072))
    factors = np.where(np.arange(12) == 3, 1024.0, 1.0)[:, None]
    scaled = Importance(importance.structures, importance.heads * factors, importance.ffn * 1024)
    assert maker(scaled, 0.5) == maker(importance, 0.5)
    assert maker(scaled, 0.5, ranking="joint") != maker(importance, 0.5, ranking="joint")


def test_ffn_sublayers_drop_in_the_order_of_their_scores() -> None:
    """Of 12 FFN sublayers with scores 11 to 0 the last k are dropped; there is no minimum."""
    structures = bert(12, 12, 768, 3072)
    importance = Importance(structures, np.ones((12, 12)), np.arange(12.0)[::-1, None])
    for k in range(12):
        assert Mask.winning(importance, k / 12).ffn_per_layer == (1,) * (12 - k) + (0,) * k
        assert Mask.losing(importance, k / 12).ffn_per_layer == (0,) * k + (1,) * (12 - k)


def neurons(layers: int, units: int, seed: int = 0) -> Importance:
    """Scores of the neurons of a BERT-like encoder (12 heads a layer), without ties."""
    shapes = (layers, 12), (layers, units)
    rng, counts = np.random.default_rng(seed), [np.full(shape, n) for shape, n in zip(shapes, (9, 3), strict=True)]
    total = int(sum(count.sum() for count in counts))
    return Importance(Structures("bert", *counts, total, total), *(rng.random(shape) for shape in shapes))


@every_kind
@pytest.mark.parametrize(("level", "dropped"), [(0.1, 9824), (0.5, 49152), (0.9, 88472)])
def test_neurons_of_bert_large(kind: Kind, level: float, dropped: int) -> None:
    """Of 24 x 4096 neurons floor(level x 12288) blocks of 8 go; every layer keeps a multiple of 8 of them."""
    mask = drawn(kind, neurons(24, 4096), level, 1, "apart")
    assert int((~mask.ffn).sum()) == dropped
    assert {n % 8 for n in mask.ffn_per_layer} == {0}


def test_random_neurons_come_from_all_layers_and_places_alike() -> None:
    """Over many draws every neuron is dropped at the ticket's rate, so blocks are chosen by chance alone."""
    winning = Mask.winning(neurons(4, 32), 0.5)
    dropped = np.mean([~Mask.random(winning, np.random.default_rng(seed)).ffn for seed in range(1500)], axis=0)
    np.testing.assert_allclose(dropped.mean(axis=1), 0.5, atol=0.02)
    np.testing.assert_allclose(dropped, 0.5, atol=0.06)


def test_joint_ranking_of_neurons_pays_in_whole_blocks() -> None:
    """Blocks and heads in one order by importance per weight: the next in line would pass the budget."""
    importance = neurons(3, 16)  # 36 heads of 9 weights, 12 blocks of 4 neurons of 3 weights
    mask = Mask.winning(importance, 0.4, min_heads=0, ranking="joint", multiple=4)
    blocks = np.sort(importance.ffn / 3, axis=1).reshape(-1, 4).mean(axis=1)
    line = sorted([*((score, 9) for score in importance.heads.flat / np.float64(9)), *((s, 12) for s in blocks)])
    within = np.cumsum([weights for _, weights in line]) <= 0.4 * importance.structures.prunable_weights
    spent = sum(weights for (_, weights), fits in zip(line, within, strict=True) if fits)
    assert int((~mask.heads).sum()) * 9 + int((~mask.ffn).sum()) * 3 == spent
    gone = [weights for (_, weights), fits in zip(line, within, strict=True) if fits and weights == 12]
    assert int((~mask.ffn).sum()) == 4 * len(gone)
    losing = Mask.losing(importance, 0.4, min_heads=0, ranking="joint", multiple=4)
    assert (losing.heads.sum(), losing.ffn.sum()) == (mask.heads.sum(), mask.ffn.sum())


@pytest.mark.parametrize("maker", [Mask.winning, Mask.losing])
def test_scale_of_a_layers_neuron_scores_does_not_matter(maker: Callable[..., Mask]) -> None:
    """Neurons are normalised within layers, as heads are: one layer's scores times 1024 give the same ticket."""
    importance, factors = neurons(4, 32), np.array([[1.0], [1024.0], [1.0], [1.0]])
    scaled = Importance(importance.structures, importance.heads, importance.ffn * factors)
    assert maker(scaled, 0.5) == maker(importance, 0.5)
