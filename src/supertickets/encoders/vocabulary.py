"""Texts -> a model and a tokenizer with only the tokens that these texts need."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from tempfile import TemporaryFile
from typing import IO, Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from supertickets.encoders import tokens
from supertickets.encoders.loading import head_modules
from supertickets.encoders.pruning import unshare_config
from supertickets.errors import UserError

FULL_VOCABULARY = "supertickets_vocabulary"  # in the config: the rows that the embedding had before
AT_ONCE = 512  # texts in memory at a time
PADDED_TO = 128  # embeddings are often padded to a multiple of this; no token reaches the rows beyond


def prune_vocabulary(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Iterable[tokens.Text]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Drop from `model`, in place, every token that `texts` do not need; return it and a new tokenizer.

    `texts` are read once, a few at a time: strings, or pairs of strings that are encoded together. Kept
    are the tokens that they are split into (whole texts, not cut to the model's length), special and
    added tokens, and single characters and bytes; they keep their order. Works on any encoder, pruned
    or not, with any task head. On these texts the tokens are the same and the outputs equal bit for bit.
    Other texts are split into the pieces that are left. `tokenizer` stays as it is.

    Raises UserError, and leaves the model as it is, for a slow tokenizer or one of another kind than
    WordPiece, BPE and Unigram, for a model with another vocabulary, for texts that are none, and where
    the smaller tokenizer would split one of the texts differently.
    """
    form = tokens.json_form(tokenizer)
    rows = _check_rows(model, form)
    with TemporaryFile("w+", encoding="utf-8") as encoded:  # texts may be a stream, and are needed twice
        used = _encode(texts, tokens.backend(_unlimited(form), tokenizer), encoded)
        kept = sorted(tokens.with_parts(form, used | tokens.always_kept(form) | _fixed_rows(model, rows)))
        new_ids = {old: new for new, old in enumerate(kept)}
        smaller = tokens.smaller_form(form, new_ids)
        _check_same_split(tokens.backend(_unlimited(smaller), tokenizer), encoded, new_ids)
    _keep_rows(model, kept)
    return model, tokens.same_class(tokenizer, smaller)


def _check_rows(model: PreTrainedModel, form: dict[str, Any]) -> int:
    """The rows of the model's embedding; UserError when they cannot be this tokenizer's."""
    rows, needed = _embedding(model).num_embeddings, max(tokens.ids_of(form).values()) + 1
    if not needed <= rows < needed + PADDED_TO:
        raise UserError(
            f"the model's embedding has {rows} rows, the tokenizer needs {needed}", "", "give the model's own tokenizer"
        )
    return rows


def _unlimited(form: dict[str, Any]) -> dict[str, Any]:
    return {**form, "truncation": None, "padding": None}


def _encode(texts: Iterable[tokens.Text], backend: Tokenizer, encoded: IO[str]) -> set[int]:
    """The ids that the texts use; writes one line of JSON, [text, ids], per text."""
    used: set[int] = set()
    for several in _in_groups(_checked(texts)):
        for text, encoding in zip(several, backend.encode_batch(several), strict=True):
            used.update(encoding.ids)
            encoded.write(json.dumps([text, encoding.ids]) + "\n")
    if not encoded.tell():
        raise UserError("there are no texts to take the vocabulary from", "texts", "give at least one text")
    return used


def _checked(texts: Iterable[tokens.Text]) -> Iterator[tokens.Text]:
    if isinstance(texts, str):
        raise UserError("this is one text", "texts", "give a list of texts")
    for place, text in enumerate(texts):
        parts = text if isinstance(text, tuple) and len(text) == 2 else (text,)
        if not all(isinstance(part, str) for part in parts):
            raise UserError(
                f"{text!r:.60} is neither a text nor a pair of texts",
                f"texts[{place}]",
                "give str or (str, str)",
            )
        yield text


def _in_groups(texts: Iterator[tokens.Text]) -> Iterator[list[tokens.Text]]:
    while several := list(islice(texts, AT_ONCE)):
        yield several


def _check_same_split(backend: Tokenizer, encoded: IO[str], new_ids: dict[int, int]) -> None:
    """Encode all the texts again; UserError, naming the first, when one of them has other tokens than before."""
    encoded.seek(0)
    while lines := list(islice(encoded, AT_ONCE)):
        several, before = zip(*map(json.loads, lines), strict=True)
        again = backend.encode_batch([text if isinstance(text, str) else tuple(text) for text in several])
        for text, ids, encoding in zip(several, before, again, strict=True):
            if encoding.ids != [new_ids[index] for index in ids]:
                raise UserError(
                    f"with fewer tokens, this tokenizer would split {text!r:.80} differently",
                    "texts",
                    "leave such texts out or keep the full vocabulary",
                )


def _embedding(model: PreTrainedModel) -> nn.Embedding:
    embedding = model.get_input_embeddings()
    assert isinstance(embedding, nn.Embedding)
    return embedding


def _fixed_rows(model: PreTrainedModel, rows: int) -> set[int]:
    """Rows that the model itself refers to."""
    fixed = {index for _, index in _config_ids(model) if 0 <= index < rows}
    padding = _embedding(model).padding_idx
    if padding is not None:
        fixed.add(padding)
    for module in model.modules():
        # RoBERTa and its kin number positions from the padding id on, so that it must not move.
        if isinstance(module, nn.Embedding) and module is not _embedding(model) and module.padding_idx is not None:
            fixed.update(range(module.padding_idx + 1))
    return fixed


def _config_ids(model: PreTrainedModel) -> Iterator[tuple[str, int]]:
    for name, index in vars(model.config).items():
        if name.endswith("_token_id") and isinstance(index, int):
            yield name, index


def _keep_rows(model: PreTrainedModel, kept: list[int]) -> None:
    embedding, new_ids = _embedding(model), {old: new for new, old in enumerate(kept)}
    rows, index = embedding.num_embeddings, torch.tensor(kept, device=embedding.weight.device)
    sliced = {id(weight): _sliced(weight, index) for weight in _vocabulary_weights(model, rows)}
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if id(weight) in sliced:  # under each of its names, so that tied weights stay tied
                setattr(module, name, sliced[id(weight)])
                if isinstance(module, nn.Linear):
                    module.out_features = len(kept)
    embedding.num_embeddings = len(kept)
    if embedding.padding_idx is not None:
        embedding.padding_idx = new_ids[embedding.padding_idx]
    config = unshare_config(model)
    for name, old in list(_config_ids(model)):
        if old in new_ids:
            setattr(config, name, new_ids[old])
    setattr(config, FULL_VOCABULARY, getattr(config, FULL_VOCABULARY, rows))
    config.vocab_size = len(kept)


def _vocabulary_weights(model: PreTrainedModel, rows: int) -> Iterator[Tensor]:
    """The weights with one row per token: the embedding, and a language model head's projection and bias."""
    yield _embedding(model).weight
    output = model.get_output_embeddings()
    if not isinstance(output, nn.Linear):
        return
    if output.out_features == rows:  # DeBERTa v3 names a layer before the projection here
        yield from output.parameters()
    for module in head_modules(model):
        bias = getattr(module, "bias", None)
        if not isinstance(module, nn.Linear | nn.LayerNorm) and isinstance(bias, nn.Parameter) and len(bias) == rows:
            yield bias  # the head's own, beside that of its projection


def _sliced(weight: Tensor, index: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().index_select(0, index), requires_grad=weight.requires_grad)
