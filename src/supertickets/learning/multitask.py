"""Multi-task training: transformers' Trainer over batches of one task each, every task under its own mask."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from transformers import PreTrainedTokenizerBase, PrinterCallback

from supertickets.config import SamplingConfig, TrainingConfig
from supertickets.data.batching import Collator, collator
from supertickets.data.mixing import MixedBatches
from supertickets.errors import UserError
from supertickets.learning.sharing import Guard, SharedModel
from supertickets.learning.training import TicketTrainer, Trained, arguments, check_trackers, generators_kept, unwrap

Row = dict[str, Any]


def train_shared(
    shared: SharedModel,
    examples: Mapping[str, Dataset],
    tokenizer: PreTrainedTokenizerBase,
    config: TrainingConfig,
    sampling: SamplingConfig,
    *,
    seed: int,
    log_folder: Path | None = None,
) -> Trained:
    """Fine-tune the shared model in place on the tokenised examples of its tasks.

    Each step is of one task and moves nothing outside this task's ticket: no weight, no momentum. The
    order of batches depends on `seed` and the tasks alone, not on the masks, so plain multi-task
    training and ticket sharing see the same batches. Logs that `config.log_to` asks for go to
    `log_folder`. Raises UserError when examples and tasks differ, a tracker's package is not installed,
    or gradients are accumulated: an accumulated step would mix tasks.
    """
    check_trackers(config)
    if set(examples) != set(shared.masks):
        raise UserError(f"examples are for {', '.join(examples)}; tasks are {', '.join(shared.masks)}", "train_shared")
    if config.gradient_accumulation > 1:
        raise UserError(
            f"must be 1 in multi-task training, not {config.gradient_accumulation}: a step belongs to one task",
            "training.gradient_accumulation",
        )
    batches = MixedBatches(
        {task: list(data["length"]) for task, data in examples.items()},
        config.batch_size,
        seed,
        epochs=round(config.epochs),
        mixture=sampling.mixture,
        temperature=sampling.temperature,
        weights=sampling.weights,
    )
    with tempfile.TemporaryDirectory() as scratch, generators_kept():
        trainer = SharedTrainer(
            model=shared,
            args=arguments(config, seed, scratch, log_folder),
            train_dataset=EndToEnd(examples),
            data_collator=of_one_task(collator(tokenizer)),
            training_config=config,
            batches=batches,
        )
        trainer.remove_callback(PrinterCallback)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pin_memory.*")
            outcome = trainer.train()
    unwrap(shared)
    shared.eval()
    return Trained(outcome.global_step, batches.drawn, outcome.training_loss, batches.drawn_of)


class SharedTrainer(TicketTrainer):
    """The Trainer of single tasks, whose batches name their task, and whose optimiser is guarded."""

    def __init__(self, *, batches: MixedBatches, **arguments: Any) -> None:
        self._batches = batches
        self._guard: Guard | None = None
        super().__init__(**arguments)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches in the order of the mixture."""
        assert self.train_dataset is not None
        loader = DataLoader(self.train_dataset, batch_sampler=self._batches, collate_fn=self.data_collator)
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def create_optimizer(self, model: Any = None) -> Optimizer:
        """The config's optimiser, with a guard on what lies outside the current task's ticket."""
        optimiser = super().create_optimizer(model)
        if self._guard is None:
            assert isinstance(self.model, SharedModel)
            self._guard = Guard(self.model, optimiser)
        return optimiser

    def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
        """The task's own loss on its batch."""
        assert self._guard is not None
        self._guard.task = inputs.pop("task")
        return model(task=self._guard.task, **inputs).loss


class EndToEnd(TorchDataset[Row]):
    """The tasks' examples one after the other, each row with the name of its task."""

    def __init__(self, examples: Mapping[str, Dataset]) -> None:
        self._examples = {task: data.remove_columns("length") for task, data in examples.items()}
        self._starts = np.cumsum([0, *(len(data) for data in examples.values())])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Row:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Row]:
        """The rows of a batch, all of them of one task."""
        task = int(np.searchsorted(self._starts, indices[0], side="right")) - 1
        name = list(self._examples)[task]
        columns = self._examples[name][[index - int(self._starts[task]) for index in indices]]
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, cells, strict=True)) | {"task": name} for cells in rows]


def of_one_task(collate: Collator) -> Callable[[list[Row]], Row]:
    """A collator for rows that name their task, all of them the same one; the batch names it too."""

    def collated(rows: list[Row]) -> Row:
        task = rows[0]["task"]
        return {**collate([{k: v for k, v in row.items() if k != "task"} for row in rows]), "task": task}

    return collated
