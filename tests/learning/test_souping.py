"""The mean of weights, and which seeds go into it."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from supertickets.endings import Recipe
from supertickets.errors import UserError
from supertickets.learning.souping import RECIPES, mean_weights


def test_table_holds_every_recipe_of_the_config() -> None:
    """Each recipe is a row."""
    assert set(RECIPES) == set(get_args(Recipe))


def test_the_mean_is_exact() -> None:
    """Weights are averaged in float64: the mean of equal weights is these, bit for bit; whole numbers stay."""
    weight = torch.rand(5, generator=torch.Generator().manual_seed(0))
    states = [{"w": weight, "places": torch.arange(3)} for _ in range(3)]
    found = mean_weights(states)
    assert torch.equal(found["w"], weight) and found["w"].dtype == torch.float32
    assert torch.equal(found["places"], torch.arange(3))
    assert mean_weights([{"w": torch.tensor([1.0, 4.0])}, {"w": torch.tensor([2.0, 0.0])}])["w"].tolist() == [1.5, 2.0]


def test_models_that_do_not_fit_are_refused() -> None:
    """Other shapes, other names, other whole numbers, or no model at all."""
    one = {"w": torch.zeros(2), "places": torch.arange(2)}
    for other, fault in (
        ({"w": torch.zeros(3), "places": torch.arange(2)}, "different weights .w; 1 in all"),
        ({"w": torch.zeros(2)}, "different weights .places; 1 in all"),
        ({"w": torch.zeros(2), "places": torch.ones(2, dtype=torch.int64)}, "places holds whole numbers that differ"),
    ):
        with pytest.raises(UserError, match=fault):
            mean_weights([one, other])
    with pytest.raises(UserError, match="no weights"):
        mean_weights([])


def test_a_greedy_soup_takes_what_does_not_lower_it() -> None:
    """Seeds come by falling score; one that lowers the soup stays out, one that leaves it equal goes in."""
    scores = {(1,): 0.9, (0,): 0.8, (3,): 0.7, (2,): 0.7, (0, 1): 0.92, (0, 1, 2): 0.91, (0, 1, 3): 0.92}
    assert RECIPES["greedy"]([0, 1, 2, 3], scores.__getitem__) == (0, 1, 3)
    assert RECIPES["uniform"]([3, 1, 0], scores.__getitem__) == (0, 1, 3)
    assert RECIPES["greedy"]([2, 3], {(2,): 0.5, (3,): 0.5, (2, 3): 0.4}.__getitem__) == (2,)
