from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from supertickets import storage
from supertickets.errors import UserError

ARRAYS = {"heads": np.eye(3, dtype=bool), "scores": np.arange(6.0).reshape(2, 3).T, "empty": np.zeros((0, 2), np.int64)}


def names(folder: Path) -> list[str]:
    """What is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def test_json_round_trip(tmp_path: Path) -> None:
    """NumPy values, paths, tuples and any text come back as plain values; folders are made; nothing else is left."""
    given = {
        "a": np.float64(0.5),
        "n": np.int64(3),
        "x": np.arange(2),
        "p": Path("d") / "e",
        "t": (1, "ü\udc80"),
        "b": np.bool_(True),
    }
    storage.write_json(tmp_path / "deep" / "er.json", given)
    assert storage.read_json(tmp_path / "deep" / "er.json") == {
        "a": 0.5,
        "n": 3,
        "x": [0, 1],
        "p": "d/e",
        "t": [1, "ü\udc80"],
        "b": True,
    }
    assert names(tmp_path / "deep") == ["er.json"]


def test_json_is_strict(tmp_path: Path) -> None:
    """NaN, which no other JSON reader takes, and objects without a JSON form are refused, and nothing is written."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        storage.write_json(tmp_path / "a.json", {"score": float("nan")})
    with pytest.raises(TypeError, match="object has no JSON form"):
        storage.write_json(tmp_path / "a.json", {"score": object()})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "torn or not JSON"),
        (b'{"a": 1', "torn or not JSON"),
        (b'{"a": "\xff"}', "torn or not JSON"),
        (b"[1, 2]", "expected a JSON object, found a list"),
    ],
)
def test_torn_json_is_refused(content: bytes, sentence: str, tmp_path: Path) -> None:
    """A file that is torn, not UTF-8 or not an object never counts."""
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=f"a.json: {sentence}"):
        storage.read_json(tmp_path / "a.json")


def test_arrays_round_trip(tmp_path: Path) -> None:
    """Values, types and shapes come back read-only, also of transposed and empty arrays; the checksum is the file's."""
    checksum = storage.write_arrays(tmp_path / "a.safetensors", ARRAYS)
    found = storage.read_arrays(tmp_path / "a.safetensors", sha256=checksum)
    assert storage.sha256_file(tmp_path / "a.safetensors") == checksum
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert not found[name].flags.writeable


def test_same_arrays_same_bytes(tmp_path: Path) -> None:
    """The checksum names the content: whatever the order of the names, and written twice."""
    one = storage.write_arrays(tmp_path / "a", ARRAYS)
    assert one == storage.write_arrays(tmp_path / "b", dict(reversed(ARRAYS.items())))
    assert one != storage.write_arrays(tmp_path / "b", ARRAYS | {"heads": np.zeros((3, 3), bool)})


def test_damaged_arrays_are_refused(tmp_path: Path) -> None:
    """Torn, altered, or missing: each is one sentence that names the file."""
    path = tmp_path / "a.safetensors"
    with pytest.raises(UserError, match=r"a\.safetensors: no such file"):
        storage.read_arrays(path)
    checksum = storage.write_arrays(path, ARRAYS)
    body = path.read_bytes()
    path.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(UserError, match="damaged: its checksum is"):
        storage.read_arrays(path, sha256=checksum)
    for torn in (b"", body[:5], body[:-1]):
        path.write_bytes(torn)
        with pytest.raises(UserError, match="torn or not safetensors"):
            storage.read_arrays(path)


def test_sha256_of_a_missing_file(tmp_path: Path) -> None:
    """A missing file has no checksum: one sentence."""
    with pytest.raises(UserError, match="gone: no such file"):
        storage.sha256_file(tmp_path / "gone")


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "no space left on the disk"),
        (errno.EDQUOT, "no space left on the disk"),
        (errno.EACCES, r"cannot write \(Permission denied\)"),
        (errno.EROFS, r"cannot write \(Read-only file system\)"),
    ],
)
def test_failed_write_keeps_the_old_file(
    number: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk or a forbidden one is one sentence; the old file stays, and no partial one."""

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    storage.write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=f"a.txt: {sentence}"):
        storage.write_text(tmp_path / "a.txt", "new")
    with pytest.raises(UserError, match=f"folder: {sentence}"), storage.atomic_folder(tmp_path / "folder") as folder:
        (folder / "b.txt").write_text("new")
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_write_past_the_systems_limit(tmp_path: Path) -> None:
    """A write that the system itself cuts off (here a quota of 4 kB a file) is the sentence, and leaves nothing."""
    code = (
        "import resource; from pathlib import Path; from supertickets import storage\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"storage.write_text(Path({str(tmp_path / 'a.txt')!r}), 'x' * 100_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith(
        f"supertickets.errors.UserError: {tmp_path / 'a.txt'}: no space left on the disk"
    )
    assert names(tmp_path) == []


def test_cannot_write_below_a_file(tmp_path: Path) -> None:
    """A path whose folder is a file is one sentence, and the file stays."""
    (tmp_path / "a").write_text("mine")
    for path in (tmp_path / "a" / "b.json", tmp_path / "a" / "c" / "b.json"):
        with pytest.raises(UserError, match="cannot write"):
            storage.write_json(path, {})
    assert (tmp_path / "a").read_text() == "mine"


WRITER = """
import sys
from pathlib import Path
from supertickets import storage
print("ready", flush=True)
for i in range(10**9):
    storage.write_json(Path(sys.argv[1]), {"i": i, "fill": str(i % 10) * 200_000})
"""


def test_kill_9_never_leaves_a_torn_file(tmp_path: Path) -> None:
    """A writer killed in the midst of writing leaves a whole file, old or new."""
    path = tmp_path / "record.json"
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            while not path.exists():
                assert writer.poll() is None
            writer.kill()
        body = storage.read_json(path)
        assert body["fill"] == str(body["i"] % 10) * 200_000


def test_atomic_folder_appears_whole(tmp_path: Path) -> None:
    """The folder is not there before the block ends, and complete after."""
    final = tmp_path / "deep" / "model"
    with storage.atomic_folder(final) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text("a")
        assert folder.parent == final.parent
        assert not final.exists()
    assert (final / "sub" / "a.txt").read_text() == "a"
    assert names(tmp_path / "deep") == ["model"]


def test_atomic_folder_vanishes_on_failure(tmp_path: Path) -> None:
    """A fault in the block leaves nothing, and passes through as it was."""
    with pytest.raises(ZeroDivisionError), storage.atomic_folder(tmp_path / "model") as folder:
        (folder / "a.txt").write_text("a")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_full_disk_in_words_is_understood(tmp_path: Path) -> None:
    """safetensors reports a full disk in words: still the sentence."""
    with pytest.raises(UserError, match="model: no space left on the disk"), storage.atomic_folder(tmp_path / "model"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    with pytest.raises(UserError, match="model: no space left on the disk"), storage.atomic_folder(tmp_path / "model"):
        raise RuntimeError("I/O error: File too large (os error 27)")  # where the system limits files
    assert names(tmp_path) == []


@pytest.mark.parametrize(("if_exists", "content"), [("keep", "old"), ("replace", "new")])
def test_atomic_folder_over_an_old_one(if_exists: Any, content: str, tmp_path: Path) -> None:
    """`keep` drops the new folder, `replace` the old one; either way exactly one is left."""
    final = tmp_path / "model"
    for text in ("old", "new"):
        with storage.atomic_folder(final, if_exists=if_exists) as folder:
            (folder / "a.txt").write_text(text)
    assert (final / "a.txt").read_text() == content
    assert names(tmp_path) == ["model"]


def test_atomic_folder_refuses_to_overwrite(tmp_path: Path) -> None:
    """By default an old folder is never touched, there before or come up meanwhile; an empty one counts as none."""
    final = tmp_path / "model"
    final.mkdir()
    with storage.atomic_folder(final) as folder:
        (folder / "a.txt").write_text("old")
    with pytest.raises(UserError, match="model: already exists"), storage.atomic_folder(final):
        pytest.fail("the block must not run")
    other = tmp_path / "other"
    with pytest.raises(UserError, match="other: cannot write"), storage.atomic_folder(other):
        other.mkdir()
        (other / "b.txt").write_text("b")
    assert names(tmp_path) == ["model", "other"]
    assert (final / "a.txt").read_text() == "old"


def test_a_streamed_file_is_whole_or_absent(tmp_path: Path) -> None:
    """What is written in pieces takes the target's place at the end; after an error the old file is there, alone."""
    with storage.atomic_file(tmp_path / "a.csv") as stream:
        stream.write(b"one\n")
        assert not (tmp_path / "a.csv").exists()
        stream.write(b"two\n")
    assert (tmp_path / "a.csv").read_bytes() == b"one\ntwo\n"
    with pytest.raises(RuntimeError, match="stop"), storage.atomic_file(tmp_path / "a.csv") as stream:
        stream.write(b"three\n")
        raise RuntimeError("stop")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"] and (tmp_path / "a.csv").stat().st_size == 8


@pytest.mark.parametrize("name", ["s3://bucket/out", "ray://127.0.0.1:9", "file:///tmp/out"])
def test_an_address_is_no_place_to_write(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made of it: neither the file nor a folder that is called `s3:`."""
    monkeypatch.chdir(tmp_path)
    for write in (lambda: storage.write_text(Path(name), "a"), lambda: storage.atomic_folder(Path(name)).__enter__()):
        with pytest.raises(UserError, match="looks like an address, and files are kept in folders only; mount it"):
            write()
    assert not any(tmp_path.iterdir())
