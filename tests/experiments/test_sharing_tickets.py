"""Overlap and weights of the tasks' tickets, with numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fake_sharing import mask_without
from supertickets.experiments.sharing_tickets import kept, overlap


def test_overlap_is_the_mean_jaccard_over_seeds() -> None:
    """10 units; dropping heads 0 and 1 leaves 8 of each, 9 in either or 8: Jaccard 6/10 and 8/8, mean 0.8."""
    one = {0: mask_without(0, 1), 1: mask_without(0, 1)}
    other = {0: mask_without(2, 3), 1: mask_without(0, 1)}
    found = overlap({"a": one, "b": other})
    assert found.found == pytest.approx(np.array([[1, 0.8], [0.8, 1]]))
    assert found.chance[0, 1] == pytest.approx(one[0].expected_jaccard(other[0]))
    assert found.pairs == pytest.approx((0.8, found.chance[0, 1]))
    assert found.to_dict()["order"] == [0, 1]


def test_tasks_with_much_in_common_stand_side_by_side() -> None:
    """Two pairs of like tickets, given in turns, come out as pairs."""
    tickets = {"a": (0, 1, 2), "x": (4, 5, 6), "b": (0, 1, 3), "y": (4, 5, 7)}
    found = overlap({name: {0: mask_without(*heads)} for name, heads in tickets.items()})
    order = [found.tasks[index] for index in found.order]
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset("ab"), frozenset("xy")}


def test_one_task_has_nothing_to_be_compared_with() -> None:
    """A matrix of one cell, and no mean over pairs."""
    found = overlap({"a": {0: mask_without(0)}})
    assert found.found.tolist() == [[1.0]] and found.order == (0,)
    assert np.isnan(found.pairs).all()


def test_disjoint_drops_leave_a_union_of_everything() -> None:
    """Each task drops one head of 10 of 400 weights, not the same one: all must be stored."""
    found = kept({"a": {0: mask_without(0)}, "b": {0: mask_without(1)}})
    assert (found.union.all, found.union.encoder) == (1.0, 1.0)
    assert found.mean.all == pytest.approx(390 / 400)
