"""TuneRun and TicketRun: what to run, named by its settings. No torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from supertickets.config import Config, Kind

# What shapes no run's result: the sweep's levels (a target sets one) and kinds, so that it may grow without
# recomputing, logging, and where data and encoder lie: what they hold does, and the folder keeps checksums of it.
_SHAPELESS = {"seeds", "budget", "tickets.levels", "tickets.control_levels", "tickets.kinds", "tickets.target"}
_SHAPELESS |= {"training.log_to", "data.folder", "data.train", "data.test", "encoder.name"}


@dataclass(frozen=True)
class TuneRun:
    """Fine-tune the full model with one seed, score its units, evaluate it."""

    config: Config
    seed: int
    kind = "full"
    sparsity = 0.0

    @property
    def name(self) -> str:
        """Folder name: seed and a hash of every setting that shapes the result."""
        return f"full-s{self.seed}-{identity(self.config)}"


@dataclass(frozen=True)
class TicketRun:
    """Draw one ticket from a tuned model's importance, rewind it, retrain it, evaluate it."""

    tune: TuneRun
    kind: Kind
    sparsity: float

    @property
    def config(self) -> Config:
        """The sweep's config."""
        return self.tune.config

    @property
    def seed(self) -> int:
        """The seed it shares with its tuned model."""
        return self.tune.seed

    @property
    def name(self) -> str:
        """Folder name: kind, level, seed and the hash of the settings."""
        return f"{self.kind}-{self.sparsity}-s{self.seed}-{identity(self.config)}"


Run = TuneRun | TicketRun


def settings_of(config: Config) -> dict[str, Any]:
    """The settings that shape one run's result, flat: `training.epochs` -> 3.0."""
    flat = {
        f"{section}.{name}" if name else section: value
        for section, values in asdict(config).items()
        for name, value in (values.items() if isinstance(values, dict) else [("", values)])
    }
    # The number of seeds sets how much each holds out to choose by, so a sweep cannot grow in seeds.
    return {key: value for key, value in flat.items() if key not in _SHAPELESS} | {"selection.seeds": len(config.seeds)}


def identity(config: Config) -> str:
    """Eight hex digits of the settings that differ from their defaults: new settings rename no old run."""
    default = settings_of(Config())
    changed = {key: value for key, value in settings_of(config).items() if value != default[key]}
    return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:8]
