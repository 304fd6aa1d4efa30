"""A fast tokenizer -> the tokens that texts need, and a smaller tokenizer that splits those texts the same.

Both read the tokenizer's JSON form, which is the only place where tokens can be taken out. Why the
split stays the same: WordPiece takes the longest piece that matches, BPE the first merge that applies,
Unigram the best-scored way through the pieces; what is taken out never won any of these.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from supertickets.errors import UserError

Text = str | tuple[str, str]
KINDS = ("WordPiece", "BPE", "Unigram")
BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")  # a byte-fallback token


def json_form(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The JSON form of a fast tokenizer; raises UserError for a slow one or one of another kind."""
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(
            f"{type(tokenizer).__name__} is a slow tokenizer, whose vocabulary cannot be pruned",
            "",
            "load its fast version with AutoTokenizer",
        )
    form: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    if form["model"]["type"] not in KINDS:
        raise UserError(
            f"the tokenizer is of the kind {form['model']['type']}; a vocabulary can be pruned for {', '.join(KINDS)}",
            "",
            "keep the full vocabulary",
        )
    return form


def backend(form: Mapping[str, Any], like: PreTrainedTokenizerBase) -> Tokenizer:
    """The tokenizer that a JSON form describes, reading special tokens inside texts as `like` does."""
    assert isinstance(like, PreTrainedTokenizerFast)
    tokenizer = Tokenizer.from_str(json.dumps(form))
    tokenizer.encode_special_tokens = like.backend_tokenizer.encode_special_tokens  # not part of the JSON form
    return tokenizer


def ids_of(form: Mapping[str, Any]) -> dict[str, int]:
    """Token -> id of every token, added ones included."""
    vocabulary = form["model"]["vocab"]
    if form["model"]["type"] == "Unigram":
        vocabulary = {token: index for index, (token, _) in enumerate(vocabulary)}
    return {**vocabulary, **{token["content"]: token["id"] for token in form["added_tokens"]}}


def always_kept(form: Mapping[str, Any]) -> set[int]:
    """Ids of special and added tokens, of single characters and bytes, and of what a kind of tokenizer counts on."""
    ids, model = ids_of(form), form["model"]
    kept = {holder[place] for holder, place in _id_places(form)}
    kept |= {index for token, index in ids.items() if _is_character(token, model)}
    if model.get("unk_token") in ids:
        kept.add(ids[model["unk_token"]])
    if model["type"] == "Unigram":
        # The score of an unknown character is counted down from the worst piece's.
        kept.add(min(range(len(model["vocab"])), key=lambda index: model["vocab"][index][1]))
        if model["unk_id"] is not None:  # several classes of transformers fix this id, so it must not move
            kept.update(range(model["unk_id"] + 1))
    return kept


def with_parts(form: Mapping[str, Any], kept: Iterable[int]) -> set[int]:
    """In BPE the kept tokens and all tokens that they are merged from; else the kept tokens."""
    closed = set(kept)
    if form["model"]["type"] != "BPE":
        return closed
    ids = ids_of(form)
    parts: dict[int, set[int]] = {}
    for left, right in form["model"]["merges"]:
        parts.setdefault(ids[_merged(left, right, form["model"])], set()).update((ids[left], ids[right]))
    open_ends = list(closed)
    while open_ends:
        new = parts.get(open_ends.pop(), set()) - closed
        closed |= new
        open_ends += new
    return closed


def smaller_form(form: Mapping[str, Any], new_ids: Mapping[int, int]) -> dict[str, Any]:
    """The JSON form with only the tokens of the old ids in `new_ids` (old id -> new id, in the old order)."""
    smaller = copy.deepcopy(dict(form))
    model = smaller["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [entry for index, entry in enumerate(model["vocab"]) if index in new_ids]
    else:
        vocabulary = {token: new_ids[index] for token, index in model["vocab"].items() if index in new_ids}
        model["vocab"] = vocabulary
        if model["type"] == "BPE":
            model["merges"] = [
                [left, right]
                for left, right in model["merges"]
                if left in vocabulary and right in vocabulary and _merged(left, right, model) in vocabulary
            ]
    for holder, place in _id_places(smaller):
        holder[place] = new_ids[holder[place]]
    return smaller


def same_class(tokenizer: PreTrainedTokenizerBase, form: Mapping[str, Any]) -> PreTrainedTokenizerBase:
    """A copy of a tokenizer, with all its settings, that runs the JSON form."""
    smaller: Any = copy.deepcopy(tokenizer)
    smaller._tokenizer = backend(form, tokenizer)
    assert isinstance(smaller, PreTrainedTokenizerBase)
    return smaller


def _is_character(token: str, model: Mapping[str, Any]) -> bool:
    """Whether it is one character, alone or at the inside or end of a word, or one byte."""
    bare = token.removeprefix(model.get("continuing_subword_prefix") or "")
    bare = bare.removesuffix(model.get("end_of_word_suffix") or "")
    return len(token) == 1 or len(bare) == 1 or BYTE.fullmatch(token) is not None


def _merged(left: str, right: str, model: Mapping[str, Any]) -> str:
    return left + right[len(model["continuing_subword_prefix"] or "") :]


def _id_places(form: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Each place outside the vocabulary that holds an id: its container and its key there."""
    for token in form["added_tokens"]:
        yield token, "id"
    if form["padding"] is not None:
        yield form["padding"], "pad_id"
    if form["model"].get("unk_id") is not None:
        yield form["model"], "unk_id"
    if form["post_processor"] is not None:
        yield from _processor_ids(form["post_processor"])


def _processor_ids(processor: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    for part in processor.get("processors", ()):  # a sequence of processors
        yield from _processor_ids(part)
    for token in processor.get("special_tokens", {}).values():  # a template
        yield from ((token["ids"], place) for place in range(len(token["ids"])))
    for name in ("cls", "sep"):  # BERT's and RoBERTa's own: [token, id]
        if name in processor:
            yield processor[name], 1
