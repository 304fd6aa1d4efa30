"""Training speed of `supertickets` against transformers' Trainer as one finds it in tutorials."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from datasets import Dataset
from transformers import DataCollatorWithPadding, PreTrainedModel, PrinterCallback, Trainer, TrainingArguments

from benchmarks.figures import Figure
from benchmarks.measuring import Say, in_turns, quantiles, score_difference
from benchmarks.workplace import config_for, sst2_or_reviews, workplace
from supertickets.config import Precision, TrainingConfig
from supertickets.experiments.workspace import Workspace
from supertickets.learning.evaluation import predict
from supertickets.learning.training import train

DATA = sst2_or_reviews()
TASK = DATA.task
BATCH = 32
LENGTH = 128
PADDED, DYNAMIC, FP32, BF16 = "Trainer, padded to 128", "Trainer, dynamic padding", "ours, fp32", "ours, bf16"


@dataclass(frozen=True)
class Settings:
    """Sizes of one measurement; the padded Trainer gets fewer examples, since it is so much slower."""

    encoder: str = "minilm"
    examples: int = 384
    padded_examples: int = 96
    rounds: int = 5
    score_examples: int = 640
    report_examples: int = 872
    score_epochs: float = 2.0
    learning_rate: float = 1e-4
    seeds: tuple[int, ...] = (0, 1, 2, 3)


QUICK = Settings(
    examples=64, padded_examples=32, rounds=2, score_examples=64, report_examples=64, score_epochs=1.0, seeds=(0, 1)
)


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Ratios of examples per second, round by round, and what bf16 does to the scores."""
    most = max(settings.examples, settings.score_examples)
    data = replace(DATA, train_examples=2 * most, report_examples=settings.report_examples)
    with workplace(config_for(data, settings.encoder, seeds=settings.seeds)) as sweep:
        speeds = _speeds(sweep, settings, say)
        gap, draws = score_difference(*_correct_by_precision(sweep, settings, say))
    low, p10, p90, high = quantiles(draws, 0.025, 0.1, 0.9, 0.975)
    say(f"bf16 less fp32, points: {gap:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}")
    return {
        "ours fp32 / Trainer padded to 128": Figure.of((speeds[FP32] / speeds[PADDED]).tolist(), goal=5.0),
        "ours fp32 / Trainer with dynamic padding": Figure.of((speeds[FP32] / speeds[DYNAMIC]).tolist(), goal=1.3),
        "ours bf16 / Trainer with dynamic padding": Figure.of((speeds[BF16] / speeds[DYNAMIC]).tolist(), goal=2.0),
        "score, bf16 less fp32, points": Figure.exact(gap, (p10, p90)),
        "score, bf16 less fp32, upper end of the 95 % interval": Figure.exact(high, goal=0.0),
        **{f"{name}, examples per second": Figure.of(speed.tolist()) for name, speed in speeds.items()},
    }


def plain_trainer(model: PreTrainedModel, examples: Dataset, collate: DataCollatorWithPadding) -> None:
    """One epoch of transformers' Trainer with its own sampler, optimiser and precision (fp32)."""
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pin_memory.*")
        arguments = TrainingArguments(
            output_dir=scratch,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=examples, data_collator=collate)
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def _speeds(sweep: Workspace, settings: Settings, say: Say) -> dict[str, np.ndarray]:
    """Examples per second of every way to train, by round; building the Trainer counts for all of them."""
    start = sweep.rewind_point(0)
    examples = sweep.splits(0).train.select(range(settings.examples))
    few = examples.select(range(settings.padded_examples))
    length = min(LENGTH, sweep.tokenizer.model_max_length)
    padded = DataCollatorWithPadding(sweep.tokenizer, padding="max_length", max_length=length)
    dynamic = DataCollatorWithPadding(sweep.tokenizer)
    work: dict[str, Callable[[], object]] = {
        PADDED: lambda: plain_trainer(start.model(), few, padded),
        DYNAMIC: lambda: plain_trainer(start.model(), examples, dynamic),
        FP32: lambda: _ours(start.model(), examples, sweep, "fp32"),
        BF16: lambda: _ours(start.model(), examples, sweep, "bf16"),
    }
    _ours(start.model(), few, sweep, "bf16")  # warm-up
    times = in_turns(work, settings.rounds, say)
    return {name: (len(few) if name == PADDED else len(examples)) / taken for name, taken in times.items()}


def _ours(model: PreTrainedModel, examples: Dataset, sweep: Workspace, precision: Precision) -> None:
    recipe = TrainingConfig(epochs=1, batch_size=BATCH, precision=precision)
    train(model, examples, sweep.tokenizer, recipe, seed=0)


def _correct_by_precision(sweep: Workspace, settings: Settings, say: Say) -> tuple[np.ndarray, np.ndarray]:
    """Which report examples each seed's model gets right (seeds, examples), trained in bf16 and in fp32."""
    right: dict[Precision, list[np.ndarray]] = {"bf16": [], "fp32": []}
    for seed in settings.seeds:
        start, splits = sweep.rewind_point(seed), sweep.splits(seed)
        examples = splits.train.select(range(settings.score_examples))
        for precision, rows in right.items():
            model = start.model()
            recipe = TrainingConfig(
                epochs=settings.score_epochs, learning_rate=settings.learning_rate, precision=precision
            )
            train(model, examples, sweep.tokenizer, recipe, seed=seed)
            guesses = predict(model, splits.report, sweep.tokenizer).argmax(axis=1)
            rows.append((guesses == np.asarray(splits.report["labels"])).astype(np.float64))
        say(f"seed {seed}: " + ", ".join(f"{name} {100 * rows[-1].mean():.1f} %" for name, rows in right.items()))
    return np.stack(right["bf16"]), np.stack(right["fp32"])
