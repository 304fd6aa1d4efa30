"""What a critic would ask the super ticket to beat: runs of other recipes, each with its own choice by selection.

A baseline is a list of variants: one recipe under a few settings, one run a seed and setting. Its result is that of
the variant with the best mean selection score, as a ticket's level is chosen. No torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from supertickets.config import Config
from supertickets.endings import Baseline
from supertickets.experiments.runs import Run, TicketRun, TruncatedRun, TuneRun


@dataclass(frozen=True)
class Variant:
    """One setting of a baseline's recipe, and its runs, one a seed; `setting` is empty where there is but one."""

    setting: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Arm:
    """A baseline's words, its variants at the super ticket's level, and the arm that it should be read against.

    `against` is the arm in which the ticket has the same chances; None: the sweep's own super ticket.
    """

    words: str
    variants: Callable[[Config, float], list[Variant]]
    against: Baseline | None = None


def variants_of(config: Config, arm: Baseline, sparsity: float) -> list[Variant]:
    """The variants of one arm of a sweep whose super ticket has this sparsity."""
    return ARMS[arm].variants(config, sparsity)


def baseline_runs(config: Config, sparsity: float) -> list[Run]:
    """Every run of every baseline that the config asks for, those that they start from first; each once."""
    # No baseline has the rivals by which a race ends trainings.
    config = replace(config, race=replace(config.race, checkpoints=()))
    runs = [run for arm in config.baselines.arms for each in variants_of(config, arm, sparsity) for run in each.runs]
    needed: list[Run] = [tune for run in runs for tune in run.needs]
    return list(dict.fromkeys([*needed, *runs]))


def _tickets(config: Config, sparsity: float, second: bool = False) -> tuple[Run, ...]:
    """One winning ticket a seed; at sparsity 0 the whole model, rewound and trained again."""
    return tuple(TicketRun(TuneRun(config, seed), "winning", sparsity, second) for seed in config.seeds)


def _full(config: Config) -> tuple[Run, ...]:
    return tuple(TuneRun(config, seed) for seed in config.seeds)


def _grid(config: Config) -> list[tuple[str, Config]]:
    """The config at each learning rate and number of epochs of the grid."""
    made = []
    for rate in config.baselines.tuned_rates:
        for epochs in config.baselines.tuned_epochs:
            training = replace(config.training, learning_rate=rate, epochs=epochs)
            made.append((f"learning rate {rate:g}, {epochs:g} epochs", replace(config, training=training)))
    return made


def _dropouts(config: Config) -> list[tuple[str, Config]]:
    return [
        (f"dropout {p:g}", replace(config, training=replace(config.training, head_dropout=p, encoder_dropout=p)))
        for p in config.baselines.raised_dropouts
    ]


def _taught(config: Config) -> Config:
    return replace(config, training=replace(config.training, teacher="full"))


def _random(config: Config, sparsity: float) -> list[Variant]:
    return [Variant("", tuple(TicketRun(TuneRun(config, seed), "random", sparsity) for seed in config.seeds))]


def _truncated(config: Config, sparsity: float) -> list[Variant]:
    tickets = [TicketRun(TuneRun(config, seed), "winning", sparsity) for seed in config.seeds]
    return [Variant("", tuple(TruncatedRun(ticket) for ticket in tickets))]


ARMS: dict[Baseline, Arm] = {
    "tuned_full": Arm(
        "full model, learning rate and epochs tuned",
        lambda c, _: [Variant(name, _full(one)) for name, one in _grid(c)],
        against="tuned_ticket",
    ),
    "tuned_ticket": Arm(
        "super ticket, learning rate and epochs tuned",
        lambda c, s: [Variant(name, _tickets(one, s)) for name, one in _grid(c)],
    ),
    "dropout": Arm(
        "full model, dropout raised", lambda c, _: [Variant(name, _full(one)) for name, one in _dropouts(c)]
    ),
    "distilled_full": Arm(
        "full model taught by the tuned full model",
        lambda c, _: [Variant("", _tickets(_taught(c), 0.0))],
        against="distilled_ticket",
    ),
    "distilled_ticket": Arm(
        "super ticket taught by the tuned full model", lambda c, s: [Variant("", _tickets(_taught(c), s))]
    ),
    "rewound_full": Arm(
        "full model rewound and trained with a second seed",
        lambda c, _: [Variant("", _tickets(c, 0.0, second=True))],
        against="rewound_ticket",
    ),
    "rewound_ticket": Arm(
        "super ticket trained with that second seed", lambda c, s: [Variant("", _tickets(c, s, second=True))]
    ),
    "random": Arm("random ticket of the same size", _random),
    "truncated": Arm("lowest layers, no smaller than the ticket", _truncated),
}
