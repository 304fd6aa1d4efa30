"""Write the tables of docs/better.md from the sweeps of runs/better.sh.

Usage: python docs/make_better.py [FOLDER]   (default: results/better)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

from make_choices import BASE, Row, finished, interval_of, rows
from supertickets.config import Config
from supertickets.data.tasks import Task
from supertickets.endings import Baseline
from supertickets.experiments.baseline_outcome import chosen_variant
from supertickets.experiments.baselines import ARMS, variants_of
from supertickets.experiments.jackknife import Estimate
from supertickets.experiments.outcome import choose, comparable, full_models, of_kind, signed, spread
from supertickets.experiments.plans import plan
from supertickets.experiments.records import Record, load_all
from supertickets.experiments.runs import SOUPS
from supertickets.experiments.statistics import Interval, average_difference, average_summary, difference, summary
from supertickets.experiments.workspace import Workspace
from table_rows import head, line

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "better.md"
MARK = re.compile(r"<!-- made by docs/make_better.py -->.*<!-- end -->", re.DOTALL)
TITLES = {"recipe": "The recipe", "neurons": "Neurons, and twelve epochs"}
Side = tuple[Task, Sequence[Record], Sequence[Record]]


class Found(NamedTuple):
    """One task's sweep of the recipe: its own records, all of them, and the chosen level."""

    task: Task
    config: Config
    full: list[Record]
    ticket: list[Record]
    every: list[Record]
    sparsity: float


class Level(NamedTuple):
    """One level of the base on one task: every choice at its weights, and the full models of every choice's sweep."""

    task: Task
    rows: list[Row]
    full: dict[str, list[Record]]

    @property
    def base(self) -> list[Record]:
        """The base's own tickets."""
        return next(row.records for row in self.rows if row.choice == BASE)


CHOICES_TEXT = fill(
    "Each cell: the mean score of three seeds and, in brackets, its difference to the full models trained alike, with "
    "a 95 % interval over seeds and examples. Levels were fixed beforehand; all choices of a table keep the same share "
    "of the encoder's weights. Of so many intervals one in twenty misses zero by chance.",
    width=140,
)


def main() -> None:
    """Write the page's tables from the folder that is named, or from results/better."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "results" / "better"
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), folder), encoding="utf-8")


def filled(page: str, folder: Path) -> str:
    """The page with its tables made from this folder."""
    parts = [
        *(recipe_tables(folder / name, title) for name, title in TITLES.items()),
        choice_tables(folder / "choices"),
    ]
    body = "\n\n".join(part for part in parts if part) or "No result is kept yet."
    return MARK.sub(lambda _: f"<!-- made by docs/make_better.py -->\n\n{body}\n\n<!-- end -->", page)


def choice_tables(folder: Path) -> str:
    """For each encoder, size and level: every choice on every task, and its mean differences over tasks."""
    cells = {path.name: _cell(path) for path in sorted(folder.glob("*")) if finished(path / BASE)}
    parts = []
    names = sorted(cells, key=lambda name: (_parts(name)[2], _parts(name)[1], name))
    for (encoder, size), group in groupby(names, key=lambda name: _parts(name)[:0:-1]):
        tasks = list(group)
        for place in range(min(len(cells[name]) for name in tasks)):
            weights = f"{100 * cells[tasks[0]][place].rows[0].weights:.0f} %"
            title = f"### {encoder}, {size} training examples, {weights} of the encoder's weights"
            parts += [title, _choices([_parts(name)[0] for name in tasks], [cells[name][place] for name in tasks])]
    return "\n\n".join(["## What to drop, and how to score it", CHOICES_TEXT, *parts]) if parts else ""


def _parts(name: str) -> tuple[str, int, str]:
    task, size, encoder = name.split("-")
    return task, int(size), encoder


def _cell(folder: Path) -> list[Level]:
    """Each level of the base, sparsest last, with the rows of every finished choice."""
    sweeps = {path.name: Workspace.open(path) for path in sorted(folder.glob("*")) if finished(path)}
    records = {name: load_all(sweep.folder) for name, sweep in sweeps.items()}
    records = {BASE: records.pop(BASE), **records}
    full = {name: full_models(found) for name, found in records.items()}
    base = sweeps[BASE]
    return [Level(base.task, rows(level, base, records), full) for level in of_kind(records[BASE], "winning")]


def _choices(tasks: list[str], levels: list[Level]) -> str:
    """One row a choice; mean differences are over all tasks, where all have the choice."""
    found = [{row.choice: row for row in level.rows} for level in levels]
    lines = head(["choice", *tasks, "mean minus full model [95 %]", f"mean minus `{BASE}` [95 %]"])
    full = [spread(summary(level.full[BASE])) for level in levels]
    lines.append(line(["full model", *full, "", ""]))
    for name in dict.fromkeys(row.choice for level in levels for row in level.rows):
        both = [(level, rows[name]) for level, rows in zip(levels, found, strict=True) if name in rows]
        to_full: list[Side] = [(level.task, row.records, level.full[name]) for level, row in both]
        to_base: list[Side] = [(level.task, row.records, level.base) for level, row in both]
        shown = {id(level): _score(row, level, name) for level, row in both}
        whole = len(both) == len(levels)
        means = [_gap(average_difference(to_full)), _gap(average_difference(to_base)) if name != BASE else ""]
        cells = [shown.get(id(level), "") for level in levels]
        lines.append(line([f"`{name}`", *cells, *(means if whole else ["", ""])]))
    return "\n".join(lines)


def _score(row: Row, level: Level, name: str) -> str:
    """The mean score, and the difference to the full models of the same sweep with its interval."""
    mean = f"{100 * summary(row.records).mean:.1f}".replace("-", "−")
    return f"{mean} ({_gap(difference(level.task, row.records, level.full[name]))})"


def recipe_tables(folder: Path, title: str) -> str:
    """A recipe's ticket, and its soup, against the full model's and every baseline, by task and on average."""
    found = [_recipe(path) for path in sorted(folder.glob("*")) if finished(path)]
    if not found:
        return ""
    tasks = [one.task.name for one in found]
    kept = [f"{100 * sum(r.size.weights_encoder for r in one.ticket) / len(one.ticket):.1f} %" for one in found]
    lines = [*head(["", *tasks, "mean"]), line(["encoder weights kept", *kept, ""])]
    lines += [_scores("full model", [one.full for one in found]), _scores("ticket", [one.ticket for one in found])]
    lines += [_differences("ticket minus full model", [(one.task, one.ticket, one.full) for one in found])]
    parts = [f"## {title}", "\n".join([*lines, *_soups(found)]), _baselines(found)]
    return "\n\n".join(part for part in parts if part)


def _recipe(folder: Path) -> Found:
    sweep, every = Workspace.open(folder), load_all(folder)
    planned = {run.name for run in plan(sweep.config)}
    own = [record for record in every if record.name in planned]
    sparsity = choose(own).sparsity
    return Found(sweep.task, sweep.config, full_models(own), comparable(own)[sparsity], every, sparsity)


def _soups(found: list[Found]) -> list[str]:
    """Rows of the soups, where every task has both."""
    both = [{record.kind: record for record in _souped(one)} for one in found]
    if any(set(kinds) != set(SOUPS) for kinds in both):
        return []
    ticket, full = (
        [Estimate.of_soup(one.task, both[i][kind], draw=i) for i, one in enumerate(found)] for kind in SOUPS
    )
    gaps = [a - b for a, b in zip(ticket, full, strict=True)]
    single = [Estimate.of_mean(one.task, one.full, draw=i) for i, one in enumerate(found)]
    gains = [a - b for a, b in zip(ticket, single, strict=True)]
    lines = [
        line([f"{words} soup", *(f"{100 * one.value:.1f}" for one in [*side, Estimate.average(side)])])
        for words, side in (("full", full), ("ticket", ticket))
    ]
    for words, each in (("ticket soup minus full soup", gaps), ("ticket soup minus full model", gains)):
        lines.append(line([words, *(_gap(one.interval) for one in [*each, Estimate.average(each)])]))
    return lines


def _souped(one: Found) -> list[Record]:
    soup, levels = one.config.delivery.soup, (0.0, one.sparsity)
    return [r for r in one.every if r.settings.get("delivery.soup") == soup and r.sparsity in levels]


def _baselines(found: list[Found]) -> str:
    """Every baseline that some task has: its score, and the ticket minus it; means where all tasks have it."""
    arms: list[Baseline] = [arm for arm in ARMS if any(_arm(one, arm) for one in found)]
    lines = head(["baseline", *(one.task.name for one in found), "mean"])
    for arm in arms:
        sides = [_against(one, arm) for one in found]
        have = [side for side in sides if side is not None]
        whole = len(have) == len(sides)
        scores = [spread(summary(side[2])) if side else "" for side in sides]
        gaps = [_gap(difference(*side)) if side else "" for side in sides]
        means = spread(average_summary([side[2] for side in have])) if whole else ""
        lines.append(line([ARMS[arm].words, *scores, means]))
        lines.append(line(["ticket minus it", *gaps, _gap(average_difference(have)) if whole else ""]))
    return "\n".join(lines) if arms else ""


def _against(one: Found, arm: Baseline) -> Side | None:
    """The ticket with the same chances, and the baseline's records; None where the task does not have all of these."""
    rival, against = _arm(one, arm), ARMS[arm].against
    ticket = _arm(one, against) if against else one.ticket
    return (one.task, ticket, rival) if rival and ticket else None


def _arm(one: Found, arm: Baseline) -> list[Record] | None:
    by_name = {record.name: record for record in one.every}
    chosen = chosen_variant(variants_of(one.config, arm, one.sparsity), by_name)
    return chosen[1] if chosen else None


def _scores(words: str, groups: list[list[Record]]) -> str:
    return line([words, *(spread(summary(group)) for group in groups), spread(average_summary(groups))])


def _differences(words: str, sides: Sequence[Side]) -> str:
    return line([words, *(_gap(difference(*side)) for side in sides), _gap(average_difference(sides))])


def _gap(value: Interval) -> str:
    return f"{signed(value.value)} {interval_of(value)}"


if __name__ == "__main__":
    main()
