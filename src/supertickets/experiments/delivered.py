"""Delivered: what was measured of the one model that a sweep delivers, as `speedup.json` keeps it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from supertickets import storage
from supertickets.checked import checked
from supertickets.config import Strategy
from supertickets.endings import Recipe
from supertickets.errors import UserError
from supertickets.experiments.layout import SPEED_FILE
from supertickets.experiments.targets import Achieved
from supertickets.learning.speed import Speedup

_POSITIVE = ("median", "p10", "p90", "pairs", "threads", "batch_size", "length")
REMEDY = "delete it: find measures anew"


@dataclass(frozen=True)
class Mixed:
    """The soup that the delivered model is: its run, how its seeds were chosen, and these."""

    run: str
    recipe: Recipe
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class ChosenFrom:
    """The extent of the sweep that a super ticket was chosen from."""

    strategy: Strategy
    levels: tuple[float, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Delivered:
    """Speed, seed and report score (a share) of the delivered model, and what its ticket was chosen from.

    With a target, what it costs; its soup, if any.
    """

    speedup: Speedup
    seed: int
    report: float
    soup: Mixed | None = None
    achieved: Achieved | None = None
    chosen_from: ChosenFrom | None = None

    @classmethod
    def load(cls, folder: Path) -> Delivered | None:
        """That of a sweep's folder, None where nothing was delivered; raises UserError for a file that is none."""
        path = folder / SPEED_FILE
        return cls.of(storage.read_sealed(path, REMEDY), str(path)) if path.is_file() else None

    @classmethod
    def of(cls, plain: Mapping[str, object], where: str) -> Delivered:
        """From plain values, checked as a stranger's; raises UserError that names the first that is wrong."""
        found = checked(cls, {**plain, "speedup": plain}, "a speed-up", where, REMEDY)
        bad = [name for name in _POSITIVE if not getattr(found.speedup, name) > 0]
        if bad:
            raise UserError(f"not a speed-up ({bad[0]}: {getattr(found.speedup, bad[0])})", where, REMEDY)
        return found
