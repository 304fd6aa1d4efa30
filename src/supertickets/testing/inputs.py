"""Model -> a batch that its head takes, labels included."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from supertickets.encoders.families import head_in, longest_input

Inputs = Mapping[str, Tensor]
EXAMPLES, CHOICES, TOKENS = 3, 2, 12


def inputs_for(model: PreTrainedModel, seed: int = 0) -> dict[str, Tensor]:
    """Random token ids of different lengths, their attention mask, and labels of the kind that the model's head takes.

    Three examples of at most 12 tokens; in multiple choice each has two choices. A head without an
    entry in LABELS, such as none at all, gets no labels.
    """
    rng = torch.Generator().manual_seed(seed)
    head = head_in(type(model).__name__)
    rows = EXAMPLES * CHOICES if head == "ForMultipleChoice" else EXAMPLES
    tokens = min(TOKENS, longest_input(model))
    mask = torch.ones(rows, tokens, dtype=torch.long)
    mask[0, tokens // 2 :] = 0
    ids = torch.randint(model.config.vocab_size, (rows, tokens), generator=rng)
    padding = getattr(model.config, "pad_token_id", None) or 0
    ids[ids == padding] = (padding + 1) % model.config.vocab_size
    batch = {"input_ids": torch.where(mask == 1, ids, padding), "attention_mask": mask}
    if head in LABELS:
        batch |= LABELS[head](model, mask, rng)
    if head == "ForMultipleChoice":
        for name in ("input_ids", "attention_mask"):
            batch[name] = batch[name].unflatten(0, (EXAMPLES, CHOICES))
    return {name: value.to(model.device) for name, value in batch.items()}


def _sequence_labels(model: PreTrainedModel, mask: Int[Tensor, "B T"], rng: torch.Generator) -> dict[str, Tensor]:
    classes, kind = int(model.config.num_labels or 0), model.config.problem_type
    if kind == "multi_label_classification":
        return {"labels": torch.randint(2, (len(mask), classes), generator=rng).float()}
    if kind == "regression" or (kind is None and classes == 1):
        return {"labels": torch.randn((len(mask), classes), generator=rng).squeeze(1)}
    return {"labels": torch.randint(classes, (len(mask),), generator=rng)}


def _token_labels(model: PreTrainedModel, mask: Int[Tensor, "B T"], rng: torch.Generator) -> dict[str, Tensor]:
    labels = torch.randint(int(model.config.num_labels or 0), mask.shape, generator=rng)
    return {"labels": labels.masked_fill(mask == 0, -100)}


def _masked_tokens(model: PreTrainedModel, mask: Int[Tensor, "B T"], rng: torch.Generator) -> dict[str, Tensor]:
    labels = torch.randint(model.config.vocab_size, mask.shape, generator=rng)
    return {"labels": labels.masked_fill(mask == 0, -100)}


def _spans(model: PreTrainedModel, mask: Int[Tensor, "B T"], rng: torch.Generator) -> dict[str, Tensor]:
    starts = torch.randint(2, (len(mask),), generator=rng)
    return {"start_positions": starts, "end_positions": starts + 2}


def _choices(model: PreTrainedModel, mask: Int[Tensor, "B T"], rng: torch.Generator) -> dict[str, Tensor]:
    return {"labels": torch.randint(CHOICES, (EXAMPLES,), generator=rng)}


LABELS: dict[str, Callable[[PreTrainedModel, Tensor, torch.Generator], dict[str, Tensor]]] = {
    "ForSequenceClassification": _sequence_labels,
    "ForTokenClassification": _token_labels,
    "ForMaskedLM": _masked_tokens,
    "ForQuestionAnswering": _spans,
    "ForMultipleChoice": _choices,
}
