"""What scoring all heads and FFN sublayers costs, next to one plain forward and backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel

from benchmarks.figures import Figure
from benchmarks.measuring import Say, in_turns
from benchmarks.workplace import config_for, sst2_or_reviews, workplace
from supertickets.data.batching import EvaluationBatches, collator
from supertickets.experiments.bench import SCORING_BATCH
from supertickets.learning.scoring import Batch, score

DATA = sst2_or_reviews()
TASK = DATA.task


@dataclass(frozen=True)
class Settings:
    """Sizes of one measurement."""

    encoder: str = "minilm"
    examples: int = 512
    rounds: int = 9


QUICK = Settings(examples=32, rounds=3)


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Ratio of the importance pass to the plain pass over the same batches, in evaluation mode and fp32."""
    data = replace(DATA, train_examples=2 * settings.examples, report_examples=64)
    with workplace(config_for(data, settings.encoder)) as sweep:
        examples = sweep.splits(0).train.select(range(settings.examples))
        batches = [batch for _, batch in EvaluationBatches(examples, collator(sweep.tokenizer), SCORING_BATCH)]
        model = sweep.rewind_point(0).model().eval()
    work: dict[str, Callable[[], object]] = {
        "plain": lambda: plain_pass(model, batches),
        "importance": lambda: score(model, batches),
    }
    for warm_up in work.values():
        warm_up()
    times = in_turns(work, settings.rounds, say)
    ratio = times["importance"] / times["plain"]
    return {
        "importance pass / forward + backward": Figure.of(ratio.tolist(), goal=1.1, better="lower"),
        "importance pass, examples per second": Figure.of((settings.examples / times["importance"]).tolist()),
    }


def plain_pass(model: PreTrainedModel, batches: Sequence[Batch]) -> None:
    """The loss and its gradient for every weight, batch by batch."""
    for batch in batches:
        model(**batch).loss.backward()
        model.zero_grad()
