"""A config's runs: how many and in which order."""

from __future__ import annotations

import pytest

from supertickets import settings
from supertickets.config import TransferConfig
from supertickets.experiments.plans import kept_shares, plan, plan_transfer
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


def test_shares_come_to_examples() -> None:
    """Rounded, two of each class at the least, never more than there are; of equal numbers the largest share counts."""
    config = TransferConfig()
    assert kept_shares(config, 549_367, 3) == {0.001: 549, 0.01: 5494, 0.1: 54_937, 1.0: 549_367}
    assert kept_shares(config, 23_097, 2) == {0.001: 23, 0.01: 231, 0.1: 2310, 1.0: 23_097}
    assert kept_shares(config, 96, 3) == {0.01: 6, 0.1: 10, 1.0: 96}
    assert kept_shares(config, 5, 3) == {1.0: 5}
    assert kept_shares(TransferConfig(shares=(1.0, 0.5)), 10, 1) == {0.5: 5, 1.0: 10}


def test_a_transfer_tunes_whole_encoders_before_its_tickets() -> None:
    """Share by share, arms in one order; a ticket's whole encoder comes before it, asked for or not."""
    starts = {"multitask": {0: "m0"}, "sharing": {0: "s0"}}
    levels = settings.load_transfer(overrides=["tickets.levels=[0.1, 0.2]", "seeds=[0]"]).tickets
    runs = plan_transfer(TransferConfig(seeds=(0,), arms=("sharing", "pretrained"), tickets=levels), [0.1, 1.0], starts)
    assert [(run.arm, run.share, run.sparsity, run.start) for run in runs] == [
        ("pretrained", 0.1, 0.0, ""), ("sharing-full", 0.1, 0.0, "s0"),
        ("pretrained", 1.0, 0.0, ""), ("sharing-full", 1.0, 0.0, "s0"),
        ("sharing", 0.1, 0.1, "s0"), ("sharing", 0.1, 0.2, "s0"),
        ("sharing", 1.0, 0.1, "s0"), ("sharing", 1.0, 0.2, "s0"),
    ]  # fmt: skip
    assert all(run.whole is None or runs.index(run.whole) < runs.index(run) for run in runs)
    assert len({run.name for run in runs}) == len(runs)


def test_names_of_a_transfers_runs_hold_settings_and_start() -> None:
    """Other training or another start renames a run; more shares, arms, levels or another source folder do not."""
    starts = {"multitask": {0: "m0"}, "sharing": {0: "s0"}}

    def names(*overrides: str, starts: dict[str, dict[int, str]] = starts) -> set[str]:
        config = settings.load_transfer(overrides=["seeds=[0]", "tickets.levels=[0.1]", *overrides])
        return {run.name for run in plan_transfer(config, [0.1], starts)}

    before = names()
    assert before == names("source=elsewhere") == names("shares=[0.1, 0.5]")
    assert before > names("arms=[pretrained]") and before < names("tickets.levels=[0.1, 0.2]")
    assert not before & names("training.epochs=9")
    moved = names(starts={"multitask": {0: "m0"}, "sharing": {0: "s1"}})
    assert {name.split("-x")[0] for name in before & moved} == {"pretrained", "multitask"}
