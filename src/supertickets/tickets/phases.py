"""Phases: where on the curve of scores over sparsity the super ticket is, and what lies behind it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from supertickets.errors import UserError

Phase = Literal["I", "II", "III"]

PHASE_DEFINITIONS: dict[Phase, str] = {
    "I": "Levels up to the super ticket: the winning ticket with the highest selection score, of equals the smallest.",
    "II": "Sparser levels up to the last whose winning ticket scores above random tickets of the same size, read off "
    "the line through the full model and the random levels; where no random ticket was drawn, above half-way between "
    "the super ticket's score and the lowest winning score.",
    "III": "The levels beyond, where winning tickets are no better than that: the choice of units no longer matters.",
}


@dataclass(frozen=True)
class Point:
    """Selection scores at one sparsity: mean and standard deviation over `n` seeds, and the encoder weights left."""

    sparsity: float
    weights_encoder: float
    mean: float
    std: float
    n: int

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean) or not self.std >= 0 or self.n < 1:
            raise UserError(f"mean {self.mean:g}, std {self.std:g} over {self.n} seeds is no score", "Point")
        if not 0 <= self.sparsity < 1 or not 0 <= self.weights_encoder <= 1:
            raise UserError(
                f"sparsity {self.sparsity:g} with {self.weights_encoder:g} of the weights is no size", "Point"
            )


@dataclass(frozen=True)
class Phases:
    """The super ticket, each winning level's phase by sparsity, and whether it beats the full model on selection."""

    full: Point
    super_ticket: Point
    labels: Mapping[float, Phase]
    beats_full: bool


def find_phases(
    full: Point,
    points: Sequence[Point],
    random: Sequence[Point] = (),
    competing: Collection[float] | None = None,
) -> Phases:
    """Choose the super ticket among the winning `points` and label each with its phase (PHASE_DEFINITIONS).

    Takes selection scores only. `competing` are the sparsities that may be chosen, by default all. Raises
    UserError when there are no points, none that competes, or two at one sparsity.
    """
    if not points:
        raise UserError("no winning tickets to choose from", "find_phases")
    if len({point.sparsity for point in points}) < len(points):
        raise UserError("two winning points at one sparsity", "find_phases", "average over seeds first")
    eligible = [point for point in points if competing is None or point.sparsity in competing]
    if not eligible:
        raise UserError("none of the points competes", "find_phases")
    chosen = max(eligible, key=lambda point: (point.mean, point.sparsity))
    ordered = sorted(points, key=lambda point: point.sparsity)
    above = [point.sparsity for point in ordered if point.mean > _bar(point, chosen, full, points, random)]
    last = max([chosen.sparsity, *above])  # one noisy level below the bar does not end phase II
    labels = {point.sparsity: _label(point.sparsity, chosen.sparsity, last) for point in ordered}
    return Phases(full, chosen, labels, beats_full=chosen.mean > full.mean)


def _label(sparsity: float, chosen: float, last: float) -> Phase:
    if sparsity <= chosen:
        return "I"
    return "II" if sparsity <= last else "III"


def _bar(point: Point, chosen: Point, full: Point, points: Sequence[Point], random: Sequence[Point]) -> float:
    """The score above which a level past the super ticket is in phase II.

    Random's line starts at the full model, which is every kind's ticket of sparsity 0; past its
    sparsest level it goes on level, which favours random.
    """
    if not random:
        return (chosen.mean + min(other.mean for other in points)) / 2
    line = sorted([full, *random], key=lambda one: one.weights_encoder)
    return float(np.interp(point.weights_encoder, [one.weights_encoder for one in line], [one.mean for one in line]))
