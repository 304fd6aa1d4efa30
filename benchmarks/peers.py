"""prune() next to the living peer (Torch-Pruning) and the dead one (TextPruner): same masks, same weights.

Neither is a dependency. Torch-Pruning: `pip install --no-deps torch-pruning==1.6.1`, here or with
`--target DIR` and DIR in $SUPERTICKETS_TORCH_PRUNING. TextPruner needs its own environment
(`pip install torch transformers==4.46.3 numpy sentencepiece protobuf`, `pip install --no-deps
textpruner`), whose python is named in $SUPERTICKETS_TEXTPRUNER. What is not there is left out.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from benchmarks import peer_textpruner
from benchmarks.figures import Figure
from benchmarks.measuring import Say, in_turns, seconds
from benchmarks.pruned_speed import even, infer, random_batch
from supertickets.encoders.loading import load, quiet
from supertickets.tickets.masks import Mask

TASK = None
SAME = 1e-5  # largest difference of logits
AS_FAST = 0.97  # peer's time over ours: equal shapes run equally fast, to the noise of timing
TORCH_PRUNING, TEXTPRUNER = "SUPERTICKETS_TORCH_PRUNING", "SUPERTICKETS_TEXTPRUNER"
TEXTPRUNER_SCRIPT = Path(peer_textpruner.__file__)

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Settings:
    """Encoder (a BERT, which all three prune), share of heads and neurons that are gone, timed batch, rounds."""

    encoder: str = "minilm"
    share: float = 0.5
    batch_size: int = 8
    length: int = 128
    rounds: int = 21


QUICK = Settings(batch_size=1, length=32, rounds=3)


@dataclass(frozen=True)
class Peer:
    """A model that another library pruned: its logits, one forward pass of it, and seconds that pruning took."""

    logits: torch.Tensor
    infer: Callable[[], object]
    pruning: list[float]
    lines: int


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Differences of logits; the peers' times over ours, round by round; lines of a user's code."""
    full, _ = load(settings.encoder)
    mask = even(full.eval(), settings.share)
    batch = random_batch(full, settings.batch_size, settings.length)
    pruned, pruning = _timed(full, partial(with_supertickets, heads=mask.heads, neurons=mask.ffn), settings.rounds)
    with torch.no_grad():
        logits = pruned(**batch).logits
    figures = {"supertickets: lines of a user's code": Figure.exact(code_lines(with_supertickets), better="lower")}
    figures["supertickets: seconds of pruning"] = Figure.of(pruning, better="lower")
    for name, open_peer in {"Torch-Pruning": _torch_pruning, "TextPruner": _textpruner}.items():
        with open_peer(full, mask, batch, settings, say) as peer:
            if peer is None:
                continue
            work: dict[str, Callable[[], object]] = {"ours": partial(infer, pruned, batch), name: peer.infer}
            for warm_up in work.values():
                warm_up()
            taken = in_turns(work, settings.rounds, lambda line: None)
        difference = (peer.logits - logits).abs().max().item()
        figures |= {
            f"{name}: largest difference of logits": Figure.exact(difference, goal=SAME, better="lower"),
            f"{name} / ours, run time": Figure.of((taken[name] / taken["ours"]).tolist(), goal=AS_FAST),
            f"{name} / ours, pruning time": Figure.of((np.array(peer.pruning) / np.array(pruning)).tolist(), goal=1.0),
            f"{name}: lines of a user's code": Figure.exact(peer.lines, better="lower"),
        }
    return figures


# What a user writes who has a model and two arrays of kept units, (layers, heads) and (layers, neurons). Their lines
# are counted. The peers' models cannot be loaded again without the full model and this code; ours can.


def with_supertickets(model: PreTrainedModel, heads: np.ndarray, neurons: np.ndarray) -> PreTrainedModel:
    """Prune by the masks."""
    from supertickets import Mask, prune, structures_of

    return prune(model, Mask(structures_of(model, "neuron"), heads, neurons))


def with_torch_pruning(model: Any, heads: np.ndarray, neurons: np.ndarray, example: Batch) -> Any:
    """Prune by the masks."""
    import torch_pruning as tp

    graph = tp.DependencyGraph().build_dependency(model, example_inputs=example, verbose=False)
    for layer, kept_heads, kept_neurons in zip(model.base_model.encoder.layer, heads, neurons, strict=True):
        attention = layer.attention.self
        size = attention.attention_head_size
        gone = [head * size + index for head in np.flatnonzero(~kept_heads) for index in range(size)]
        group = graph.get_pruning_group(attention.query, tp.prune_linear_out_channels, gone)
        assert graph.check_pruning_group(group)
        group.prune()
        attention.num_attention_heads = int(kept_heads.sum())
        attention.all_head_size = attention.num_attention_heads * size
        gone = np.flatnonzero(~kept_neurons).tolist()
        group = graph.get_pruning_group(layer.intermediate.dense, tp.prune_linear_out_channels, gone)
        assert graph.check_pruning_group(group)
        group.prune()
    return model


def code_lines(function: Callable[..., Any]) -> int:
    """Lines of a function that are neither its head, nor empty, nor its docstring."""
    lines = [line.strip() for line in inspect.getsource(function).splitlines()]
    return len([line for line in lines if line and not line.startswith(("def ", '"""'))])


def _timed(full: PreTrainedModel, cut: Callable[[Any], Any], rounds: int) -> tuple[Any, list[float]]:
    """A pruned copy, and the seconds of pruning copies again and again."""
    times, made = [], []
    for _ in range(rounds + 1):  # the first one warms up
        spare = copy.deepcopy(full)
        times.append(seconds(lambda spare=spare: made.append(cut(spare))))  # type: ignore[misc]
        del made[:-1]
    return made[0].eval(), times[1:]


@contextmanager
def _torch_pruning(
    full: PreTrainedModel, mask: Mask, batch: Batch, settings: Settings, say: Say
) -> Iterator[Peer | None]:
    if folder := os.environ.get(TORCH_PRUNING):
        sys.path.append(folder)
    if find_spec("torch_pruning") is None:
        say(f"Torch-Pruning is left out: it is not installed, nor is its folder in ${TORCH_PRUNING}")
        yield None
        return
    cut = partial(with_torch_pruning, heads=mask.heads, neurons=mask.ffn, example=batch)
    model, times = _timed(full, cut, settings.rounds)
    with torch.no_grad():
        logits = model(**batch).logits
    yield Peer(logits, partial(infer, model, batch), times, code_lines(with_torch_pruning))


@contextmanager
def _textpruner(full: PreTrainedModel, mask: Mask, batch: Batch, settings: Settings, say: Say) -> Iterator[Peer | None]:
    python = os.environ.get(TEXTPRUNER)
    if not python:
        say(f"TextPruner is left out: ${TEXTPRUNER} does not name the python of its environment")
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        with quiet():
            full.save_pretrained(folder)
        arrays: dict[str, Any] = {"heads": mask.heads, "neurons": mask.ffn} | {
            name: value.numpy() for name, value in batch.items()
        }
        np.savez(Path(folder) / "given.npz", **arrays)
        command = [python, str(TEXTPRUNER_SCRIPT), folder, str(settings.rounds)]
        # It asks for single passes through a pipe, so that its process and ours take turns.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
            assert process.stdin is not None and process.stdout is not None
            about = json.loads(process.stdout.readline() or "{}")
            if not about:
                raise RuntimeError(f"{python} {TEXTPRUNER_SCRIPT.name} failed: see its message above")

            def one_pass() -> None:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write("pass\n")
                process.stdin.flush()
                process.stdout.readline()

            lines = code_lines(peer_textpruner.with_textpruner)
            yield Peer(torch.tensor(about["logits"]), one_pass, about["pruning"], lines)
            process.stdin.close()
