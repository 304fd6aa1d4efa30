"""Write the tables of docs/sharing.md from the kept experiment in results/sharing.

Usage: python docs/make_sharing.py [FOLDER]   (default: results/sharing)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from supertickets.experiments.outcome import spread
from supertickets.experiments.sharing_outcome import (
    COMPARED,
    METHODS,
    NAMES,
    Column,
    Comparison,
    SharingOutcome,
    conclude_sharing,
    whole_sentence,
)
from supertickets.experiments.sharing_reading import read_sharing
from supertickets.experiments.statistics import Interval
from supertickets.reports.sharing_prose import notes
from table_rows import head, line

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "sharing.md"
MARK = re.compile(r"<!-- made by docs/make_sharing.py -->.*<!-- end -->", re.DOTALL)


def main() -> None:
    """Write the page's tables from the folder that is named, or from results/sharing."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "results" / "sharing"
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), folder), encoding="utf-8")


def filled(page: str, folder: Path) -> str:
    """The page with its sentence and tables made from this folder."""
    sharing = read_sharing(folder)
    outcome = conclude_sharing(sharing)
    about = "\n".join(f"- {note}" for note in notes(sharing))
    body = "\n\n".join([whole_sentence(sharing, outcome), scores(outcome), differences(outcome), about])
    return MARK.sub(lambda _: f"<!-- made by docs/make_sharing.py -->\n\n{body}\n\n<!-- end -->", page)


def scores(outcome: SharingOutcome) -> str:
    """One row a task: what its ticket keeps, and the score of every method that has been trained."""
    trained = [method for method in METHODS if method in outcome.average.scores]
    lines = head(["task", "weights run", *(NAMES[method] for method in trained)])
    weights = {name: share.all for name, share in outcome.kept.by_task.items()} | {"mean": outcome.kept.mean.all}
    for name, column in _columns(outcome).items():
        cells = [spread(column.scores[method]) if method in column.scores else "" for method in trained]
        lines.append(line([name, f"{100 * weights[name]:.1f} %", *cells]))
    return "\n".join(lines)


def differences(outcome: SharingOutcome) -> str:
    """One row a task: what is held against what; bold where the interval excludes zero."""
    pairs = [pair for pair in COMPARED if pair in outcome.average.differences]
    lines = head(["task", *(f"{NAMES[ours]} less {NAMES[theirs]}" for ours, theirs in pairs)])
    for name, column in _columns(outcome).items():
        lines.append(line([name, *(_told(column, pair) for pair in pairs)]))
    return "\n".join(lines)


def _columns(outcome: SharingOutcome) -> Mapping[str, Column]:
    return {**outcome.tasks, "mean": outcome.average}


def _told(column: Column, pair: Comparison) -> str:
    if pair not in column.differences:
        return ""
    gap: Interval = column.differences[pair]
    words = f"{100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
    return words if gap.covers_zero else f"**{words}**"


if __name__ == "__main__":
    main()
