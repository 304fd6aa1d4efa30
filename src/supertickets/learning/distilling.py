"""Learning from a teacher: its logits travel with the examples, and its term joins the task's loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from supertickets.config import TrainingConfig
from supertickets.errors import UserError

TEACHER_COLUMN = "teacher_logits"


class TaughtExamples(torch.utils.data.Dataset[dict[str, Any]]):
    """Tokenised examples, each with its row of the teacher's logits as the column TEACHER_COLUMN.

    The logits are (n, classes), or (n,) for a model with one output, in the order of the examples.
    Nothing is copied: a new column of a memory-mapped dataset would be written to disk. Raises
    UserError, with the numbers, when rows or classes differ from the examples' and the model's.
    """

    def __init__(self, examples: Dataset, logits: np.ndarray, classes: int) -> None:
        expected = (len(examples),) if classes == 1 else (len(examples), classes)
        if logits.shape != expected:
            raise UserError(
                f"the teacher's logits have shape {logits.shape}, the examples and the model need {expected}",
                TEACHER_COLUMN,
                "predict these very examples, in their order, with a teacher for the same task",
            )
        self._examples, self._logits = examples, logits.astype(np.float32)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Rows of a batch, read at once."""
        rows: list[dict[str, Any]] = self._examples.__getitems__(list(indices))
        taught = self._logits[list(indices)].tolist()
        return [{**row, TEACHER_COLUMN: cells} for row, cells in zip(rows, taught, strict=True)]


def distilled(
    task_loss: Float[Tensor, ""],
    outputs: Mapping[str, Tensor],
    teacher: Float[Tensor, "B *C"],
    config: TrainingConfig,
) -> Float[Tensor, ""]:
    """(1 - w) x task loss + w x teacher's term, both means over the batch.

    The term is T^2 KL(teacher / T || model / T) for classes (Hinton et al. 2015: T^2 keeps its
    gradient's size while T grows), and the squared distance for numbers.
    """
    logits = outputs["logits"].float()
    if teacher.ndim == 1:
        term = functional.mse_loss(logits.squeeze(-1), teacher)
    else:
        ours, theirs = (functional.log_softmax(x / config.temperature, dim=-1) for x in (logits, teacher))
        term = config.temperature**2 * functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return (1 - config.teacher_weight) * task_loss + config.teacher_weight * term
