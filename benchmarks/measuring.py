"""How everything here is timed: one thread, candidates taking turns, one discarded round first."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from supertickets import seeding
from supertickets.experiments.statistics import widening

Say = Callable[[str], None]
DRAWS = 2000


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(candidates: Mapping[str, Callable[[], object]], rounds: int, say: Say) -> dict[str, np.ndarray]:
    """Wall seconds of every candidate in every round; a slow minute of the machine hits all of them alike.

    Each round begins with another candidate, so that none always follows the same one.
    """
    times = {name: np.empty(rounds) for name in candidates}
    names = list(candidates)
    for turn in range(rounds):
        first = turn % len(names)
        for name in [*names[first:], *names[:first]]:
            times[name][turn] = seconds(candidates[name])
        say(f"round {turn + 1} of {rounds}: " + ", ".join(f"{name} {times[name][turn]:.2f} s" for name in names))
    return times


def score_difference(
    ours: Float[np.ndarray, "seeds examples"], theirs: Float[np.ndarray, "seeds examples"]
) -> tuple[float, np.ndarray]:
    """Mean accuracy of our models less theirs, in points, and 2000 bootstrap draws of it over seeds and examples.

    An entry says whether the seed's model is right about the example (or the share of its models that
    are). As in `supertickets.experiments.statistics`: the same drawn examples for all seeds, plus the
    seeds' deviations from their mean, drawn and widened; models of one seed share head and batch order,
    so they do not count as independent.
    """
    gaps = np.asarray(ours, dtype=np.float64) - theirs
    seeds, examples = gaps.shape
    rng = seeding.generator(0, "benchmark bootstrap")
    counts = rng.multinomial(examples, np.full(examples, 1 / examples), size=DRAWS)
    over_examples = counts @ gaps.mean(axis=0) / examples
    per_seed = gaps.mean(axis=1)
    over_seeds = (per_seed - per_seed.mean())[rng.integers(seeds, size=(DRAWS, seeds))].mean(axis=1)
    return 100 * float(per_seed.mean()), 100 * (over_examples + widening(seeds) * over_seeds)


def quantiles(draws: np.ndarray, *shares: float) -> tuple[float, ...]:
    """The draws' values at the given shares."""
    return tuple(float(value) for value in np.quantile(draws, shares))
