"""Markdown that the pages' scripts write."""

from __future__ import annotations

from collections.abc import Sequence


def line(cells: Sequence[str]) -> str:
    """One row of a table."""
    return f"| {' | '.join(cells)} |"


def head(cells: Sequence[str]) -> list[str]:
    """The first two rows of a table: the columns' names, and the rule below them."""
    return [line(cells), "|---" * len(cells) + "|"]
