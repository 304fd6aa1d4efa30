"""Overlaps of all pairs at once are those of each pair."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from supertickets.tickets.masks import Mask
from supertickets.tickets.overlaps import overlaps
from supertickets.tickets.structures import Structures


@pytest.mark.parametrize("units", [1, 40])
def test_every_pair_as_by_itself(units: int) -> None:
    """Six random masks of different sizes, one of them empty and two of them equal: the same 15 pairs, to the bit."""
    rng = np.random.default_rng(0)
    structures = Structures("bert", np.full((3, 4), 10), np.full((3, units), 20), 10_000, 20_000)
    masks = [Mask(structures, rng.random((3, 4)) < share, rng.random((3, units)) < share) for share in (0.3, 0.5, 0.9)]
    masks += [Mask(structures, np.zeros((3, 4), bool), np.zeros((3, units), bool)), masks[0], Mask.full(structures)]
    found, chance = overlaps(masks)
    pairs = list(combinations(masks, 2))
    assert list(found) == [a.jaccard(b) for a, b in pairs]
    assert list(chance) == [a.expected_jaccard(b) for a, b in pairs]


def test_nothing_in_nothing() -> None:
    """Two masks that keep nothing are alike, as `Mask.jaccard` has it."""
    structures = Structures("bert", np.full((1, 2), 10), np.full((1, 1), 20), 10_000, 20_000)
    none = Mask(structures, np.zeros((1, 2), bool), np.zeros((1, 1), bool))
    assert [list(values) for values in overlaps([none, none])] == [[1.0], [1.0]]
