"""Landing: a transfer's folder as one run sees it: its share of the examples, and the encoder it starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from datasets import load_from_disk
from transformers import PreTrainedTokenizerBase

from supertickets.config import TransferConfig
from supertickets.data import splits
from supertickets.encoders.checkpoints import load_tokenizer, resolve
from supertickets.experiments.layout import CACHE
from supertickets.experiments.origins import read_data
from supertickets.experiments.runs import TransferRun
from supertickets.experiments.transfer_folder import TransferFolder
from supertickets.experiments.workspace import Splits, Workspace, held_out


@dataclass(frozen=True)
class Landing(Workspace):
    """Where a run lands: as a sweep's folder, with a part of the examples and, but for one arm, a shared encoder.

    `encoder` is the shared one's folder; None: the pretrained one.
    """

    config: TransferConfig
    examples: int
    start: str
    encoder: Path | None

    @classmethod
    def of(cls, run: TransferRun, folder: Path) -> Landing:
        """The run's landing in a transfer's folder; raises UserError when it is none."""
        place = TransferFolder.open(folder)
        encoder = place.encoder_folder(run.start) if run.start else None
        return cls(folder, place.config, place.task, place.shares[run.share], run.start, encoder)

    @property
    def encoder_name(self) -> str:
        """The pretrained encoder, and the sharing run that has trained it on."""
        return f"{self.config.encoder.name} after {self.start}" if self.start else self.config.encoder.name

    @cached_property
    def source(self) -> str:
        """The folder of the shared encoder, or the pretrained one's folder or hub id."""
        return resolve(self.config.encoder.name) if self.encoder is None else str(self.encoder)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The pretrained encoder's tokenizer."""
        return load_tokenizer(resolve(self.config.encoder.name))

    @cached_property
    def data(self) -> dict[str, Any]:
        """What `prepare` found, and where this run started."""
        found = read_data(self.folder)
        return found | {"origin": found["origin"] | {"start": self.start}}

    def splits(self, seed: int) -> Splits:
        """The seed's own draw of the share, less what it holds out; and the report examples that all runs share.

        A seed's smaller share lies inside its larger one.
        """
        train = load_from_disk(str(self.folder / CACHE / "train"))
        report = load_from_disk(str(self.folder / CACHE / "report"))
        stratify = self.task.kind == "classification"
        drawn = train.select(splits.subsample(np.asarray(train["labels"]), self.examples, seed, stratify))
        rest, chosen_by = held_out(drawn["labels"], self.config, self.task, seed)
        return Splits(drawn.select(rest), drawn.select(chosen_by), report)
