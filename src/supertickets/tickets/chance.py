"""What chance alone gives: the overlap of random tickets, against which the overlap of found ones is read."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma

import numpy as np
from jaxtyping import Float


def common(units: int, a: int, b: int) -> Float[np.ndarray, " K"]:
    """Probabilities that random choices of `a` and of `b` among `units` share 0, 1, ... min(a, b) (hypergeometric)."""

    def log_choose(n: int, k: int) -> float:
        return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)

    every = log_choose(units, b)
    most, least = min(a, b), max(0, a + b - units)
    ways = [exp(log_choose(a, k) + log_choose(units - a, b - k) - every) for k in range(least, most + 1)]
    return np.array([0.0] * least + ways)


def expected_jaccard(groups: Sequence[tuple[int, int, int]]) -> float:
    """Exact mean of shared over united units, of two random masks; 1 where neither keeps any.

    Each group is (units, kept by the one, kept by the other) and is drawn on its own: heads, FFN units.
    """
    kept = sum(a + b for _, a, b in groups)
    if not kept:
        return 1.0
    chances = np.ones(1)
    for units, a, b in groups:
        chances = np.convolve(chances, common(units, a, b))
    shared = np.arange(len(chances))
    return float(chances @ (shared / (kept - shared)))
