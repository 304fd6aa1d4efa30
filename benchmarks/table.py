"""Results -> one table against their goals."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, Result


def show(results: Sequence[Result], console: Console) -> None:
    """Print the table, how many goals are met, and where each result was measured."""
    console.print(table(results))
    goals = [figure.met for result in results for figure in result.figures.values() if figure.met is not None]
    console.print(f"{sum(goals)} of {len(goals)} goals met")
    for result in results:
        console.print(f"{result.name}: {_place(result)}", markup=False, soft_wrap=True)


def table(results: Sequence[Result]) -> Table:
    """One line a figure: value, spread, goal, and whether it was met."""
    grid = Table(title="Benchmarks against their goals")
    for heading in ("benchmark", "figure"):
        grid.add_column(heading)
    for heading in ("value", "p10 to p90", "goal"):
        grid.add_column(heading, justify="right")
    grid.add_column("")
    for result in results:
        for row, (label, figure) in enumerate(result.figures.items()):
            grid.add_row("" if row else result.name, label, *cells(figure))
        grid.add_section()
    return grid


def cells(figure: Figure) -> tuple[str, str, str, str]:
    """Value, spread, goal and verdict in words."""
    spread = "" if figure.p10 == figure.p90 else f"{_number(figure.p10)} to {_number(figure.p90)}"
    sign = "≥" if figure.better == "higher" else "≤"
    goal = "" if figure.goal is None else f"{sign} {_number(figure.goal)}"
    verdict = {True: "[green]met[/]", False: "[red]not met[/]", None: ""}[figure.met]
    return (
        _number(figure.value),
        spread,
        goal,
        " ".join(filter(None, [verdict, "[yellow]wide[/]" if figure.wide else ""])),
    )


def _place(result: Result) -> str:
    machine, commit = result.machine, result.commit or "no commit"
    short, _, changes = commit.partition("+")
    versions = f"torch {result.versions['torch']}, transformers {result.versions['transformers']}"
    at = f"{short[:10]}{'+' if changes else ''}{changes}"
    return f"{machine['cores']} cores of {machine['cpu']}, {versions}, {at}, {result.time[:16]}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
