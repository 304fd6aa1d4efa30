"""A sweep's target: the budget asked for, the level that meets it, and what the super ticket then costs. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from supertickets import provenance, storage
from supertickets.config import Measure, parse_target
from supertickets.errors import UserError
from supertickets.experiments.layout import CONFIG_FILE, TARGET_FILE
from supertickets.learning.speed import Timed, Timings
from supertickets.tickets.costs import UnitCosts


@dataclass(frozen=True)
class Target:
    """What was asked for (`params=0.8`), the level that meets it, and the table of costs that says so.

    `expected` is the share that the level's tickets cost by that table. `length` is that of the text, in
    tokens, that FLOPs and latency are of; `timings` is what was timed for a latency.
    """

    asked: str
    level: float
    expected: float
    costs: UnitCosts
    length: int | None = None
    timings: Timings | None = None

    @property
    def share(self) -> float:
        """The largest share of the full model's cost that was asked for."""
        return parse_target(self.asked)[1]

    def save(self, folder: Path) -> None:
        """Write `target.json`, with the machine and versions that the costs were found with."""
        plain = asdict(self) | {"costs": self.costs.to_dict(), "provenance": provenance.collect()}
        storage.write_sealed(folder / TARGET_FILE, plain)

    @classmethod
    def load(cls, folder: Path) -> Target | None:
        """The target of a sweep's folder; None where it has none. Raises UserError for a damaged file."""
        path = folder / TARGET_FILE
        if not path.is_file():
            return None
        plain = storage.read_sealed(path, "choose another --out folder")
        try:
            parse_target(plain["asked"])
            timings = _timings(plain["timings"])
            costs = UnitCosts.from_dict(plain["costs"])
            return cls(plain["asked"], plain["level"], plain["expected"], costs, plain["length"], timings)
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise UserError(f"not a target ({fault})", str(path), "choose another --out folder") from fault


@dataclass(frozen=True)
class Achieved:
    """Shares of the full model's cost: what was asked for, and what the delivered super ticket was measured to have."""

    measure: Measure
    asked: float
    found: float

    @property
    def missed(self) -> float:
        """How much more it has than asked for, to three decimals; 0 where it has not."""
        return max(0.0, round(self.found - self.asked, 3))


def kept_target(folder: Path, asked: str | None) -> Target | None:
    """The target that a sweep's folder was begun with, so that its costs are never measured again.

    None when the folder is new, or when neither it nor `asked` names one. Raises UserError when the
    folder was begun for another target.
    """
    if not (folder / CONFIG_FILE).is_file():  # a preparation that failed may have left a target.json
        return None
    found = Target.load(folder)
    theirs = None if found is None else found.asked
    if (theirs and parse_target(theirs)) != (asked and parse_target(asked)):
        raise UserError(
            f"this folder belongs to another config (tickets.target is {theirs} there, {asked} here)",
            str(folder),
            "choose another --out folder",
        )
    return found


def _timings(plain: Mapping[str, Any] | None) -> Timings | None:
    if plain is None:
        return None
    return Timings(**{**plain, "models": tuple(Timed(**one) for one in plain["models"])})
