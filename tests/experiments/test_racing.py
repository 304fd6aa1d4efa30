"""A race wants runs batch by batch, decides on records alone, and says which levels it stopped and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from fake_races import LEVELS, TASK, World, config_of
from supertickets.experiments.outcome import choose
from supertickets.experiments.plans import plan
from supertickets.experiments.racing import Schedule, Stop, is_watched, reason, rivals
from supertickets.experiments.records import Record
from supertickets.experiments.runs import Run, TicketRun, TuneRun
from supertickets.experiments.schedules import follow, schedule


def falling(sparsity: float) -> float:
    """The less sparse, the better, by two points a level."""
    return 0.88 - 0.2 * sparsity


def cells(runs: Sequence[Run]) -> list[tuple[str, float, int]]:
    """Kind, level and seed of each run."""
    return [(run.kind, run.sparsity, run.seed) for run in runs]


def test_a_grid_wants_its_plan() -> None:
    """Every run of the plan at once, whatever is there; there are no finalists and no stops."""
    config = config_of(strategy="grid")
    wanted = schedule(config, TASK, ())
    assert wanted == Schedule(tuple(plan(config)), 42)
    assert wanted.size == "42"


def test_a_race_begins_with_every_tuned_model_and_every_level_once() -> None:
    """Before any record it wants 3 full models and each level with the first seed, of at most 3 + 21 + 8 runs."""
    wanted = schedule(config_of("seeds=[2, 0, 1]"), TASK, ())
    assert cells(wanted.runs[:3]) == [("full", 0.0, 2), ("full", 0.0, 0), ("full", 0.0, 1)]
    assert cells(wanted.runs[3:]) == [("winning", level, 2) for level in LEVELS]
    assert (wanted.in_all, wanted.size, wanted.finalists, wanted.stops) == (32, "at most 32", None, ())


def test_controls_come_last_and_are_few() -> None:
    """Random tickets of the chosen level with every seed; losing ones, and both at two other levels, with the first."""
    race = World(lambda sparsity: 0.80 if sparsity in (0, 0.1) else 0.66).race(config_of())
    assert race.finalists == (0.1,)
    assert cells(race.runs[-8:]) == [
        ("random", 0.1, 0), ("random", 0.1, 1), ("random", 0.1, 2), ("random", 0.2, 0), ("random", 0.6, 0),
        ("losing", 0.1, 0), ("losing", 0.2, 0), ("losing", 0.6, 0),
    ]  # fmt: skip
    assert race.in_all == len(race.runs) == 3 + 7 + 2 + 8


@pytest.mark.parametrize(
    ("control", "kinds", "controls"),
    [("[0.2, 0.4]", "[winning, random, losing]", 6), ("[0.1]", "[winning, random, losing]", 4),
     ("[]", "[winning, random, losing]", 0), ("[0.2, 0.4]", "[winning, losing]", 2), ("[0.2]", "[winning]", 0)],
)  # fmt: skip
def test_control_levels_are_the_most_there_are(control: str, kinds: str, controls: int) -> None:
    """Controls have the chosen level and others of `control_levels`, together no more than these; none, no controls."""
    world = World(lambda sparsity: 0.80 if sparsity in (0, 0.1) else 0.66)
    race = world.race(config_of(f"tickets.control_levels={control}", f"tickets.kinds={kinds}"))
    assert len([run for run in race.runs if run.kind in ("random", "losing")]) == controls


def test_one_level_and_one_seed_are_run_as_a_grid_would() -> None:
    """One level runs with all seeds at once; with one seed nothing is left to stop."""
    one_level = schedule(config_of("tickets.levels=[0.3]"), TASK, ())
    assert cells(one_level.runs[3:]) == [("winning", 0.3, seed) for seed in (0, 1, 2)]
    one_seed = World(falling).race(config_of("seeds=[4]"))
    assert one_seed.finalists == LEVELS and one_seed.stops == () and one_seed.confidence == 1.0


def test_a_race_is_a_function_of_its_records() -> None:
    """From any part of its records it goes on as it would have, and records that it does not want change nothing."""
    config, world = config_of(), World(falling, world=3, luck=0.01)
    whole, found, _ = follow(config, TASK, world.find)
    names = [run.name for run in whole.runs]
    others = [world.find(run) for run in plan(config)]
    assert schedule(config, TASK, [*others, *reversed(found.values())]) == whole
    for lost in (1, 5, 9, 11, 14, len(names) - 1):
        kept = [record for record in found.values() if record.name != names[lost]]
        wanted = schedule(config, TASK, kept)
        assert [run.name for run in wanted.runs] == names[: len(wanted.runs)]
        assert names[lost] in [run.name for run in wanted.runs]
        again = follow(config, TASK, lambda run, lost=lost: None if run.name == names[lost] else world.find(run))  # type: ignore[misc]
        assert again[0] == wanted and [run.name for run in again[2]] == [names[lost]]


def test_report_predictions_decide_nothing() -> None:
    """Other report scores and predictions leave every decision as it was."""
    from dataclasses import replace

    from supertickets.learning.metrics import Scores

    config, world = config_of(), World(falling, world=5, luck=0.01)
    whole, found, _ = follow(config, TASK, world.find)
    blind = [
        replace(
            record,
            report=Scores(0.0, {}, 1),
            arrays={name: array for name, array in record.arrays.items() if "report" not in name},
        )
        for record in found.values()
    ]
    assert schedule(config, TASK, blind) == whole


def test_stops_say_when_and_why() -> None:
    """Each stopped level has its seeds and its chance, which is small, and a sentence says so."""
    race = World(falling).race(config_of())
    assert {stop.sparsity for stop in race.stops} == set(LEVELS) - set(race.finalists or ())
    assert all(1 <= stop.seeds < 3 and stop.chance is not None and stop.chance <= 0.1 for stop in race.stops)
    assert reason(Stop(0.5, 1, 0.031)) == "it ran with 1 seed; the chance that the whole grid would prefer it is 3.1 %"
    assert reason(Stop(0.5, 2, 0.0)).startswith("it ran with 2 seeds") and reason(Stop(0.5, 2, 0.0)).endswith("<0.1 %")
    assert reason(Stop(0.5, 0, None, 0.5)).startswith("its run of the first seed was hopeless after 50% of its")


def test_watched_runs_are_those_of_the_first_seed() -> None:
    """With checkpoints the sparser half of the levels waits for the rest, which are its rivals; without, none does."""
    config = config_of("race.checkpoints=[0.5]")
    first, second = TuneRun(config, 0), TuneRun(config, 1)
    early = [TicketRun(first, "winning", level) for level in LEVELS[:4]]
    assert rivals(TicketRun(first, "winning", 0.6)) == [first, *early]
    assert all(is_watched(run) and rivals(run) == [] for run in (first, *early))
    assert not is_watched(second) and not is_watched(TicketRun(first, "random", 0.6))
    assert rivals(TicketRun(second, "winning", 0.6)) == []
    assert cells(schedule(config, TASK, ()).runs[3:]) == [("winning", level, 0) for level in LEVELS[:4]]
    assert not is_watched(TuneRun(config_of(), 0))
    assert not is_watched(TuneRun(config_of("race.checkpoints=[0.5]", strategy="grid"), 0))


def test_a_run_that_was_ended_is_out() -> None:
    """Its level runs with no other seed, is no finalist, and is told as stopped in training."""
    config = config_of("race.checkpoints=[0.5]")
    ended = TicketRun(TuneRun(config, 0), "winning", 0.7)
    race = World(lambda sparsity: 0.8 + 0.1 * sparsity, special={ended.name: {"stopped": 0.5}}).race(config)
    assert [run.seed for run in race.runs if run.sparsity == 0.7 and run.kind == "winning"] == [0]
    assert 0.7 not in (race.finalists or ())
    assert race.stops[-1] == Stop(0.7, 0, None, 0.5)


def without(world: World, *lost: str) -> Callable[[Run], Record | None]:
    """Everything but the runs of these names."""
    return lambda run: None if run.name in lost else world.find(run)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("level", [None, 0.1, 0.4, 0.7])
def test_a_race_goes_on_without_a_run_that_failed(seed: int, level: float | None) -> None:
    """A full model, or a ticket, of any seed: the rest is raced to its end, and what failed is all that is lacking."""
    config, world = config_of(), World(falling, world=3, luck=0.01)
    tune = TuneRun(config, seed)
    lost = tune if level is None else TicketRun(tune, "winning", level)
    waiting, _, lacking = follow(config, TASK, without(world, lost.name))
    race, found, still = follow(config, TASK, without(world, lost.name), {lost.name})
    asked = {run.name for run in race.runs}
    if lost.name in {run.name for run in waiting.runs}:
        assert [run.name for run in lacking] == [run.name for run in still] == [lost.name]
    assert race.confidence is not None and race.confidence >= 0.9 and len(race.runs) >= 18
    assert {run.kind for run in race.runs} == {"full", "winning", "random", "losing"}
    assert not {run.name for run in race.runs if tune in run.needs} if level is None else found.keys() <= asked
    chosen = choose(list(found.values()), race.finalists).sparsity
    assert chosen in (race.finalists or ()) and abs(chosen - 0.1) <= 0.1


def test_a_watched_race_goes_on_without_a_whole_level_that_failed() -> None:
    """Of the levels that run first one is lost with every seed: the others are raced."""
    config, world = config_of("race.checkpoints=[0.5]"), World(falling, world=3, luck=0.01)
    lost = [TicketRun(TuneRun(config, seed), "winning", 0.1).name for seed in config.seeds]
    race, found, lacking = follow(config, TASK, without(world, *lost), set(lost))
    assert {run.name for run in lacking} <= set(lost) and race.confidence is not None
    assert abs(choose(list(found.values()), race.finalists).sparsity - 0.2) <= 0.1


def test_a_race_whose_levels_have_failed_or_were_ended_is_over() -> None:
    """There is nothing to choose; it says which were ended."""
    config = config_of("race.checkpoints=[0.5]")
    tuned = [TuneRun(config, seed) for seed in config.seeds]
    lost = [TicketRun(tune, "winning", level).name for tune in tuned for level in LEVELS[:4]]
    late = {TicketRun(tuned[0], "winning", level).name: {"stopped": 0.5} for level in LEVELS[4:]}
    race, _, lacking = follow(config, TASK, without(World(falling, special=late), *lost), set(lost))
    assert {run.name for run in lacking} <= set(lost) and race.finalists is None
    assert [(stop.sparsity, stop.ended) for stop in race.stops] == [(level, 0.5) for level in LEVELS[4:]]


def test_runs_of_an_earlier_smaller_sweep_count() -> None:
    """A level that has all its runs competes and is not called stopped; others stand with what they have."""
    config, world = config_of(), World(lambda sparsity: 0.8 - 0.1 * sparsity, world=3, luck=0.01)
    tuned = [TuneRun(config, seed) for seed in config.seeds]
    whole = [TicketRun(tune, "winning", 0.7) for tune in tuned]
    others = [TicketRun(tuned[1], "winning", 0.6), TicketRun(tuned[2], "random", 0.5)]
    names = {run.name for run in (*whole, *others)}
    fresh, _, _ = follow(config, TASK, world.find)
    grown, found, _ = follow(config, TASK, world.find, is_kept=lambda run: run.name in names)
    assert names <= found.keys() and names <= {run.name for run in grown.runs}
    assert {run.name for run in fresh.runs} <= found.keys() and grown.in_all == len(grown.runs)
    assert 0.7 in (grown.finalists or ()) and 0.7 not in (fresh.finalists or ())
    stops = {stop.sparsity: stop.seeds for stop in grown.stops}
    assert 0.7 not in stops and stops[0.6] == 2 and {stop.sparsity for stop in fresh.stops} == {0.7, *stops}
    begun, known, lacking = follow(
        config, TASK, lambda run: world.find(run) if run.name in names else None, is_kept=lambda run: run.name in names
    )
    assert known.keys() == names and lacking[:3] == tuned and begun.in_all >= len(begun.runs)
    assert not begun.stops


def test_a_level_of_an_earlier_sweep_may_win() -> None:
    """Its runs decide nothing of what is run, but it is chosen when its mean is the highest."""
    best = {TicketRun(TuneRun(config_of(), seed), "winning", 0.7).name: {} for seed in (1, 2)}
    config, world = config_of(), World(lambda sparsity: 0.95 if sparsity == 0.7 else 0.8, world=3)
    poor = World(lambda sparsity: 0.5 if sparsity == 0.7 else 0.8, world=3)
    first = TicketRun(TuneRun(config, 0), "winning", 0.7)
    names = {first.name, *best}

    def find(run: Run) -> Record:  # its first seed was unlucky: the race alone would stop it
        return (poor if run.name == first.name else world).find(run)

    alone, known, _ = follow(config, TASK, find)
    assert 0.7 not in (alone.finalists or ())
    race, found, _ = follow(config, TASK, find, is_kept=lambda run: run.name in names)
    assert 0.7 in (race.finalists or ()) and {run.name for run in alone.runs} <= {*found}
    assert choose(list(known.values()), alone.finalists).sparsity != 0.7


def test_a_grid_keeps_controls_of_earlier_levels() -> None:
    """Those at levels that are still there: they are paid for."""
    config, world = config_of("tickets.control_levels=[0.2]", strategy="grid"), World(falling)
    old = [TicketRun(TuneRun(config, seed), "random", 0.4) for seed in config.seeds]
    names = {run.name for run in old}
    wanted, found, lacking = follow(config, TASK, world.find, is_kept=lambda run: run.name in names)
    assert [*wanted.runs] == [*plan(config), *old] and names <= found.keys() and not lacking
    assert wanted.in_all == len(plan(config)) + 3


def test_a_race_in_which_every_full_model_failed_is_over() -> None:
    """Nothing can be drawn: it wants the full models, and chooses nothing."""
    config = config_of()
    names = [TuneRun(config, seed).name for seed in config.seeds]
    race = schedule(config, TASK, (), names)
    assert [run.name for run in race.runs] == names and race.finalists is None and race.in_all == 3


def test_a_consensus_is_over_with_its_first_full_model() -> None:
    """All seeds draw one ticket, so without one of them there is none."""
    config = config_of("tickets.importance=consensus")
    race = schedule(config, TASK, (), [TuneRun(config, 1).name])
    assert {run.kind for run in race.runs} == {"full"} and race.finalists is None
