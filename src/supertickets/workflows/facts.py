"""Facts in words: rows of a label and a text, and lengths of time."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """The title, then one line for each row that has a text, labels in one column."""
    width = max((len(label) for label, _ in rows), default=0)
    return "\n".join([title, *(f"  {label:<{width}}  {text}" for label, text in rows if text)])


def duration(seconds: float) -> str:
    """`18 s`, `4 min` or `2 h 05 min`."""
    minutes = round(seconds / 60)
    if seconds < 89.5:
        return f"{max(0, round(seconds))} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def listed(values: Sequence[object], most: int = 8) -> str:
    """The values between commas, the last ones only counted when there are many."""
    shown = ", ".join(map(str, values[:most]))
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"
