"""Speedup and Timings: how fast models run, and under which conditions. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Speedup:
    """Ratio of the full model's time to the pruned model's: median and 10th to 90th percentile of pairs."""

    median: float
    p10: float
    p90: float
    pairs: int
    threads: int
    batch_size: int
    length: int
    device: str

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Speedup:
        """From plain values, of which others than the fields are left alone."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Timed:
    """Seconds that a model with so many heads and FFN units takes: median and 10th to 90th percentile of rounds."""

    heads: int
    ffn: int
    median: float
    p10: float
    p90: float


@dataclass(frozen=True)
class Timings:
    """Models timed in turn on one batch of texts of equal length."""

    models: tuple[Timed, ...]
    rounds: int
    threads: int
    batch_size: int
    length: int
    device: str
