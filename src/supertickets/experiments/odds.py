"""What the grid would find, given the runs so far: draws of every level's mean selection score. No torch.

A model of the selection scores in three parts (docs/statistics.md): a smooth curve over sparsity that all
seeds share and that starts at the full model, so that neighbours inform each other; an offset of each seed,
whose selection examples are its own; and noise of each run. The noise has a known part, the covariance
of the levels' scores under bootstrap draws of a seed's selection examples (the draws of
`experiments.statistics`), and an unknown part, the luck of a training. The curve's height and length and the
luck are not chosen but averaged over, weighted by how well they explain the scores that are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular

from supertickets import seeding
from supertickets.data.tasks import Task
from supertickets.experiments.records import Record
from supertickets.experiments.statistics import Predicted, on_draws

DRAWS = 2000
EXAMPLE_DRAWS = 400
# Standard deviations in shares of 1, that is 0.01 is one point; lengths in sparsity.
CURVES = (0.003, 0.01, 0.03, 0.1)
LENGTHS = (0.15, 0.4)
LUCKS = (0.003, 0.006, 0.012, 0.024)
USUAL_LUCK, LUCK_SPREAD = 0.007, 0.7  # a run's luck in kept results, and how far it may be off, in its logarithm
SEED_OFFSET, LEVEL_OF_ALL = 0.05, 0.1  # wide: seeds and tasks differ as they like
JITTER = 1e-10


@dataclass(frozen=True, eq=False)
class Scoreboard:
    """Selection scores (S, 1 + L) of the full model and the winning levels by seed, NaN where there is none yet.

    `sparsities` (1 + L) start with the full model's 0; `noise` (1 + L, 1 + L) is the covariance of the
    scores over draws of one seed's examples. Raises ValueError when a seed's full model has no score.
    """

    sparsities: tuple[float, ...]
    scores: Float[np.ndarray, "S K"]
    noise: Float[np.ndarray, "K K"]

    def __post_init__(self) -> None:
        if np.isnan(self.scores[:, 0]).any() or self.scores.shape[1] != len(self.sparsities):
            raise ValueError(f"no scoreboard: {self.scores} at {self.sparsities}")

    @property
    def done(self) -> np.ndarray:
        """How many seeds each level has run with: (L,)."""
        return np.asarray((~np.isnan(self.scores[:, 1:])).sum(axis=0))


def example_noise(task: Task, records: Sequence[Record]) -> Float[np.ndarray, "K K"]:
    """Covariance of one seed's records' selection scores over bootstrap draws of the examples, the same for all."""
    stream = seeding.derive(0, f"selection examples of seed {records[0].seed}")
    sides = [Predicted(r.arrays["selection_predictions"], r.arrays["selection_labels"]) for r in records]
    return np.atleast_2d(np.cov(np.stack([on_draws(task, side, EXAMPLE_DRAWS, stream) for side in sides])))


def grid_means(board: Scoreboard) -> Float[np.ndarray, "draws L"]:
    """Draws of the mean over all seeds of each level's selection score, where missing runs are drawn from the model."""
    known = ~np.isnan(board.scores).ravel()
    centre = float(board.scores.ravel()[known].mean())
    seen = board.scores.ravel()[known] - centre
    fits = [_fit(covariance, prior, seen, known) for covariance, prior in _covariances(board)]
    evidence = np.array([fit.evidence for fit in fits])
    weights = np.exp(evidence - evidence.max())
    rng = seeding.generator(0, "what the grid would find")
    counts = rng.multinomial(DRAWS, weights / weights.sum())
    missing = int((~known).sum())
    drawn = [fit.mean + rng.standard_normal((n, missing)) @ fit.root.T for fit, n in zip(fits, counts, strict=True)]
    cells = np.empty((DRAWS, known.size))
    cells[:, known] = seen
    cells[:, ~known] = np.concatenate(drawn)
    return np.asarray(centre + cells.reshape(DRAWS, *board.scores.shape).mean(axis=1)[:, 1:])


def contenders(means: Float[np.ndarray, "draws L"], confidence: float, tolerance: float) -> list[int]:
    """The smallest set of levels, found greedily, one of which is with this confidence the grid's choice.

    Or is worse than it by the tolerance at most: max over all levels less max over the set.
    """
    best, reached, chosen = means.max(axis=1), np.full(len(means), -np.inf), list[int]()
    while True:
        # Of equals the sparser, as the choice itself has it.
        chances = {
            level: agreement(best, np.maximum(reached, means[:, level]), tolerance)
            for level in range(means.shape[1])
            if level not in chosen
        }
        level = max(chances, key=lambda one: (chances[one], one))
        chosen.append(level)
        reached = np.maximum(reached, means[:, level])
        if chances[level] >= confidence:
            return sorted(chosen)


def agreement(best: Float[np.ndarray, " draws"], ours: Float[np.ndarray, " draws"], tolerance: float) -> float:
    """The share of draws in which the best score is above ours by the tolerance at most (rounding aside)."""
    return float(np.mean(best - ours <= tolerance + 1e-9))


@dataclass(frozen=True, eq=False)
class _Fit:
    """Scores that are missing, given those that are seen: their mean, a root of their covariance, the log evidence."""

    mean: np.ndarray
    root: np.ndarray
    evidence: float


def _fit(covariance: np.ndarray, prior: float, seen: np.ndarray, known: np.ndarray) -> _Fit:
    factor = cho_factor(covariance[np.ix_(known, known)], lower=True)
    solved, across = cho_solve(factor, seen), covariance[np.ix_(known, ~known)]
    evidence = prior - 0.5 * float(seen @ solved) - float(np.log(np.diag(factor[0])).sum())
    if not across.size:
        return _Fit(np.zeros(0), np.zeros((0, 0)), evidence)
    half = solve_triangular(factor[0], across, lower=True)
    left = covariance[np.ix_(~known, ~known)] - half.T @ half
    return _Fit(across.T @ solved, cholesky(left + JITTER * np.eye(len(left)), lower=True), evidence)


def _covariances(board: Scoreboard) -> Iterator[tuple[np.ndarray, float]]:
    """Covariance of all cells (S K, S K) and log prior, for every curve, length and luck."""
    seeds, places = board.scores.shape
    x = np.asarray(board.sparsities)
    same, alone = np.kron(np.eye(seeds), np.ones((places, places))), np.eye(seeds * places)
    fixed = same * (np.tile(board.noise, (seeds, seeds)) + SEED_OFFSET**2) + LEVEL_OF_ALL**2 + JITTER * alone
    for length in LENGTHS:
        smooth = np.tile(np.exp(-0.5 * ((x[:, None] - x[None]) / length) ** 2), (seeds, seeds))
        for curve in CURVES:
            for luck in LUCKS:
                prior = -0.5 * (np.log(luck / USUAL_LUCK) / LUCK_SPREAD) ** 2
                yield fixed + curve**2 * smooth + luck**2 * alone, float(prior)
