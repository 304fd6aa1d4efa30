"""Config -> its runs, in order of need. No torch."""

from __future__ import annotations

from supertickets.config import Config, Kind
from supertickets.experiments.runs import Run, TicketRun, TuneRun


def plan(config: Config) -> list[Run]:
    """Every run of a sweep: tuned models first, then winning tickets level by level, then the controls."""
    tuned = [TuneRun(config, seed) for seed in config.seeds]
    cells = [(kind, level) for kind in _kinds(config) for level in _levels(config, kind)]
    return [*tuned, *(TicketRun(tune, kind, level) for kind, level in cells for tune in tuned)]


def cost(run: Run) -> float:
    """What a run costs relative to tuning the full model: tickets are physically smaller."""
    return 1.0 - 0.8 * run.sparsity


def _kinds(config: Config) -> list[Kind]:
    controls = [kind for kind in config.tickets.kinds if kind != "winning"]
    return ["winning", *controls]


def _levels(config: Config, kind: Kind) -> tuple[float, ...]:
    return config.tickets.levels if kind == "winning" else config.tickets.control_levels
