"""Pruned model -> a folder that loads anywhere: weights, config, the modeling file, tokenizer, ticket, checksums."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from supertickets import storage
from supertickets.encoders.loading import quiet
from supertickets.encoders.modeling_supertickets import CHECKSUMS_FILE
from supertickets.encoders.pruning import kept_units
from supertickets.errors import UserError
from supertickets.tickets.ticket import Ticket

CARD_FILE = "README.md"


def save_ticket_model(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    ticket: Ticket,
    more: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> None:
    """Write a pruned model's folder, whole or not at all; `more` holds JSON objects by the names of their files.

    Raises UserError for a model that is not pruned.
    """
    if kept_units(model) is None:
        raise UserError("this model is not pruned, so it is no ticket's model", str(folder), "prune it first")
    with storage.atomic_folder(folder, if_exists="replace") as target:
        write_model(target, model, tokenizer)
        ticket.save(target)
        for name, body in more.items():
            storage.write_json(target / name, body)
        write_checksums(target)


def write_model(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write what transformers loads: weights, config, tokenizer, and a pruned model's modeling file."""
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def write_checksums(folder: Path) -> None:
    """List the checksum of every file in the folder, which `load` then compares; the model card may be edited."""
    listed = storage.sha256_tree(folder, without=(CARD_FILE, CHECKSUMS_FILE))
    storage.write_json(folder / CHECKSUMS_FILE, listed)
