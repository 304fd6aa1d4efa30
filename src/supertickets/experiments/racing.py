"""A race: which runs it wants next, which levels it stops, and between which it chooses. No torch.

A race's decisions are functions of its records: it is followed from its start, batch by batch, and a batch
is decided on when all runs of the batches before it have their records. So a killed race goes on as it
would have, whatever order its workers finished in. Runs that failed every time are settled, too: the race
goes on with the seeds and levels that are left.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from supertickets.config import Config
from supertickets.data.tasks import Task
from supertickets.experiments.odds import Scoreboard, agreement, contenders, example_noise, grid_means
from supertickets.experiments.plans import every_run
from supertickets.experiments.records import Record
from supertickets.experiments.runs import Run, TicketRun, TuneRun

OTHER_CONTROLS = 2  # levels, beside the chosen one, at which controls are drawn


@dataclass(frozen=True)
class Stop:
    """A winning level that a race does not run with every seed.

    `seeds` is how many it ran with; `chance`, by all runs so far, that the grid's mean score of it would be
    above those of the levels that still race, or in the end of the chosen one, by more than the tolerance;
    `ended` the share of a training after which its run was ended as hopeless, if it was (then no chance was
    worked out).
    """

    sparsity: float
    seeds: int
    chance: float | None
    ended: float | None = None


@dataclass(frozen=True)
class Schedule:
    """The runs that a sweep wants, in order of need, as far as the records decide.

    `in_all` counts them together with those that may follow if no further level is stopped. Of a race:
    `finalists` are the levels that its choice is between, `stops` the levels that it has stopped, and
    `confidence` the chance, once it is decided, that the grid's choice is better by no more than the
    tolerance. Of a grid they are None, empty and None.
    """

    runs: tuple[Run, ...]
    in_all: int
    finalists: tuple[float, ...] | None = None
    stops: tuple[Stop, ...] = ()
    confidence: float | None = None

    @property
    def further(self) -> int:
        """How many runs, at most, a race may want beyond those that it wants now."""
        return self.in_all - len(self.runs)

    @property
    def size(self) -> str:
        """How many runs there are, as far as that is known: `42`, `at most 32`."""
        return f"{'' if self.in_all == len(self.runs) else 'at most '}{self.in_all}"


def reason(stop: Stop) -> str:
    """Why a level was stopped, in plain words."""
    if stop.ended is not None:
        return f"its run of the first seed was hopeless after {stop.ended:.0%} of its training and was ended"
    ran = f"{stop.seeds} seed{'' if stop.seeds == 1 else 's'}"
    rounded = f"{100 * (stop.chance or 0.0):.1f}"
    chance = "<0.1" if rounded == "0.0" else rounded
    return f"it ran with {ran}; the chance that the whole grid would prefer it is {chance} %"


def is_watched(run: Run) -> bool:
    """Whether a run's learning curve is kept: those of a race's first seed, where it has checkpoints."""
    config = run.config
    watching = config.strategy == "race" and bool(config.race.checkpoints)
    return watching and run.kind in ("full", "winning") and run.seed == config.seeds[0]


def rivals(run: Run) -> list[Run]:
    """The runs whose curves may end this one's training: they are finished before it starts; none for most runs."""
    if not (isinstance(run, TicketRun) and is_watched(run) and run.sparsity not in _early(run.config)):
        return []
    return [run.tune, *(TicketRun(run.tune, "winning", level) for level in _early(run.config))]


def _early(config: Config) -> tuple[float, ...]:
    """The levels that the first seed runs first where others are watched: the less sparse half."""
    levels = sorted(config.tickets.levels)
    return tuple(levels[: (len(levels) + 1) // 2])


def left_over(config: Config, wanted: Collection[str], kept: Collection[str]) -> list[Run]:
    """The runs at the config's levels that are there and not wanted."""
    return [run for run in every_run(config) if run.name in kept and run.name not in wanted]


@dataclass
class Race:
    """One race, followed from its start through the records that are there."""

    config: Config
    task: Task
    records: Mapping[str, Record]
    failed: frozenset[str]
    kept: frozenset[str]
    runs: list[Run] = field(default_factory=list)
    racing: list[float] = field(default_factory=list)
    chances: dict[float, float] = field(default_factory=dict)
    decided: bool = False
    confidence: float | None = None

    def __post_init__(self) -> None:
        self.every = [TuneRun(self.config, seed) for seed in self.config.seeds]
        self.tuned = [tune for tune in self.every if tune.name not in self.failed]
        self.levels = [level for level in sorted(self.config.tickets.levels) if self._tickets(level)]
        self.racing = list(self.levels)

    def follow(self) -> None:
        """Want batch after batch, until one has a run that is not settled or nothing is left to want."""
        if not self.levels:  # no ticket can be drawn any more
            self._want(self.every)
            return
        if not self._first_seed():
            return
        if all(self._ended(level) is not None for level in self.levels):  # what could have won has failed
            self.racing = []
            return
        while True:
            self._judge()
            batch = self._next()
            if not batch:
                break
            if not self._want(batch):
                return
        self.runs += [run for level in self.levels if self._is_whole(level) for run in self._lacking(level)]
        self._conclude()
        self.decided = True
        self._want(self._controls(self._best()))

    def schedule(self) -> Schedule:
        """The state as a value."""
        lost = [run for run in self._lost() if run not in self.runs]
        runs = [*self.runs, *lost]
        runs += left_over(self.config, {run.name for run in runs}, self.kept)
        names = {run.name for run in runs}
        if not self.decided and self.racing:
            names |= {run.name for level in self.racing for run in self._tickets(level)}
            names |= {run.name for run in self._controls(self.racing[0])}
        stops = tuple(self._stop(level) for level in self.levels if self._is_stopped(level))
        return Schedule(tuple(runs), len(names), self._finalists(), stops, self.confidence)

    def _first_seed(self) -> bool:
        """Want every level with the first seed (a single level at once with all); whether all of it is there."""
        if len(self.levels) == 1:
            return self._want([*self.every, *self._tickets(self.levels[0])])
        early = [level for level in _early(self.config) if level in self.levels]
        early = early if self.config.race.checkpoints else self.levels
        late = [level for level in self.levels if level not in early]
        first = [self._tickets(level)[0] for level in early]
        return self._want([*self.every, *first]) and self._want([self._tickets(level)[0] for level in late])

    def _judge(self) -> None:
        """Work out what the grid would find, and which levels still race."""
        race, (field_, means) = self.config.race, self._expected()
        racing = contenders(means, race.confidence, race.tolerance)
        self.racing = [field_[index] for index in racing]
        self._weigh(field_, means, means[:, racing].max(axis=1))

    def _conclude(self) -> None:
        """Work out how sure the choice is, and the chance of each other level against it."""
        field_, means = self._expected()
        chosen = means[:, field_.index(self._best())]
        self.confidence = agreement(means.max(axis=1), chosen, self.config.race.tolerance)
        self._weigh(field_, means, chosen)

    def _expected(self) -> tuple[list[float], np.ndarray]:
        """The levels that were not ended, and draws of what the grid would find for each."""
        levels = [level for level in self.levels if self._ended(level) is None]
        return levels, grid_means(self._board(levels))

    def _weigh(self, levels: Sequence[float], means: np.ndarray, leading: np.ndarray) -> None:
        """The chance of each level to be above what leads by more than the tolerance."""
        above = (means - leading[:, None] > self.config.race.tolerance).mean(axis=0)
        self.chances = dict(zip(levels, map(float, above), strict=True))

    def _board(self, levels: Sequence[float]) -> Scoreboard:
        cells: list[list[Run]] = [
            [tune, *(TicketRun(tune, "winning", level) for level in levels)] for tune in self.tuned
        ]
        wanted = {run.name for run in self.runs}
        rows = [[self.records.get(run.name) if run.name in wanted else None for run in row] for row in cells]
        scores = [[np.nan if one is None else one.selection.main for one in row] for row in rows]
        first: list[Record] = []
        for record in rows[0]:  # where the first seed's has failed, the next less sparse one stands for its noise
            first += [record] if record is not None else first[-1:]
        return Scoreboard((0.0, *levels), np.array(scores), example_noise(self.task, first))

    def _next(self) -> list[Run]:
        """One more seed for each level that races; the only one left gets all that it lacks."""
        lacking = [self._lacking(level) for level in self.racing]
        return [run for runs in lacking for run in (runs[:1] if len(lacking) > 1 else runs)]

    def _lacking(self, level: float) -> list[Run]:
        """The level's tickets that are not wanted yet."""
        wanted = {run.name for run in self.runs}
        return [run for run in self._tickets(level) if run.name not in wanted]

    def _controls(self, chosen: float) -> list[Run]:
        """Random tickets of the chosen level with every seed; all other controls with the first seed only."""
        tickets, made = self.config.tickets, list[Run]()
        others = _others(chosen, tickets.control_levels)
        for kind in [kind for kind in tickets.kinds if kind != "winning" and tickets.control_levels]:
            seeds = self.tuned if kind == "random" else self.tuned[:1]
            made += [TicketRun(tune, kind, chosen) for tune in seeds]
            made += [TicketRun(self.tuned[0], kind, level) for level in others]
        return made

    def _want(self, batch: Sequence[Run]) -> bool:
        self.runs += batch
        return all(run.name in self.records or self._is_lost(run) for run in batch)

    def _tickets(self, level: float) -> list[Run]:
        """The level's winning tickets, seed by seed, but those that are lost."""
        tickets = [TicketRun(tune, "winning", level) for tune in self.tuned]
        return [run for run in tickets if not self._is_lost(run)]

    def _is_lost(self, run: Run) -> bool:
        """Whether it has failed every time, or a tuned model that it needs has."""
        return not self.failed.isdisjoint({run.name, *(tune.name for tune in run.needs)})

    def _lost(self) -> list[Run]:
        """The winning tickets that have failed themselves."""
        tickets = [TicketRun(tune, "winning", level) for level in self.config.tickets.levels for tune in self.tuned]
        return [run for run in tickets if run.name in self.failed]

    def _done(self, level: float, kept: frozenset[str] = frozenset()) -> list[Record]:
        """The level's finished records among the runs that are wanted, and these."""
        names = kept.union(run.name for run in self.runs)
        found = [self.records.get(run.name) for run in self._tickets(level) if run.name in names]
        return [record for record in found if record is not None and record.stopped is None]

    def _ended(self, level: float) -> float | None:
        """The share of its training after which the level's run of the first seed was ended, if it was."""
        record = self.records.get(self._tickets(level)[0].name)
        return None if record is None else record.stopped

    def _finalists(self) -> tuple[float, ...] | None:
        """The levels that have run with every seed they can; where there is none, those with the most."""
        counts = {level: len(self._done(level)) for level in self.levels}
        whole = tuple(level for level, count in counts.items() if count == len(self._tickets(level)))
        most = max(counts.values(), default=0)
        return whole or (tuple(level for level, count in counts.items() if count == most) if most else None)

    def _best(self) -> float:
        """The choice: the finalist with the highest mean selection score over the seeds that all of them have.

        Of equals, the sparser.
        """
        scores = {
            level: {r.seed: r.selection.main for r in self._done(level)} for level in self._finalists() or self.racing
        }
        shared = set.intersection(*map(set, scores.values())) or set.union(*map(set, scores.values()))
        means = {level: np.mean([one[seed] for seed in one.keys() & shared]) for level, one in scores.items()}
        return max(means, key=lambda level: (means[level], level))

    def _is_whole(self, level: float) -> bool:
        """Whether the folder has all runs of the level, whoever wanted them."""
        return self._ended(level) is None and self.kept.issuperset(run.name for run in self._tickets(level))

    def _is_stopped(self, level: float) -> bool:
        judged = self._ended(level) is not None or level in self.chances
        out = level not in self.racing and not self._is_whole(level)
        return judged and out and len(self._done(level)) < len(self._tickets(level))

    def _stop(self, level: float) -> Stop:
        return Stop(level, len(self._done(level, self.kept)), self.chances.get(level), self._ended(level))


def _others(chosen: float, levels: Sequence[float]) -> list[float]:
    """Control levels beside the chosen one: the nearest and the furthest, but with it no more than a grid has."""
    others = sorted((level for level in levels if level != chosen), key=lambda one: (round(abs(one - chosen), 9), -one))
    most = min(OTHER_CONTROLS, len(levels) - 1)
    return others if len(others) <= most else [*others[:1], *others[-1:]][:most]
