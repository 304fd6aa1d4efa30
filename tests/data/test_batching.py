"""Tokenised once; batches padded little, labels with their texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from supertickets.data import batching
from supertickets.data.batching import EvaluationBatches, batches_by_length, collator, tokenise, tokenizer_sha256


@pytest.fixture(scope="module")
def tokenizer(tiny_bert_folder: Path) -> PreTrainedTokenizerBase:
    """A WordPiece tokenizer over a small vocabulary."""
    loaded = AutoTokenizer.from_pretrained(tiny_bert_folder)
    assert isinstance(loaded, PreTrainedTokenizerBase)
    return loaded


def examples(n: int = 23) -> Dataset:
    """Texts of 1 to `n` words whose label is their number of words, modulo 5, in a mixed order."""
    counts = [1 + (7 * index) % n for index in range(n)]
    return Dataset.from_dict({"text": ["good " * count for count in counts], "label": [count % 5 for count in counts]})


def test_a_text_becomes_ids_label_and_length(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    """Each example keeps its place, with the ids that the tokenizer gives, its label, and its length in tokens."""
    tokens = tokenise(examples(), tokenizer, 64, tmp_path / "cache")
    assert tokens.column_names == ["input_ids", "token_type_ids", "labels", "length"]
    assert tokens[3]["input_ids"] == tokenizer(examples()[3]["text"])["input_ids"]
    assert list(tokens["labels"]) == list(examples()["label"])
    assert tokens[3]["length"] == len(tokens[3]["input_ids"]) == 22 + 2


def test_pairs_have_token_types(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    """The second text of a pair carries token type 1, and numbers stay numbers."""
    pairs = Dataset.from_dict({"text": ["good film"], "text_pair": ["bad plot"], "label": [2.5]})
    tokens = tokenise(pairs, tokenizer, 64, tmp_path / "cache")[0]
    assert tokens["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]
    assert tokens["labels"] == 2.5


def test_long_texts_are_cut_to_a_multiple_of_eight(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    """No text is longer than the setting or the tokenizer's limit, nor is its padded batch."""
    text = Dataset.from_dict({"text": ["good " * 200], "label": [0]})
    assert tokenise(text, tokenizer, 30, tmp_path / "a")[0]["length"] == 24
    assert tokenise(text, tokenizer, 512, tmp_path / "b")[0]["length"] == tokenizer.model_max_length == 64


def test_tokenised_once(tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call reads the cache; other cells or another length make it anew."""
    calls = []
    original = batching._tokens
    monkeypatch.setattr(batching, "_tokens", lambda *given: (calls.append(len(given[0])), original(*given))[1])
    cache = tmp_path / "cache"
    first = tokenise(examples(), tokenizer, 64, cache)
    assert tokenise(examples(), tokenizer, 64, cache)[5] == first[5]
    assert calls == [23]
    tokenizer(["good", "good film"], padding=True, truncation=True, max_length=8)  # a call leaves its settings behind
    tokenise(examples(), tokenizer, 64, cache)
    assert calls == [23]
    assert len(tokenise(examples(11), tokenizer, 64, cache)) == 11
    assert max(tokenise(examples(11), tokenizer, 8, cache)["length"]) == 8
    assert calls == [23, 11, 11]
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_another_vocabulary_is_another_tokenizer(tokenizer: PreTrainedTokenizerBase, tiny_bert_folder: Path) -> None:
    """The checksum follows the vocabulary, not the folder."""
    other = AutoTokenizer.from_pretrained(tiny_bert_folder)
    assert tokenizer_sha256(other) == tokenizer_sha256(tokenizer)
    other.add_tokens(["zyzzyva"])
    assert tokenizer_sha256(other) != tokenizer_sha256(tokenizer)


def test_tokenising_draws_no_progress_bar(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is printed over our own progress."""
    tokenise(examples(), tokenizer, 64, tmp_path / "cache")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_batches_pad_to_their_longest_rounded_to_eight(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    """A batch is as wide as its longest text, rounded up to 8, and the mask covers the real tokens only."""
    tokens = tokenise(examples(), tokenizer, 64, tmp_path / "cache")
    batches = list(EvaluationBatches(tokens, collator(tokenizer), 4))
    assert [batch["input_ids"].shape[1] for _, batch in batches] == [32, 24, 24, 16, 16, 8]
    for indices, batch in batches:
        assert batch["attention_mask"].sum(1).tolist() == [tokens[int(index)]["length"] for index in indices]
        assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels"}


def test_labels_stay_with_their_texts(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    """Each row of each batch is the example its index names, and every example comes once."""
    tokens = tokenise(examples(), tokenizer, 64, tmp_path / "cache")
    seen = []
    for indices, batch in EvaluationBatches(tokens, collator(tokenizer), 4):
        words = batch["attention_mask"].sum(1) - 2
        assert (words % 5).tolist() == batch["labels"].tolist()
        seen += indices.tolist()
    assert sorted(seen) == list(range(23))


def test_a_selection_of_the_examples_can_be_batched(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    """Indices count within the selection, as predictions of a split do."""
    chosen = tokenise(examples(), tokenizer, 64, tmp_path / "cache").select([20, 3, 11])
    batches = EvaluationBatches(chosen, collator(tokenizer), 8)
    (indices, batch), *rest = batches
    assert (len(batches), rest) == (1, [])
    assert batch["labels"].tolist() == [chosen[int(index)]["labels"] for index in indices]


def test_the_longest_batch_comes_first() -> None:
    """Batches go from long to short, ties in their own order."""
    batches = batches_by_length([3, 9, 3, 7, 9], 2)
    assert [batch.tolist() for batch in batches] == [[1, 4], [3, 0], [2]]
