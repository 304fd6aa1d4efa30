"""Config -> its runs, in order of need. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from supertickets.config import Config, Kind, TransferArm, TransferConfig
from supertickets.experiments.runs import TICKET_ARMS, Run, TicketRun, TransferRun, TuneRun

Starts = Mapping[str, Mapping[int, str]]  # arm of the sharing experiment -> seed -> name of its run


def plan(config: Config) -> list[Run]:
    """Every run of a sweep: tuned models first, then winning tickets level by level, then the controls."""
    return _runs(config, config.tickets.control_levels)


def every_run(config: Config) -> list[Run]:
    """As `plan`, with the controls at every level: what a folder may hold that was begun with other control levels."""
    return _runs(config, config.tickets.levels)


def plan_transfer(config: TransferConfig, shares: Sequence[float], starts: Starts) -> list[TransferRun]:
    """Every run of a transfer, the smallest share first; whole encoders before the tickets that are scored on them."""
    return [
        TransferRun(config, arm, share, seed, starts.get(START[arm], {}).get(seed, ""), level)
        for tickets in (False, True)
        for share in shares
        for arm in trained_arms(config)
        if (arm in TICKET_ARMS) == tickets
        for level in (config.tickets.levels if tickets else (0.0,))
        for seed in config.seeds
    ]


# The arm of the sharing experiment whose encoder an arm of a transfer starts from; none: the pretrained encoder.
START: Mapping[TransferArm, str] = {
    "pretrained": "",
    "multitask": "multitask",
    "sharing-full": "sharing",
    "sharing": "sharing",
    "random": "sharing",
}


def trained_arms(config: TransferConfig) -> list[TransferArm]:
    """The config's arms in their order; tickets need the whole encoder that they are scored on beside them."""
    wanted = {*config.arms} | ({"sharing-full"} if {*config.arms} & {*TICKET_ARMS} else set())
    return [arm for arm in START if arm in wanted]


def kept_shares(config: TransferConfig, examples: int, classes: int) -> dict[float, int]:
    """Training examples of each share of `examples`, ascending; of shares that come to the same number the largest.

    Two of each class are the least: one to train on, one to hold out. Numbers to predict count as one class.
    """
    least = min(2 * classes, examples)
    sizes = {share: max(round(share * examples), least) for share in sorted(config.shares)}
    return {share: size for share, size in sizes.items() if share == max(s for s in sizes if sizes[s] == size)}


def cost(run: Run) -> float:
    """What a run costs relative to tuning the full model: tickets are physically smaller."""
    return 1.0 - 0.8 * run.sparsity


def _runs(config: Config, control_levels: Sequence[float]) -> list[Run]:
    tuned, levels = [TuneRun(config, seed) for seed in config.seeds], config.tickets.levels
    controls = [kind for kind in config.tickets.kinds if kind != "winning"]
    cells: list[tuple[Kind, float]] = [("winning", level) for level in levels]
    cells += [(kind, level) for kind in controls for level in control_levels]
    return [*tuned, *(TicketRun(tune, kind, level) for kind, level in cells for tune in tuned)]
