"""Small tokenised examples that small models can learn, and the tokenizer that pads them."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from datasets import Dataset
from transformers import BertTokenizerFast, PreTrainedModel

from supertickets.data.batching import EvaluationBatches, collator

WORD_IDS = (5, 99)  # what small models know, without the special tokens


@cache
def tokenizer() -> BertTokenizerFast:
    """A tokenizer whose only use is padding."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *(f"word{index}" for index in range(5, 99))]
    return BertTokenizerFast(vocab={word: index for index, word in enumerate(words)}, model_max_length=64)


def examples(n: int = 40, *, seed: int = 0, regression: bool = False) -> Dataset:
    """`n` examples of 4 to 15 tokens; the label says how many tokens are high: most of them, or their share."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 16, n)
    shares = rng.random(n)
    low, high = WORD_IDS
    middle = (low + high) // 2
    ids = [
        np.where(rng.random(length) < share, rng.integers(middle, high, length), rng.integers(low, middle, length))
        for length, share in zip(lengths, shares, strict=True)
    ]
    found = np.array([(row >= middle).mean() for row in ids])
    labels = found if regression else (found > 0.5).astype(np.int64)
    return Dataset.from_dict(
        {"input_ids": [row.tolist() for row in ids], "labels": labels.tolist(), "length": lengths.tolist()}
    )


def one_by_one(model: PreTrainedModel, data: Dataset) -> np.ndarray:
    """Logits of each example on its own, in a plain loop."""
    with torch.no_grad():
        return np.concatenate([model(input_ids=torch.tensor([ids])).logits.numpy() for ids in data["input_ids"]])


def padded(data: Dataset, batch_size: int) -> list[dict[str, torch.Tensor]]:
    """The examples as batches of tensors, by length."""
    return [batch for _, batch in EvaluationBatches(data, collator(tokenizer()), batch_size)]
