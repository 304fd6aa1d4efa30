"""Watch: a training's learning curve on held-out examples, which may end it; the weights never notice it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, TrainerCallback

from supertickets.learning.evaluation import predict

Hopeless = Callable[[float, np.ndarray], bool]


@dataclass
class Watch:
    """Predictions for `examples` after each of `shares` of a training; `hopeless(share, predictions)` ends it.

    `curve` fills with share -> predictions, `stopped` with the share at which it was ended, None if it was not.
    """

    examples: Dataset
    shares: tuple[float, ...]
    hopeless: Hopeless
    curve: dict[float, np.ndarray] = field(default_factory=dict)
    stopped: float | None = None


class Watcher(TrainerCallback):
    """Predicts between two optimiser steps: in evaluation mode, without gradients, drawing no random number."""

    def __init__(self, watch: Watch, tokenizer: PreTrainedTokenizerBase) -> None:
        self._watch, self._tokenizer = watch, tokenizer

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> Any:
        """Look at the curve where a checkpoint lies between this step and the one before."""
        watch, model = self._watch, given["model"]
        before, now = (state.global_step - 1) / state.max_steps, state.global_step / state.max_steps
        passed = [share for share in watch.shares if before < share <= now]
        if passed and state.global_step < state.max_steps:
            predictions = predict(model, watch.examples, self._tokenizer)
            model.train()
            watch.curve |= dict.fromkeys(passed, predictions)
            if watch.hopeless(passed[-1], predictions):
                watch.stopped, control.should_training_stop = now, True
        return control
