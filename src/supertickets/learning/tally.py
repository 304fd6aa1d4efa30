"""Batches that a scorer looks at, and what their examples add to every unit's score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from supertickets.errors import UserError
from supertickets.tickets.importance import Importance
from supertickets.tickets.structures import Structures

Batch = Mapping[str, Tensor]


class Tally:
    """A running sum for every head (L, H) and FFN unit (L, U), on the model's device, and how much was added."""

    def __init__(self, model: PreTrainedModel, structures: Structures) -> None:
        self.heads = torch.zeros(structures.heads.shape, device=model.device)
        self.ffn = torch.zeros(structures.ffn.shape, device=model.device)
        self._structures, self._count = structures, 0

    def add(self, heads: Float[Tensor, "L H"], ffn: Float[Tensor, "L U"], count: int) -> None:
        """Add sums over `count` examples (or batches, if that is what the mean goes over)."""
        self.heads, self.ffn, self._count = self.heads + heads, self.ffn + ffn, self._count + count

    def mean(self) -> Importance:
        """The sums over their count; raises UserError when nothing was added."""
        if self._count == 0:
            raise UserError(
                "there is nothing to score on: no batch came", "score(model, dataloader)", "give at least one"
            )
        heads, ffn = (
            np.asarray((total / self._count).detach().cpu(), dtype=np.float64) for total in (self.heads, self.ffn)
        )
        return Importance(self._structures, heads, ffn)


def on_device(model: PreTrainedModel, batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches, where the model is."""
    for batch in batches:
        yield {name: value.to(model.device) for name, value in batch.items()}
