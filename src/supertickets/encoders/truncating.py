"""A model without its upper layers, norms and all: the simplest way to a smaller encoder."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from supertickets.encoders.families import layers_of, part, row_of
from supertickets.errors import UserError


def truncate(model: PreTrainedModel, layers: int) -> PreTrainedModel:
    """Remove from `model`, in place, all layers but the lowest so many, and return it.

    Nothing of the upper layers is left, unlike in a ticket that drops all of their units (which keeps their layer
    norms). Raises UserError for less than one layer or more than there are, and where layers share their weights.
    """
    path, found = row_of(model.config).layers.removesuffix(".*"), len(layers_of(model))
    if "*" in path:
        what = f"the layers of {model.config.model_type} share their weights, so none can be cut off"
        raise UserError(what, "truncate", "leave this baseline out")
    if not 1 <= layers <= found:
        raise UserError(f"must be between 1 and the {found} layers of the encoder, not {layers}", "layers")
    stack = part(model.base_model, path)
    assert isinstance(stack, nn.ModuleList)
    del stack[layers:]
    model.config.num_hidden_layers = layers
    return model
