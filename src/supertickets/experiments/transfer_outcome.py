"""What a transfer found at each share of the new task's examples, and the one sentence about it. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from supertickets.config import TransferArm, TransferConfig
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.outcome import signed
from supertickets.experiments.plans import trained_arms
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.runs import TICKET_ARMS
from supertickets.experiments.statistics import Interval, Summary, difference, mean_interval, summary
from supertickets.experiments.transfer_folder import TransferFolder

# What is held against what, the question of the experiment first.
AGAINST: tuple[tuple[TransferArm, TransferArm], ...] = (
    ("sharing", "multitask"),
    ("sharing", "pretrained"),
    ("multitask", "pretrained"),
    ("sharing", "sharing-full"),
    ("sharing", "random"),
)
Pair = tuple[TransferArm, TransferArm]
NAMES: Mapping[TransferArm, str] = {
    "pretrained": "the pretrained encoder",
    "multitask": "the plain multi-task encoder",
    "sharing-full": "the ticket-sharing encoder in full",
    "sharing": "a ticket of the ticket-sharing encoder",
    "random": "a random ticket of its size",
}


@dataclass(frozen=True)
class Transferred:
    """A transfer as its folder has it; `missing` and `unplanned` are names of runs."""

    config: TransferConfig
    task: Task
    data: Mapping[str, Any]
    shares: Mapping[float, int]
    records: Mapping[float, tuple[Record, ...]]
    missing: tuple[str, ...]
    unplanned: tuple[str, ...]

    @property
    def planned(self) -> int:
        """Runs that the settings plan."""
        return self.finished + len(self.missing)

    @property
    def finished(self) -> int:
        """Runs that are done."""
        return sum(map(len, self.records.values()))


@dataclass(frozen=True)
class PointFound:
    """What was found at one share: scores on the report split by arm, their intervals, and paired differences.

    `examples` counts those that a seed has, `trained` those it trains on, `level` is that of the tickets
    (None without any). `wins` and `losses` are the differences whose interval excludes zero.
    """

    share: float
    examples: int
    trained: int
    level: float | None
    scores: Mapping[TransferArm, Summary]
    bands: Mapping[TransferArm, Interval]
    weights: Mapping[TransferArm, float]
    differences: Mapping[Pair, Interval]

    @property
    def wins(self) -> tuple[Pair, ...]:
        """The comparisons that the first side has won."""
        return tuple(pair for pair, gap in self.differences.items() if gap.low > 0)

    @property
    def losses(self) -> tuple[Pair, ...]:
        """The comparisons that the first side has lost."""
        return tuple(pair for pair, gap in self.differences.items() if gap.high < 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a comparison is named `sharing-multitask`."""
        return {
            "share": self.share,
            "examples": self.examples,
            "trained": self.trained,
            "level": self.level,
            "scores": {arm: asdict(score) for arm, score in self.scores.items()},
            "intervals": {arm: asdict(band) for arm, band in self.bands.items()},
            "weights": dict(self.weights),
            "differences": {"-".join(pair): asdict(gap) for pair, gap in self.differences.items()},
            "wins": ["-".join(pair) for pair in self.wins],
            "losses": ["-".join(pair) for pair in self.losses],
        }


@dataclass(frozen=True)
class TransferOutcome:
    """The result of a transfer; scores are shares of 1. Points ascend in examples; one without a record is left out."""

    task: str
    encoder: str
    arms: tuple[TransferArm, ...]
    points: tuple[PointFound, ...]

    @property
    def gained(self) -> bool:
        """Whether the sharing ticket is ahead of the multi-task encoder somewhere, beyond noise, and nowhere behind."""
        pair: Pair = ("sharing", "multitask")
        return any(pair in point.wins for point in self.points) and not any(
            pair in point.losses for point in self.points
        )

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain values, for `outcome.json`."""
        head = {"task": self.task, "encoder": self.encoder, "arms": list(self.arms)}
        return head | {"points": [point.to_dict() for point in self.points], "gained": self.gained}


def read_transfer(place: TransferFolder) -> Transferred:
    """What lies in a transfer's folder, finished or not; raises UserError when a record is damaged."""
    runs = place.runs()
    done = [run for run in runs if (place.run_folder(run) / RECORD_FILE).is_file()]
    present = {path.parent.name for path in place.run_folder(runs[0]).parent.glob(f"*/{RECORD_FILE}")}
    return Transferred(
        config=place.config,
        task=place.task,
        data=place.data,
        shares=place.shares,
        records={
            share: tuple(Record.load(place.run_folder(run)) for run in done if run.share == share)
            for share in place.shares
        },
        missing=tuple(run.name for run in runs if run not in done),
        unplanned=tuple(sorted(present - {run.name for run in runs})),
    )


def conclude_transfer(found: Transferred, resamples: int = 2000) -> TransferOutcome:
    """Choose the tickets' level of each share, and work out every score and difference; what is missing is left out."""
    points = [_point(found, share, resamples) for share in found.shares if found.records[share]]
    return TransferOutcome(
        task=found.task.name,
        encoder=found.config.encoder.name,
        arms=tuple(trained_arms(found.config)),
        points=tuple(points),
    )


def chosen_level(records: Sequence[Record]) -> float | None:
    """The level of the sharing tickets with the best mean selection score, of equals the sparser; None without any.

    Over the seeds that all levels have; where there is none, over all.
    """
    levels: dict[float, list[Record]] = {}
    for record in records:
        if record.kind == "sharing":
            levels.setdefault(record.sparsity, []).append(record)
    if not levels:
        return None
    shared = set.intersection(*({record.seed for record in group} for group in levels.values()))

    def mean(level: float) -> float:
        group = [r for r in levels[level] if r.seed in shared] or levels[level]
        return sum(r.selection.main for r in group) / len(group)

    return max(levels, key=lambda level: (mean(level), level))


def sentence(outcome: TransferOutcome) -> str:
    """The result in one plain sentence; says so where nothing was gained, or no more than noise gives.

    Raises UserError while no run of the transfer is finished.
    """
    if not outcome.points:
        raise UserError("no run of this transfer is finished yet", do="run `transfer` on")
    pair = next((pair for pair in AGAINST if any(pair in point.differences for point in outcome.points)), None)
    if pair is None:
        return f"On {outcome.task} nothing is compared yet, so no gain is claimed."
    gaps = {point.examples: point.differences[pair] for point in outcome.points if pair in point.differences}
    each = "; ".join(f"{_told(gap)} with {examples} examples" for examples, gap in gaps.items())
    seeds = sorted({gap.n_seeds for gap in gaps.values()})
    few = ", so the intervals count examples only" if seeds == [1] else ""
    spell = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
    others = [_counted(outcome, other) for other in AGAINST[1:] if other != pair and other[0] == pair[0]]
    return (
        f"On {outcome.task}, {_verdict(outcome, pair)}: {each} "
        f"({spell} seed{'s' if seeds != [1] else ''}{few}){''.join(filter(None, others))}."
    )


def _verdict(outcome: TransferOutcome, pair: Pair) -> str:
    ours, theirs = NAMES[pair[0]], NAMES[pair[1]]
    ahead, behind, of = _tally(outcome, pair)
    if not ahead and not behind:
        return f"{ours} shows no difference to {theirs} that an interval tells from zero"
    return f"{ours} is better than {theirs} at {ahead} and worse at {behind} of {of} sizes, by intervals without zero"


def _counted(outcome: TransferOutcome, pair: Pair) -> str:
    ahead, behind, of = _tally(outcome, pair)
    return f"; against {NAMES[pair[1]]} it is better at {ahead} and worse at {behind} of {of}" if of else ""


def _tally(outcome: TransferOutcome, pair: Pair) -> tuple[int, int, int]:
    """At how many points a pair's first side has won and lost, and of how many."""
    points = [point for point in outcome.points if pair in point.differences]
    return sum(pair in point.wins for point in points), sum(pair in point.losses for point in points), len(points)


def _told(gap: Interval) -> str:
    return f"{signed(gap.value)} (95 % interval {signed(gap.low)} to {signed(gap.high)})"


def _point(found: Transferred, share: float, resamples: int) -> PointFound:
    level = chosen_level(found.records[share])
    by: dict[TransferArm, list[Record]] = {
        arm: [r for r in found.records[share] if r.kind == arm and (arm not in TICKET_ARMS or r.sparsity == level)]
        for arm in trained_arms(found.config)
    }
    by = {arm: records for arm, records in by.items() if records}
    seeds = {arm: {record.seed for record in records} for arm, records in by.items()}
    pairs = [(a, b) for a, b in AGAINST if a in by and b in by and seeds[a] & seeds[b]]
    examples = found.shares[share]
    return PointFound(
        share=share,
        examples=examples,
        trained=examples - found.records[share][0].selection.n,
        level=level,
        scores={arm: summary(records) for arm, records in by.items()},
        bands={arm: mean_interval(found.task, records, resamples=resamples) for arm, records in by.items()},
        weights={arm: sum(r.size.weights_all for r in records) / len(records) for arm, records in by.items()},
        differences={(a, b): difference(found.task, by[a], by[b], resamples=resamples) for a, b in pairs},
    )
