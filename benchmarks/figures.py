"""Figure and Result: what a benchmark measured, next to its goal, as one JSON file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from supertickets import provenance, storage
from supertickets.errors import UserError

Better = Literal["higher", "lower"]
WIDE = 0.25  # spread (p90 - p10) over the median above which a figure is flagged
FOLDER = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Figure:
    """One number with its spread and goal (None: there is no goal); raises ValueError when they cannot be true."""

    value: float
    p10: float
    p90: float
    goal: float | None
    better: Better
    wide: bool

    def __post_init__(self) -> None:
        numbers = [self.value, self.p10, self.p90, *([] if self.goal is None else [self.goal])]
        if not np.isfinite(numbers).all() or self.p10 > self.p90 or self.better not in ("higher", "lower"):
            raise ValueError(f"not a figure: {self}")

    @classmethod
    def of(cls, values: Sequence[float], *, goal: float | None = None, better: Better = "higher") -> Self:
        """Median and 10th to 90th percentile of repeated measurements."""
        low, median, high = (float(value) for value in np.percentile(values, [10, 50, 90]))
        return cls(median, low, high, goal, better, wide=(high - low) / abs(median) > WIDE)

    @classmethod
    def exact(
        cls,
        value: float,
        spread: tuple[float, float] | None = None,
        *,
        goal: float | None = None,
        better: Better = "higher",
    ) -> Self:
        """A number that is no median of timings, such as a difference of scores; never flagged as wide."""
        low, high = spread or (value, value)
        return cls(value, low, high, goal, better, wide=False)

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


@dataclass(frozen=True)
class Result:
    """What `results/NAME.json` holds: a benchmark's figures, its settings, and where they were measured."""

    name: str
    figures: Mapping[str, Figure]
    settings: Mapping[str, Any]
    versions: Mapping[str, Any]
    commit: str | None
    machine: Mapping[str, Any]
    time: str

    @classmethod
    def now(cls, name: str, figures: Mapping[str, Figure], settings: Mapping[str, Any]) -> Self:
        """A result measured just now, on this machine, by this commit."""
        return cls(name, figures, settings, **provenance.collect())

    def save(self, folder: Path | None = None) -> Path:
        """Write `NAME.json`, replacing an older measurement."""
        path = (folder or FOLDER) / f"{self.name}.json"
        storage.write_json(path, asdict(self))
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a result back; raises UserError when the file is not one."""
        body = storage.read_json(path)
        try:
            return cls(**body | {"figures": {label: Figure(**row) for label, row in body["figures"].items()}})
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise UserError(f"not a benchmark's result ({fault})", str(path), "measure it anew") from fault


def kept(folder: Path | None = None) -> list[Result]:
    """Every kept result, in the order of their names."""
    return [Result.load(path) for path in sorted((folder or FOLDER).glob("*.json"))]
