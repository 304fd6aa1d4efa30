"""Run by the python of TextPruner's environment, which has no supertickets: see peers.py.

`python peer_textpruner.py FOLDER ROUNDS` prints one line of JSON, {"logits", "pruning"}, and then
does one forward pass for every line that it reads, and answers each with a line.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch


def with_textpruner(model: Any, heads: Any, neurons: Any) -> Any:
    """Prune by the masks."""
    from textpruner import TransformerPruner, TransformerPruningConfig

    pruner = TransformerPruner(model, TransformerPruningConfig(pruning_method="masks"))
    pruner.prune(head_mask=torch.tensor(heads), ffn_mask=torch.tensor(neurons), save_model=False)
    return model


def main() -> None:
    """Prune, then answer."""
    from transformers import AutoModelForSequenceClassification

    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    given = np.load(folder / "given.npz")
    batch = {name: torch.tensor(given[name]) for name in ("input_ids", "attention_mask")}
    full = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    pruning = []
    for _ in range(rounds + 1):
        model = copy.deepcopy(full)
        start = time.perf_counter()
        with_textpruner(model, given["heads"], given["neurons"])
        pruning.append(time.perf_counter() - start)
    with torch.no_grad():
        print(json.dumps({"logits": model(**batch).logits.tolist(), "pruning": pruning[1:]}), flush=True)
        for _ in sys.stdin:
            model(**batch)
            print("done", flush=True)


if __name__ == "__main__":
    main()
