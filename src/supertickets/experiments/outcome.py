"""What a sweep found: the super ticket, chosen on the selection split, and the one sentence about it. No torch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from supertickets import storage
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.baseline_outcome import Standing
from supertickets.experiments.records import Record
from supertickets.experiments.soup_outcome import SoupOutcome, conclude_soups
from supertickets.experiments.statistics import Interval, Split, Summary, difference, summary
from supertickets.experiments.targets import Achieved
from supertickets.learning.speed import Speedup
from supertickets.tickets.costs import MEASURES
from supertickets.tickets.phases import Phases, Point, find_phases

DEV_SELECTED = "dev-selected (paper protocol)"


@dataclass(frozen=True)
class Choice:
    """The super ticket's level as the selection split chose it, from the seeds that all levels share."""

    sparsity: float
    phases: Phases
    full: Point
    points: tuple[Point, ...]
    seeds: tuple[int, ...]

    @property
    def tied(self) -> tuple[float, ...]:
        """Levels with exactly the same mean selection score: of these the chosen one is the sparsest."""
        best = next(point.mean for point in self.points if point.sparsity == self.sparsity)
        equal = [point.sparsity for point in self.points if abs(point.mean - best) < 1e-9]
        return tuple(sparsity for sparsity in equal if sparsity != self.sparsity)


@dataclass(frozen=True)
class DevSelected:
    """The paper's protocol: the level with the best report score, reported on the same split.

    `difference` is to the full model; `gap` is how much higher this protocol's score is than that of
    the ticket chosen without looking at the report split.
    """

    sparsity: float
    score: Summary
    difference: Interval
    gap: float


@dataclass(frozen=True)
class Control:
    """Winning less random tickets of equal size, at the control level nearest to the super ticket's."""

    sparsity: float
    random: Summary
    difference: Interval


@dataclass(frozen=True)
class Outcome:
    """The result of one sweep; scores are shares of 1 on the report split, `difference` is ticket minus full model.

    `beats_full`: the super ticket scores above the full model on the selection split and on the report split.
    `target`: the budget asked for and what the delivered model takes of it, where one was asked for and measured.
    """

    task: str
    encoder: str
    sparsity: float
    weights_all: float
    weights_encoder: float
    ticket: Summary
    full: Summary
    difference: Interval
    control: Control | None
    dev_selected: DevSelected
    speedup: Speedup | None
    beats_full_on_selection: bool
    beats_full: bool
    target: Achieved | None = None
    soup: SoupOutcome | None = None
    baselines: tuple[Standing, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain values, for `outcome.json`."""
        plain: dict[str, Any] = storage.plain(asdict(self))
        return plain


def of_kind(records: Sequence[Record], kind: str) -> dict[float, list[Record]]:
    """The records of one kind, by sparsity ascending, each level's by seed; without runs that were ended early."""
    levels: dict[float, list[Record]] = {}
    finished = (r for r in records if r.kind == kind and r.stopped is None)
    for record in sorted(finished, key=lambda r: (r.sparsity, r.seed)):
        levels.setdefault(record.sparsity, []).append(record)
    return levels


def full_models(records: Sequence[Record]) -> list[Record]:
    """The tuned full models, by seed."""
    return sorted((r for r in records if r.kind == "full"), key=lambda r: r.seed)


def point(sparsity: float, records: Sequence[Record], split: Split) -> Point:
    """One point of the curve: mean and spread over the records of one level."""
    spread = summary(records, split)
    weights = sum(r.size.weights_encoder for r in records) / len(records)
    return Point(sparsity, weights, spread.mean, spread.std, spread.n)


def comparable(records: Sequence[Record]) -> dict[float, list[Record]]:
    """The winning tickets of the levels where some seed also has its full model; empty: nothing to conclude yet."""
    seeds = {record.seed for record in full_models(records)}
    levels = of_kind(records, "winning")
    return {sparsity: group for sparsity, group in levels.items() if seeds & {record.seed for record in group}}


def choose(records: Sequence[Record], levels: Collection[float] | None = None) -> Choice:
    """Pick the super ticket's level by the mean selection score over seeds (phases: `tickets.phases`).

    Each seed holds out its own selection examples, so the mean pools them. In an unfinished sweep only the
    seeds that every level has count, so that no level gains from easier examples; where there is none, all do.
    With `levels`, a race's finalists, only these compete and have to share their seeds; levels with fewer seeds
    stand on the curve at the full model's score plus their mean difference to it. Raises UserError while no
    seed has both its full model and a winning ticket.
    """
    full, winning = full_models(records), comparable(records)
    if not winning:
        raise UserError("no seed has both its full model and a winning ticket yet", do="run the sweep on")
    competing = {sparsity: group for sparsity, group in winning.items() if levels is None or sparsity in levels}
    groups = [full, *(competing or winning).values()]
    shared = set.intersection(*({r.seed for r in group} for group in groups)) or {
        r.seed for group in groups for r in group
    }

    def at(sparsity: float, group: Sequence[Record]) -> Point:
        own = point(sparsity, [r for r in group if r.seed in shared] or group, "selection")
        if levels is None or shared <= {r.seed for r in group}:
            return own
        beside = [r for r in full if r.seed in {record.seed for record in group}]
        return replace(own, mean=start.mean + own.mean - point(0.0, beside, "selection").mean) if beside else own

    start = point(0.0, [r for r in full if r.seed in shared] or full, "selection")
    points = tuple(at(sparsity, group) for sparsity, group in winning.items())
    drawn = [at(sparsity, group) for sparsity, group in of_kind(records, "random").items()]
    phases = find_phases(start, points, drawn, competing or None)
    return Choice(phases.super_ticket.sparsity, phases, start, points, tuple(sorted(shared)))


def dev_selected(
    task: Task, records: Sequence[Record], chosen: float, levels: Collection[float] | None = None
) -> DevSelected:
    """The paper's protocol beside ours, whose choice was level `chosen`: best level on the split that is also reported.

    PAPER: defect D14. With `levels`, a race's finalists, it is the best of these.
    """
    every = comparable(records)
    winning = {sparsity: group for sparsity, group in every.items() if levels is None or sparsity in levels} or every
    scores = {sparsity: summary(group) for sparsity, group in winning.items()}
    best = max(scores, key=lambda sparsity: (scores[sparsity].mean, sparsity))
    gap = scores[best].mean - scores[chosen].mean
    return DevSelected(best, scores[best], difference(task, winning[best], full_models(records)), gap)


def control(task: Task, records: Sequence[Record], chosen: float) -> Control | None:
    """Winning against random tickets at the control level nearest to `chosen` (ties: the sparser); None without one."""
    winning, drawn = of_kind(records, "winning"), of_kind(records, "random")
    both = [s for s in drawn if {r.seed for r in drawn[s]} & {r.seed for r in winning.get(s, [])}]
    if not both:
        return None
    nearest = min(both, key=lambda s: (round(abs(s - chosen), 9), -s))
    return Control(nearest, summary(drawn[nearest]), difference(task, winning[nearest], drawn[nearest]))


def _of_shared_seeds(a: Sequence[Record], b: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Both without the seeds that the other lacks, so that their means differ by the difference."""
    shared = {record.seed for record in a} & {record.seed for record in b}
    return [r for r in a if r.seed in shared], [r for r in b if r.seed in shared]


def conclude(
    task: Task,
    records: Sequence[Record],
    encoder: str,
    speedup: Speedup | None = None,
    target: Achieved | None = None,
    levels: Collection[float] | None = None,
    soups: Sequence[Record] = (),
) -> Outcome:
    """Choose on the selection split, then report on the report split.

    `encoder` is its name, `speedup` and `target` the super ticket's, where they were measured; `levels` are a
    race's finalists, `soups` the records of soups. Raises UserError while no seed has both its full model and
    a winning ticket.
    """
    choice = choose(records, levels)
    ticket, full = _of_shared_seeds(comparable(records)[choice.sparsity], full_models(records))
    gain = difference(task, ticket, full)
    ahead = bool(choice.phases.beats_full)
    return Outcome(
        task=task.name,
        encoder=encoder,
        sparsity=choice.sparsity,
        weights_all=sum(r.size.weights_all for r in ticket) / len(ticket),
        weights_encoder=sum(r.size.weights_encoder for r in ticket) / len(ticket),
        ticket=summary(ticket),
        full=summary(full),
        difference=gain,
        control=control(task, records, choice.sparsity),
        dev_selected=dev_selected(task, records, choice.sparsity, levels),
        speedup=speedup,
        beats_full_on_selection=ahead,
        beats_full=ahead and gain.value > 0,
        target=target,
        soup=conclude_soups(task, [s for s in soups if s.sparsity in (0.0, choice.sparsity)], ticket, full),
    )


def sentence(outcome: Outcome) -> str:
    """The result in a plain sentence, and one on soups; says so when no ticket, or not the chosen one, beats it."""
    gap = outcome.difference
    seeds = f"{gap.n_seeds} seed{'s' if gap.n_seeds > 1 else ', so the interval counts examples only'}"
    interval = f"difference {signed(gap.value)}, 95 % interval {signed(gap.low)} to {signed(gap.high)}, {seeds}"
    fast = _fast(outcome.speedup) if outcome.speedup else ""
    facts = (
        f"keeps {100 * outcome.weights_all:.1f} % of the weights, scores {spread(outcome.ticket)} against "
        f"the full model's {spread(outcome.full)} ({interval}){fast}"
    )
    return f"{_verdict(outcome)} {facts}{_caution(outcome)}{_budget(outcome.target)}.{_soup(outcome.soup)}"


def _verdict(outcome: Outcome) -> str:
    """The subject of the sentence, with what the two splits say about it."""
    if outcome.beats_full:
        return "The super ticket"
    if outcome.difference.value <= 0 and outcome.dev_selected.difference.value <= 0:
        return "No ticket beats the full model: the best one, chosen on the selection split,"
    if outcome.beats_full_on_selection:
        return "The super ticket, chosen on the selection split, does not beat the full model on the report split: it"
    return "No ticket beats the full model on the selection split: the best one there"


def _caution(outcome: Outcome) -> str:
    """A gain that the interval does not tell from none is called that."""
    unsure = outcome.difference.value > 0 and outcome.difference.covers_zero
    return "; the interval includes zero" if unsure else ""


def _fast(speedup: Speedup) -> str:
    """How much faster, with the spread where it is wide."""
    wide = f" (a wide spread: {speedup.p10:.1f} to {speedup.p90:.1f})" if speedup.wide else ""
    return f", and runs {speedup.median:.1f} times as fast{wide}"


def _budget(target: Achieved | None) -> str:
    """What was asked for beside what was measured."""
    if target is None:
        return ""
    missed = f" (missed by {target.missed:.3f})" if target.missed else ""
    return f"; asked for {target.asked:.3f} of the {MEASURES[target.measure]}, measured {target.found:.3f}{missed}"


def _soup(soup: SoupOutcome | None) -> str:
    """A soup beside a soup."""
    if soup is None:
        return ""
    gap = soup.difference
    interval = f"difference {signed(gap.value)}, 95 % interval {signed(gap.low)} to {signed(gap.high)}"
    scores = f"scores {100 * soup.ticket.value:.1f} against {100 * soup.full.value:.1f} for the full models' soup"
    return f" The {soup.recipe} soup of its seeds {scores} ({interval})."


def signed(value: float) -> str:
    """A difference of scores times 100, one decimal, always with its sign; a rounded zero has none."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def spread(value: Summary) -> str:
    """Mean ± standard deviation times 100; the mean alone for one seed."""
    mean = f"{100 * value.mean:.1f}".replace("-", "−")
    return f"{mean} ± {100 * value.std:.1f}" if value.n > 1 else mean
