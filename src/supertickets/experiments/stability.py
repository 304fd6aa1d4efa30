"""Stability: how much tickets agree that were drawn by other seeds, or on other examples. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np

from supertickets import seeding
from supertickets.config import TicketsConfig
from supertickets.experiments.records import RESAMPLED, Record
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask
from supertickets.tickets.overlaps import Pairs, overlaps
from supertickets.tickets.structures import Structures

Of = Literal["seed", "consensus", "examples"]
MOST_PAIRS = 200


@dataclass(frozen=True)
class Agreement:
    """Jaccard of winning tickets, over pairs of them; `chance` is that of random tickets of the same sizes.

    `of` says what two tickets of a pair do not share: `seed`, each is drawn by one seed; `consensus`, each
    by as many `seeds` and no seed by both; `examples`, both by all seeds, on other resamples of the examples.
    """

    sparsity: float
    of: Of
    seeds: int
    mean: float
    low: float
    high: float
    chance: float
    pairs: int


def stability(
    records: Sequence[Record], tickets: TicketsConfig, levels: Sequence[float], multiple: int = 8
) -> list[Agreement]:
    """The agreement of tickets drawn anew, as `tickets` says, from the importance that tuned models recorded.

    Consensus tickets are those of half of the seeds each, as disjoint sets of seeds alone say what other
    seeds would have given; so there are some from four seeds on. Empty for the joint ranking, which needs
    the weights of units that records do not have.
    """
    scored = [record for record in _by_seed(records) if "importance_heads" in record.arrays]
    if tickets.ranking == "joint" or not scored:
        return []
    seeds, half = [importance_of(record) for record in scored], len(scored) // 2
    again = [Importance.consensus(each) for each in zip(*map(resampled_of, scored), strict=False)]
    families: list[tuple[Of, int, list[tuple[Importance, Importance]]]] = [
        ("examples", len(seeds), list(zip(again[::2], again[1::2], strict=False)))
    ]
    if half > 1:
        split = [tuple(Importance.consensus([seeds[i] for i in side]) for side in both) for both in halves(len(seeds))]
        families.insert(0, ("consensus", half, [(a, b) for a, b in split]))
    found = []
    for level in levels:
        if len(seeds) > 1:
            found.append(
                _agreement(level, "seed", 1, *overlaps([_winning(one, level, tickets, multiple) for one in seeds]))
            )
        for of, count, pairs in families:
            drawn = [tuple(_winning(one, level, tickets, multiple) for one in pair) for pair in pairs]
            if drawn:
                found.append(agreement_of(level, of, count, [(a, b) for a, b in drawn]))
    return found


def recorded(level: float, group: Sequence[Record]) -> Agreement | None:
    """The agreement of a level's recorded tickets, one a seed; None with fewer than two."""
    masks = [mask_of(record) for record in group]
    return _agreement(level, "seed", 1, *overlaps(masks)) if len(masks) > 1 else None


def agreement_of(level: float, of: Of, seeds: int, pairs: Sequence[tuple[Mask, Mask]]) -> Agreement:
    """Mean and range over pairs of tickets, with the mean that chance gives."""
    chances = [a.expected_jaccard(b) for a, b in pairs]
    return _agreement(level, of, seeds, np.array([a.jaccard(b) for a, b in pairs]), np.array(chances))


def _agreement(level: float, of: Of, seeds: int, found: Pairs, chances: Pairs) -> Agreement:
    low, high = float(found.min()), float(found.max())
    mean = min(max(float(found.mean()), low), high)  # the mean of equal numbers may be rounded past them
    return Agreement(level, of, seeds, mean, low, high, float(chances.mean()), len(found))


def halves(seeds: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pairs of disjoint sets of floor(seeds / 2) places each: all of them, or a seeded draw of MOST_PAIRS."""
    half = seeds // 2
    if comb(seeds, half) * comb(seeds - half, half) // 2 > MOST_PAIRS:
        rng = seeding.generator(seeds, "halves of the seeds")
        for _ in range(MOST_PAIRS):
            order = rng.permutation(seeds).tolist()
            yield tuple(order[:half]), tuple(order[half : 2 * half])
        return
    for one in combinations(range(seeds), half):
        rest = [place for place in range(seeds) if place not in one]
        yield from ((one, other) for other in combinations(rest, half) if one < other)


def mask_of(record: Record) -> Mask:
    """The mask in a ticket's record, over structures whose units all weigh one: enough to compare masks."""
    heads, ffn = record.arrays["heads"], record.arrays["ffn"]
    return Mask(_unweighted(heads.shape, ffn.shape), np.asarray(heads, np.bool_), np.asarray(ffn, np.bool_))


def importance_of(record: Record) -> Importance:
    """The scores in a tuned model's record, over structures as `mask_of` has them."""
    heads, ffn = record.arrays["importance_heads"], record.arrays["importance_ffn"]
    rounds = record.settings.get("scoring.rounds", 1)  # records from before there were rounds do not have it
    return Importance(_unweighted(heads.shape, ffn.shape), heads, ffn, "order" if rounds > 1 else "raw")


def resampled_of(record: Record) -> list[Importance]:
    """The same on each resample of the scored examples; empty where there is none."""
    if RESAMPLED[0] not in record.arrays:
        return []
    several = zip(*(record.arrays[name] for name in RESAMPLED), strict=True)
    return [Importance(_unweighted(heads.shape, ffn.shape), heads, ffn) for heads, ffn in several]


def _by_seed(records: Sequence[Record]) -> list[Record]:
    return sorted((record for record in records if record.kind == "full"), key=lambda record: record.seed)


def _winning(importance: Importance, level: float, tickets: TicketsConfig, multiple: int) -> Mask:
    return Mask.winning(importance, level, min_heads=tickets.min_heads, multiple=multiple)


def _unweighted(heads: tuple[int, ...], ffn: tuple[int, ...]) -> Structures:
    total = int(np.prod(heads) + np.prod(ffn))
    return Structures("recorded", np.ones(heads, np.int64), np.ones(ffn, np.int64), total, total)
