"""Write docs/choices.md from the sweeps of runs/choices.sh: which way of choosing or training tickets does best.

Usage: python docs/make_choices.py [FOLDER]   (default: results/choices)
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

from supertickets import storage
from supertickets.experiments.layout import CONFIG_FILE, OUTCOME_FILE
from supertickets.experiments.outcome import full_models, of_kind, signed, spread
from supertickets.experiments.records import Record, load_all
from supertickets.experiments.runs import settings_of
from supertickets.experiments.statistics import Interval, difference, summary
from supertickets.experiments.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "choices.md"
BASE = "as_described"
CHOICES = {
    BASE: "the paper: mean absolute gradient of the gates, whole FFN sublayers, scored once, trained on the labels",
    "neurons": "single FFN neurons instead of whole sublayers",
    "teacher": "tickets also learn from the tuned full model's outputs",
    "iterative": "scored anew after each of several rounds of dropping",
    "divergence": "scored without labels, by how far the outputs move",
    "taylor": "mean squared gradient",
    "as_released": "the sum of the 2021 code, which depends on the order of the file",
    "magnitude": "norm of a unit's weights; looks at no data",
    "random": "scores drawn by chance",
}
HEADER = f"| choice | encoder weights left | score | difference to `{BASE}` [95 %] | seeds |\n|---|---|---|---|---|"


class Row(NamedTuple):
    """One choice at one level of the base; no `gap` for the base itself."""

    choice: str
    weights: float
    records: list[Record]
    gap: Interval | None

    @property
    def differs(self) -> bool:
        """Whether the interval tells this choice from the base."""
        return self.gap is not None and not self.gap.covers_zero

    @property
    def cells(self) -> str:
        """The row of the table; scores x 100."""
        gap = "" if self.gap is None else f"{signed(self.gap.value)} {interval_of(self.gap)}"
        score = spread(summary(self.records))
        return f"| `{self.choice}` | {100 * self.weights:.1f} % | {score} | {gap} | {len(self.records)} |"


def main() -> None:
    """Write the page from the folder that is named, or from results/choices."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "results" / "choices"
    PAGE.write_text(page(folder), encoding="utf-8")


def page(folder: Path) -> str:
    """The page that these sweeps make; exits when the base is not finished."""
    missing = [name for name in CHOICES if not finished(folder / name)]
    if BASE in missing:
        sys.exit(f"{folder / BASE} is no finished sweep, and all others are compared with it: run runs/choices.sh")
    sweeps = {name: Workspace.open(folder / name) for name in CHOICES if name not in missing}
    records = {name: load_all(sweep.folder) for name, sweep in sweeps.items()}
    levels = {level: rows(level, sweeps[BASE], records) for level in of_kind(records[BASE], "winning")}
    return "\n\n".join(
        [
            "# Choices compared",
            "Made by `python docs/make_choices.py` from the records under results/choices: do not edit.",
            _about(sweeps[BASE], records),
            _choices(sweeps, missing),
            "## What the numbers say\n\n" + _said(levels),
            *(_section(level, rows) for level, rows in levels.items()),
            _remake(missing),
        ]
    )


def finished(sweep: Path) -> bool:
    """Whether a folder holds a sweep of which nothing is missing."""
    path = sweep / OUTCOME_FILE
    return (sweep / CONFIG_FILE).is_file() and path.is_file() and not storage.read_json(path)["missing"]


def rows(level: float, base: Workspace, records: dict[str, list[Record]]) -> list[Row]:
    """Every choice at the level of its own whose weights are nearest to those of the base's level."""
    ours = of_kind(records[BASE], "winning")[level]
    made = []
    for name, found in records.items():
        theirs = min(of_kind(found, "winning").values(), key=lambda group: abs(weights_of(group) - weights_of(ours)))
        gap = None if name == BASE else difference(base.task, theirs, ours)
        made.append(Row(name, weights_of(theirs), theirs, gap))
    return made


def weights_of(group: list[Record]) -> float:
    """The mean share of encoder weights that the records of a level keep."""
    return sum(record.size.weights_encoder for record in group) / len(group)


def _about(base: Workspace, records: dict[str, list[Record]]) -> str:
    config, full = base.config, full_models(records[BASE])
    rows = {split: about["rows"] for split, about in base.data["sizes"].items()}
    trained = min(rows["train"], config.data.train_examples or rows["train"])
    same = all(_same_models(full_models(found), full) for found in records.values())
    models = (
        "The tuned full models of all choices are the same, example by example: only the tickets differ."
        if same
        else "The tuned full models of the choices are not all the same, so a part of a difference may be theirs."
    )
    sizes = (
        f"Task {base.task.name}, encoder {config.encoder.name}, {trained} of {rows['train']} training examples (a part "
        f"of them held out to choose by), {full[0].report.n} report examples, {len(full)} seeds. Winning tickets only; "
        f"every choice draws, rewinds and retrains its own. Scores are {' and '.join(base.task.metrics)} × 100 on the "
        f"report split, mean ± standard deviation over seeds. The tuned full model scores {spread(summary(full))}."
    )
    differences = (
        f"A difference is to `{BASE}` at the same weights left, paired by seed and example, with its 95 % interval "
        "over both ([how](statistics.md)). Levels were fixed beforehand. The highest of several means is partly luck: "
        "look at the intervals."
    )
    return "\n\n".join(fill(text, 120, break_on_hyphens=False) for text in (f"{sizes} {models}", differences))


def _same_models(a: list[Record], b: list[Record]) -> bool:
    pairs = zip(a, b, strict=False)
    name = "report_predictions"
    return len(a) == len(b) and all((x.arrays[name] == y.arrays[name]).all() for x, y in pairs)


def _choices(sweeps: dict[str, Workspace], missing: list[str]) -> str:
    base = settings_of(sweeps[BASE].config)
    lines = ["| choice | what it is | set |", "|---|---|---|"]
    for name, words in CHOICES.items():
        if name in missing:
            lines.append(f"| `{name}` | {words} | not there yet |")
            continue
        ours: dict[str, Any] = settings_of(sweeps[name].config)
        changed = [f"`{key}={value}`" for key, value in ours.items() if value != base[key]]
        lines.append(f"| `{name}` | {words} | {', '.join(changed)} |")
    return "\n".join(lines)


def _said(levels: dict[float, list[Row]]) -> str:
    """One sentence a level, and how many intervals would miss zero by chance."""
    lines = [_best(level, rows) for level, rows in levels.items()]
    others = [row for rows in levels.values() for row in rows if row.gap is not None]
    if not others:  # only the base is there
        return "Nothing yet: no other choice is finished."
    count, sure = len(others), sum(row.differs for row in others)
    lines.append(
        f"- {sure} of {count} intervals {'excludes' if sure == 1 else 'exclude'} zero. If no choice made a difference, "
        f"chance alone would be expected to make {0.05 * count:.1f} of {count} do so."
    )
    return "\n".join(lines)


def _best(level: float, rows: list[Row]) -> str:
    ahead = max(rows, key=lambda row: summary(row.records).mean)
    better, worse = (
        [row for row in rows if row.differs and row.gap is not None and (row.gap.value > 0) == up]
        for up in (True, False)
    )
    sentences = [f"- Level {level:g}: the highest mean is that of `{ahead.choice}` ({spread(summary(ahead.records))})."]
    if ahead.gap is not None and not ahead.differs and (better or worse):
        sentences.append(f"Its interval to `{BASE}` includes zero.")
    sentences += [f"Better than `{BASE}`, zero outside the interval: {_names(better)}."] if better else []
    sentences += [f"Worse, zero outside the interval: {_names(worse)}."] if worse else []
    if not better and not worse:
        sentences.append(f"No interval excludes zero: {_few(rows)} not tell any choice from `{BASE}` here.")
    return " ".join(sentences)


def _few(rows: list[Row]) -> str:
    seeds = max(len(row.records) for row in rows)
    return f"{seeds} seeds do" if seeds > 1 else "one seed does"


def _names(rows: list[Row]) -> str:
    return ", ".join(f"`{row.choice}` ({signed(row.gap.value)} {interval_of(row.gap)})" for row in rows if row.gap)


def interval_of(gap: Interval) -> str:
    """The interval alone, x 100."""
    return f"[{signed(gap.low)}, {signed(gap.high)}]"


def _section(level: float, rows: list[Row]) -> str:
    return "\n\n".join([f"## Level {level:g}", "\n".join([HEADER, *(row.cells for row in rows)])])


def _remake(missing: list[str]) -> str:
    left = f" Not there yet, and left out above: {', '.join(f'`{name}`' for name in missing)}." if missing else ""
    return (
        "## How to make it again\n\n```\nruns/choices.sh             # makes, or resumes, every choice; or name some\n"
        "python docs/make_choices.py # writes this page\n```\n\n"
        f"Same machine, same threads: same numbers.{left}\n"
    )


if __name__ == "__main__":
    main()
