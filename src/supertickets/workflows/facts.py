"""Facts in words: rows of a label and a text, lengths of time, and text that a terminal only shows."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """The title, then one line for each row that has a text, labels in one column."""
    width = max((len(label) for label, _ in rows), default=0)
    lines = [title, *(f"  {label:<{width}}  {text}" for label, text in rows if text)]
    return "\n".join(printable(line.replace("\n", " ")) for line in lines)


def printable(text: str) -> str:
    """The text with escapes for what a terminal would obey instead of show; line ends stay."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


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
