"""`python -m benchmarks`: measure what has no kept result, and print all of them against their goals."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

# Read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from rich.console import Console

from benchmarks import figures
from benchmarks.catalogue import NAMES, ON_GPU, measure
from benchmarks.table import show
from supertickets.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for bad input, as everywhere in the project."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    try:
        asked = _parser().parse_args(arguments)
        results = _results(asked.names, run=asked.run, quick=asked.quick, console=console)
    except UserError as fault:
        Console(stderr=True).print(f"error: {fault}", highlight=False, markup=False)
        return 2
    show(results, console)
    return 0


def _results(names: list[str], *, run: bool, quick: bool, console: Console) -> list[figures.Result]:
    if unknown := [name for name in names if name not in NAMES]:
        raise UserError(
            f"unknown benchmark {', '.join(unknown)}", "python -m benchmarks", f"choose of {', '.join(NAMES)}"
        )
    there = [result.name for result in figures.kept()]
    here = NAMES if quick else [name for name in NAMES if name not in ON_GPU]
    wanted = names or [name for name in here if run or quick or name not in there]
    measured = []
    for name in wanted:
        result = measure(name, quick=quick, say=lambda line, name=name: console.print(f"{name}: {line}", markup=False))  # type: ignore[misc]
        measured.append(result)
        if not quick:
            result.save()
    return measured if quick else figures.kept()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"measure these anew: {', '.join(NAMES)}")
    parser.add_argument("--run", action="store_true", help="measure all of them anew")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that they run; nothing is kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
