"""Model soups: the mean of several models' weights (Wortsman et al. 2022), of all of them or of those that help."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from supertickets.endings import Recipe
from supertickets.errors import UserError

State = Mapping[str, Tensor]


def mean_weights(states: Sequence[State]) -> dict[str, Tensor]:
    """The mean of each weight over models of one shape, in float64 and back; whole numbers must be equal in all.

    Raises UserError for none, and for models whose weights differ in name or shape.
    """
    if not states:
        raise UserError("no weights to average", "mean_weights")
    for other in states[1:]:
        unlike = sorted(
            name
            for name in states[0].keys() | other.keys()
            if name not in other or name not in states[0] or other[name].shape != states[0][name].shape
        )
        if unlike:
            raise UserError(
                f"cannot average models of different weights ({unlike[0]}; {len(unlike)} in all)",
                "mean_weights",
                "average models of one ticket",
            )
    return {name: _mean(name, [state[name] for state in states]) for name in states[0]}


def uniform(seeds: Sequence[int], score: Callable[[tuple[int, ...]], float]) -> tuple[int, ...]:
    """Every seed."""
    return tuple(sorted(seeds))


def greedy(seeds: Sequence[int], score: Callable[[tuple[int, ...]], float]) -> tuple[int, ...]:
    """The seeds whose models, taken by falling score of their own, do not lower the score of the soup so far.

    `score` is that of the soup of some seeds, on selection examples that none of them trained on.
    """
    order = sorted(seeds, key=lambda seed: (-score((seed,)), seed))
    taken: tuple[int, ...] = (order[0],)
    for seed in order[1:]:
        more = tuple(sorted((*taken, seed)))
        taken = more if score(more) >= score(taken) else taken
    return taken


RECIPES: dict[Recipe, Callable[[Sequence[int], Callable[[tuple[int, ...]], float]], tuple[int, ...]]] = {
    "uniform": uniform,
    "greedy": greedy,
}


def _mean(name: str, values: Sequence[Tensor]) -> Tensor:
    if values[0].is_floating_point():
        return torch.stack([value.double() for value in values]).mean(0).to(values[0].dtype)
    if not all(torch.equal(value, values[0]) for value in values):
        raise UserError(f"{name} holds whole numbers that differ between models", "mean_weights")
    return values[0]
