"""Speedup and Timings: how fast models run, and under which conditions. No torch."""

from __future__ import annotations

from dataclasses import dataclass

WIDE = 0.25  # spread (p90 - p10) over the median above which a ratio of times is flagged, as in the benchmarks


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

    @property
    def wide(self) -> bool:
        """Whether the pairs differ so much that the median says little."""
        return (self.p90 - self.p10) / self.median > WIDE


@dataclass(frozen=True)
class Timed:
    """A model with so many heads and FFN units: its seconds, and its share of the full model's in the same round.

    Both as median and 10th to 90th percentile of rounds.
    """

    heads: int
    ffn: int
    median: float
    p10: float
    p90: float
    share: float
    share_p10: float
    share_p90: float


@dataclass(frozen=True)
class Timings:
    """Models timed in turn, the full one first, on one batch of texts of equal length."""

    models: tuple[Timed, ...]
    rounds: int
    threads: int
    batch_size: int
    length: int
    device: str

    @property
    def wide(self) -> bool:
        """Whether the rounds differ so much that some model's median share says little."""
        return any((one.share_p90 - one.share_p10) / one.share > WIDE for one in self.models)
