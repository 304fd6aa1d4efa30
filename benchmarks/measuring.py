"""How everything here is timed: one thread, candidates taking turns, one discarded round first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from jaxtyping import Bool

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


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Give torch this many threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def score_difference(
    ours: Bool[np.ndarray, "runs examples"], theirs: Bool[np.ndarray, "runs examples"]
) -> tuple[float, np.ndarray]:
    """Mean accuracy of our runs less theirs, in points, and 2000 bootstrap draws of it over runs and examples.

    Row i of both is the same run (seed, and ticket) done both ways, on the same examples. As in
    `supertickets.experiments.statistics`: the same drawn examples for all, plus the runs' deviations
    from their mean, drawn and widened.
    """
    gaps = ours.astype(np.float64) - theirs
    runs, examples = gaps.shape
    rng = seeding.generator(0, "benchmark bootstrap")
    counts = rng.multinomial(examples, np.full(examples, 1 / examples), size=DRAWS)
    over_examples = counts @ gaps.mean(axis=0) / examples
    per_run = gaps.mean(axis=1)
    over_runs = (per_run - per_run.mean())[rng.integers(runs, size=(DRAWS, runs))].mean(axis=1)
    return 100 * float(per_run.mean()), 100 * (over_examples + widening(runs) * over_runs)


def quantiles(draws: np.ndarray, *shares: float) -> tuple[float, ...]:
    """The draws' values at the given shares."""
    return tuple(float(value) for value in np.quantile(draws, shares))
