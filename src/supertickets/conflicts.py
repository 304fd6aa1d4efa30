"""What no setting can know alone: settings that do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from supertickets.config import Config, DataConfig, ShareConfig, SharedTaskConfig, TicketsConfig, TransferConfig
from supertickets.schema import Fault, get, suggest
from supertickets.yaml_places import Loc

KNOWN_TASKS = ("cola", "sst2", "mrpc", "stsb", "rte", "wnli", "qnli", "qqp", "mnli", "snli", "scitail")
MOST_RUNS = 100_000  # ten times what the bookkeeping is measured with
LONGEST_NAME = 100  # bytes of a task's name; folders' names hold 255 with what is added to them
EMBEDDED_TASK = "movie-reviews"

Conflict = tuple[Fault, tuple[Loc, ...]]

_LEVELS: Loc = ("tickets", "levels")
_CONTROL: Loc = ("tickets", "control_levels")
_TARGET: Loc = ("tickets", "target")
_RANKING: Loc = ("tickets", "ranking")
IMPORTANCE: Loc = ("tickets", "importance")
SOUP: Loc = ("delivery", "soup")
SPLIT: Loc = ("selection", "split")
HEAD: Loc = ("encoder", "head")
RESAMPLABLE = ("as_described", "taylor")  # as learning.scoring has them, which loads torch
_TASK, _FOLDER, _TRAIN, _TEST = _DATA = tuple(("data", name) for name in ("task", "folder", "train", "test"))


def conflicts(config: Config) -> Iterator[Conflict]:
    """Each fault with the settings it follows from."""
    if isinstance(config, ShareConfig):
        yield from _tasks(config)
    else:
        yield from _data(config)
        yield from _columns(config)
    if isinstance(config, TransferConfig):
        yield from _transfer(config)
    lists: tuple[Loc, ...] = (("arms",),) if isinstance(config, ShareConfig | TransferConfig) else ()
    lists += (("shares",),) if isinstance(config, TransferConfig) else ()
    for loc in (_LEVELS, _CONTROL, ("tickets", "kinds"), ("baselines", "arms"), ("seeds",), *lists):
        values = get(config, loc)
        twice = [value for index, value in enumerate(values) if value in values[:index]]
        if twice:
            yield Fault(loc, f"holds {twice[0]} twice"), (loc,)
    runs = len(config.seeds) * (1 + len(config.tickets.levels) + 2 * len(config.tickets.control_levels))
    if runs > MOST_RUNS:
        what = f"seeds and levels come to {runs:,} runs, where at most {MOST_RUNS:,} can be planned"
        yield Fault(("seeds",), what), (("seeds",), _LEVELS)
    yield from _levels(config.tickets) if config.tickets.target is None else _targets(config.tickets)
    rounds = config.scoring.rounds
    if config.tickets.ranking == "joint" and rounds > 1:
        what = f"joint ranks by scores per weight, but scoring.rounds {rounds} gives an order; rank apart"
        yield Fault(_RANKING, what), (_RANKING, ("scoring", "rounds"))
    yield from _resamples(config)
    yield from _joined(config)
    low, high = config.selection.min_share, config.selection.max_share
    if low > high:
        locs = (("selection", "min_share"), ("selection", "max_share"))
        yield Fault(locs[0], f"must be selection.max_share ({high}) or less, not {low}"), locs


def _resamples(config: Config) -> Iterator[Conflict]:
    """Only scores that are a mean over examples, taken once, can be had on resamples of them."""
    loc, scoring = ("scoring", "resamples"), config.scoring
    if scoring.resamples and scoring.scorer not in RESAMPLABLE:
        what = f"needs scoring.scorer {' or '.join(RESAMPLABLE)}, a mean over examples, not {scoring.scorer}"
        yield Fault(loc, what), (loc, ("scoring", "scorer"))
    elif scoring.resamples and scoring.rounds > 1:
        yield Fault(loc, f"needs scoring.rounds 1, not {scoring.rounds}"), (loc, ("scoring", "rounds"))


def _joined(config: Config) -> Iterator[Conflict]:
    """What joins seeds may have seen no seed's selection examples, and needs one mask and one head start."""
    soup, seeds = config.delivery.soup, len(config.seeds)
    for loc, needed, joins in (
        (SPLIT, "common", [*_needing(config, IMPORTANCE, "consensus"), *_needing(config, SOUP, "uniform", "greedy")]),
        (HEAD, "common", _needing(config, SOUP, "uniform", "greedy")),
        (IMPORTANCE, "consensus", _needing(config, SOUP, "uniform", "greedy")),
    ):
        if joins and get(config, loc) != needed:
            because, value = joins[0], get(config, joins[0])
            yield Fault(loc, f"must be {needed} with {'.'.join(map(str, because))} {value}"), (loc, because)
    if soup != "none" and seeds < 2:
        yield Fault(SOUP, "needs two seeds at least, whose weights are averaged"), (SOUP, ("seeds",))


def _needing(config: Config, loc: Loc, *values: str) -> list[Loc]:
    return [loc] if get(config, loc) in values else []


def task_config(config: ShareConfig, name: str) -> Config:
    """One task's own settings: what it says itself, and for the rest what holds for every task."""
    own, default = config.tasks[name], SharedTaskConfig()
    names = [field.name for field in fields(DataConfig)]
    said = {name: getattr(own, name) for name in names if getattr(own, name) != getattr(default, name)}
    files = own.train is not None or own.test is not None
    # A known task's files lie in a folder and their columns are known; one's own are neither.
    known = replace(config.data, text=default.text, text_pair=default.text_pair, label=default.label)
    shared = replace(config.data, folder=None) if files else known
    data = replace(shared, **{"task": name, **said})
    rest = {f.name: getattr(config, f.name) for f in fields(Config) if f.name != "data"}
    return Config(data=data, **rest)


def _tasks(config: ShareConfig) -> Iterator[Conflict]:
    """The faults of each task on its own, and of all of them together."""
    if not config.tasks:
        yield Fault(("tasks",), "must name at least one task, such as `rte: {}`"), (("tasks",),)
    for name in config.tasks:
        if odd := _as_name(name):
            yield Fault(("tasks", name), odd), (("tasks",),)
            continue
        one, here = task_config(config, name), ("tasks", name)
        if config.tasks[name].ticket is not None:
            continue  # its sweep has the data
        for fault, _ in (*_data(one), *_columns(one)):
            yield Fault((*here, *fault.loc[1:]), fault.text), (here,)
    weights = config.sampling.weights
    here = ("sampling", "weights")
    if weights is not None and set(weights) != set(config.tasks):
        yield Fault(here, f"are for {', '.join(weights)}; the tasks are {', '.join(config.tasks)}"), (here, ("tasks",))
    elif weights is not None and abs(sum(weights.values()) - 1) > 1e-6:
        yield Fault(here, f"must add up to 1, not to {sum(weights.values()):g}"), (here,)
    if config.training.gradient_accumulation > 1:
        here = ("training", "gradient_accumulation")
        yield Fault(here, "must be 1 here: a step belongs to one task"), (here,)
    if config.training.teacher != "none":
        here = ("training", "teacher")
        yield Fault(here, "must be none here: tasks learn from their labels and from each other"), (here,)


def _transfer(config: TransferConfig) -> Iterator[Conflict]:
    """What a transfer has no use for."""
    if config.training.teacher != "none":
        here = ("training", "teacher")
        yield Fault(here, "must be none here: models learn from the new task's labels"), (here,)
    if config.tickets.target is not None:
        yield Fault(_TARGET, "is for one task's sweep; give tickets.levels here"), (_TARGET,)
    if config.tickets.importance != "seed":
        yield Fault(IMPORTANCE, "must be seed here: each seed draws its own share of the examples"), (IMPORTANCE,)
    if config.delivery.soup != "none":
        yield Fault(SOUP, "must be none here: a transfer keeps no models"), (SOUP,)
    if config.baselines.arms:
        here = ("baselines", "arms")
        yield Fault(here, "are for one task's sweep; a transfer has arms of its own"), (here,)


def _as_name(name: str) -> str:
    """What is wrong with a task's name, which names a folder, too; empty where nothing is."""
    if name.strip(". ") != name or not name or any(char in "/\\\0" or not char.isprintable() for char in name):
        return "a task's name is a folder's, too: no slash, no dot or space at an end, nothing that cannot be printed"
    return (
        "" if len(name.encode(errors="replace")) <= LONGEST_NAME else f"a task's name has {LONGEST_NAME} bytes at most"
    )


def _levels(tickets: TicketsConfig) -> Iterator[Conflict]:
    if not tickets.levels:
        yield Fault(_LEVELS, "must be a list of 1 or more, not []"), (_LEVELS,)
        return
    strangers = [level for level in tickets.control_levels if level not in tickets.levels]
    if strangers:
        levels = ", ".join(map(str, tickets.levels))
        yield Fault(_CONTROL, f"must be among the levels ({levels}), which {strangers[0]} is not"), (_CONTROL, _LEVELS)


def _targets(tickets: TicketsConfig) -> Iterator[Conflict]:
    """A target sets the one level, which stands beside it in the config of a sweep's folder."""
    for loc, by_hand in ((_LEVELS, len(tickets.levels) > 1), (_CONTROL, tickets.control_levels != tickets.levels)):
        if by_hand:
            yield Fault(loc, f"is set by tickets.target ({tickets.target}); leave one of them out"), (loc, _TARGET)
            return
    if tickets.ranking == "joint":  # which heads and FFN units a level drops, and so its cost, is known after scoring
        yield (
            Fault(_TARGET, "needs tickets.ranking apart, whose tickets of a level all cost the same"),
            (
                _TARGET,
                _RANKING,
            ),
        )


def _columns(config: Config) -> Iterator[Conflict]:
    """Columns name parts of your own files; a known task's and the embedded one's are known."""
    data, default = config.data, DataConfig()
    if data.train is not None or data.test is not None:
        return
    for name in ("text", "text_pair", "label"):
        if getattr(data, name) != getattr(default, name):
            loc = ("data", name)
            yield Fault(loc, "is for your own files; give data.train and data.test, or leave it out"), (loc, *_DATA)


def _data(config: Config) -> Iterator[Conflict]:
    """A known task and its folder, or your own train and test, or the embedded task (also when nothing is said)."""
    task, folder, train, test = (get(config, loc) for loc in _DATA)
    for loc in (*_DATA, ("encoder", "name")):
        if "\0" in (get(config, loc) or ""):
            yield Fault(loc, "holds a NUL character, which no path and no name has"), (loc,)
    if task is not None and (odd := _as_name(task)):
        yield Fault(_TASK, odd), (_TASK,)
    known = task is not None and "".join(filter(str.isalnum, task.lower())) in KNOWN_TASKS
    if train is not None or test is not None:
        if folder is not None:
            yield Fault(_FOLDER, "does not go with data.train and data.test; give one or the other"), _DATA
        if test is None:
            yield Fault(_TRAIN, "needs data.test beside it: the examples to report on"), _DATA
        if train is None:
            yield Fault(_TEST, "needs data.train beside it: the examples to train on"), _DATA
    elif folder is not None and task in (None, EMBEDDED_TASK):
        yield Fault(_FOLDER, f"needs data.task beside it: one of {', '.join(KNOWN_TASKS)}"), _DATA
    elif known and folder is None:
        yield Fault(_TASK, f"{task} needs data.folder beside it: the folder that holds its files"), _DATA
    elif not known and task not in (None, EMBEDDED_TASK):
        yield Fault(_TASK, f"unknown task {task}; {suggest(task, KNOWN_TASKS)}"), _DATA
