"""The settings of what follows a sweep: what is delivered, and what the super ticket is compared with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

type_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Soup = Literal["none", "uniform", "greedy"]
Recipe = Literal["uniform", "greedy"]
Baseline = Literal[
    "tuned_full",
    "tuned_ticket",
    "dropout",
    "distilled_full",
    "distilled_ticket",
    "rewound_full",
    "rewound_ticket",
    "random",
    "truncated",
]

Epochs = Annotated[float, Field(gt=0, le=1000)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=type_config)
class DeliveryConfig:
    """What is delivered at the end."""

    soup: Soup = "none"
    """none: the best seed's ticket; uniform or greedy: the mean of the seeds' weights, for the full model too."""


@dataclass(frozen=True, config=type_config)
class BaselinesConfig:
    """What else is trained at the end, to compare the super ticket with."""

    arms: tuple[Baseline, ...] = ()
    """Tuned, dropout, distilled and rewound full models (some with a ticket beside them), random, truncated."""
    tuned_rates: Annotated[tuple[LearningRate, ...], Field(min_length=1)] = (5e-5, 1e-4, 2e-4)
    """Learning rates of the tuned arms, each with each number of epochs; the best on the selection split counts."""
    tuned_epochs: Annotated[tuple[Epochs, ...], Field(min_length=1)] = (3.0, 6.0)
    """Numbers of epochs of the tuned arms."""
    raised_dropouts: Annotated[tuple[Dropout, ...], Field(min_length=1)] = (0.2, 0.3)
    """Dropout, in the encoder and before the head, of the arm dropout; the best on the selection split counts."""
