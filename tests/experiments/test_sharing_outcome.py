"""What a sharing experiment concludes, from records whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fake_sharing import TASK, experiment
from supertickets.errors import UserError
from supertickets.experiments.sharing_outcome import METHODS, conclude_sharing, sentence
from supertickets.experiments.statistics import average_difference, difference, summary

GAINS = {"helped": 0.12, "same": 0.0, "hurt": -0.12}


def test_each_tasks_numbers_are_those_of_its_records() -> None:
    """Per task: every method's summary, and differences equal to `difference` on the same records."""
    sharing = experiment(GAINS)
    outcome = conclude_sharing(sharing, resamples=200)
    for task in sharing.tasks:
        column = outcome.tasks[task.name]
        assert list(column.scores) == list(METHODS)
        for method in METHODS:
            assert column.scores[method] == summary(task.records[method])
        for (a, b), gap in column.differences.items():
            assert gap == difference(TASK, task.records[a], task.records[b], resamples=200)
    assert len(outcome.average.differences) == 6


def test_the_average_is_glues() -> None:
    """The mean over tasks within a seed, then over seeds; its interval is that of `average_difference`."""
    sharing = experiment(GAINS)
    average = conclude_sharing(sharing, resamples=200).average
    by_seed = [np.mean([task.records["sharing"][s].report.main for task in sharing.tasks]) for s in range(3)]
    assert average.scores["sharing"].mean == pytest.approx(np.mean(by_seed))
    assert average.scores["sharing"].std == pytest.approx(np.std(by_seed, ddof=1))
    sides = [(TASK, task.records["sharing"], task.records["multitask"]) for task in sharing.tasks]
    assert average.differences["sharing", "multitask"] == average_difference(sides, resamples=200)


def test_wins_are_marked_only_where_the_interval_excludes_zero() -> None:
    """12 points more is a win, 12 fewer a loss, none neither."""
    outcome = conclude_sharing(experiment(GAINS), resamples=200)
    pair = ("sharing", "multitask")
    assert [pair in outcome.tasks[name].wins for name in GAINS] == [True, False, False]
    assert [pair in outcome.tasks[name].losses for name in GAINS] == [False, False, True]
    assert outcome.tasks["same"].differences[pair].covers_zero


@pytest.mark.parametrize(
    ("gains", "gained", "start", "counts"),
    [
        (
            {"a": 0.1, "b": 0.12},
            True,
            "Ticket sharing gains on plain multi-task learning: on the mean over 2 ",
            (2, 0),
        ),
        ({"a": -0.1, "b": -0.12}, False, "Ticket sharing loses against plain multi-task learning: ", (0, 2)),
        (GAINS, False, "Ticket sharing shows no gain on plain multi-task learning", (1, 1)),
    ],
)
def test_the_sentence_says_what_happened(
    gains: dict[str, float], gained: bool, start: str, counts: tuple[int, int]
) -> None:
    """Gain, loss or neither, with seeds, tasks either way, the random control and the weights."""
    outcome = conclude_sharing(experiment(gains), resamples=200)
    text = sentence(outcome)
    assert "trained alone, the tasks score " in text
    assert outcome.gained is gained
    assert text.startswith(start)
    assert f"better on {counts[0]} and worse on {counts[1]} of the tasks" in text
    for part in ("3 seeds", "random tickets of the same sizes is", "95 % interval"):
        assert part in text


def test_a_gain_within_the_noise_is_called_none() -> None:
    """A difference above zero whose interval covers zero is no gain."""
    outcome = conclude_sharing(experiment({"a": 0.015}, n=200), resamples=300)
    assert outcome.gain is not None
    assert outcome.gain.value > 0 and outcome.gain.covers_zero
    assert not outcome.gained
    text = sentence(outcome)
    assert text.startswith("Ticket sharing shows no gain on plain multi-task learning that its interval")
    assert "; on none of the tasks does the interval exclude zero" in text


def test_weights_of_tasks_mean_and_union() -> None:
    """Of 400 weights, 200 in the encoder: tasks drop 1, 2, 3 heads of 10 weights; the union drops the one in common."""
    kept = conclude_sharing(experiment(GAINS), resamples=20).kept
    assert [kept.by_task[name].all for name in GAINS] == pytest.approx([390 / 400, 380 / 400, 370 / 400])
    assert [kept.by_task[name].encoder for name in GAINS] == pytest.approx([0.95, 0.90, 0.85])
    assert (kept.mean.all, kept.mean.encoder) == pytest.approx((380 / 400, 0.90))
    assert (kept.union.all, kept.union.encoder) == pytest.approx((390 / 400, 0.95))
    assert set(kept.by_seed) == {0, 1, 2}
    assert kept.by_seed[2]["union"].encoder == pytest.approx(0.95)


def test_arms_that_are_not_there_are_left_out() -> None:
    """Without multitask there are no differences to it, and the sentence claims nothing."""
    outcome = conclude_sharing(experiment(GAINS, methods=("full", "winning", "sharing")), resamples=20)
    assert list(outcome.average.differences) == [("sharing", "full"), ("sharing", "winning")]
    assert outcome.gain is None
    assert "no gain is claimed" in sentence(outcome)
    assert "Mean over 3 tasks: ticket sharing 7" in sentence(outcome)


def test_nothing_finished_is_refused() -> None:
    """Only single-task records: no sentence."""
    undone = [(arm, seed) for arm in ("multitask", "sharing", "random") for seed in range(3)]
    outcome = conclude_sharing(experiment(GAINS, undone=undone), resamples=20)
    assert outcome.average.differences == {}
    with pytest.raises(UserError, match="no run of this experiment is finished yet"):
        sentence(outcome)


def test_an_unfinished_arm_shows_no_unpaired_scores() -> None:
    """With two of three sharing seeds the difference has two, and the sentence sets no unlike means side by side."""
    outcome = conclude_sharing(experiment(GAINS, undone=[("sharing", 1)]), resamples=20)
    assert outcome.gain is not None
    assert outcome.gain.n_seeds == 2
    assert (outcome.average.scores["multitask"].n, outcome.average.scores["sharing"].n) == (3, 2)
    assert " against " not in sentence(outcome)


def test_the_outcome_is_plain() -> None:
    """`outcome.json` can hold it, and reads back the same numbers."""
    outcome = conclude_sharing(experiment(GAINS), resamples=20)
    plain = json.loads(json.dumps(outcome.to_dict()))
    assert plain["tasks"]["helped"]["wins"][0] == "sharing-multitask"
    assert plain["average"]["differences"]["sharing-random"]["n_seeds"] == 3
    assert plain["weights"]["union"]["all"] == pytest.approx(390 / 400)
    assert plain["overlap"]["tasks"] == list(GAINS)
    assert plain["gained"] is False
