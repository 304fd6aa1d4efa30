from __future__ import annotations

import pickle

import numpy as np
import pytest

from supertickets.errors import UserError
from supertickets.tickets.importance import Importance
from supertickets.tickets.structures import Structures

STRUCTURES = Structures("toy", np.full((2, 2), 4), np.full((2, 1), 9), encoder_weights=40, total_weights=50)
FFN = np.array([[6.0], [8.0]])


def test_normalised_by_hand() -> None:
    """Heads are divided by their layer's norm (5 and 10 here), FFNs by the norm over layers (10)."""
    normalised = Importance(STRUCTURES, np.array([[3.0, 4.0], [6.0, 8.0]]), FFN).normalised()
    np.testing.assert_allclose(normalised.heads, [[0.6, 0.8], [0.6, 0.8]], rtol=1e-15)
    np.testing.assert_allclose(normalised.ffn, [[0.6], [0.8]], rtol=1e-15)


def test_zero_layer_stays_zero() -> None:
    """A layer whose scores are all zero is not divided by zero, and leaves the others alone."""
    normalised = Importance(STRUCTURES, np.array([[0.0, 0.0], [3.0, 4.0]]), np.zeros((2, 1))).normalised()
    np.testing.assert_allclose(normalised.heads, [[0, 0], [0.6, 0.8]])
    np.testing.assert_array_equal(normalised.ffn, np.zeros((2, 1)))


def test_neurons_are_normalised_within_their_layer() -> None:
    """Neurons are divided by the norm of their own layer (5 and 10 here), as heads are."""
    structures = Structures("toy", np.full((2, 2), 4), np.full((2, 2), 3), encoder_weights=40, total_weights=50)
    scores = np.array([[3.0, 4.0], [6.0, 8.0]])
    normalised = Importance(structures, scores, scores).normalised()
    np.testing.assert_allclose(normalised.ffn, [[0.6, 0.8], [0.6, 0.8]], rtol=1e-15)


def test_an_order_is_not_normalised() -> None:
    """An order of dropping is compared over layers as it stands, and is never equal to raw scores."""
    scores = np.array([[0.0, 3.0], [1.0, 2.0]])
    order = Importance(STRUCTURES, scores, FFN, "order")
    assert order.normalised() == order
    assert order != Importance(STRUCTURES, scores, FFN)
    assert hash(order) != hash(Importance(STRUCTURES, scores, FFN))


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e300])
def test_tiny_and_huge_scores_keep_their_ratio(scale: float) -> None:
    """Squares that would vanish or overflow do not: scores of 1e-300 are normalised as those of 1 are."""
    normalised = Importance(STRUCTURES, np.array([[3.0, 4.0], [6.0, 8.0]]) * scale, FFN * scale).normalised()
    np.testing.assert_allclose(normalised.heads, [[0.6, 0.8], [0.6, 0.8]], rtol=1e-12)


def test_mean_over_seeds() -> None:
    """The mean of raw scores, unit by unit."""
    low, high = (Importance(STRUCTURES, np.full((2, 2), value), FFN * value) for value in (1.0, 3.0))
    assert Importance.mean([low, high]) == Importance(STRUCTURES, np.full((2, 2), 2.0), FFN * 2)
    assert Importance.mean([low]) == low


def test_mean_of_orders_is_an_order() -> None:
    """By mean place; an order and raw scores have no mean."""
    low, high = (Importance(STRUCTURES, np.full((2, 2), value), FFN * value, "order") for value in (1.0, 3.0))
    assert Importance.mean([low, high]) == Importance(STRUCTURES, np.full((2, 2), 2.0), FFN * 2, "order")
    with pytest.raises(UserError, match=r"cannot average scores of the scales order and raw"):
        Importance.mean([low, Importance(STRUCTURES, high.heads, high.ffn)])


def test_mean_refuses_nothing_and_mixed_structures() -> None:
    """There is no mean of none, nor over two architectures."""
    with pytest.raises(UserError, match="no importances"):
        Importance.mean([])
    other = Structures("other", STRUCTURES.heads, STRUCTURES.ffn, 40, 50)
    pair = [Importance(each, np.ones((2, 2)), FFN) for each in (STRUCTURES, other)]
    with pytest.raises(UserError, match=r"toy: 2 layers.* with other: 2 layers"):
        Importance.mean(pair)


@pytest.mark.parametrize(
    ("heads", "sentence"),
    [
        (np.ones((2, 3)), r"heads has shape \(2, 3\), the structures have \(2, 2\)"),
        (np.array([[1, np.nan], [np.inf, 1]]), "heads holds 2 scores that are not finite"),
        (np.array([[1, -0.5], [1, 1]]), "heads must be at least 0, its lowest is -0.5"),
    ],
)
def test_refuses_impossible_scores(heads: np.ndarray, sentence: str) -> None:
    """Wrong shapes, NaN, infinity and negative scores raise one sentence with the numbers."""
    with pytest.raises(UserError, match=sentence):
        Importance(STRUCTURES, heads, FFN)


def test_is_a_value() -> None:
    """Read-only float64 copies, equal and hashed by value (minus zero is zero), whole after pickling."""
    scores = np.array([[0.0, 1], [2, 3]], dtype=np.float32)
    one, other = Importance(STRUCTURES, scores, FFN), Importance(STRUCTURES, np.array([[-0.0, 1], [2, 3]]), FFN)
    scores[:] = 9
    assert one == other
    assert hash(one) == hash(other)
    assert one.heads.dtype == np.float64
    assert pickle.loads(pickle.dumps(one)) == one
    assert one != STRUCTURES
    with pytest.raises(ValueError, match="read-only"):
        one.ffn[0] = 1


def test_absent_units_are_marked() -> None:
    """They score 0 whatever was given, survive normalising and averaging, and set otherwise equal scores apart."""
    heads = np.array([[True, False], [True, True]])
    present = (heads, np.array([[True], [False]]))
    scores = np.array([[3.0, 4.0], [6.0, 8.0]])
    marked, whole = Importance(STRUCTURES, scores, FFN, present=present), Importance(STRUCTURES, scores, FFN)
    assert marked.heads.tolist() == [[3, 0], [6, 8]] and marked.ffn.tolist() == [[6], [0]]
    np.testing.assert_allclose(marked.normalised().heads, [[1, 0], [0.6, 0.8]])
    for kept in (marked, marked.normalised(), Importance.mean([marked, marked]), pickle.loads(pickle.dumps(marked))):
        assert np.array_equal(kept.there[0], heads) and kept.there[1].tolist() == [[True], [False]]
    zeros = Importance(STRUCTURES, marked.heads, marked.ffn)
    assert marked != zeros and hash(marked) != hash(zeros)
    assert whole.present is None and all(kept.all() for kept in whole.there)
    assert Importance(STRUCTURES, scores, FFN, present=(heads | True, FFN > 0)) == whole
    with pytest.raises(UserError, match="cannot average scores of models that lack different units"):
        Importance.mean([marked, whole])
    with pytest.raises(UserError, match=r"present heads are float64 of shape \(2, 2\), expected booleans of \(2, 2\)"):
        Importance(STRUCTURES, scores, FFN, present=(scores, present[1]))


def test_a_consensus_counts_seeds_alike() -> None:
    """A seed whose scores are a thousand times larger counts no more than another: norms of layers are divided out."""
    a = Importance(STRUCTURES, np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[1.0], [0.0]]))
    b = Importance(STRUCTURES, np.array([[8000.0, 6000.0], [0.0, 5000.0]]), np.array([[0.0], [2000.0]]))
    mean = Importance.consensus([a, b])
    assert np.allclose(mean.heads, [[0.7, 0.7], [0.5, 0.5]]) and np.allclose(mean.ffn, [[0.5], [0.5]])


def test_a_joint_consensus_keeps_what_layers_are_worth() -> None:
    """For the joint ranking each seed is divided by one norm: ratios over layers and kinds of unit stay."""
    a = Importance(STRUCTURES, np.array([[2.0, 4.0], [4.0, 0.0]]), np.array([[8.0], [0.0]]))  # of norm 10
    b = Importance(STRUCTURES, np.zeros((2, 2)), np.array([[0.0], [5.0]]))
    mean = Importance.consensus([a, b], joint=True)
    assert np.allclose(mean.heads, [[0.1, 0.2], [0.2, 0.0]]) and np.allclose(mean.ffn, [[0.4], [0.5]])
