"""The plan of a paper-scale sweep: the arithmetic of its GPU hours, and what the documentation says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from supertickets import settings
from supertickets.config import Config
from supertickets.experiments.gpu_hours import GLUE, Card, gpu_hours, seconds_of, wall_hours
from supertickets.experiments.plans import plan

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"


@pytest.fixture
def paper() -> Config:
    """8 levels, 3 kinds, 5 seeds, 6 epochs."""
    return settings.load(overrides=["budget=paper"])


def test_one_run_by_hand(paper: Config) -> None:
    """A card that does a forward pass a second: 6 epochs of 3 passes over 10 examples, and 4 evaluated."""
    card = Card(weights=1.0, tokens=1, peak=2.0, use=1.0)
    assert card.forward_seconds == 1.0
    full, ticket = plan(paper)[0], plan(paper)[5]
    assert (full.sparsity, ticket.sparsity) == (0.0, 0.1)
    assert seconds_of(full, 10, 4, card) == 6 * 30 + 4 + 30  # and one pass more to score
    assert seconds_of(ticket, 10, 4, card) == pytest.approx(0.92 * (6 * 30 + 4))


def test_the_whole_plan_by_hand(paper: Config) -> None:
    """5 full models and 120 tickets, which cost 1 - 0.8 s each: 76.8 full trainings."""
    card = Card(weights=1.0, tokens=1, peak=2.0, use=1.0)
    assert len(plan(paper)) == 125
    expected = 5 * (180 + 30 + 4) + 76.8 * (180 + 4)
    assert gpu_hours(paper, {"one": (10, 4)}, card)["one"] * 3600 == pytest.approx(expected)
    assert gpu_hours(paper, {"one": (20, 8)}, card)["one"] * 3600 == pytest.approx(2 * expected)


def test_more_cards_take_less_time(paper: Config) -> None:
    """One card takes all hours; with 5, the seeds' tickets start when the tuned models end; never below the mean."""
    card, tasks = Card(), {"rte": GLUE["rte"]}
    total = sum(gpu_hours(paper, tasks, card).values())
    assert wall_hours(paper, tasks, card, 1) == pytest.approx(total)
    five, many = wall_hours(paper, tasks, card, 5), wall_hours(paper, tasks, card, 1000)
    assert total / 5 <= five < 1.05 * total / 5
    full, largest = (seconds_of(run, *GLUE["rte"], card) / 3600 for run in (plan(paper)[0], plan(paper)[5]))
    assert many == pytest.approx(full + largest)


def test_the_page_says_what_the_function_says(paper: Config) -> None:
    """docs/cluster.md quotes the hours of the eight tasks, in all and by cards, and of a card twice as well used."""
    page = PAGE.read_text(encoding="utf-8")
    hours = gpu_hours(paper, GLUE, Card())
    assert f"**{sum(hours.values()):.0f} GPU hours**" in page
    for task, spent in hours.items():
        assert f"| {task} | {GLUE[task][0]} | {spent:.1f} |" in page
    for gpus in (1, 8, 32):
        assert f"| {gpus} | {wall_hours(paper, GLUE, Card(), gpus):.1f} |" in page
    better = sum(gpu_hours(paper, GLUE, replace(Card(), use=0.5)).values())
    assert f"{better:.0f} at a use of 0.5" in page
