from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from supertickets.tickets.chance import common, expected_jaccard


@pytest.mark.parametrize(("units", "a", "b"), [(5, 2, 3), (5, 4, 3), (4, 0, 2), (4, 4, 4), (1, 1, 0)])
def test_common_is_the_count_over_all_choices(units: int, a: int, b: int) -> None:
    """The probabilities equal the shares over every pair of choices."""
    pairs = product(combinations(range(units), a), combinations(range(units), b))
    shared = [len(set(one) & set(other)) for one, other in pairs]
    np.testing.assert_allclose(common(units, a, b), np.bincount(shared, minlength=min(a, b) + 1) / len(shared))


def test_expected_jaccard_is_the_mean_over_all_choices() -> None:
    """Two groups, every choice of both enumerated: the exact mean."""
    firsts = list(product(combinations(range(4), 2), combinations("xyz", 2)))
    seconds = list(product(combinations(range(4), 3), combinations("xyz", 1)))
    sets = [({*a, *b}, {*c, *d}) for (a, b), (c, d) in product(firsts, seconds)]
    mean = np.mean([len(one & other) / len(one | other) for one, other in sets])
    assert expected_jaccard([(4, 2, 3), (3, 2, 1)]) == pytest.approx(mean)


def test_expected_jaccard_at_the_ends() -> None:
    """Full masks always agree, empty ones count as agreeing, full and empty never do."""
    assert expected_jaccard([(144, 144, 144), (12, 12, 12)]) == 1
    assert expected_jaccard([(144, 0, 0), (12, 0, 0)]) == 1
    assert expected_jaccard([(144, 144, 0)]) == 0


def test_expected_jaccard_of_many_units() -> None:
    """Half of 36864 neurons twice: a third, without overflow; probabilities sum to one."""
    assert expected_jaccard([(36864, 18432, 18432)]) == pytest.approx(1 / 3, abs=1e-4)
    assert common(36864, 18432, 18432).sum() == pytest.approx(1, abs=1e-9)
