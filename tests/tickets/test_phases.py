from __future__ import annotations

from typing import Any, get_args

import pytest

from supertickets.errors import UserError
from supertickets.tickets.phases import PHASE_DEFINITIONS, Phase, Point, find_phases

FULL = Point(0.0, 1.0, 0.80, 0.01, 3)


def points(*means: float) -> list[Point]:
    """Winning points at sparsities .1, .2, ... with as much less weight."""
    return [Point(round(0.1 * i, 1), round(1 - 0.1 * i, 1), mean, 0.01, 3) for i, mean in enumerate(means, start=1)]


def random_points(**means: float) -> list[Point]:
    """Random points by tenths: `t2=.7` is sparsity .2."""
    return [Point(int(key[1:]) / 10, 1 - int(key[1:]) / 10, mean, 0.01, 3) for key, mean in means.items()]


def test_super_ticket_is_the_best_winning_level() -> None:
    """The highest mean wins, and it beats the full model only when strictly above it."""
    phases = find_phases(FULL, points(0.81, 0.83, 0.82))
    assert (phases.super_ticket.sparsity, phases.super_ticket.mean, phases.beats_full) == (0.2, 0.83, True)
    assert phases.full == FULL
    assert find_phases(FULL, points(0.80, 0.79)).beats_full is False
    assert find_phases(FULL, points(0.78, 0.79)).super_ticket.sparsity == 0.2


def test_of_equal_scores_the_smaller_ticket() -> None:
    """A tie goes to the sparser level, in whatever order the points come."""
    assert find_phases(FULL, points(0.83, 0.81, 0.83, 0.7)).super_ticket.sparsity == 0.3
    assert find_phases(FULL, points(0.83, 0.81, 0.83, 0.7)[::-1]).super_ticket.sparsity == 0.3


def test_phases_against_random() -> None:
    """Up to the top I, above random's line II, on or below it III; the line between drawn levels is straight."""
    winning = points(0.81, 0.83, 0.79, 0.77, 0.60, 0.50)
    random = random_points(t2=0.78, t4=0.70, t6=0.50)  # so 0.74 at .3 and 0.60 at .5
    assert find_phases(FULL, winning, random).labels == {
        0.1: "I",
        0.2: "I",
        0.3: "II",
        0.4: "II",
        0.5: "III",
        0.6: "III",
    }


def test_randoms_line_starts_at_the_full_model() -> None:
    """Between the full model (.80 at .0) and random's first level (.60 at .4), random counts as .65 at .3."""
    random = random_points(t4=0.60)
    assert find_phases(FULL, points(0.82, 0.70, 0.66), random).labels[0.3] == "II"
    assert find_phases(FULL, points(0.82, 0.70, 0.64), random).labels[0.3] == "III"


def test_randoms_line_goes_on_level() -> None:
    """Past random's sparsest level its last score stands."""
    random = random_points(t2=0.75)
    assert find_phases(FULL, points(0.82, 0.81, 0.76, 0.74), random).labels == {
        0.1: "I",
        0.2: "II",
        0.3: "II",
        0.4: "III",
    }


def test_phases_without_random() -> None:
    """Where no random ticket was drawn, the bar is half-way down to the lowest winning score: here .70."""
    assert find_phases(FULL, points(0.80, 0.71, 0.70, 0.60)).labels == {0.1: "I", 0.2: "II", 0.3: "III", 0.4: "III"}


def test_labels_come_in_order_of_sparsity() -> None:
    """Labels are listed from dense to sparse, whatever the order of the points."""
    assert list(find_phases(FULL, points(0.81, 0.83, 0.79)[::-1]).labels) == [0.1, 0.2, 0.3]


def test_each_phase_is_defined() -> None:
    """Reports show one sentence for each phase, and no other."""
    assert set(PHASE_DEFINITIONS) == set(get_args(Phase))
    assert all(text.endswith(".") for text in PHASE_DEFINITIONS.values())


def test_refuses_no_points_and_doubles() -> None:
    """A choice needs at least one level, and one score for each."""
    with pytest.raises(UserError, match="no winning tickets"):
        find_phases(FULL, [])
    with pytest.raises(UserError, match="two winning points at one sparsity"):
        find_phases(FULL, [*points(0.8), *points(0.7)])


@pytest.mark.parametrize(
    "values",
    [
        (0.1, 0.9, float("nan"), 0.0, 3),
        (0.1, 0.9, 0.8, -0.1, 3),
        (0.1, 0.9, 0.8, 0.0, 0),
        (1.0, 0.9, 0.8, 0.0, 3),
        (0.1, 1.1, 0.8, 0.0, 3),
    ],
)
def test_point_refuses_what_is_no_score(values: Any) -> None:
    """Scores are finite, spreads not negative, seeds counted, sizes shares of one."""
    with pytest.raises(UserError, match=r"^Point: .* is no (score|size)$"):
        Point(*values)


def test_phases_are_contiguous() -> None:
    """One noisy level below random's line, with better ones beyond it, stays in phase II."""
    found = find_phases(FULL, points(0.82, 0.60, 0.81, 0.50), points(0.70, 0.70, 0.70, 0.70))
    assert found.labels == {0.1: "I", 0.2: "II", 0.3: "II", 0.4: "III"}
