"""TuneRun, TicketRun, SharingRun, TransferRun: what to run, named by its settings. No torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar

from supertickets.config import Arm, Config, Kind, ShareConfig, TransferArm, TransferConfig
from supertickets.conflicts import task_config
from supertickets.endings import Recipe

# What shapes no run's result: the sweep's levels (a target sets one) and kinds, so that it may grow without
# recomputing, which of its runs are wanted (the strategy), logging, what a run takes of a node, and where data and
# encoder lie: what they hold does, and the folder keeps checksums of it.
_SHAPELESS = {"seeds", "budget", "tickets.levels", "tickets.control_levels", "tickets.kinds", "tickets.target"}
_SHAPELESS |= {"strategy", "race.confidence", "race.tolerance", "race.checkpoints"}
_SHAPELESS |= {"training.log_to", "data.folder", "data.train", "data.test", "encoder.name"}
_SHAPELESS |= {"source", "shares", "arms"}  # of a transfer: a run has its own, and names what it starts from
_SHAPELESS |= {"cluster.cores_per_run", "cluster.memory_per_run", "cluster.gpus_per_run", "recipe", "delivery.soup"}
_SHAPELESS |= {f"baselines.{name}" for name in ("arms", "tuned_rates", "tuned_epochs", "raised_dropouts")}

COMMON_SEED = 0  # draws what all seeds have in common, whichever seeds a sweep has
SOUPS = ("soup", "full-soup")


@dataclass(frozen=True)
class TuneRun:
    """Fine-tune the full model with one seed, score its units, evaluate it."""

    config: Config
    seed: int
    kind = "full"
    sparsity = 0.0
    needs: ClassVar[tuple[TuneRun, ...]] = ()

    @cached_property
    def name(self) -> str:
        """Folder name: seed and a hash of every setting that shapes the result."""
        return f"full-s{self.seed}-{identity(self.config)}"


@dataclass(frozen=True)
class TicketRun:
    """Draw one ticket from a tuned model's importance, rewind it, retrain it, evaluate it.

    `second`: with batches and dropout of a second seed, instead of those that its tuned model had.
    """

    tune: TuneRun
    kind: Kind
    sparsity: float
    second: bool = False

    @property
    def config(self) -> Config:
        """The sweep's config."""
        return self.tune.config

    @property
    def seed(self) -> int:
        """The seed it shares with its tuned model."""
        return self.tune.seed

    @property
    def needs(self) -> tuple[TuneRun, ...]:
        """The tuned models that it is drawn from: its own seed's, or all seeds' where they draw together."""
        if self.config.tickets.importance == "seed":
            return (self.tune,)
        return tuple(TuneRun(self.config, seed) for seed in self.config.seeds)

    @cached_property
    def name(self) -> str:
        """Folder name: kind, level, seed and the hash of the settings."""
        again = "-second" if self.second else ""
        return f"{self.kind}-{self.sparsity}{again}-s{self.seed}-{identity(self.config)}"


@dataclass(frozen=True)
class TruncatedRun:
    """Train the lowest layers of the pretrained encoder, so many that they are no smaller than a ticket."""

    ticket: TicketRun
    kind = "truncated"

    @property
    def config(self) -> Config:
        """The sweep's config."""
        return self.ticket.config

    @property
    def seed(self) -> int:
        """The ticket's seed."""
        return self.ticket.seed

    @property
    def sparsity(self) -> float:
        """The ticket's level."""
        return self.ticket.sparsity

    @property
    def needs(self) -> tuple[TuneRun, ...]:
        """The tuned models that the ticket is drawn from."""
        return self.ticket.needs

    @cached_property
    def name(self) -> str:
        """Folder name: kind, level, seed and the hash of the settings."""
        return f"{self.kind}-{self.sparsity}-s{self.seed}-{identity(self.config)}"


@dataclass(frozen=True)
class SharingRun:
    """Train one encoder on all tasks with one seed; `origin` is a checksum of the tasks' data, settings and masks."""

    config: ShareConfig
    arm: Arm
    seed: int
    origin: str

    @property
    def name(self) -> str:
        """Folder name: arm, seed and the hash of what shapes the result."""
        parts = [shared_settings(self.config), self.origin]
        return f"{self.arm}-s{self.seed}-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]}"

    @property
    def unlogged(self) -> SharingRun:
        """The same run, to be done once more for its weights: it has been logged already."""
        return replace(self, config=replace(self.config, training=replace(self.config.training, log_to=())))

    def of(self, task: str, sparsity: float) -> TaskRun:
        """One task's part of the run, whose ticket has this sparsity."""
        return TaskRun(self, task, sparsity if self.arm != "multitask" else 0.0)


@dataclass(frozen=True)
class TaskRun:
    """What a sharing run leaves for one of its tasks."""

    sharing: SharingRun
    task: str
    sparsity: float

    @property
    def config(self) -> Config:
        """The task's own settings."""
        return task_config(self.sharing.config, self.task)

    @property
    def kind(self) -> Arm:
        """The arm."""
        return self.sharing.arm

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.sharing.seed

    @property
    def name(self) -> str:
        """Folder of the run, and in it the task's."""
        return f"{self.sharing.name}/{self.task}"


@dataclass(frozen=True)
class TransferRun:
    """Fine-tune an encoder on a share of a new task's training examples, whole or as a ticket drawn there.

    `start` names the sharing run that the encoder comes from; empty: it is the pretrained one.
    """

    config: TransferConfig
    arm: TransferArm
    share: float
    seed: int
    start: str
    sparsity: float = 0.0

    @property
    def kind(self) -> TransferArm:
        """The arm."""
        return self.arm

    @property
    def whole(self) -> TransferRun | None:
        """For a ticket: the run that tunes and scores the whole encoder it is drawn from; None for a whole encoder."""
        return None if self.arm not in TICKET_ARMS else replace(self, arm="sharing-full", sparsity=0.0)

    @property
    def name(self) -> str:
        """Folder name: arm, level of a ticket, share, seed, and the hash of settings and start."""
        level = f"-{self.sparsity}" if self.arm in TICKET_ARMS else ""
        origin = hashlib.sha256(f"{identity(self.config)} {self.start}".encode()).hexdigest()[:8]
        return f"{self.arm}{level}-x{self.share:g}-s{self.seed}-{origin}"


TICKET_ARMS: tuple[TransferArm, ...] = ("sharing", "random")
Run = TuneRun | TicketRun | TruncatedRun


@dataclass(frozen=True)
class SoupRun:
    """Average the weights of the seeds' models: of a level's winning tickets, or, at sparsity 0, of the full models."""

    config: Config
    recipe: Recipe
    sparsity: float
    seed = COMMON_SEED

    @property
    def kind(self) -> str:
        """`soup`, or `full-soup`."""
        return SOUPS[0] if self.sparsity else SOUPS[1]

    @property
    def settings(self) -> dict[str, Any]:
        """What its record has beside the sweep's settings."""
        return {"delivery.soup": self.recipe}

    @property
    def members(self) -> tuple[Run, ...]:
        """One run a seed."""
        tuned = [TuneRun(self.config, seed) for seed in self.config.seeds]
        return tuple(TicketRun(tune, "winning", self.sparsity) if self.sparsity else tune for tune in tuned)

    @property
    def name(self) -> str:
        """Folder name: kind, level, recipe, seeds and the hash of the settings."""
        seeds = ".".join(map(str, self.config.seeds))
        return f"{self.kind}-{self.sparsity}-{self.recipe}-s{seeds}-{identity(self.config)}"


def settings_of(config: Config) -> dict[str, Any]:
    """The settings that shape one run's result, flat: `training.epochs` -> 3.0."""
    flat = {
        f"{section}.{name}" if name else section: value
        for section, values in asdict(config).items()
        for name, value in (values.items() if isinstance(values, dict) else [("", values)])
    }
    # The number of seeds sets how much each holds out to choose by, so a sweep cannot grow in seeds.
    shaping = {key: value for key, value in flat.items() if key not in _SHAPELESS}
    if config.tickets.importance == "consensus":  # then every seed shapes every ticket
        shaping["tickets.importance"] = f"consensus of seeds {', '.join(map(str, config.seeds))}"
    return shaping | {"selection.seeds": len(config.seeds)}


def shared_settings(config: ShareConfig) -> dict[str, Any]:
    """The settings that shape a sharing run's result, flat: each task's own, and whose turn it is."""
    default = settings_of(Config())
    flat = {
        f"{task}.{key}": value
        for task in config.tasks
        for key, value in settings_of(task_config(config, task)).items()
        if value != default[key]
    }
    return flat | {f"sampling.{key}": value for key, value in asdict(config.sampling).items()}


@lru_cache(maxsize=256)  # a plan asks for the name of every run, again and again
def identity(config: Config) -> str:
    """Eight hex digits of the settings that differ from their defaults: new settings rename no old run."""
    default = settings_of(Config())
    changed = {key: value for key, value in settings_of(config).items() if value != default[key]}
    return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:8]
