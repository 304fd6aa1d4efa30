"""Speedup: how many times as fast one model runs as another, and under which conditions. No torch."""

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
