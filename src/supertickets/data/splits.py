"""Who trains and who chooses: seeded, stratified draws. The report examples are in neither."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Int64, Shaped

from supertickets import seeding
from supertickets.config import SelectionConfig
from supertickets.errors import UserError

Labels = Shaped[np.ndarray, " n"]
Indices = Int64[np.ndarray, " _"]


def selection_size(n_train: int, seeds: int, config: SelectionConfig, classes: int = 1) -> int:
    """How many of `n_train` examples each of `seeds` seeds holds out to choose the super ticket by.

    `pooled_examples` are shared out among the seeds, and a seed gives between `min_share` and
    `max_share` of its training examples, one per class at the least. Why 1000: two tickets that
    disagree on one example in ten differ in accuracy by a standard error of sqrt(0.1 / n), which is
    1 point for 1000 examples and 3 points for 100. Differences between neighbouring levels are of
    that order, so a choice by 100 examples is a coin toss.
    """
    wanted = math.ceil(config.pooled_examples / seeds)
    least, most = math.ceil(config.min_share * n_train), math.floor(config.max_share * n_train)
    return max(min(max(wanted, least), most), classes, 1)


def split_selection(labels: Labels, n_selection: int, seed: int, stratify: bool) -> tuple[Indices, Indices]:
    """Indices to train on and indices to choose by, both sorted; together all examples.

    Every class is held out in its share, at least once and never wholly; a class with one example
    stays in the training part. Seeds that follow each other (0, 1, 2) hold out different examples,
    up to the rounding of class sizes, as long as the training set has any left: pooled over seeds,
    the choice rests on as many different examples as it can. Raises UserError when no class has two.
    """
    n = len(labels)
    groups = _groups(labels, stratify)
    quotas = _quotas(groups, min(n_selection, n - 1))
    if not quotas.any():
        what = f"none of {n} training examples can be held out to choose by, as no class has two"
        raise UserError(what, "data", "give more training examples, two per class at least")
    folds = n // int(quotas.sum())
    rng = seeding.generator(seed // folds, "selection split")
    held_out = []
    for members, quota in zip(groups, quotas, strict=True):
        start = (seed % folds) * quota
        held_out.append(np.take(rng.permutation(members), np.arange(start, start + quota), mode="wrap"))
    selection = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(n), selection), selection


def subsample(labels: Labels, n: int, seed: int, stratify: bool) -> Indices:
    """Sorted indices of `n` examples (all, if there are fewer), in the classes' shares, one per class at the least.

    A smaller draw of the same seed lies inside a larger one. Raises UserError when `n` is less than
    the number of classes.
    """
    groups = _groups(labels, stratify)
    if n < len(groups):
        what = f"{n} examples cannot hold one of each of {len(groups)} classes"
        raise UserError(what, "data.train_examples, data.report_examples", f"use {len(groups)} at least")
    rng = seeding.generator(seed, "subsample")
    order, claims = [], []
    for members in groups:
        order.append(rng.permutation(members))
        claims.append(_claims(len(members)))
    ranked = np.concatenate(order)[np.argsort(np.concatenate(claims), kind="stable")]
    return np.sort(ranked[:n])


def _groups(labels: Labels, stratify: bool) -> list[Indices]:
    """Indices by class; one group of all when not stratified."""
    if not stratify:
        return [np.arange(len(labels))]
    return [np.flatnonzero(labels == name) for name in np.unique(labels)]


def _claims(count: int) -> np.ndarray:
    """When each of a class's members is its turn (Sainte-Laguë's divisors, so shares are kept); the first at once."""
    claims = (np.arange(count) + 0.5) / count
    claims[:1] = -1.0 / count  # ahead of all others, larger classes last: only the order among firsts
    return claims


def _quotas(groups: list[Indices], total: int) -> Int64[np.ndarray, " groups"]:
    """How many of each group to hold out: in proportion, one at least, and never all of a group."""
    claims = np.concatenate([_claims(len(members))[: len(members) - 1] for members in groups])
    owner = np.repeat(np.arange(len(groups)), [len(members) - 1 for members in groups])
    firsts = int(np.sum(claims < 0))
    chosen = owner[np.argsort(claims, kind="stable")[: max(total, firsts)]]
    return np.bincount(chosen, minlength=len(groups)).astype(np.int64)
