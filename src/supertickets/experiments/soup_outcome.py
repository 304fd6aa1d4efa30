"""What the soups of a sweep found: a soup is compared with a soup. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from supertickets.data.tasks import Task
from supertickets.endings import Recipe
from supertickets.experiments.jackknife import Estimate
from supertickets.experiments.records import Record
from supertickets.experiments.runs import SOUPS
from supertickets.experiments.statistics import Interval


@dataclass(frozen=True)
class SoupOutcome:
    """The soup of the super ticket's seeds and that of the full models; scores are shares of 1 on the report split.

    `seeds` were there, `ticket_seeds` and `full_seeds` are in the two soups. Differences are ticket soup minus
    full soup, and each soup minus the mean of its own seeds' models; their intervals leave out one seed at a
    time (`experiments.jackknife`).
    """

    recipe: Recipe
    seeds: tuple[int, ...]
    ticket_seeds: tuple[int, ...]
    full_seeds: tuple[int, ...]
    ticket: Interval
    full: Interval
    difference: Interval
    ticket_gain: Interval
    full_gain: Interval


def conclude_soups(
    task: Task, soups: Sequence[Record], ticket: Sequence[Record], full: Sequence[Record]
) -> SoupOutcome | None:
    """Compare the two soups with each other, and with the seeds' own models; None while there are not both, or not
    all of their members' records."""
    by_kind = {record.kind: record for record in soups}
    if set(by_kind) != set(SOUPS):
        return None
    ours, theirs = (by_kind[kind] for kind in SOUPS)
    seeds = tuple(ours.arrays["members"].tolist())
    if any(set(seeds) - {record.seed for record in group} for group in (ticket, full)):
        return None
    mixed, base = Estimate.of_soup(task, ours), Estimate.of_soup(task, theirs)
    single = [Estimate.of_mean(task, [r for r in group if r.seed in seeds]) for group in (ticket, full)]
    return SoupOutcome(
        recipe=ours.settings["delivery.soup"],
        seeds=seeds,
        ticket_seeds=tuple(ours.arrays["mixed"].tolist()),
        full_seeds=tuple(theirs.arrays["mixed"].tolist()),
        ticket=mixed.interval,
        full=base.interval,
        difference=(mixed - base).interval,
        ticket_gain=(mixed - single[0]).interval,
        full_gain=(base - single[1]).interval,
    )
