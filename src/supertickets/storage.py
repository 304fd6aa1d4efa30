"""Files that are either whole or absent: atomic writes and checksums.

Every write goes to a hidden `.<name>.<token>.partial` beside its target, is flushed to the disk and
then renamed, so a reader sees the old file, the new file, or none. All faults are UserErrors.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from supertickets.errors import UserError

PARTIAL = ".partial"
SEAL = "seal"
MOST_JSON = 64 * 2**20  # bytes; no file of ours comes near

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}
_REFUSED |= {errno.EIO, errno.ENAMETOOLONG, errno.ELOOP, errno.EBUSY}


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, atomically; a lone surrogate (an undecodable file name) becomes its escape."""
    _write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_json(path: Path, obj: Any) -> None:
    """Write an object as indented, strict JSON, atomically; NumPy scalars, arrays and paths become plain values."""
    write_text(path, json.dumps(plain(obj), indent=2, ensure_ascii=False) + "\n")


def plain(obj: Any) -> Any:
    """An object as JSON holds it: lists, mappings with text keys, numbers, text, booleans, None; no NaN."""
    return json.loads(json.dumps(obj, allow_nan=False, default=_plain))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises UserError when the file is missing, torn, too large or holds anything else."""
    try:
        obj = json.loads(_read_bytes(path, MOST_JSON))
    except (ValueError, RecursionError) as fault:  # covers bad UTF-8, too
        raise UserError(f"torn or not JSON ({fault})", str(path)) from fault
    if not isinstance(obj, dict):
        raise UserError(f"expected a JSON object, found a {type(obj).__name__}", str(path))
    return obj


def checksum(body: Mapping[str, Any]) -> str:
    """SHA-256 in hex of what a reader of the JSON finds: tuples are lists there, keys text, and numbers plain."""
    found = json.loads(json.dumps(body, default=_plain))
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def write_sealed(path: Path, body: Mapping[str, Any]) -> None:
    """As `write_json`, with a checksum of the object in it, under `seal`."""
    write_json(path, {**body, SEAL: checksum(body)})


def read_sealed(path: Path, remedy: str = "") -> dict[str, Any]:
    """As `read_json`, without the seal; raises UserError when the object is not the one that was sealed.

    A file of before there were seals has none, and is read as it is.
    """
    body = read_json(path)
    # A seal whose name was damaged is one, too: nothing else equals the checksum of all the rest.
    sealed = [SEAL] if SEAL in body else [k for k, v in body.items() if isinstance(v, str) and len(v) == 64]
    for name in sealed:
        rest = {key: kept for key, kept in body.items() if key != name}
        if (checksum(rest) == body[name]) != (name == SEAL):
            raise UserError("damaged: its content is not that of its checksum", str(path), remedy)
    return {key: value for key, value in body.items() if key != SEAL}


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write named arrays as safetensors, atomically, and return the file's SHA-256 in hex."""
    body = save_safetensors({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    _write_bytes(path, body)
    return hashlib.sha256(body).hexdigest()


def read_arrays(path: Path, sha256: str | None = None, most: int | None = None) -> dict[str, np.ndarray]:
    """Read named arrays, read-only.

    Raises UserError when the file is missing, torn, or larger than `most` bytes, and when `sha256` is
    given and differs.
    """
    body = _read_bytes(path, most)
    if sha256 is not None and (found := hashlib.sha256(body).hexdigest()) != sha256:
        raise UserError(f"damaged: its checksum is {found[:12]}…, recorded was {sha256[:12]}…", str(path))
    try:
        arrays = load_safetensors(body)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise UserError(f"torn or not safetensors ({fault})", str(path)) from fault
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes in hex, read in pieces; raises UserError when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as fault:
        raise _unreadable(path, fault) from fault


def sha256_tree(folder: Path, without: Collection[str] = ()) -> dict[str, str]:
    """The checksum of every file below a folder, by its path in it, but for those named."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: sha256_file(folder / name) for name in files if name not in without}


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream whose file takes the place of `path` when the block ends well, and vanishes otherwise."""
    partial = _partial(path)
    try:
        with writing(path):
            with partial.open("xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):  # already renamed, or never made: either way the fault that counts is the first
            partial.unlink()


@contextmanager
def atomic_folder(final: Path, *, if_exists: Literal["refuse", "keep", "replace"] = "refuse") -> Iterator[Path]:
    """Yield an empty folder beside `final` that takes its place when the block ends well, and vanishes otherwise.

    `if_exists` rules over a `final` that is already there: `refuse` raises UserError before the block
    runs, `keep` drops the new folder (for caches that two processes may fill at once with the same
    content), `replace` drops the old one (only for folders that are wholly ours). An empty folder
    counts as absent.
    """
    if if_exists == "refuse" and _occupied(final):
        raise UserError("already exists", str(final), "choose another folder or remove this one")
    partial = _partial(final)
    try:
        with writing(final):
            partial.mkdir(parents=True)
            yield partial
            _sync_tree(partial)
            _move_folder(partial, final, if_exists)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_no_address(path: Path) -> None:
    """Raise UserError for what looks like an address (`s3://bucket`): it would become a folder of that name."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        what = "this looks like an address, and files are kept in folders only"
        raise UserError(what, str(path), "mount it, and name the folder")


def check_no_links(folder: Path) -> None:
    """Raise UserError for a link below a folder of ours: what is written to it would land elsewhere."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(place, name)):  # noqa: PTH114, PTH118  (ten thousand paths are walked)
                path = Path(place, name)
                what = "a link, through which files would be written elsewhere"
                raise UserError(what, str(path), "put there what it leads to")


def remove_leftovers(folder: Path) -> None:
    """Remove every `.partial` in a folder that is ours and locked: a killed process left them."""
    for leftover in list(folder.rglob(f".*{PARTIAL}")):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _partial(target: Path) -> Path:
    return target.parent / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}"


def _write_bytes(path: Path, body: bytes) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as stream:
        stream.write(body)


def _read_bytes(path: Path, most: int | None = None) -> bytes:
    """What a file holds; a larger one than `most` is refused before any of it is read."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if most is not None and size > most:
                raise UserError(f"too large: {size:,} bytes, where at most {most:,} can be", str(path))
            return stream.read()
    except OSError as fault:
        raise _unreadable(path, fault) from fault


def _occupied(folder: Path) -> bool:
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def _move_folder(partial: Path, final: Path, if_exists: str) -> None:
    """Rename `partial` to `final`; where one is there, obey `if_exists` (it may have come up meanwhile)."""
    try:
        partial.rename(final)
    except OSError:
        if if_exists == "refuse" or not final.is_dir():
            raise
        if if_exists == "replace":
            old = _partial(final)
            final.rename(old)
            partial.rename(final)
            shutil.rmtree(old, ignore_errors=True)
    _sync_folder(final.parent)


def _sync_tree(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the file system lets folders be synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk, or a place that cannot be written, into a UserError; any other fault is left as it is.

    Raises it for an address, too.
    """
    check_no_address(path)
    try:
        yield
    except Exception as fault:
        if _says_full(fault):
            remedy = "free some and start again: what is finished is kept"
            raise UserError("no space left on the disk", str(path), remedy) from fault
        if isinstance(fault, OSError) and fault.errno in _REFUSED:
            raise UserError(f"cannot write ({fault.strerror})", str(path)) from fault
        raise


def _says_full(fault: Exception) -> bool:
    """A full disk, also as torch and safetensors report it: in words, without an errno."""
    return getattr(fault, "errno", None) in _FULL_DISK or any(os.strerror(code) in str(fault) for code in _FULL_DISK)


def _unreadable(path: Path, fault: OSError) -> UserError:
    reason = "no such file" if isinstance(fault, FileNotFoundError) else f"cannot read ({fault.strerror or fault})"
    return UserError(reason, str(path))


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
