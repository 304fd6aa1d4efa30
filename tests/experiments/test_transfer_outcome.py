"""What a transfer found: a known gain is a win, noise is none, and the tickets' level is chosen on selection scores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fake_transfer import transferred
from supertickets.errors import UserError
from supertickets.experiments.transfer_outcome import chosen_level, conclude_transfer, sentence

PAIR = ("sharing", "multitask")


def test_gains_of_known_size_are_told() -> None:
    """+10, 0 and −10 points at three sizes: a win, nothing, a loss; each interval covers the true difference."""
    outcome = conclude_transfer(transferred(), resamples=300)
    assert [point.examples for point in outcome.points] == [10, 100, 1000]
    for point, gain in zip(outcome.points, (0.1, 0.0, -0.1), strict=True):
        gap = point.differences[PAIR]
        assert gap.value == pytest.approx(gain, abs=0.03) and gap.low <= gain <= gap.high
        assert (PAIR in point.wins, PAIR in point.losses) == (gain > 0, gain < 0)
        assert ("multitask", "pretrained") in point.wins
        assert point.level == 0.1 and point.weights["sharing"] < point.weights["multitask"] == 1.0
        band = point.bands["multitask"]
        assert band.value == pytest.approx(point.scores["multitask"].mean) and band.low < band.value < band.high
    assert not outcome.gained  # ahead at one size, but behind at another
    assert conclude_transfer(transferred((0.1, 0.1, 0.0)), resamples=300).gained


def test_the_sentence_claims_what_intervals_exclude() -> None:
    """Sizes won and lost are counted; where there are none, it says that nothing can be told from zero."""
    text = sentence(conclude_transfer(transferred(), resamples=300))
    assert text.startswith("On toy, a ticket of the ticket-sharing encoder is better than the plain multi-task encoder")
    assert "at 1 and worse at 1 of 3 sizes" in text and "with 1000 examples (3 seeds)" in text
    assert "against the pretrained encoder it is better at 2 and worse at 0 of 3" in text
    none = sentence(conclude_transfer(transferred((0.0, 0.0, 0.0)), resamples=300))
    assert "shows no difference to the plain multi-task encoder that an interval tells from zero" in none
    one = sentence(conclude_transfer(transferred(seeds=(0,)), resamples=300))
    assert "(1 seed, so the intervals count examples only)" in one


def test_the_level_with_the_best_selection_score_is_chosen() -> None:
    """Of three levels the best; of equal ones the sparser; report scores play no part."""
    found = transferred((0.0, 0.0, 0.0), levels={0.1: 0.0, 0.2: 0.1, 0.3: 0.05})
    outcome = conclude_transfer(found, resamples=50)
    assert [point.level for point in outcome.points] == [0.2] * 3
    assert outcome.points[0].scores["random"].n == 3  # the control at the chosen level alone
    records = [replace(r, report=replace(r.report, main=1.0 - r.sparsity)) for r in found.records[0.01]]
    assert chosen_level(records) == 0.2
    equal = transferred(levels={0.1: 0.0, 0.3: 0.0}).records[0.01]
    assert chosen_level(equal) == 0.3
    assert chosen_level([r for r in equal if r.kind == "pretrained"]) is None


def test_levels_are_compared_over_the_seeds_they_share() -> None:
    """A level whose easy seed alone is done does not win by it."""
    found = transferred(levels={0.1: 0.0, 0.2: 0.0}).records[0.01]
    easy = [
        replace(r, selection=replace(r.selection, main=0.99 if r.seed == 2 else 0.5 - r.sparsity))
        for r in found
        if r.kind != "sharing" or r.seed == 2 or r.sparsity == 0.1
    ]
    more = [replace(r, selection=replace(r.selection, main=0.98)) if r.sparsity == 0.2 else r for r in easy]
    assert chosen_level(more) == 0.1


def test_an_unfinished_transfer_compares_what_is_there() -> None:
    """Without the sharing arm the next question is answered; without any record there is no sentence."""
    missing = [(arm, seed) for arm in ("sharing", "random", "sharing-full") for seed in (0, 1, 2)]
    found = transferred(undone=missing)
    assert (found.finished, found.planned) == (18, 45)
    outcome = conclude_transfer(found, resamples=50)
    assert all(point.level is None for point in outcome.points)
    assert "the plain multi-task encoder is better than the pretrained encoder at 3" in sentence(outcome)
    empty = replace(found, records={share: () for share in found.shares})
    with pytest.raises(UserError, match="no run of this transfer is finished yet"):
        sentence(conclude_transfer(empty))


def test_the_outcome_is_plain() -> None:
    """Points, differences by name, wins and losses: as JSON has them."""
    plain = conclude_transfer(transferred(), resamples=50).to_dict()
    assert plain["points"][0]["wins"][0] == "sharing-multitask" and plain["gained"] is False
    assert set(plain["points"][0]) == {
        "share", "examples", "trained", "level", "scores", "intervals", "weights", "differences", "wins", "losses",
    }  # fmt: skip
