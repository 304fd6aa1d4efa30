"""`python -m benchmarks.peak_memory FAMILY LAYERS SPARSITY`: what prune() needs beside the model, in its own process.

The kernel counts the pages: peak resident memory is reset before prune() and read after it. malloc is
told to give every array of 64 KiB or more pages of its own and to return them at once, so that memory
freed earlier cannot hide what prune() takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROCESS = Path("/proc/self")


def measured(family: str, layers: int, sparsity: float) -> float:
    """Peak memory while pruning, over the model's own weights: 1.0 if nothing beside them was ever held."""
    command = [sys.executable, "-m", "benchmarks.peak_memory", family, str(layers), str(sparsity)]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def main() -> None:
    """Print the ratio."""
    from transformers import AutoModelForSequenceClassification

    from benchmarks.pruning import BASE, ticket
    from supertickets.encoders.pruning import prune

    family, layers, sparsity = sys.argv[1:]
    model = AutoModelForSequenceClassification.from_config(BASE[family](num_hidden_layers=int(layers)))
    small = AutoModelForSequenceClassification.from_config(BASE[family](num_hidden_layers=1))
    prune(small, ticket(small, 0.5))  # so that imports and first uses do not count
    mask, weights = ticket(model, float(sparsity)), sum(4 * weight.numel() for weight in model.parameters())
    (PROCESS / "clear_refs").write_text("5")
    before = _resident("VmRSS")
    prune(model, mask)
    print(json.dumps(1 + (_resident("VmHWM") - before) / weights))


def _resident(name: str) -> int:
    """A line of the kernel's account of this process, in bytes."""
    lines = (PROCESS / "status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


if __name__ == "__main__":
    main()
