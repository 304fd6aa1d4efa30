"""What a sharing experiment found, per task and on the mean over tasks, and the one sentence about it. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from supertickets.config import Config, ShareConfig
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.failures import missing_words
from supertickets.experiments.outcome import signed, spread
from supertickets.experiments.records import Record
from supertickets.experiments.sharing_tickets import Kept, Overlap, kept, overlap
from supertickets.experiments.statistics import (
    Interval,
    Summary,
    average_difference,
    average_summary,
)
from supertickets.tickets.masks import Mask

Method = Literal["full", "winning", "multitask", "sharing", "random"]
METHODS: tuple[Method, ...] = get_args(Method)

# What is held against what, the question of the experiment first.
COMPARED: tuple[tuple[Method, Method], ...] = (
    ("sharing", "multitask"),
    ("sharing", "random"),
    ("sharing", "full"),
    ("sharing", "winning"),
    ("random", "multitask"),
    ("multitask", "full"),
)
Comparison = tuple[Method, Method]


@dataclass(frozen=True)
class TaskRuns:
    """One task's part of an experiment: its records by method, its super tickets by seed, and its own sweep.

    `full` and `winning` (at the super ticket's level, `sparsity`) and all of `sweep` were trained on this task alone.
    """

    name: str
    config: Config
    task: Task
    data: Mapping[str, Any]
    sparsity: float
    records: Mapping[Method, tuple[Record, ...]]
    tickets: Mapping[int, Mask]
    sweep: tuple[Record, ...]


@dataclass(frozen=True)
class Sharing:
    """An experiment as its folder has it: settings, tasks, and the names of runs that are missing or not planned."""

    config: ShareConfig
    tasks: tuple[TaskRuns, ...]
    missing: tuple[str, ...]
    unplanned: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    """Those of the missing that failed every time, with the last line of their errors."""

    @property
    def planned(self) -> int:
        """Multi-task runs that the settings plan."""
        return len(self.config.arms) * len(self.config.seeds)

    @property
    def finished(self) -> int:
        """Multi-task runs that are done."""
        return self.planned - len(self.missing)


@dataclass(frozen=True)
class Column:
    """What was found for one task, or on the mean over tasks: scores by method, and differences, where there are both.

    `wins` and `losses` are the differences whose interval excludes zero.
    """

    scores: Mapping[Method, Summary]
    differences: Mapping[Comparison, Interval]

    @property
    def wins(self) -> tuple[Comparison, ...]:
        """The comparisons that the first side has won."""
        return tuple(pair for pair, gap in self.differences.items() if gap.low > 0)

    @property
    def losses(self) -> tuple[Comparison, ...]:
        """The comparisons that the first side has lost."""
        return tuple(pair for pair, gap in self.differences.items() if gap.high < 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a comparison is named `sharing-multitask`."""
        return {
            "scores": {method: asdict(score) for method, score in self.scores.items()},
            "differences": {"-".join(pair): asdict(gap) for pair, gap in self.differences.items()},
            "wins": ["-".join(pair) for pair in self.wins],
            "losses": ["-".join(pair) for pair in self.losses],
        }


@dataclass(frozen=True)
class SharingOutcome:
    """The result of a sharing experiment; scores are shares of 1 on the report splits."""

    encoder: str
    arms: tuple[str, ...]
    tasks: Mapping[str, Column]
    average: Column
    levels: Mapping[str, float]
    kept: Kept
    overlap: Overlap

    @property
    def gain(self) -> Interval | None:
        """Sharing less plain multi-task learning on the mean over tasks, once both have been trained."""
        return self.average.differences.get(("sharing", "multitask"))

    @property
    def gained(self) -> bool:
        """Whether ticket sharing is ahead of plain multi-task learning by more than the interval allows for noise."""
        return self.gain is not None and self.gain.low > 0

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain values, for `outcome.json`."""
        return {
            "encoder": self.encoder,
            "arms": list(self.arms),
            "tasks": {
                name: column.to_dict() | {"sparsity": self.levels[name], "weights": asdict(self.kept.by_task[name])}
                for name, column in self.tasks.items()
            },
            "average": self.average.to_dict(),
            "weights": {
                "mean": asdict(self.kept.mean),
                "union": asdict(self.kept.union),
                "by_seed": {
                    str(seed): {name: asdict(weights) for name, weights in parts.items()}
                    for seed, parts in self.kept.by_seed.items()
                },
            },
            "overlap": self.overlap.to_dict(),
            "gained": self.gained,
        }


def conclude_sharing(sharing: Sharing, resamples: int = 2000) -> SharingOutcome:
    """Work out every score, difference, share of weights and overlap; what has not been trained yet is left out."""
    tasks = sharing.tasks
    return SharingOutcome(
        encoder=sharing.config.encoder.name,
        arms=sharing.config.arms,
        tasks={one.name: _column([one], resamples) for one in tasks},
        average=_column(tasks, resamples),
        levels={one.name: one.sparsity for one in tasks},
        kept=kept({one.name: one.tickets for one in tasks}),
        overlap=overlap({one.name: one.tickets for one in tasks}),
    )


def sentence(outcome: SharingOutcome) -> str:
    """The result in one plain sentence; says so when sharing did not gain, or gained no more than noise does.

    Raises UserError while no run of the experiment is finished.
    """
    scores, count = outcome.average.scores, len(outcome.tasks)
    over = f"{count} task{'s' if count != 1 else ''}"
    gap = outcome.gain
    if gap is None:
        trained = [method for method in METHODS if method in outcome.arms and method in scores]
        if not trained:
            raise UserError("no run of this experiment is finished yet", do="run `share` on")
        each = ", ".join(f"{NAMES[method]} {spread(scores[method])}" for method in trained)
        return f"Without sharing and plain multi-task learning no gain is claimed. Mean over {over}: {each}."
    seeds = f"{gap.n_seeds} seed{'s' if gap.n_seeds > 1 else ', so the interval counts examples only'}"
    alone = f"; trained alone, the tasks score {spread(scores['full'])}" if "full" in scores else ""
    return (
        f"{_verdict(gap)}: on the mean over {over} {_scored(scores, gap)}{_told(gap)}, {seeds}{alone}; "
        f"{_by_task(outcome)}{_control(outcome)}; a task keeps {100 * outcome.kept.mean.all:.1f} % of the weights on "
        f"average, all of them together {100 * outcome.kept.union.all:.1f} %."
    )


def whole_sentence(sharing: Sharing, outcome: SharingOutcome) -> str:
    """The sentence, and that runs are missing where they are; raises UserError as `sentence` does."""
    return sentence(outcome) + missing_words(sharing.missing, len(sharing.failed))


NAMES: Mapping[Method, str] = {
    "full": "single-task models",
    "winning": "single-task super tickets",
    "multitask": "plain multi-task learning",
    "sharing": "ticket sharing",
    "random": "sharing with random tickets",
}


def _verdict(gap: Interval) -> str:
    if gap.low > 0:
        return "Ticket sharing gains on plain multi-task learning"
    if gap.high < 0:
        return "Ticket sharing loses against plain multi-task learning"
    return "Ticket sharing shows no gain on plain multi-task learning" + (
        " that its interval tells from zero" if gap.value > 0 else ""
    )


def _scored(scores: Mapping[Method, Summary], gap: Interval) -> str:
    """Both scores, unless an unfinished experiment has one of them from other seeds than the difference."""
    ours, theirs = scores["sharing"], scores["multitask"]
    if not ours.n == theirs.n == gap.n_seeds:
        return "the difference is "
    return f"it scores {spread(ours)} against {spread(theirs)}, a difference of "


def _told(gap: Interval) -> str:
    return f"{signed(gap.value)}, 95 % interval {signed(gap.low)} to {signed(gap.high)}"


def _by_task(outcome: SharingOutcome) -> str:
    """On how many tasks the interval excludes zero, either way."""
    pair = ("sharing", "multitask")
    better = sum(pair in column.wins for column in outcome.tasks.values())
    worse = sum(pair in column.losses for column in outcome.tasks.values())
    if not better and not worse:
        return "on none of the tasks does the interval exclude zero"
    return f"it is better on {better} and worse on {worse} of the tasks by intervals that exclude zero"


def _control(outcome: SharingOutcome) -> str:
    gap = outcome.average.differences.get(("sharing", "random"))
    return "" if gap is None else f"; the difference to random tickets of the same sizes is {_told(gap)}"


def _column(tasks: Sequence[TaskRuns], resamples: int) -> Column:
    """One task's scores and differences, or those of the mean over several."""

    def of(method: Method) -> list[tuple[Record, ...]]:
        return [one.records.get(method, ()) for one in tasks]

    def differ(pair: Comparison) -> Interval:
        sides = [(one.task, a, b) for one, a, b in zip(tasks, of(pair[0]), of(pair[1]), strict=True)]
        return average_difference(sides, resamples=resamples)

    done: dict[Method, set[int]] = {
        method: set.intersection(*({record.seed for record in records} for records in of(method))) for method in METHODS
    }
    return Column(
        scores={method: average_summary(of(method)) for method in METHODS if done[method]},
        differences={pair: differ(pair) for pair in COMPARED if done[pair[0]] & done[pair[1]]},
    )
