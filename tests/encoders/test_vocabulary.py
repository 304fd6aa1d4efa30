"""A smaller vocabulary changes nothing on its texts: same tokens, equal logits, for every kind of tokenizer."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    AlbertTokenizer,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertTokenizerFast,
    CamembertTokenizer,
    DebertaV2Tokenizer,
    ElectraForPreTraining,
    MPNetTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)
from transformers.tokenization_python import PreTrainedTokenizer

from small_models import build
from supertickets.encoders.families import structures_of
from supertickets.encoders.loading import load
from supertickets.encoders.pruning import prune
from supertickets.encoders.vocabulary import prune_vocabulary
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask

TRAINING = """
the quick brown fox jumps over the lazy dog while seventeen jovial wizards quietly examine broken boxes
a film about painters and their unexpected discoveries in the mountains was warmly received by critics
nobody expected the discussion of vocabulary pruning to continue throughout the whole evening
she sells seashells near the seashore although shells are rarely profitable nowadays
engineers measured temperatures and pressures repeatedly before publishing their findings
the orchestra performed beautifully despite several unfortunate interruptions yesterday afternoon
""".strip().splitlines()
TEXTS = ["the film was warmly received", "painters and critics", "a fox ☃ near the mountains, unexpectedly!"]
PAIRS = [("the dog jumps", "nobody expected the fox"), ("shells", "a quick discussion about painters")]
CORPUS: list[str | tuple[str, str]] = [*TEXTS, *PAIRS]
UNSEEN = ["engineers examine temperatures beautifully", "quixotic zebras ☃", "été 東京 \U0001f600"]


def wordpieces(*special: str) -> dict[str, int]:
    """A WordPiece vocabulary that starts with the special tokens."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=[*special], show_progress=False)
    tokenizer.train_from_iterator(TRAINING, trainer)
    return tokenizer.get_vocab()


def byte_level(*special: str) -> Tokenizer:
    """A byte-level BPE tokenizer whose vocabulary starts with the special tokens, if any."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[*special], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING, trainer)
    return tokenizer


def pieces(*special: str, unknown: str, last: str = "") -> list[tuple[str, float]]:
    """Unigram pieces with their scores; the special tokens are first, but for one that may be last."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=[*special], unk_token=unknown, show_progress=False, max_piece_length=8
    )
    tokenizer.train_from_iterator(TRAINING * 20, trainer)
    found = json.loads(tokenizer.to_str())["model"]["vocab"]
    return [(piece, score) for piece, score in found] + ([(last, 0.0)] if last else [])


def bert() -> PreTrainedTokenizerBase:
    """BERT's, with an added special token and an added plain one beyond the trained vocabulary."""
    made = BertTokenizerFast(vocab=wordpieces("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    made.add_special_tokens({"additional_special_tokens": ["[E1]"]})
    made.add_tokens(["supertickets"])
    return made


def roberta() -> PreTrainedTokenizerBase:
    """RoBERTa's: the padding token is number 1, and positions count from it."""
    trained = json.loads(byte_level("<s>", "<pad>", "</s>", "<unk>", "<mask>").to_str())["model"]
    return RobertaTokenizer(vocab=trained["vocab"], merges=[tuple(merge) for merge in trained["merges"]])


def modernbert() -> PreTrainedTokenizerBase:
    """ModernBERT's: no class of its own, special tokens at the end, a template that names their ids."""
    backend = byte_level()
    backend.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    names = {f"{name.lower()}_token": f"[{name}]" for name in ("UNK", "CLS", "SEP", "PAD", "MASK")}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def xlm_roberta() -> PreTrainedTokenizerBase:
    """XLM-RoBERTa's: padding is number 1, unknown 3 (fixed in its class), and the mask comes last."""
    return XLMRobertaTokenizer(vocab=pieces("<s>", "<pad>", "</s>", "<unk>", unknown="<unk>", last="<mask>"))


def camembert() -> PreTrainedTokenizerBase:
    """CamemBERT's, with its unused doubles of the special tokens."""
    special = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>")
    return CamembertTokenizer(vocab=pieces(*special, unknown="<unk>", last="<mask>"))


def albert() -> PreTrainedTokenizerBase:
    """ALBERT's: the unknown token is number 1, fixed in its class."""
    return AlbertTokenizer(vocab=pieces("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", unknown="<unk>"))


def deberta() -> PreTrainedTokenizerBase:
    """DeBERTa v3's: the mask stands beyond the pieces."""
    return DebertaV2Tokenizer(vocab=pieces("[PAD]", "[CLS]", "[SEP]", "[UNK]", unknown="[UNK]"), unk_id=3)


TOKENIZERS = {
    "bert": bert,
    "electra": bert,
    "distilbert": bert,
    "mpnet": lambda: MPNetTokenizer(vocab=wordpieces("<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>")),
    "roberta": roberta,
    "modernbert": modernbert,
    "xlm-roberta": xlm_roberta,
    "camembert": camembert,
    "albert": albert,
    "deberta-v2": deberta,
}
IDS = ("pad", "cls", "sep", "bos", "eos", "unk", "mask")
KINDS = ("bert", "roberta", "deberta-v2")


def made(family: str, **settings: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A family's tiny model and a tokenizer of its kind; the config has the tokenizer's special ids."""
    tokenizer = TOKENIZERS[family]()
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id", None) for name in IDS}
    ids = {name: index for name, index in ids.items() if index is not None}
    return build(family, **({"vocab_size": len(tokenizer), **ids} | settings)), tokenizer


def split(tokenizer: PreTrainedTokenizerBase, texts: list[str | tuple[str, str]]) -> list[list[str]]:
    """The token strings of each text."""
    return [
        tokenizer.convert_ids_to_tokens(tokenizer(*([text] if isinstance(text, str) else text))["input_ids"])
        for text in texts
    ]


@torch.no_grad()
def logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[torch.Tensor]:
    """Of the single texts, and of the pairs, as two padded batches."""
    model.eval()
    first, second = [list(parts) for parts in zip(*PAIRS, strict=True)]
    batches = [tokenizer(TEXTS, padding=True, return_tensors="pt")]
    batches += [tokenizer(first, second, padding=True, return_tensors="pt")]
    accepted = ("input_ids", "attention_mask", "token_type_ids")
    takes = [name for name in accepted if name != "token_type_ids" or hasattr(model.config, "type_vocab_size")]
    return [model(**{name: batch[name] for name in takes if name in batch})[0] for batch in batches]


def equal(some: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    """Whether all bits agree."""
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


def refusal(*arguments: Any) -> str:
    """The sentence of the UserError that pruning raises."""
    with pytest.raises(UserError) as caught:
        prune_vocabulary(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("family", TOKENIZERS)
def test_logits_and_tokens_stay_the_same(family: str) -> None:
    """Single texts, pairs and padding: the same token strings and the same bits, with far fewer rows."""
    model, tokenizer = made(family)
    rows, tokens, before = len(tokenizer), split(tokenizer, CORPUS), logits(model, tokenizer)
    small, smaller = prune_vocabulary(model, tokenizer, iter(CORPUS))
    assert small is model and type(smaller) is type(tokenizer)
    assert len(smaller) == small.config.vocab_size == small.get_input_embeddings().num_embeddings < 0.85 * rows
    assert small.get_input_embeddings().weight.shape[0] == len(smaller)
    assert split(smaller, CORPUS) == tokens
    assert equal(logits(small, smaller), before)
    assert len(tokenizer) == rows and split(tokenizer, CORPUS) == tokens  # the given one is as it was
    assert before[0].std() > 1e-3


@pytest.mark.parametrize("family", TOKENIZERS)
def test_a_saved_folder_gives_equal_logits(family: str, tmp_path: Path) -> None:
    """Model and tokenizer come back from their folder with the same tokens and the same bits."""
    small, smaller = prune_vocabulary(*made(family), CORPUS)
    small.save_pretrained(tmp_path)
    smaller.save_pretrained(tmp_path)
    loaded, reloaded = type(small).from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    loaded.set_attn_implementation("eager")
    texts = [*CORPUS, *UNSEEN]
    assert type(reloaded) is type(smaller)
    assert reloaded.get_vocab() == smaller.get_vocab()
    assert split(reloaded, texts) == split(smaller, texts)
    assert equal(logits(loaded, reloaded), logits(small, smaller))


@pytest.mark.parametrize("family", TOKENIZERS)
def test_other_texts_are_still_split(family: str) -> None:
    """Unseen texts become pieces that the model has rows for; special tokens keep their names and order."""
    model, tokenizer = made(family)
    small, smaller = prune_vocabulary(model, tokenizer, CORPUS)
    encoded = smaller(UNSEEN, padding=True, return_tensors="pt")
    assert int(encoded["input_ids"].max()) < len(smaller)
    takes = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    assert bool(torch.isfinite(small(**takes).logits).all())
    known = "engineers examine temperatures"  # words that are whole tokens no longer, of letters that are
    assert smaller.unk_token_id not in smaller(known)["input_ids"]
    assert len(smaller(known)["input_ids"]) > len(tokenizer(known)["input_ids"])
    assert smaller.all_special_tokens == tokenizer.all_special_tokens
    for name in IDS:
        if (index := getattr(tokenizer, f"{name}_token_id", None)) is not None:
            assert tokenizer.convert_ids_to_tokens(index) in smaller.get_vocab()
            assert getattr(small.config, f"{name}_token_id") == getattr(smaller, f"{name}_token_id")
    assert small.get_input_embeddings().padding_idx == smaller.pad_token_id


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "camembert", "mpnet"])
def test_the_padding_token_stays_where_positions_count_from(family: str) -> None:
    """Positions are the padding id plus the token's place, so that id is the same before and after."""
    model, tokenizer = made(family)
    small, smaller = prune_vocabulary(model, tokenizer, CORPUS)
    positions = small.base_model.embeddings.position_embeddings.padding_idx
    assert smaller.pad_token_id == tokenizer.pad_token_id == small.config.pad_token_id == positions == 1


def test_tokens_before_a_padding_or_unknown_token_that_must_not_move_are_kept(tmp_path: Path) -> None:
    """A plain token in front of them costs a row, and neither positions nor a class's fixed number shift."""
    words = wordpieces("painted", "<pad>", "<s>", "</s>", "<unk>", "[UNK]", "<mask>")
    tokenizer = MPNetTokenizer(vocab=words)
    model = build("mpnet", vocab_size=len(tokenizer), bos_token_id=2)
    before = logits(model, tokenizer)
    small, smaller = prune_vocabulary(model, tokenizer, CORPUS)
    assert (smaller.get_vocab()["painted"], smaller.pad_token_id) == (0, 1)
    assert equal(logits(small, smaller), before)
    found = pieces("<s>", "<pad>", "painted", "<unk>", "</s>", unknown="<unk>", last="<mask>")
    tokenizer = XLMRobertaTokenizer(vocab=found)
    model = build("xlm-roberta", vocab_size=len(tokenizer), eos_token_id=4)
    _, smaller = prune_vocabulary(model, tokenizer, ["a ☃"])
    smaller.save_pretrained(tmp_path)
    reloaded = AutoTokenizer.from_pretrained(tmp_path)
    assert smaller.unk_token_id == reloaded.unk_token_id == 3
    assert split(reloaded, ["a ☃"]) == split(tokenizer, ["a ☃"]) == [["<s>", "▁a", "▁", "<unk>", "</s>"]]


def test_a_row_that_only_the_model_calls_padding_is_kept() -> None:
    """The row of zero gradient stays that token's, whatever the config says by now."""
    tokenizer = bert()
    place = tokenizer.get_vocab()["[unused0]"]
    model = build("bert", vocab_size=len(tokenizer), pad_token_id=place)
    model.config.pad_token_id = 0
    small, smaller = prune_vocabulary(model, tokenizer, CORPUS)
    assert small.get_input_embeddings().padding_idx == smaller.get_vocab()["[unused0]"]


@pytest.mark.parametrize("kind", ["bert", "roberta", "sequence"])
def test_processors_add_their_tokens_under_the_new_numbers(kind: str) -> None:
    """Post-processors hold ids of their own, in three forms; special tokens stand last here, so that they move."""
    tokenizer = modernbert()
    ends = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("[SEP]", "[CLS]")]
    processor = {
        "bert": lambda: processors.BertProcessing(*ends),
        "roberta": lambda: processors.RobertaProcessing(*ends),
        "sequence": lambda: processors.Sequence(
            [processors.ByteLevel(), processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A $B [SEP]", ends)]
        ),
    }[kind]()
    tokenizer._tokenizer.post_processor = processor
    model = build("modernbert", vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    tokens, before = split(tokenizer, CORPUS), logits(model, tokenizer)
    small, smaller = prune_vocabulary(model, tokenizer, CORPUS)
    assert split(smaller, CORPUS) == tokens and tokens[0][0] == "[CLS]" and tokens[0][-1] == "[SEP]"
    assert equal(logits(small, smaller), before)


def test_special_tokens_that_are_read_as_text_stay_so() -> None:
    """With split_special_tokens, a special token inside a text is text, before and after."""
    tokenizer = bert()
    tokenizer._tokenizer.encode_special_tokens = tokenizer.split_special_tokens = True
    model = build("bert", vocab_size=len(tokenizer))
    tokens = split(tokenizer, ["the [SEP] film"])
    _, smaller = prune_vocabulary(model, tokenizer, ["the [SEP] film"])
    assert tokens[0].count("[SEP]") == 1
    assert split(smaller, ["the [SEP] film"]) == tokens


def test_a_late_padding_token_may_move_where_positions_do_not_count_from_it() -> None:
    """ModernBERT's stands at the end of the vocabulary and gets a lower number."""
    model, tokenizer = made("modernbert")
    small, smaller = prune_vocabulary(model, tokenizer, CORPUS)
    assert smaller.pad_token_id == len(smaller) - 2 < tokenizer.pad_token_id
    assert small.config.pad_token_id == smaller.pad_token_id


@pytest.mark.parametrize("family", KINDS)
def test_kept_are_used_special_and_single_tokens(family: str) -> None:
    """What the texts use, what is special or added and every single character is kept; most else is gone."""
    model, tokenizer = made(family)
    before = tokenizer.get_vocab()
    used = {token for row in split(tokenizer, CORPUS) for token in row}
    single = {token for token in before if len(token.removeprefix("##")) == 1}
    special = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    _, smaller = prune_vocabulary(model, tokenizer, CORPUS)
    kept = set(smaller.get_vocab())
    assert used | single | special <= kept < set(before)
    assert sorted(kept, key=before.__getitem__) == sorted(kept, key=smaller.get_vocab().__getitem__)  # same order
    assert len(single) > 25 and "temperatures" not in kept and "Ġtemperatures" not in kept
    if family == "bert":
        assert kept == used | single | special
        assert "[unused0]" in before and "[unused0]" not in kept and "supertickets" in kept
    if family == "roberta":
        assert set(pre_tokenizers.ByteLevel.alphabet()) <= kept


def test_merges_build_each_kept_token_from_kept_ones() -> None:
    """Each BPE token of more than one byte has a merge, whose parts are kept, too."""
    _, smaller = prune_vocabulary(*made("roberta"), ["wizards"])
    model = json.loads(smaller.backend_tokenizer.to_str())["model"]
    built = {left + right for left, right in model["merges"]}
    long = {token for token in model["vocab"] if len(token) > 1 and token not in smaller.all_special_tokens}
    assert built == long and len(long) > 1
    assert all(left in model["vocab"] and right in model["vocab"] for left, right in model["merges"])


@pytest.mark.parametrize("family", [family for family in TOKENIZERS if family != "electra"])
def test_language_model_heads_lose_the_same_rows(family: str, tmp_path: Path) -> None:
    """Masked-token logits of the kept tokens are as before, ties and biases included, and also from a folder."""
    model, tokenizer = made(family, head=AutoModelForMaskedLM)
    before = logits(model, tokenizer)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    small, smaller = prune_vocabulary(model, tokenizer, CORPUS)
    ids = [tokenizer.get_vocab()[token] for token in sorted(smaller.get_vocab(), key=smaller.get_vocab().get)]
    for old, new in zip(before, logits(small, smaller), strict=True):
        torch.testing.assert_close(new, old[..., ids], rtol=0, atol=2e-6)
    assert (small.get_output_embeddings().weight is small.get_input_embeddings().weight) == tied
    small.save_pretrained(tmp_path)
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert equal(logits(loaded, smaller), logits(small, smaller))


def test_a_head_whose_weights_are_its_own_loses_the_same_rows() -> None:
    """Untied projections are cut by themselves: ELECTRA's generator has one of another width than its layers."""
    model, tokenizer = made("electra", head=AutoModelForMaskedLM)
    output = model.get_output_embeddings()
    output.weight = torch.nn.Parameter(torch.randn_like(output.weight))
    before = logits(model, tokenizer)
    small, smaller = prune_vocabulary(model, tokenizer, CORPUS)
    ids = [tokenizer.get_vocab()[token] for token in sorted(smaller.get_vocab(), key=smaller.get_vocab().get)]
    for old, new in zip(before, logits(small, smaller), strict=True):
        torch.testing.assert_close(new, old[..., ids], rtol=0, atol=2e-6)
    assert (output.weight.shape, output.out_features) == ((len(smaller), 16), len(smaller))
    assert output.weight is not small.get_input_embeddings().weight


def test_a_head_that_multiplies_by_the_embedding_itself_loses_its_bias_rows() -> None:
    """DeBERTa v3's own head has no projection, and its bias is tied to nothing."""
    model, tokenizer = made("deberta-v2", head=AutoModelForMaskedLM, legacy=False)
    before = logits(model, tokenizer)
    small, smaller = prune_vocabulary(model, tokenizer, CORPUS)
    assert len(small.lm_predictions.lm_head.bias) == len(smaller)
    assert small.lm_predictions.lm_head.dense.weight.shape == (32, 32)
    ids = [tokenizer.get_vocab()[token] for token in sorted(smaller.get_vocab(), key=smaller.get_vocab().get)]
    for old, new in zip(before, logits(small, smaller), strict=True):
        torch.testing.assert_close(new, old[..., ids], rtol=0, atol=2e-6)


def test_other_heads_stay_whole() -> None:
    """A token classifier with as many labels as there are tokens loses no label; encoders without a head work."""
    tokenizer = bert()
    labels = len(tokenizer)
    model = build("bert", head=AutoModelForTokenClassification, vocab_size=labels, num_labels=labels)
    before = logits(model, tokenizer)
    small, smaller = prune_vocabulary(model, tokenizer, CORPUS)
    assert small.classifier.weight.shape[0] == len(small.classifier.bias) == labels > len(smaller)
    assert equal(logits(small, smaller), before)
    for family, head in (("albert", AutoModel), ("electra", ElectraForPreTraining)):
        tokenizer = TOKENIZERS[family]()
        model = build(family, vocab_size=len(tokenizer))
        model = head.from_config(model.config) if head is AutoModel else head(model.config)
        before = logits(model, tokenizer)
        assert equal(logits(*prune_vocabulary(model, tokenizer, CORPUS)), before)


@pytest.mark.parametrize("family", KINDS)
def test_training_goes_on(family: str) -> None:
    """Ten steps bring the loss down; rows of the embedding learn, that of padding does not."""
    small, smaller = prune_vocabulary(*made(family), CORPUS)
    batch = smaller(TEXTS, padding=True, return_tensors="pt")
    batch = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "labels": torch.tensor([0, 1, 0]),
    }
    table = small.get_input_embeddings().weight
    start = table.detach().clone()
    optimiser = torch.optim.SGD(small.parameters(), lr=0.05)
    losses = []
    for _ in range(10):
        loss = small(**batch).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.01
    moved = (table.detach() != start).any(dim=1)
    assert moved[batch["input_ids"][0, 1]] and not moved[smaller.pad_token_id]


def test_units_and_vocabulary_are_pruned_in_either_order() -> None:
    """Heads first or tokens first: the same bits, and the structures know the smaller vocabulary's weights."""
    model, tokenizer = made("bert")
    structures = structures_of(model)
    heads = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
    mask = Mask(structures, heads, np.array([[1], [0], [1]], dtype=bool))
    one, smaller = prune_vocabulary(prune(copy.deepcopy(model), mask), tokenizer, CORPUS)
    other = prune(prune_vocabulary(model, tokenizer, CORPUS)[0], mask)
    assert equal(logits(one, smaller), logits(other, smaller))
    gone = (len(tokenizer) - len(smaller)) * 32
    assert structures_of(other).total_weights == structures.total_weights - gone


def test_frozen_embeddings_stay_frozen_and_padded_rows_go() -> None:
    """What does not train does not train afterwards; rows that pad the table to a round size are dropped."""
    model, tokenizer = made("deberta-v2", vocab_size=256)
    assert 0 < 256 - len(tokenizer) < 128
    model.get_input_embeddings().weight.requires_grad_(False)
    before = logits(model, tokenizer)
    small, smaller = prune_vocabulary(model, tokenizer, CORPUS)
    assert small.get_input_embeddings().weight.shape[0] == len(smaller) < len(tokenizer)
    assert not small.get_input_embeddings().weight.requires_grad
    assert equal(logits(small, smaller), before)


def test_settings_of_the_tokenizer_stay() -> None:
    """Length, padding side and a cut or padding that is set stay, the padding with its new number."""
    model, tokenizer = made("modernbert")
    tokenizer.model_max_length, tokenizer.padding_side, tokenizer.truncation_side = 12, "left", "left"
    tokenizer(TEXTS, padding="max_length", truncation=True)  # leaves both set in the backend
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 12
    long = " ".join(TRAINING)
    _, smaller = prune_vocabulary(model, tokenizer, [long])
    assert (smaller.model_max_length, smaller.padding_side, smaller.truncation_side) == (12, "left", "left")
    assert smaller.backend_tokenizer.padding["pad_id"] == smaller.pad_token_id < tokenizer.pad_token_id
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 12  # the given one is as it was
    # The whole text counted, not only its first 12 tokens.
    assert split(smaller, [long]) == split(tokenizer, [long])
    assert smaller.tokenize(" afternoon") == tokenizer.tokenize(" afternoon") == ["Ġafternoon"]


def test_an_unknown_character_costs_a_unigram_text_what_it_did() -> None:
    """The worst piece stays: the penalty of unknown characters counts from its score."""
    found = [("[PAD]", 0.0), ("[CLS]", 0.0), ("[SEP]", 0.0), ("[UNK]", 0.0), ("▁", -2.0), ("a", -3.0), ("zz", -50.0)]
    # "a☃" has no piece "☃"; with the worst piece gone the same text would cost 47 less.
    tokenizer = DebertaV2Tokenizer(vocab=[*found, ("aa", -5.0)], unk_id=3)
    model = build("deberta-v2", vocab_size=len(tokenizer))
    _, smaller = prune_vocabulary(model, tokenizer, ["a☃"])
    assert set(smaller.get_vocab()) == {"[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "▁", "a", "zz"}


def test_streams_are_read_once() -> None:
    """A generator of more texts than are held at a time works, and each text is asked for once."""
    asked = 0

    def stream() -> Iterator[str]:
        nonlocal asked
        for number in range(1300):
            asked += 1
            yield f"{TEXTS[number % 3]} wizards" if number == 1299 else TEXTS[number % 3]

    model, tokenizer = made("bert")
    _, smaller = prune_vocabulary(model, tokenizer, stream())
    assert asked == 1300 and "wizards" in smaller.get_vocab()


def test_pruning_again_changes_nothing() -> None:
    """The same texts need the same tokens; fewer texts need fewer."""
    once = prune_vocabulary(*made("roberta"), CORPUS)
    size = len(once[1])
    twice = prune_vocabulary(*once, CORPUS)
    assert twice[1].get_vocab() == once[1].get_vocab()
    assert len(prune_vocabulary(*twice, ["the"])[1]) < size


def test_a_split_that_would_change_is_refused() -> None:
    """An unknown word that would become known is named, and the model is as it was."""
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "ab", "abc", "d", "##cx")
    tokenizer = BertTokenizerFast(vocab={word: index for index, word in enumerate(words)})
    model = build("bert", vocab_size=10)
    assert tokenizer.tokenize("abcx") == ["[UNK]"]  # after the longest match, abc, no piece starts with x
    message = refusal(model, tokenizer, ["ab", "dcx", "abcx"])
    assert message == (
        "texts: with fewer tokens, this tokenizer would split 'abcx' differently; "
        "leave such texts out or keep the full vocabulary"
    )
    assert (model.config.vocab_size, model.get_input_embeddings().num_embeddings) == (10, 10)


def test_unfit_models_and_tokenizers_are_refused(tmp_path: Path) -> None:
    """Slow tokenizers, other kinds, and models with another vocabulary: one sentence each, with the numbers."""
    model, tokenizer = made("bert")

    class Slow(PreTrainedTokenizer):
        """The least that a slow tokenizer has."""

        vocab_size = 3

        def get_vocab(self) -> dict[str, int]:
            """No token."""
            return {}

        def _add_tokens(self, *_: Any, **__: Any) -> int:
            return 0

    assert refusal(model, Slow(), CORPUS) == (
        "Slow is a slow tokenizer, whose vocabulary cannot be pruned; load its fast version with AutoTokenizer"
    )
    level = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    assert refusal(model, level, CORPUS) == (
        "the tokenizer is of the kind WordLevel; a vocabulary can be pruned for WordPiece, BPE, Unigram; "
        "keep the full vocabulary"
    )
    size = len(tokenizer)
    for rows in (size - 1, size + 128):
        assert refusal(build("bert", vocab_size=rows), tokenizer, CORPUS) == (
            f"the model's embedding has {rows} rows, the tokenizer needs {size}; give the model's own tokenizer"
        )


def test_unfit_texts_are_refused() -> None:
    """No text, one text, and what is none: one sentence each, with the place."""
    model, tokenizer = made("bert")
    assert refusal(model, tokenizer, []) == (
        "texts: there are no texts to take the vocabulary from; give at least one text"
    )
    assert refusal(model, tokenizer, "the film") == "texts: this is one text; give a list of texts"
    for wrong in (3, ("a", "b", "c"), ("a", None), None):
        message = refusal(model, tokenizer, iter(["fine", wrong]))
        assert message == f"texts[1]: {wrong!r} is neither a text nor a pair of texts; give str or (str, str)"


@pytest.mark.slow
def test_real_minilm_on_real_sentences(glue: Path, tmp_path: Path) -> None:
    """The figures of docs/vocabulary.md: tokens kept and the saved file, for some hundred sentences of SST-2."""
    dev = (glue / "SST-2" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    sentences = [line.split("\t")[0].strip() for line in dev]
    model, tokenizer = load("minilm")
    model.eval()
    pair = (model, tokenizer)

    @torch.no_grad()
    def outputs(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
        rows = [sentences[start : start + 32] for start in range(0, len(sentences), 32)]
        batches = [tokenizer(several, padding=True, return_tensors="pt") for several in rows]
        return torch.cat([model(**batch).logits for batch in batches])

    def megabytes(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[float]:
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        return [(tmp_path / name / file).stat().st_size / 1e6 for file in ("model.safetensors", "tokenizer.json")]

    before, full, rows = outputs(*pair), megabytes("full", *pair), len(tokenizer)
    small = prune_vocabulary(*pair, sentences)
    pruned = megabytes("small", *small)
    print(len(sentences), "sentences;", rows, "->", len(small[1]), "tokens;", full, "->", pruned, "MB")
    assert torch.equal(outputs(*small), before)
    reloaded = load(str(tmp_path / "small"))[1]
    assert split(reloaded, [*sentences, *UNSEEN]) == split(small[1], [*sentences, *UNSEEN])
    assert len(small[1]) / rows < 0.25
    assert pruned[0] / full[0] < 0.6


def test_a_shared_config_stays_what_it_was() -> None:
    """Another model that was made from the same config object keeps its own vocabulary's size."""
    ours, tokenizer = made("bert")
    other, rows = type(ours)(ours.config), len(tokenizer)
    prune_vocabulary(ours, tokenizer, CORPUS)
    assert ours.config.vocab_size == ours.get_input_embeddings().num_embeddings < rows
    assert other.config.vocab_size == other.get_input_embeddings().num_embeddings == rows
