"""Intervals are tested with numbers: against a plain loop, and against simulations whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.records import Cost, Record, Size
from supertickets.experiments.statistics import (
    Interval,
    average_difference,
    average_summary,
    difference,
    example_counts,
    mean_interval,
    on_draws,
    summary,
    widening,
)
from supertickets.learning.metrics import Scores, score
from supertickets.seeding import derive, generator

TASK = Task("toy", "classification", ("no", "yes"), ("accuracy",))
NUMBERS = Task("numbers", "regression", (), ("pearson", "spearman"))


def record(
    seed: int, right: np.ndarray, *, task: Task = TASK, kind: str = "full", selection: np.ndarray | None = None
) -> Record:
    """A record whose predictions are right where `right` says so; all labels are class 1."""
    splits = {"report": right, "selection": right if selection is None else selection}
    arrays: dict[str, np.ndarray] = {}
    scores: dict[str, Scores] = {}
    for split, hits in splits.items():
        labels = np.ones(len(hits), np.int64)
        logits = np.stack([~hits, hits], axis=1).astype(np.float32)
        arrays |= {f"{split}_labels": labels, f"{split}_predictions": logits}
        scores[split] = score(task, logits, labels)
    return Record(
        name=f"{kind}-s{seed}",
        kind=kind,
        sparsity=0.0,
        seed=seed,
        **scores,
        size=Size(1.0, 1.0, (1,), (1,)),
        cost=Cost({}, 0),
        settings={},
        provenance={},
        arrays=arrays,
    )


def simulated(
    rng: np.random.Generator, shift: float, *, seeds: int, n: int, between: float
) -> tuple[list[Record], list[Record]]:
    """Two models over the same examples; b is right with 0.7, a with `shift` more, give or take `between` by seed."""
    hard = rng.uniform(-0.2, 0.2, n)
    a, b = [], []
    for seed in range(seeds):
        luck = rng.uniform(size=n)
        rate = 0.7 + hard
        b.append(record(seed, luck < rate))
        a.append(record(seed, luck < rate + shift + between * rng.normal()))
    return a, b


def covered(shift: float, *, trials: int, **settings: float) -> tuple[int, float]:
    """How often the interval holds the true difference, and its mean width."""
    rng, hits, widths = np.random.default_rng(7), 0, []
    for trial in range(trials):
        a, b = simulated(rng, shift, **settings)  # type: ignore[arg-type]
        found = difference(TASK, a, b, resamples=300, seed=trial)
        hits += found.low <= shift <= found.high
        widths.append(found.high - found.low)
    return hits, float(np.mean(widths))


def test_summary_is_mean_and_sample_deviation() -> None:
    """Mean and standard deviation with n - 1, and a deviation of 0 for a single seed."""
    hits = [np.arange(10) < k for k in (6, 7, 9)]
    found = summary([record(s, h) for s, h in enumerate(hits)])
    assert found.mean == pytest.approx(22 / 30)
    assert found.std == pytest.approx(np.std([0.6, 0.7, 0.9], ddof=1))
    assert found.n == 3
    assert summary([record(0, hits[0])]).std == 0.0


def test_summary_of_nothing_is_refused() -> None:
    """No record, no summary."""
    with pytest.raises(UserError, match="no finished run"):
        summary([])


def test_vectorised_equals_a_loop() -> None:
    """The interval is what resampling rows one draw at a time, with the same draws, gives."""
    rng = np.random.default_rng(1)
    n, resamples, seed = 40, 50, 3
    a, b = simulated(rng, 0.05, seeds=3, n=n, between=0.05)
    counts = example_counts(n, resamples, derive(seed, "report examples"))
    drawn = generator(seed, "bootstrap seeds").integers(3, size=(resamples, 3))
    gaps = np.array([x.report.main - y.report.main for x, y in zip(a, b, strict=True)])
    draws = []
    for r in range(resamples):
        rows = np.repeat(np.arange(n), counts[r])
        per_seed = []
        for x, y in zip(a, b, strict=True):
            sides = [
                score(TASK, one.arrays["report_predictions"][rows], one.arrays["report_labels"][rows]).main
                for one in (x, y)
            ]
            per_seed.append(sides[0] - sides[1])
        deviation = np.mean([gaps[s] - gaps.mean() for s in drawn[r]])
        draws.append(np.mean(per_seed) + widening(3) * deviation)
    found = difference(TASK, a, b, resamples=resamples, seed=seed)
    assert found.value == pytest.approx(gaps.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert (found.n_seeds, found.n_examples) == (3, n)


def test_draws_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Working through the draws in small blocks, to save memory, changes no number."""
    a, b = simulated(np.random.default_rng(2), 0.1, seeds=2, n=30, between=0.02)
    whole = difference(TASK, a, b, resamples=64)
    monkeypatch.setattr("supertickets.experiments.statistics.BLOCK", 100)
    on_draws.cache_clear()
    assert difference(TASK, a, b, resamples=64) == whole


def test_each_draw_holds_as_many_examples_as_there_are() -> None:
    """Counts of a draw sum to n, differ between draws, repeat for equal seeds, and cannot be written to."""
    counts = example_counts(25, 40, 5)
    assert (counts.sum(axis=1) == 25).all()
    assert len(np.unique(counts, axis=0)) == 40
    example_counts.cache_clear()
    assert (example_counts(25, 40, 5) == counts).all()
    with pytest.raises(ValueError, match="read-only"):
        counts[0, 0] = 1


@pytest.mark.parametrize("seeds", [3, 5])
def test_interval_covers_a_known_difference_when_seeds_dominate(seeds: int) -> None:
    """With seeds that differ by more than examples do, about 95 of 100 intervals hold the truth, 88 at the least."""
    hits, _ = covered(0.05, trials=100, seeds=seeds, n=300, between=0.06)
    assert hits >= 88


def test_interval_covers_a_known_difference_when_examples_dominate() -> None:
    """With seeds that differ by examples only, the interval holds the truth at least as often."""
    hits, _ = covered(0.05, trials=100, seeds=3, n=100, between=0.0)
    assert hits >= 92


def test_interval_is_not_needlessly_wide() -> None:
    """With 5 seeds and no seed effect it is at most half wider than the normal interval of the true spread."""
    _, width = covered(0.05, trials=40, seeds=5, n=200, between=0.0)
    ideal = 2 * 1.96 * np.sqrt(0.05 * 0.95 / 200 / 5)
    assert ideal * 0.8 < width < ideal * 1.7


def test_pairing_matters() -> None:
    """Models that fail on the same examples have a much narrower interval than the same scores unpaired."""
    rng = np.random.default_rng(4)
    hits = [rng.uniform(size=400) < 0.7 for _ in range(3)]
    better = [h | (rng.uniform(size=400) < 0.3) for h in hits]
    a, b = [record(s, h) for s, h in enumerate(better)], [record(s, h) for s, h in enumerate(hits)]
    shuffled = [record(s, rng.permutation(h)) for s, h in enumerate(hits)]
    paired, unpaired = difference(TASK, a, b), difference(TASK, a, shuffled)
    assert paired.value == pytest.approx(unpaired.value)
    assert paired.high - paired.low < 0.75 * (unpaired.high - unpaired.low)
    assert paired.low > 0


def test_only_seeds_on_both_sides_count() -> None:
    """A seed that one side lacks changes nothing, whatever the order of the records."""
    a, b = simulated(np.random.default_rng(5), 0.1, seeds=3, n=50, between=0.05)
    assert difference(TASK, a[:2], b) == difference(TASK, a[1::-1], b[:2])
    assert difference(TASK, a[:2], b).n_seeds == 2


def test_no_shared_seed_is_refused() -> None:
    """Records without a common seed cannot be paired, and the message names the seeds."""
    a, b = simulated(np.random.default_rng(5), 0.1, seeds=2, n=20, between=0.0)
    with pytest.raises(UserError, match=r"\[0\].*\[1\]"):
        difference(TASK, a[:1], b[1:])


def test_other_examples_are_refused() -> None:
    """A run on other report examples is not compared silently; the message names the run."""
    a, b = record(0, np.ones(9, bool), kind="winning"), record(0, np.ones(8, bool))
    with pytest.raises(UserError, match=r"full-s0: its report examples \(8\) are not those of winning-s0 \(9\)"):
        difference(TASK, [a], [b])


def test_one_seed_counts_examples_only_and_says_so() -> None:
    """With one seed the interval is that of the examples, and its note says what it leaves out."""
    a, b = simulated(np.random.default_rng(6), 0.1, seeds=1, n=400, between=0.0)
    found = difference(TASK, a, b)
    gap = a[0].arrays["report_predictions"].argmax(1) - b[0].arrays["report_predictions"].argmax(1)
    spread = gap.std() / np.sqrt(400)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.1)
    assert "one seed" in found.note
    assert difference(TASK, *simulated(np.random.default_rng(6), 0.1, seeds=2, n=40, between=0.0)).note == ""


def test_selection_examples_differ_between_seeds() -> None:
    """On the selection split each seed has its own examples, of its own number: they are pooled."""
    rng = np.random.default_rng(8)

    def side(rate: float) -> Sequence[Record]:
        report = np.ones(10, bool)
        return [record(s, report, selection=rng.uniform(size=60 + s) < rate) for s in range(3)]

    found = difference(TASK, side(0.9), side(0.6), split="selection")
    assert found.n_examples == 60 + 61 + 62
    assert 0.0 < found.low < 0.3 < found.high < 0.6


def test_regression_interval_covers_its_value() -> None:
    """A correlation's interval lies about its value and narrows with more examples."""
    widths = []
    for n in (50, 800):
        rng = np.random.default_rng(9)
        truth, noise = rng.normal(size=n), rng.normal(size=(3, n))
        rows = []
        for seed in range(3):
            scored = score(NUMBERS, truth + noise[seed], truth)
            arrays = {"report_predictions": truth + noise[seed], "report_labels": truth}
            base = record(seed, np.ones(2, bool))
            rows.append(Record(**base.__dict__ | {"report": scored, "arrays": arrays}))
        found = mean_interval(NUMBERS, rows, resamples=400)
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0]


def test_widening_falls_towards_one() -> None:
    """The factor on seed deviations is 0 for one seed, large for two, and near 1 for many."""
    assert widening(1) == 0.0
    assert widening(2) == pytest.approx(np.sqrt(2) * 12.7062 / 1.95996, rel=1e-4)
    assert widening(3) == pytest.approx(np.sqrt(1.5) * 4.30265 / 1.95996, rel=1e-4)
    assert 1 < widening(1000) < 1.01


def test_an_interval_refuses_to_be_wrong() -> None:
    """Ends in the wrong order, or no seeds, raise with the numbers."""
    with pytest.raises(ValueError, match=r"from 0\.2 to 0\.1"):
        Interval(0.1, 0.2, 0.1, 3, 10)
    assert Interval(0.1, -0.1, 0.2, 3, 10).covers_zero
    assert not Interval(0.1, 0.05, 0.2, 3, 10).covers_zero


def test_the_average_over_one_task_is_its_difference() -> None:
    """To the bit, on both splits."""
    a, b = simulated(np.random.default_rng(11), 0.1, seeds=3, n=60, between=0.05)
    for split in ("report", "selection"):
        assert average_difference([(TASK, a, b)], split=split) == difference(TASK, a, b, split=split)


def test_independent_noise_shrinks_with_the_number_of_tasks() -> None:
    """The mean over 16 like tasks has about a quarter of one task's interval, with several seeds and with one."""
    rng = np.random.default_rng(12)
    for seeds, between in ((12, 0.05), (1, 0.0)):
        tasks = [(TASK, *simulated(rng, 0.05, seeds=seeds, n=200, between=between)) for _ in range(16)]
        single = [difference(*one, resamples=500) for one in tasks]
        found = average_difference(tasks, resamples=500)
        assert found.value == pytest.approx(np.mean([one.value for one in single]))
        assert found.n_examples == 16 * 200
        typical = np.sqrt(np.mean([(one.high - one.low) ** 2 for one in single]))
        assert 0.15 < (found.high - found.low) / typical < 0.4


def test_each_task_draws_its_own_examples() -> None:
    """The same records as two tasks: a common draw would give one task's interval, independent ones give 1/sqrt(2)."""
    a, b = simulated(np.random.default_rng(13), 0.1, seeds=1, n=300, between=0.0)
    one, two = (average_difference([(TASK, a, b)] * count, resamples=2000) for count in (1, 2))
    assert (two.high - two.low) / (one.high - one.low) == pytest.approx(np.sqrt(0.5), rel=0.1)


def test_the_average_interval_covers_a_known_difference() -> None:
    """Four tasks whose seeds differ: about 95 of 100 intervals hold the truth, 88 at the least."""
    rng, hits = np.random.default_rng(14), 0
    for trial in range(60):
        tasks = [(TASK, *simulated(rng, 0.05, seeds=3, n=100, between=0.06)) for _ in range(4)]
        found = average_difference(tasks, resamples=200, seed=trial)
        hits += found.low <= 0.05 <= found.high
    assert hits >= 53


def test_only_seeds_that_all_tasks_have_count_in_an_average() -> None:
    """A seed that one task lacks is left out of all; none in common, or no task, is refused."""
    rng = np.random.default_rng(15)
    (a, b), (c, d) = (simulated(rng, 0.1, seeds=3, n=40, between=0.05) for _ in range(2))
    found = average_difference([(TASK, a, b), (TASK, c[1:], d)])
    assert found == average_difference([(TASK, a[1:], b[1:]), (TASK, c[1:], d[1:])])
    assert found.n_seeds == 2
    for sides in ([(TASK, a[:1], b), (TASK, c[1:], d)], []):
        with pytest.raises(UserError, match="no seed has all runs"):
            average_difference(sides)


def test_the_average_summary_is_over_the_mean_of_tasks() -> None:
    """Two tasks whose scores move against each other: the mean over tasks does not spread."""
    first = [record(s, np.arange(10) < k) for s, k in enumerate((6, 7, 8))]
    second = [record(s, np.arange(10) < k) for s, k in enumerate((8, 7, 6))]
    found = average_summary([first, second])
    assert (found.mean, found.std, found.n) == pytest.approx((0.7, 0.0, 3))
    assert average_summary([first]) == summary(first)
    assert average_summary([first[1:], second]).n == 2
