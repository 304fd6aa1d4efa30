"""RewindPoint: the pretrained weights and the fresh head, taken before tuning and restored exactly."""

from __future__ import annotations

import copy
import hashlib
from functools import cached_property

import torch
from transformers import PreTrainedModel

from supertickets.config import FfnUnit
from supertickets.encoders.families import family_of, structures_of
from supertickets.encoders.pruning import keep, kept_units
from supertickets.errors import UserError
from supertickets.tickets.structures import Structures


class RewindPoint:
    """An untouchable copy of a model as it was before any training.

    Rewinding goes back to the *pretrained* weights (the paper rewinds to step 0 of fine-tuning),
    together with the task head drawn for the seed.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    @classmethod
    def of(cls, model: PreTrainedModel) -> RewindPoint:
        """Take the rewind point of a full model; raises UserError for an unknown family or a pruned model."""
        family_of(model.config.model_type)
        if kept_units(model) is not None:
            raise UserError("this model is pruned already", "", "take the rewind point of the full pretrained model")
        return cls(copy.deepcopy(model))

    @cached_property
    def sha256(self) -> str:
        """Checksum over the encoder's weights: the identity of what tickets rewind to.

        Without head and pooler, which a checkpoint need not hold and which are then drawn by the seed.
        """
        digest = hashlib.sha256()
        for name, value in sorted(self._model.base_model.state_dict().items()):
            if name.startswith("pooler."):
                continue
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy())
        return digest.hexdigest()

    def structures(self, ffn_units: FfnUnit = "sublayer") -> Structures:
        """The units of the model, with whole FFN sublayers or single neurons, without a copy of it."""
        return structures_of(self._model, ffn_units)

    def model(self) -> PreTrainedModel:
        """A fresh full model at the rewind point, independent of every other."""
        return copy.deepcopy(self._model)

    def restore(self, model: PreTrainedModel) -> PreTrainedModel:
        """Give every weight of `model`, full or pruned, its value at the rewind point; no shape changes.

        Raises UserError when the model is not the one this point was taken of, full or pruned.
        """
        source = self.model()
        kept = kept_units(model)
        if kept is not None:
            keep(source, *kept)
        try:
            model.load_state_dict(source.state_dict())
        except RuntimeError as fault:
            raise UserError(
                f"the rewind point is of another model ({type(source).__name__}, not {type(model).__name__})",
                "",
                "restore the model that RewindPoint.of was called with, full or pruned",
            ) from fault
        return model
