"""Examples -> token ids, once; token ids -> padded batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, load_from_disk
from jaxtyping import Int64
from torch import Tensor
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from supertickets import storage
from supertickets.data.arrow import no_progress_bars
from supertickets.data.examples import content_sha256
from supertickets.errors import UserError

PAD_TO_MULTIPLE_OF = 8  # matrix units work on tiles of 8
CHUNK = 1000
KEY_FILE = "key.json"

Collator = Callable[[list[dict[str, Any]]], Any]


def tokenise(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int, cache: Path) -> Dataset:
    """Token ids of every example, in its order, from the folder `cache` where it holds just these.

    Columns: the tokenizer's (`input_ids`, `token_type_ids` where it has them), `labels`, and `length`
    in tokens; memory-mapped. Texts are cut at `max_length` or at the tokenizer's own limit, rounded
    down to a multiple of 8 so that padding never passes the last position. What is in the cache is
    kept when the same tokenizer made it from the same cells at the same length and no file of it has
    changed since, else replaced.
    """
    longest = usable_length(max_length, tokenizer)
    key = {"data": content_sha256(dataset), "tokenizer": tokenizer_sha256(tokenizer), "max_length": longest}
    if not _holds(cache, key):
        with storage.atomic_folder(cache, if_exists="replace") as folder, no_progress_bars():
            _tokens(dataset, tokenizer, longest).save_to_disk(str(folder))
            storage.write_sealed(folder / KEY_FILE, key | {"files": storage.sha256_tree(folder)})
    found = load_from_disk(str(cache))
    assert isinstance(found, Dataset)
    return found


def usable_length(max_length: int, tokenizer: PreTrainedTokenizerBase) -> int:
    """The most tokens of a text: a multiple of 8, so that padding never passes the last position."""
    return int(min(max_length, tokenizer.model_max_length)) // PAD_TO_MULTIPLE_OF * PAD_TO_MULTIPLE_OF


def token_columns(
    texts: Sequence[str], pairs: Sequence[str] | None, tokenizer: PreTrainedTokenizerBase, longest: int
) -> dict[str, pa.Array]:
    """The tokenizer's columns of ids for texts, or pairs of texts, cut at `longest` tokens, and their `length`."""
    encoded = tokenizer(texts, pairs, truncation=True, max_length=longest, return_attention_mask=False)
    # int32 and no attention mask (all ones before padding): a quarter of the space.
    columns = {name: pa.array(ids, pa.list_(pa.int32())) for name, ids in encoded.items()}
    columns["length"] = pa.array([len(ids) for ids in encoded["input_ids"]], pa.int32())
    return columns


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """A checksum of everything that decides a text's token ids, whatever folder the tokenizer came from."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    body = json.loads(backend.to_str()) if backend is not None else tokenizer.get_vocab()
    # A tokenizer remembers the truncation and padding of its last call.
    state = {name: value for name, value in body.items() if backend is None or name not in ("truncation", "padding")}
    about = [type(tokenizer).__name__, tokenizer.special_tokens_map, tokenizer.model_input_names, state]
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()


def collator(tokenizer: PreTrainedTokenizerBase) -> DataCollatorWithPadding:
    """Examples -> a batch padded to its longest example, rounded up to a multiple of 8, with its attention mask."""
    return DataCollatorWithPadding(tokenizer, pad_to_multiple_of=PAD_TO_MULTIPLE_OF)


def batches_by_length(lengths: Sequence[int], batch_size: int) -> list[Int64[np.ndarray, " B"]]:
    """Every index once, in batches of similar length, the longest first (so that a lack of memory shows at once)."""
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


class EvaluationBatches:
    """Tokenised examples as (indices, batch of tensors): by length, or in their own order where that matters."""

    def __init__(self, dataset: Dataset, collate: Collator, batch_size: int, *, by_length: bool = True) -> None:
        lengths = list(dataset["length"]) if by_length else [0] * len(dataset)
        self._batches = batches_by_length(lengths, batch_size)
        self._dataset = dataset.remove_columns("length")
        self._collate = collate

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[Int64[np.ndarray, " B"], dict[str, Tensor]]]:
        for indices in self._batches:
            columns = self._dataset[indices.tolist()]
            rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
            yield indices, dict(self._collate(rows))


def _holds(cache: Path, key: dict[str, Any]) -> bool:
    try:
        found = storage.read_sealed(cache / KEY_FILE)
        return found == key | {"files": storage.sha256_tree(cache, without=(KEY_FILE,))}
    except UserError:  # absent or damaged: either way it is made anew
        return False


def _tokens(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, longest: int) -> Dataset:
    chunks = (dataset[start : start + CHUNK] for start in range(0, len(dataset), CHUNK))
    return Dataset(pa.concat_tables(_chunk(chunk, tokenizer, longest) for chunk in chunks))


def _chunk(chunk: dict[str, list[Any]], tokenizer: PreTrainedTokenizerBase, longest: int) -> pa.Table:
    columns = token_columns(chunk["text"], chunk.get("text_pair"), tokenizer, longest)
    whole = all(isinstance(label, int) for label in chunk["label"])
    labels = pa.array(chunk["label"], pa.int64() if whole else pa.float32())
    return pa.table(columns | {"labels": labels, "length": columns.pop("length")})
