"""Pruned model -> a folder that `load` reads back: weights, config with the kept units, tokenizer, ticket."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from supertickets import storage
from supertickets.encoders.loading import quiet
from supertickets.encoders.pruning import kept_units
from supertickets.errors import UserError
from supertickets.tickets.ticket import Ticket


def save_ticket_model(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ticket: Ticket) -> None:
    """Write a pruned model's folder, whole or not at all; raises UserError for a model that is not pruned."""
    if kept_units(model) is None:
        raise UserError("this model is not pruned, so it is no ticket's model", str(folder), "prune it first")
    with storage.atomic_folder(folder, if_exists="replace") as target, quiet():
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
        ticket.save(target)
