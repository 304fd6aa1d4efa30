"""Where a number came from: versions, commit, machine, time. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("supertickets", "torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy", "scikit-learn")


def collect() -> dict[str, Any]:
    """Versions, git commit (None outside a checkout of ours), machine and UTC time, ready for JSON."""
    return {
        "versions": dict(_versions()),
        "commit": _commit(),
        "machine": dict(_machine()),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def hash_text(parts: Iterable[str]) -> str:
    """SHA-256 in hex of a sequence of texts; their lengths count, so ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in parts:
        body = part.encode("utf-8", errors="surrogatepass")
        digest.update(len(body).to_bytes(8, "big") + body)
    return digest.hexdigest()


@cache
def _versions() -> dict[str, str | None]:
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _commit() -> str | None:
    """The commit of the checkout that this file is tracked in, with `+changes` when the package differs from it.

    Installed inside somebody else's repository (a virtual environment in a project), the file is not
    tracked, and their commit is none of ours.
    """
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    head = _git("rev-parse", "HEAD")
    return f"{head}+changes" if head and _git("status", "--porcelain", "--", ".") else head


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).resolve().parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def _machine() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "platform": platform.platform(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
