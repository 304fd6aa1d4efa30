"""Write the README's table and sentence anew from the kept results; `--check` says whether they are up to date."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from table_rows import line

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
HEADER = (
    "| result | encoder | trained on | super ticket keeps (all / encoder) | super ticket | full model "
    "| difference [95 %] | less random of the size | seeds |\n|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Rewrite the README, or exit with 1 when `--check` finds it out of date."""
    current = README.read_text(encoding="utf-8")
    wanted = filled(current, kept_results())
    if "--check" in sys.argv[1:]:
        sys.exit(0 if wanted == current else "README.md does not quote results/: run python docs/make_results.py")
    README.write_text(wanted, encoding="utf-8")


def kept_results() -> list[Path]:
    """The sweeps under results/ that have an outcome, in the order of their names; no experiment of several tasks."""
    return sorted(
        path.parent for path in (ROOT / "results").glob("*/outcome.json") if not (path.parent / "tasks").is_dir()
    )


def filled(readme: str, folders: list[Path]) -> str:
    """The README with its table of results and its sentence written from these folders."""
    table = "\n".join([HEADER, *map(row, folders)]) if folders else "No result is kept yet."
    readme = re.sub(r"<!-- results -->.*?(?=\n## )", lambda _: f"<!-- results -->\n{table}\n", readme, flags=re.DOTALL)
    sentence = (
        json.loads((ROOT / "results/movie-reviews/outcome.json").read_text(encoding="utf-8"))["sentence"]
        if folders
        else ""
    )
    return re.sub(r"> <!-- sentence -->.*", lambda _: f"> <!-- sentence --> {sentence}".rstrip(), readme)


def row(folder: Path) -> str:
    """One result as a row: scores x 100 with their spread, the difference with its interval."""
    outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    data = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    examples = json.loads(next(folder.glob("runs/full-*/record.json")).read_text(encoding="utf-8"))["settings"]
    rows, limit = data["sizes"]["train"]["rows"], examples["data.train_examples"]
    trained = f"{min(rows, limit or rows)} of {rows}" if limit and limit < rows else f"all {rows}"
    control = outcome["control"]
    cells = [
        f"[{folder.name}](results/{folder.name})",
        outcome["encoder"],
        trained,
        f"{100 * outcome['weights_all']:.1f} / {100 * outcome['weights_encoder']:.1f} %",
        spread(outcome["ticket"]),
        spread(outcome["full"]),
        interval(outcome["difference"]),
        "" if control is None else interval(control["difference"]),
        str(outcome["ticket"]["n"]),
    ]
    return line(cells)


def spread(summary: dict[str, Any]) -> str:
    """`82.7 ± 0.4`."""
    return f"{100 * summary['mean']:.1f} ± {100 * summary['std']:.1f}"


def interval(difference: dict[str, Any]) -> str:
    """`+0.4 [-0.6, +1.3]`."""
    value, low, high = (100 * difference[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    main()
