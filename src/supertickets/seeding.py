"""(seed, purpose) -> a stream of its own: no global state, and no purpose disturbs another's numbers."""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, purpose: str) -> int:
    """A seed below 2**32 that depends on both arguments only, the same on every machine and Python."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}".encode()).digest()[:4], "big")


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A fresh NumPy generator for this seed and purpose."""
    return np.random.default_rng(derive(seed, purpose))
