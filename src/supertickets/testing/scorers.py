"""What every scorer must do: named checks on a small random model, over heads with FFN sublayers and with neurons."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from supertickets.config import FfnUnit, ScorerName
from supertickets.encoders.families import structures_of
from supertickets.learning.scoring import Batch, Scorer, score
from supertickets.testing.passes import check_named, largest_difference, outputs
from supertickets.tickets.importance import Importance

EXAMPLES, TOKENS = 12, 10

ScorerCheck = Callable[[Scorer | ScorerName, PreTrainedModel, FfnUnit], None]


def check_scorer(scorer: Scorer | ScorerName, *, ordered: bool = False) -> None:
    """Run every check of SCORER_CHECKS on a small random BERT, for both kinds of FFN units.

    `ordered` says that the scores may depend on the order and the size of batches, as those of the 2021
    code do. Raises AssertionError, with the check's name and numbers, for the first check that fails.
    """
    for units in get_args(FfnUnit):
        for name, check in SCORER_CHECKS.items():
            if ordered and check is independent_of_batches:
                continue
            with check_named(f"{name}, FFN {units}s"):
                check(scorer, _model(), units)


def one_score_per_unit(scorer: Scorer | ScorerName, model: PreTrainedModel, units: FfnUnit) -> None:
    """The scores are those of the structures asked for, finite, at least 0, and not all the same."""
    asked, found = structures_of(model, units), _importance(scorer, model, units)
    assert found.structures == asked, f"the scores are of {found.structures.size}, asked for were {asked.size}"
    for name, scores in (("heads", found.heads), ("FFN units", found.ffn)):
        assert scores.max() > scores.min(), f"all {scores.size} scores of {name} are {scores.max():g}"


def same_for_a_seed(scorer: Scorer | ScorerName, model: PreTrainedModel, units: FfnUnit) -> None:
    """Scoring twice with one seed gives the same scores, bit for bit."""
    first, again = (_importance(scorer, model, units) for _ in range(2))
    assert first == again, f"scored twice with seed 0, scores differ by {_difference(first, again):.1e}"


def leaves_the_model(scorer: Scorer | ScorerName, model: PreTrainedModel, units: FfnUnit) -> None:
    """Weights, gradients, modes, hooks and outputs are what they were before scoring."""
    model.train()
    model.base_model.embeddings.requires_grad_(False)
    before, modes, trains = _weights(model), _modes(model), _trainable(model)
    logits = outputs(model.eval(), _batches()[0])
    model.train()
    _importance(scorer, model, units)
    moved = [name for name, weight in _weights(model).items() if not torch.equal(weight, before[name])]
    assert not moved, f"scoring moves {len(moved)} of {len(before)} weights: {moved[:3]}"
    assert _modes(model) == modes, "scoring leaves a module in another mode (training, evaluation)"
    assert _trainable(model) == trains, "scoring changes which weights need gradients"
    held = [name for name, weight in model.named_parameters() if weight.grad is not None]
    assert not held, f"scoring leaves gradients on {len(held)} weights: {held[:3]}"
    difference = largest_difference(outputs(model.eval(), _batches()[0]), logits)
    assert difference == 0, f"scoring changes the outputs by {difference:.1e}: are there gates left?"


def independent_of_batches(scorer: Scorer | ScorerName, model: PreTrainedModel, units: FfnUnit) -> None:
    """Other batches of the same examples, in another order and size, give the same scores to 0.1 %."""
    plain = _importance(scorer, model, units)
    backwards = list(range(EXAMPLES))[::-1]
    others = {"4, examples backwards": (4, backwards), "5": (5, None), "1": (1, None)}
    for words, (size, order) in others.items():
        difference = _difference(_importance(scorer, model, units, _batches(size, order)), plain)
        assert difference <= 1e-3, f"in batches of {words}, instead of 4, scores differ by {100 * difference:.2g} %"


SCORER_CHECKS: dict[str, ScorerCheck] = {
    check.__name__: check for check in (one_score_per_unit, same_for_a_seed, leaves_the_model, independent_of_batches)
}


def _importance(
    scorer: Scorer | ScorerName, model: PreTrainedModel, units: FfnUnit, batches: list[Batch] | None = None
) -> Importance:
    return score(model, batches or _batches(), scorer=scorer, seed=0, ffn_units=units)


def _difference(ours: Importance, theirs: Importance) -> float:
    """The largest difference of two scores of one unit, over the largest score of its kind."""
    pairs = ((ours.heads, theirs.heads), (ours.ffn, theirs.ffn))
    return max(float(np.abs(a - b).max() / max(b.max(), np.finfo(float).tiny)) for a, b in pairs)


def _model() -> BertForSequenceClassification:
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForSequenceClassification(config)
        model.eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
    return model


def _batches(size: int = 4, order: list[int] | None = None) -> list[Batch]:
    """Twelve labelled examples of different lengths."""
    rng = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, TOKENS + 1, (EXAMPLES,), generator=rng)
    mask = (torch.arange(TOKENS) < lengths[:, None]).long()
    examples = {
        "input_ids": torch.randint(1, 50, (EXAMPLES, TOKENS), generator=rng) * mask,
        "attention_mask": mask,
        "labels": torch.randint(2, (EXAMPLES,), generator=rng),
    }
    indices = torch.tensor(order or list(range(EXAMPLES)))
    return [{name: value[chosen] for name, value in examples.items()} for chosen in indices.split(size)]


def _weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _modes(model: PreTrainedModel) -> list[bool]:
    return [module.training for module in model.modules()]


def _trainable(model: PreTrainedModel) -> list[bool]:
    return [weight.requires_grad for weight in model.parameters()]
