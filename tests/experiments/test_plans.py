"""A config's runs: how many and in which order."""

from __future__ import annotations

import pytest

from supertickets import settings
from supertickets.experiments.plans import plan
from supertickets.experiments.runs import TicketRun, TuneRun

GRID = ["tickets.levels=[0.1, 0.2, 0.3, 0.4]", "seeds=[0, 1, 2, 3, 4]"]


def test_three_kinds_by_levels_by_seeds() -> None:
    """One tuned model for each seed, then every kind at every level for every seed: 5 + 3 x 4 x 5."""
    config = settings.load(overrides=[*GRID, "tickets.control_levels=[0.1, 0.2, 0.3, 0.4]"])
    runs = plan(config)
    assert len(runs) == 5 + 3 * 4 * 5
    assert len({run.name for run in runs}) == len(runs)
    cells = {(run.kind, run.sparsity, run.seed) for run in runs[5:]}
    kinds, levels = ("winning", "random", "losing"), (0.1, 0.2, 0.3, 0.4)
    assert cells == {(kind, level, seed) for kind in kinds for level in levels for seed in range(5)}


def test_controls_at_their_own_levels() -> None:
    """Random and losing tickets are drawn at the control levels only."""
    runs = plan(settings.load(overrides=[*GRID, "tickets.control_levels=[0.3]"]))
    assert len(runs) == 5 + 4 * 5 + 2 * 5
    assert {run.sparsity for run in runs if run.kind in ("random", "losing")} == {0.3}


def test_the_order_is_that_of_need() -> None:
    """Tuned models come first; then winning tickets level by level, all seeds of a level together; controls last."""
    overrides = ["seeds=[4, 2]", "tickets.levels=[0.5, 0.1]", "tickets.control_levels=[0.1]"]
    runs = plan(settings.load(overrides=overrides))
    assert [(run.kind, run.sparsity, run.seed) for run in runs] == [
        ("full", 0.0, 4), ("full", 0.0, 2),
        ("winning", 0.5, 4), ("winning", 0.5, 2), ("winning", 0.1, 4), ("winning", 0.1, 2),
        ("random", 0.1, 4), ("random", 0.1, 2), ("losing", 0.1, 4), ("losing", 0.1, 2),
    ]  # fmt: skip


def test_every_ticket_follows_its_tuned_model() -> None:
    """A ticket's tuned model is in the plan, before it."""
    runs = plan(settings.load(overrides=GRID))
    for position, run in enumerate(runs):
        assert isinstance(run, TuneRun) or runs.index(run.tune) < position


@pytest.mark.parametrize("kinds", ["[winning]", "[random]", "[losing, random]", "[random, winning]"])
def test_winning_tickets_are_always_drawn(kinds: str) -> None:
    """Whatever kinds are named and in whatever order, winning tickets are drawn, once and first."""
    runs = plan(settings.load(overrides=[*GRID, f"tickets.kinds={kinds}", "tickets.control_levels=[0.1]"]))
    tickets = [run for run in runs if isinstance(run, TicketRun)]
    assert [run.kind for run in tickets[:20]] == ["winning"] * 20
    assert "winning" not in [run.kind for run in tickets[20:]]
