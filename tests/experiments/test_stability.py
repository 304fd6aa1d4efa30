"""Agreement of tickets over seeds and examples, from importance whose noise is known."""

from __future__ import annotations

import numpy as np
import pytest

from supertickets.config import TicketsConfig
from supertickets.experiments.records import RESAMPLED, Cost, Record, Size
from supertickets.experiments.stability import halves, stability
from supertickets.learning.metrics import Scores

NOBODY = Scores(0.5, {"accuracy": 0.5}, 10)


def tuned(seed: int, noise: float, resamples: int = 0) -> Record:
    """A tuned model's record: importance that all seeds share, times a factor of the seed's own (log-normal)."""
    shared, own = np.random.default_rng(0), np.random.default_rng(100 + seed)
    truth = [shared.lognormal(0, 0.5, shape) for shape in ((6, 12), (6, 1))]
    scores = [scores * own.lognormal(0, noise, scores.shape) for scores in truth]
    arrays = {"importance_heads": scores[0], "importance_ffn": scores[1]}
    for name, each in zip(RESAMPLED, scores, strict=True):
        if resamples:
            arrays[name] = each * own.lognormal(0, 0.05, (resamples, *each.shape)).astype(np.float32)
    size = Size(1.0, 1.0, (12,) * 6, (1,) * 6)
    return Record(f"full-s{seed}", "full", 0.0, seed, NOBODY, NOBODY, size, Cost({}, 0), {}, {}, arrays)


def test_seeds_that_score_alike_draw_alike() -> None:
    """Without noise every pair of tickets is the same one, by one seed and by the consensus of two."""
    found = stability([tuned(seed, 0.0) for seed in range(4)], TicketsConfig(), (0.25, 0.5))
    assert [(one.sparsity, one.of, one.seeds, one.pairs) for one in found] == [
        (0.25, "seed", 1, 6),
        (0.25, "consensus", 2, 3),
        (0.5, "seed", 1, 6),
        (0.5, "consensus", 2, 3),
    ]
    assert all(one.low == one.mean == one.high == 1.0 and one.chance < 0.8 for one in found)


def test_a_consensus_agrees_more_than_its_seeds() -> None:
    """With a seed's noise as large as the differences of units, tickets of four seeds agree more than those of one."""
    found = stability([tuned(seed, 0.5) for seed in range(8)], TicketsConfig(), (0.5,))
    single, several = found
    assert (several.of, several.seeds, several.pairs) == ("consensus", 4, 35)
    assert single.chance < single.mean < 0.65 and several.mean > single.mean + 0.1
    assert several.chance == pytest.approx(single.chance)


def test_other_examples_are_told_apart_from_other_seeds() -> None:
    """Pairs of resamples share their seeds, so little noise of the examples leaves tickets nearly equal."""
    records = [tuned(seed, 0.5, resamples=6) for seed in range(3)]
    single, examples = stability(records, TicketsConfig(), (0.5,))
    assert (examples.of, examples.seeds, examples.pairs) == ("examples", 3, 3)
    assert examples.mean > 0.85 > single.mean


def test_nothing_is_said_without_importance_or_of_a_joint_ranking() -> None:
    """Records do not hold the weights of units, by which the joint ranking divides."""
    assert stability([], TicketsConfig(), (0.5,)) == []
    assert stability([tuned(seed, 0.0) for seed in range(4)], TicketsConfig(ranking="joint"), (0.5,)) == []


@pytest.mark.parametrize(("seeds", "pairs"), [(2, 1), (3, 3), (4, 3), (5, 15), (9, 200)])
def test_halves_are_disjoint(seeds: int, pairs: int) -> None:
    """All pairs of disjoint halves, or a draw of 200 of them."""
    found = list(halves(seeds))
    assert len(found) == pairs
    assert all(len(a) == len(b) == seeds // 2 and not set(a) & set(b) for a, b in found)
