"""What every test may ask for: real data, a tiny encoder; one thread and no network for all of them."""

from __future__ import annotations

import os
import sys

# Read when torch, tokenizers and huggingface_hub are first imported, so set before anything else is;
# subprocesses inherit them.
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    MPLBACKEND="agg",
)

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

WORDS = """
the a an and or but not no is was are were be been has have had do does did will would can could it its this that
he she they we you i his her their our to of in on at by for with from as about into over after film movie story
plot actor scene good bad great poor fine dull funny sad smart slow warm cold bright dark love hate like best worst
more less very too never always every some any all one two three new old big small man woman people time day year
says said makes made goes went sees saw knows knew works worked
""".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Give torch its one thread back after a test that asked for more: results depend on the number."""
    yield
    if (torch := sys.modules.get("torch")) is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def glue() -> Path:
    """The folder of real GLUE data: `$SUPERTICKETS_GLUE`, else `../shared/glue` beside the checkout."""
    folder = Path(os.environ.get("SUPERTICKETS_GLUE") or ROOT.parent / "shared" / "glue")
    if not folder.is_dir():
        pytest.skip(f"needs GLUE data: no folder {folder}; set SUPERTICKETS_GLUE")
    return folder


@pytest.fixture(scope="session")
def tiny_vocabulary() -> tuple[str, ...]:
    """Some 190 WordPieces: the words above, and every letter and digit, so that no lower-case word is unknown."""
    pieces = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,!?'-", *LETTERS, *(f"##{letter}" for letter in LETTERS))
    return tuple(dict.fromkeys((*pieces, *WORDS)))


@pytest.fixture(scope="session")
def tiny_bert_folder(tmp_path_factory: pytest.TempPathFactory, tiny_vocabulary: tuple[str, ...]) -> Path:
    """A model folder as a user has one: random BERT (2 layers, 4 heads, hidden 32, FFN 64) with its tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_bert")
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(tiny_vocabulary) + "\n", encoding="utf-8")
    BertTokenizerFast(vocab=str(vocabulary), model_max_length=64).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tiny_vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder
