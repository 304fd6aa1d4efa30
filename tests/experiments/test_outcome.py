"""The choice sees the selection split only, and the sentence says what was found, gain or none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.outcome import Outcome, choose, conclude, sentence, signed, spread
from supertickets.experiments.records import Cost, Record, Size
from supertickets.experiments.statistics import Summary
from supertickets.experiments.targets import Achieved
from supertickets.learning.metrics import score
from supertickets.learning.speed import Speedup

SPEEDUP = Speedup(1.52, 1.4, 1.6, pairs=15, threads=1, batch_size=32, length=24, device="cpu")
TASK = Task("toy", "classification", ("no", "yes"), ("accuracy",))
N = 200


def concluded(records: list[Record], speedup: Speedup | None = None) -> Outcome:
    """The toy task's outcome."""
    return conclude(TASK, records, "minilm", speedup)


def record(kind: str, sparsity: float, seed: int, selection: float, report: float) -> Record:
    """A record with exactly these accuracies; every model fails on the last examples, so pairs differ little."""
    arrays, scores = {}, {}
    for split, rate in (("selection", selection), ("report", report)):
        labels, right = np.ones(N, np.int64), np.arange(N) < round(rate * N)
        arrays |= {f"{split}_labels": labels, f"{split}_predictions": np.stack([~right, right], 1).astype(np.float32)}
        scores[split] = score(TASK, arrays[f"{split}_predictions"], labels)
    size = Size(1 - sparsity / 2, 1 - sparsity, (1,), (1,))
    settings: dict[str, str] = {}
    return Record(
        f"{kind}-{sparsity}-s{seed}",
        kind,
        sparsity,
        seed,
        **scores,
        size=size,
        cost=Cost({}, 0),
        settings=settings,
        provenance={},
        arrays=arrays,
    )


def sweep(
    full: float,
    winning: Mapping[float, tuple[float, float]],
    random: Mapping[float, float] | None = None,
    seeds: int = 3,
) -> list[Record]:
    """A sweep whose full model scores `full` on both splits, tickets as given (selection, report)."""
    made = []
    for seed in range(seeds):
        luck = 0.005 * (seed - (seeds - 1) / 2)
        made.append(record("full", 0.0, seed, full + luck, full + luck))
        made += [record("winning", s, seed, a + luck, b + luck) for s, (a, b) in winning.items()]
        made += [record("random", s, seed, a + luck, a + luck) for s, a in (random or {}).items()]
    return made


def test_the_choice_sees_the_selection_split_only() -> None:
    """The level that is best on the report split but not on the selection split is not chosen."""
    records = sweep(0.80, {0.2: (0.85, 0.82), 0.4: (0.83, 0.88)})
    assert choose(records).sparsity == 0.2
    swapped = [r for r in records if r.kind == "full"] + sweep(0.80, {0.2: (0.85, 0.01), 0.4: (0.83, 0.99)})[1::3]
    assert choose(swapped).sparsity == 0.2


def test_a_tie_is_told() -> None:
    """Of levels with exactly the same score the sparsest is chosen; the others are named, no near miss is."""
    records = sweep(0.70, {0.2: (0.80, 0.7), 0.3: (0.75, 0.7), 0.4: (0.80, 0.7), 0.5: (0.795, 0.7)})
    choice = choose(records)
    assert (choice.sparsity, choice.tied) == (0.4, (0.2,))
    assert choose(sweep(0.70, {0.2: (0.80, 0.7), 0.4: (0.75, 0.7)})).tied == ()


def test_the_papers_protocol_is_optimistic() -> None:
    """The dev-selected level is the best on the report split, and its gap is that to the chosen ticket."""
    found = concluded(sweep(0.80, {0.2: (0.85, 0.82), 0.4: (0.83, 0.88)})).dev_selected
    assert found.sparsity == 0.4
    assert found.score.mean == pytest.approx(0.88)
    assert found.difference.value == pytest.approx(0.08)
    assert found.gap == pytest.approx(0.06)


def test_random_is_compared_at_the_same_size() -> None:
    """The control is winning less random at the control level nearest to the super ticket, both at that level."""
    found = concluded(sweep(0.8, {0.2: (0.8, 0.8), 0.3: (0.9, 0.9), 0.6: (0.7, 0.7)}, {0.2: 0.75, 0.6: 0.5})).control
    assert found is not None
    assert found.sparsity == 0.2
    assert found.difference.value == pytest.approx(0.05)
    assert found.random.mean == pytest.approx(0.75)


def test_no_control_without_random_tickets() -> None:
    """A sweep without random tickets has no control."""
    assert concluded(sweep(0.8, {0.2: (0.9, 0.9)})).control is None


def test_a_gain_is_one_plain_sentence() -> None:
    """Weights, scores with spread, difference with interval and seeds, and speed stand in one sentence."""
    outcome = concluded(
        sweep(0.80, {0.2: (0.9, 0.9), 0.4: (0.7, 0.7)}),
        speedup=SPEEDUP,
    )
    text = sentence(outcome)
    low, high = signed(outcome.difference.low), signed(outcome.difference.high)
    assert text == (
        "The super ticket keeps 90.0 % of the weights, scores 90.0 ± 0.5 against the full model's 80.0 ± 0.5 "
        f"(difference +10.0, 95 % interval {low} to {high}, 3 seeds), and runs 1.5 times as fast."
    )
    assert outcome.beats_full
    assert 0.05 < outcome.difference.low < outcome.difference.value < outcome.difference.high < 0.15


def test_a_speed_that_is_no_more_than_a_guess_is_called_that() -> None:
    """Pairs that spread over more than a quarter of their median stand in the sentence with it."""
    records = sweep(0.80, {0.2: (0.9, 0.9)})
    shaky = sentence(concluded(records, speedup=replace(SPEEDUP, p10=1.2)))
    assert shaky.endswith("and runs 1.5 times as fast (a wide spread: 1.2 to 1.6).")
    assert "wide" not in sentence(concluded(records, speedup=SPEEDUP))


def test_an_unsure_gain_is_called_that() -> None:
    """A gain that the interval cannot tell from none says so."""
    records = sweep(0.80, {0.2: (0.9, 0.805)})
    assert sentence(concluded(records)).endswith("; the interval includes zero.")


def test_no_gain_says_exactly_that() -> None:
    """When every ticket scores below the full model, the sentence says that none beats it."""
    outcome = concluded(sweep(0.80, {0.2: (0.78, 0.79), 0.4: (0.7, 0.7)}))
    assert sentence(outcome).startswith(
        "No ticket beats the full model: the best one, chosen on the selection split, keeps"
    )
    assert "difference −1.0" in sentence(outcome)
    assert not outcome.beats_full


def test_a_budget_is_told_with_what_was_measured() -> None:
    """The sentence ends with the share asked for and the share measured, in the words of the measure."""
    records = sweep(0.80, {0.2: (0.9, 0.9)})
    without = sentence(concluded(records))
    assert "asked" not in without
    for achieved, end in (
        (Achieved("latency", 0.7, 0.7218), "; asked for 0.700 of the latency, measured 0.722 (missed by 0.022)."),
        (Achieved("flops", 0.75, 0.75), "; asked for 0.750 of the FLOPs, measured 0.750."),
        (Achieved("params", 0.805, 0.8), "; asked for 0.805 of the weights, measured 0.800."),
    ):
        outcome = conclude(TASK, records, "minilm", target=achieved)
        assert sentence(outcome) == without.removesuffix(".") + end
        assert outcome.to_dict()["target"]["found"] == achieved.found


def test_an_equal_score_is_no_gain() -> None:
    """A ticket that only equals the full model does not beat it."""
    outcome = concluded(sweep(0.80, {0.2: (0.80, 0.80)}))
    assert not outcome.beats_full
    assert sentence(outcome).startswith("No ticket beats the full model: ")


def test_a_gain_on_selection_alone_is_none() -> None:
    """A chosen ticket that falls behind on the report split is no gain, though another level is ahead there."""
    text = sentence(concluded(sweep(0.80, {0.2: (0.9, 0.78), 0.4: (0.85, 0.82)})))
    assert text.startswith(
        "The super ticket, chosen on the selection split, does not beat the full model on the report"
    )


def test_a_gain_on_report_alone_is_none() -> None:
    """A ticket behind on the selection split is not called a gain for being ahead on the report split."""
    outcome = concluded(sweep(0.80, {0.2: (0.79, 0.83)}))
    assert sentence(outcome).startswith(
        "No ticket beats the full model on the selection split: the best one there keeps"
    )
    assert not outcome.beats_full


def test_one_seed_is_said() -> None:
    """With one seed there is no spread, and the sentence says what the interval counts."""
    text = sentence(concluded(sweep(0.80, {0.2: (0.9, 0.9)}, seeds=1)))
    assert "scores 90.0 against the full model's 80.0 (difference" in text
    assert "1 seed, so the interval counts examples only)" in text


def test_unfinished_seeds_do_not_tilt_the_choice() -> None:
    """A level is not chosen for lacking the seed whose selection examples are hard."""
    records = sweep(0.80, {0.2: (0.85, 0.85), 0.4: (0.84, 0.84)}, seeds=2)
    hard = [record("full", 0.0, 2, 0.5, 0.8), record("winning", 0.2, 2, 0.55, 0.85)]
    choice = choose(records + hard)
    assert choice.sparsity == 0.2
    assert choice.seeds == (0, 1)


def test_only_finalists_compete_and_others_stand_beside_the_full_model() -> None:
    """A stopped level with one lucky seed is not chosen; its point is the full model's plus its difference there."""
    records = sweep(0.80, {0.2: (0.85, 0.85)}, seeds=3)
    easy = records[4]
    assert (easy.kind, easy.seed) == ("full", 2)
    stopped = record("winning", 0.4, 2, easy.selection.main + 0.09, 0.99)
    choice = choose([*records, stopped], levels=(0.2,))
    assert (choice.sparsity, choice.seeds) == (0.2, (0, 1, 2))
    assert choice.points[1].mean == pytest.approx(0.80 + 0.09)
    assert concluded([*records, stopped]).dev_selected.sparsity == 0.4
    outcome = conclude(TASK, [*records, stopped], "minilm", levels=(0.2,))
    assert outcome.dev_selected.sparsity == outcome.sparsity == 0.2 and outcome.ticket.n == 3


def test_runs_that_were_ended_count_nowhere() -> None:
    """Their level is not among those of any kind."""
    records = sweep(0.80, {0.2: (0.85, 0.85)})
    ended = replace(record("winning", 0.4, 0, 0.99, 0.99), stopped=0.5)
    assert choose([*records, ended]).points == choose(records).points


def test_nothing_to_conclude_yet() -> None:
    """Full models alone, or tickets of other seeds, are refused with one sentence."""
    full, ticket = record("full", 0.0, 0, 0.8, 0.8), record("winning", 0.2, 1, 0.8, 0.8)
    for records in ([], [full], [ticket], [full, ticket]):
        with pytest.raises(UserError, match="no seed has both its full model and a winning ticket yet"):
            concluded(records)


def test_the_outcome_is_plain_json() -> None:
    """`to_dict` holds what `outcome.json` needs, and nothing that JSON lacks."""
    plain = concluded(
        sweep(0.80, {0.2: (0.9, 0.9)}, {0.2: 0.7}),
        speedup=SPEEDUP,
    ).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["control"]["sparsity"] == 0.2
    assert (plain["task"], plain["encoder"], plain["beats_full"]) == ("toy", "minilm", True)


def test_scores_are_shown_times_hundred() -> None:
    """One decimal, a sign on every difference but a rounded zero, a true minus."""
    assert [signed(v) for v in (0.0123, -0.0123, 0.0004, -0.0004)] == ["+1.2", "−1.2", "0.0", "0.0"]
    assert spread(Summary(0.8312, 0.0049, 3)) == "83.1 ± 0.5"
    assert spread(Summary(-0.05, 0.0, 1)) == "−5.0"
