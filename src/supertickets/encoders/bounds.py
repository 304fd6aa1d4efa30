"""What a model folder may ask for: a stranger's config and lists of files, bounded before anything is made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from supertickets import storage
from supertickets.errors import UserError

MOST_LAYERS = 512  # several times the deepest encoder there is
MOST_WIDTH = 2**24  # of any one size: hidden, feed-forward, vocabulary, positions
MOST_LABELS = 2**17  # each has a name, made before anything else is
INDEX_FILE = "model.safetensors.index.json"
MOST_HEADER = 100 * 2**20  # bytes; the limit of safetensors itself
_LAYERS = ("num_hidden_layers", "n_layers", "num_layers", "num_hidden_groups", "inner_group_num", "encoder_layers")
_SIZES = ("hidden_size", "dim", "num_attention_heads", "n_heads", "intermediate_size", "hidden_dim", "vocab_size")
_BUILT_IN = (None, "eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3")
NO_NAME = re.compile("[\0\ud800-\udfff]")  # NUL and halves of characters, which no file's name can hold
_REMEDY = "save or download the model again"


def check_numbers(body: Mapping[str, Any], source: str) -> None:
    """Raise UserError for sizes that no encoder has, in a config as it is read: one is made of what is left."""
    for name, value in body.items():
        if isinstance(value, int) and not isinstance(value, bool):
            most = MOST_LAYERS if name in _LAYERS else MOST_LABELS if name == "num_labels" else MOST_WIDTH
            least = 1 if name in (*_LAYERS, *_SIZES) else -most  # some others have -1 for none
            if not least <= value <= most:
                what = f"config.json has {name} {value:,}, where only {least:,} to {most:,} can be"
                raise UserError(what, source, _REMEDY)


def check_config(config: Any, source: str) -> None:
    """As `check_numbers`, and for an attention whose code lies on the hub."""
    check_numbers(config.to_dict(), source)
    if config._attn_implementation not in _BUILT_IN:
        what = f"its attention is code of the hub ({config._attn_implementation}), which is not run"
        raise UserError(what, source, "leave attn_implementation out of config.json")


def check_size(config: Any, files: Sequence[Path], source: str) -> None:
    """Raise UserError where the encoder of a config has more weights than its files have bytes.

    The encoder is laid out without memory (torch's meta device), so a config of a few bytes cannot ask
    for more memory than the folder is large.
    """
    import torch
    from transformers import AutoModel

    held = sum(file.stat().st_size for file in files)
    with torch.device("meta"), torch.random.fork_rng():
        asked = sum(weight.numel() for weight in AutoModel.from_config(config).parameters())
    if asked > held:
        what = f"its weights cannot be read (its config asks for {asked:,} of them, its files hold {held:,} bytes)"
        raise UserError(what, source, _REMEDY)


def weight_files(folder: Path) -> tuple[str, ...]:
    """The names of a folder's safetensors files, as transformers finds them; raises UserError for one outside it."""
    if (folder / "model.safetensors").is_file():
        return ("model.safetensors",)
    if not (folder / INDEX_FILE).is_file():
        return ()
    places = storage.read_json(folder / INDEX_FILE).get("weight_map")
    if not isinstance(places, Mapping) or not all(isinstance(name, str) for name in places.values()):
        raise UserError("its list of weights cannot be read", str(folder / INDEX_FILE), _REMEDY)
    names = tuple(sorted(set(places.values())))
    check_inside(names, folder / INDEX_FILE)
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise UserError(f"{missing[0]} is missing", str(folder), _REMEDY)
    return names


def check_inside(names: Iterable[str], where: Path) -> None:
    """Raise UserError for a listed file that lies outside the folder of its list."""
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if NO_NAME.search(name) or path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0]:
            shown = json.dumps(name)
            raise UserError(f"it lists {shown}, which is not in this folder", str(where), "get the folder anew")
