"""A transfer without training: records whose predictions are right at a known rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fake_sharing import STRUCTURES, TASK, mask_without, record
from supertickets.config import DataConfig, TicketsConfig, TransferArm, TransferConfig
from supertickets.experiments.plans import plan_transfer
from supertickets.experiments.records import Record
from supertickets.experiments.runs import TransferRun
from supertickets.experiments.transfer_outcome import Transferred
from supertickets.tickets.masks import Mask

SIZES = {0.001: 10, 0.01: 100, 0.1: 1000}
RATES: Mapping[TransferArm, float] = {
    "pretrained": 0.60,
    "multitask": 0.70,
    "sharing-full": 0.72,
    "sharing": 0.70,
    "random": 0.65,
}


def transferred(
    gains: Sequence[float] = (0.1, 0.0, -0.1),
    *,
    seeds: Sequence[int] = (0, 1, 2),
    levels: Mapping[float, float] | None = None,
    undone: Sequence[tuple[str, int]] = (),
    arms: Sequence[TransferArm] = tuple(RATES),
    name: str = "toy",
) -> Transferred:
    """Three shares; `gains` is what the sharing ticket gains on the multi-task encoder at each.

    `levels` adds to the rate of sharing tickets of a level, on both splits; `undone` names (arm, seed) not finished.
    """
    levels = {0.1: 0.0} if levels is None else levels
    config = TransferConfig(
        data=DataConfig(train="a.csv", test="b.csv"),
        tickets=TicketsConfig(levels=tuple(levels), control_levels=tuple(levels)),
        seeds=tuple(seeds),
        shares=tuple(SIZES),
        arms=tuple(arms),
    )
    gain = dict(zip(SIZES, gains, strict=True))
    starts = {arm: {seed: f"{arm}-s{seed}-f00d" for seed in seeds} for arm in ("multitask", "sharing")}
    runs = plan_transfer(config, list(SIZES), starts)
    done = [run for run in runs if (run.arm, run.seed) not in undone]
    hard = np.random.default_rng(0).uniform(size=400)

    def of(run: TransferRun) -> Record:
        rate = RATES[run.arm] + (gain[run.share] + levels[run.sparsity] if run.arm == "sharing" else 0.0)
        noise = np.random.default_rng([run.seed, list(RATES).index(run.arm)]).normal(size=400) * 0.02
        mask = Mask.full(STRUCTURES) if run.whole is None else mask_without(0, 1)
        return replace(record(run.seed, hard + noise < rate, run.arm, run.sparsity, mask), name=run.name)

    return Transferred(
        config=config,
        task=replace(TASK, name=name),
        data={"sizes": {"train": {"rows": 10_000}, "report": {"rows": 400}}, "notes": ["a note"], "starts": starts},
        shares=SIZES,
        records={share: tuple(of(run) for run in done if run.share == share) for share in SIZES},
        missing=tuple(run.name for run in runs if run not in done),
        unplanned=(),
    )
