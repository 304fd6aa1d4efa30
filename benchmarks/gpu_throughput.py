"""Training steps on a GPU: examples per second and model-FLOP utilisation, full and pruned, compiled or not.

With `--quick` it also runs on a processor, to see that it does; then nothing is said of a peak.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import AutoModelForSequenceClassification, MPNetConfig, PreTrainedModel

from benchmarks.figures import Figure
from benchmarks.measuring import Say, in_turns
from benchmarks.pruned_speed import even, random_batch
from supertickets.encoders.pruning import prune
from supertickets.errors import UserError
from supertickets.learning.costing import flops

TASK = None
# Dense bf16 matrix products of one card, in FLOPs a second, as its maker states them.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12, "T4": 65e12}
PRUNED_GOAL = 1.5  # half of the heads and neurons take half of the operations away: 2 would be ideal
BACKWARD = 3  # forward and backward together cost three forward passes


@dataclass(frozen=True)
class Settings:
    """A random MPNet of base size (12 layers), steps a round, batch, tokens, and the share of units dropped."""

    layers: int = 12
    batch_size: int = 64
    length: int = 128
    steps: int = 20
    rounds: int = 7
    share: float = 0.5
    compiled: bool = True


QUICK = Settings(layers=1, batch_size=2, length=16, steps=2, rounds=2, compiled=False)


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Examples per second of optimiser steps in bf16, candidates in turns, and the share of the card's peak."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and settings != QUICK:
        raise UserError("torch sees no GPU", "gpu_throughput", "run it where one is, or with --quick")
    torch.manual_seed(0)
    full = AutoModelForSequenceClassification.from_config(MPNetConfig(num_hidden_layers=settings.layers))
    models = {"full": full, f"{settings.share:.0%} pruned": prune(copy.deepcopy(full), even(full, settings.share))}
    operations = {name: BACKWARD * flops(model, settings.length) for name, model in models.items()}
    work: dict[str, Callable[[], None]] = {}
    for name, model in models.items():
        work[name] = steps(copy.deepcopy(model).to(device), settings, compiled=False)
        if settings.compiled:
            work[f"{name}, compiled"] = steps(copy.deepcopy(model).to(device), settings, compiled=True)
    for one in work.values():
        one()  # warm-up; compiling is not training
    taken = in_turns(work, settings.rounds, say)
    speeds = {name: settings.steps * settings.batch_size / seconds for name, seconds in taken.items()}
    figures = {f"{name}, examples per second": Figure.of(speed.tolist()) for name, speed in speeds.items()}
    for name in list(work)[1:]:
        goal = PRUNED_GOAL if name in models else None
        figures[f"{name} / full"] = Figure.of((speeds[name] / speeds["full"]).tolist(), goal=goal)
    peak = peak_of(device)
    if peak is None:
        say("the peak of this device is not known: no utilisation")
        return figures
    used = {name: speed * operations[name.removesuffix(", compiled")] / peak for name, speed in speeds.items()}
    return figures | {f"{name}, model-FLOP utilisation": Figure.of(share.tolist()) for name, share in used.items()}


def steps(model: PreTrainedModel, settings: Settings, *, compiled: bool) -> Callable[[], None]:
    """What trains the model for some steps in bf16, as sweeps do on a GPU, and waits until they are done."""
    batch = {name: value.to(model.device) for name, value in random_batch(model, *_shape(settings)).items()}
    batch["labels"] = torch.zeros(settings.batch_size, dtype=torch.long, device=model.device)
    optimiser = torch.optim.AdamW(model.train().parameters(), lr=1e-5, fused=model.device.type == "cuda")
    forward = torch.compile(model) if compiled else model

    def train() -> None:
        for _ in range(settings.steps):
            with torch.autocast(model.device.type, torch.bfloat16):
                loss = forward(**batch).loss
            loss.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if model.device.type == "cuda":
            torch.cuda.synchronize()

    return train


def peak_of(device: torch.device) -> float | None:
    """The card's peak, by its name; None for a processor and for cards that are not in the table."""
    if device.type != "cuda":
        return None
    words = torch.cuda.get_device_name(device).replace("-", " ").split()
    return next((peak for name, peak in PEAKS.items() if name in words), None)


def _shape(settings: Settings) -> tuple[int, int]:
    return settings.batch_size, settings.length
