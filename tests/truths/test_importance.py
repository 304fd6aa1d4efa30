"""Laws of importance: it belongs to the examples, not to how they come."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from small_examples import examples, padded
from small_models import CONFIGS, build
from supertickets.config import FfnUnit, ScorerName
from supertickets.learning.scoring import ORDERED, SCORERS, score
from supertickets.tickets.importance import Importance

MODEL = build("bert")
DATA = examples(24)


@pytest.mark.parametrize("ffn_units", get_args(FfnUnit))
@pytest.mark.parametrize("scorer", sorted(set(SCORERS) - ORDERED))
@pytest.mark.parametrize("family", CONFIGS)
def test_batch_size_does_not_matter(family: str, scorer: ScorerName, ffn_units: FfnUnit) -> None:
    """24 examples score the same in batches of 1, 5 (a short last one) and 24, padding included."""
    model = build(family)
    one, five, all_of_them = (
        score(model, padded(DATA, size), scorer=scorer, ffn_units=ffn_units) for size in (1, 5, 24)
    )
    for other in (five, all_of_them):
        np.testing.assert_allclose(other.heads, one.heads, rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(other.ffn, one.ffn, rtol=1e-4, atol=1e-8)


@given(order=st.permutations(range(24)), size=st.integers(1, 24))
@settings(max_examples=5, deadline=None, database=None)
def test_neither_order_nor_batches_matter(order: list[int], size: int) -> None:
    """Any order cut into any batches gives the importance of the whole set."""
    shuffled = DATA.select(order)
    batches = [
        batch
        for start in range(0, 24, size)
        for batch in padded(shuffled.select(range(start, min(24, start + size))), size)
    ]
    expected, found = score(MODEL, padded(DATA, 24)), score(MODEL, batches)
    np.testing.assert_allclose(found.heads, expected.heads, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(found.ffn, expected.ffn, rtol=1e-4, atol=1e-8)


def test_importance_of_a_set_is_the_mean_over_its_parts() -> None:
    """Two halves of equal size average to the whole: no example weighs more than another."""
    halves = [score(MODEL, padded(DATA.select(rows), 5)) for rows in (range(12), range(12, 24))]
    whole = score(MODEL, padded(DATA, 7))
    np.testing.assert_allclose(Importance.mean(halves).heads, whole.heads, rtol=1e-4, atol=1e-8)
