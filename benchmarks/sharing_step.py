"""What an optimiser step costs under tasks' tickets, next to plain multi-task training: time and memory.

Ticket sharing runs a task's step through a pruned view of the full model, or (the other way to do it)
through the whole model with the dropped units' gates closed. Both leave what lies outside the ticket
as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from benchmarks.figures import Figure
from benchmarks.measuring import Say, in_turns, seconds
from benchmarks.pruned_speed import random_batch
from supertickets import seeding
from supertickets.encoders.families import structures_of
from supertickets.encoders.gating import gate
from supertickets.encoders.loading import load
from supertickets.encoders.views import View
from supertickets.learning.optimisers import OPTIMISERS
from supertickets.learning.sharing import Guard, SharedModel
from supertickets.tickets.masks import Mask

TASK = None
GOAL = 1.15  # times a step of plain multi-task training
TASKS = ("a", "b")


@dataclass(frozen=True)
class Settings:
    """Encoder, shares of the units that each of two tasks drops, batches, steps a round and rounds."""

    encoder: str = "minilm"
    shares: tuple[float, ...] = (0.02, 0.1, 0.3, 0.5)  # at the least one head
    batch_size: int = 32
    length: int = 64
    steps: int = 6
    rounds: int = 9
    cuts: int = 5


QUICK = Settings(batch_size=4, length=16, steps=2, rounds=2, cuts=1)


class Trainee:
    """Two tasks on one encoder in training: a step for each in turn, on the same batches for every trainee."""

    def __init__(self, model: PreTrainedModel, share: float, settings: Settings, *, gated: bool = False) -> None:
        models = {task: copy.deepcopy(model) for task in TASKS}
        masks = {task: random_mask(model, share, seed) for seed, task in enumerate(TASKS)}
        self.shared = SharedModel(models, masks).train()
        weights = [weight for weight in self.shared.parameters() if weight.requires_grad]
        self.optimiser = OPTIMISERS["adamw"]([{"params": weights, "weight_decay": 0.01}], 1e-5)
        self.guard, self._gated, self._settings = Guard(self.shared, self.optimiser), gated, settings
        self._missing = {task: missing(self.shared, task) for task in TASKS}
        self._batch = random_batch(model, settings.batch_size, settings.length)
        self._batch["labels"] = torch.arange(settings.batch_size) % 2

    def steps(self) -> None:
        """Some steps, tasks in turn, as the trainer does them."""
        for step in range(self._settings.steps):
            self.guard.task = TASKS[step % len(TASKS)]
            self.optimiser.zero_grad()
            self._backward(self.guard.task)
            nn.utils.clip_grad_norm_(self.shared.parameters(), 1.0)
            self.optimiser.step()

    def _backward(self, task: str) -> None:
        if not self._gated:
            self.shared(task=task, **self._batch).loss.backward()
            return
        model = self.shared.models_by_task()[task]
        with gate(model, self.shared.masks[task]):
            model(**self._batch).loss.backward()
        for weight in self._missing[task]:  # a gradient of zeros, which would let the optimiser move them
            weight.grad = None

    def bytes(self) -> int:
        """Weights, gradients, the optimiser's state, and what the guard keeps during a step: the most they come to."""
        weights = sum(tensor_bytes(weight) for weight in self.shared.parameters())
        state = sum(
            tensor_bytes(value)
            for entry in self.optimiser.state.values()
            for value in entry.values()
            if isinstance(value, torch.Tensor)
        )
        return weights + state + max(self._of_a_step(task) for task in TASKS)

    def _of_a_step(self, task: str) -> int:
        """Gradients of the task's weights, and the guard's copies: dropped parts of weights and of both moments."""
        missing_here = {id(weight) for weight in self._missing[task]}
        model = self.shared.models_by_task()[task]
        gradients = sum(tensor_bytes(weight) for weight in model.parameters() if id(weight) not in missing_here)
        kept = sum(
            3 * tensor_bytes(weight) * len(part.dropped) // weight.shape[part.dim]
            for weight, part in self.shared.outside(task)
        )
        return gradients + kept


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Time of a step over that of plain multi-task training, by the view and by gates; memory; time to cut a model."""
    model, _ = load(settings.encoder)
    trainees = {"plain": Trainee(model, 0.0, settings)}
    for share in settings.shares:
        trainees[f"view, {share:.0%} dropped"] = Trainee(model, share, settings)
        trainees[f"gates, {share:.0%} dropped"] = Trainee(model, share, settings, gated=True)
    work: dict[str, Callable[[], object]] = {name: trainee.steps for name, trainee in trainees.items()}
    for warm_up in work.values():
        warm_up()
    times = in_turns(work, settings.rounds, say)
    plain = trainees["plain"].bytes()
    figures: dict[str, Figure] = {}
    for name, trainee in trainees.items():
        if name == "plain":
            continue
        goal = GOAL if name.startswith("view") else None
        ratio = (times[name] / times["plain"]).tolist()
        figures[f"{name}: step / plain multi-task step"] = Figure.of(ratio, goal=goal, better="lower")
        if name.startswith("view"):
            figures[f"{name}: memory / plain"] = Figure.exact(trainee.bytes() / plain, better="lower")
            cut = [seconds(lambda trainee=trainee: trainee.shared.single("a")) for _ in range(settings.cuts)]  # type: ignore[misc]
            figures[f"{name}: seconds to cut one task's model"] = Figure.of(cut, better="lower")
    return figures


def random_mask(model: PreTrainedModel, share: float, seed: int) -> Mask:
    """A random ticket that drops this share of the heads and of the FFN sublayers; none of them at 0."""
    full = Mask.full(structures_of(model))
    heads, ffn = full.heads.copy(), full.ffn.copy()
    for units in (heads, ffn):
        units.flat[: int(share * units.size)] = False
    return Mask.random(Mask(full.structures, heads, ffn), seeding.generator(seed, "benchmark ticket"), min_heads=0)


def missing(shared: SharedModel, task: str) -> list[nn.Parameter]:
    """The weights of which the task's ticket holds nothing."""
    model = shared.models_by_task()[task]
    names = View(model, shared.masks[task]).missing
    return [weight for name, weight in model.named_parameters() if name in names]


def tensor_bytes(tensor: torch.Tensor) -> int:
    """Bytes of its values."""
    return tensor.numel() * tensor.element_size()
