"""Divergence is the real KL of closing a gate, to second order, and looks at no label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from small_examples import examples, padded
from small_models import CONFIGS, batch, build
from supertickets.config import FfnUnit
from supertickets.encoders.families import structures_of
from supertickets.encoders.gating import Gating, open_gates
from supertickets.errors import UserError
from supertickets.learning.divergence import divergence
from supertickets.learning.scoring import score

Inputs = dict[str, Tensor]
Move = Callable[[Tensor, Tensor], Tensor]  # (outputs before, outputs after) -> how far they moved
HEADS = [
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForMultipleChoice,
]
STEP = 0.01


def kl(before: Tensor, after: Tensor) -> Tensor:
    """KL between softmax distributions, summed over examples."""
    return nn.functional.kl_div(after.log_softmax(-1), before.log_softmax(-1), reduction="sum", log_target=True)


def bernoulli_kl(before: Tensor, after: Tensor) -> Tensor:
    """KL between independent yes-or-no answers."""
    p, q = before.sigmoid(), after.sigmoid()
    return (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum()


def half_square(before: Tensor, after: Tensor) -> Tensor:
    """KL between normal distributions of unit variance."""
    return (after - before).square().sum() / 2


def measured(model: PreTrainedModel, inputs: Inputs, move: Move, ffn_units: FfnUnit) -> tuple[np.ndarray, np.ndarray]:
    """For every unit, the move of the outputs with its gate alone at 1 - STEP, over STEP squared and the examples."""
    found = []
    with torch.no_grad():
        before = model(**inputs).logits
        for which in (0, 1):
            gates = [value.detach() for value in open_gates(model, ffn_units=ffn_units)]
            moves = np.zeros(gates[which].shape)
            for place in np.ndindex(*moves.shape):
                gates[which][place] = 1 - STEP
                with Gating(model, *gates):
                    moves[place] = move(before, model(**inputs).logits) / STEP**2
                gates[which][place] = 1
            found.append(moves / len(inputs["input_ids"]))
    return found[0], found[1]


def unlabelled(**more: Tensor) -> Inputs:
    """Inputs of six sequences without labels."""
    return {name: value for name, value in batch().items() if name != "labels"} | more


CASES: dict[str, tuple[dict[str, Any], Move]] = {
    "classes": ({"num_labels": 3}, kl),
    "numbers": ({"num_labels": 1}, half_square),
    "several numbers": ({"num_labels": 2, "problem_type": "regression"}, half_square),
    "several labels": ({"num_labels": 3, "problem_type": "multi_label_classification"}, bernoulli_kl),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_real_divergence_to_second_order(case: str) -> None:
    """Closing any gate by 1 % moves the distribution by 0.01^2 times its score, within 3 %."""
    options, move = CASES[case]
    model, inputs = build("bert", **options).double(), unlabelled()
    for ffn_units in get_args(FfnUnit):
        importance = score(model, [inputs], scorer="divergence", ffn_units=ffn_units)
        heads, ffn = measured(model, inputs, move, ffn_units)
        np.testing.assert_allclose(importance.heads, heads, rtol=0.03)
        np.testing.assert_allclose(importance.ffn, ffn, rtol=0.03, atol=1e-3 * ffn.max())
        assert ffn.min() >= 0 and heads.min() > 0


@pytest.mark.parametrize("family", CONFIGS)
def test_every_family_has_it(family: str) -> None:
    """The same, for heads of every family; a gate that two layers share counts both uses."""
    model, inputs = build(family).double(), unlabelled()
    importance = score(model, [inputs], scorer="divergence")
    np.testing.assert_allclose(importance.heads, measured(model, inputs, kl, "sublayer")[0], rtol=0.05)


def test_choices_count_as_classes() -> None:
    """Multiple choice is a distribution over its choices: exact, as for classes."""
    model = build("bert", head=AutoModelForMultipleChoice).double()
    inputs = {name: value.view(3, 2, -1) for name, value in unlabelled().items()}
    importance = score(model, [inputs], scorer="divergence")
    heads, ffn = measured(model, inputs, kl, "sublayer")
    np.testing.assert_allclose(importance.heads, heads, rtol=0.03)
    np.testing.assert_allclose(importance.ffn, ffn, rtol=0.03)


def exact_over_tokens(model: PreTrainedModel, inputs: Inputs) -> np.ndarray:
    """Half the mean Fisher information of heads over the real positions of one example, class by class."""
    gates = open_gates(model)
    with Gating(model, *gates):
        logs = model(**inputs).logits[0].log_softmax(-1)
    total = np.zeros(gates[0].shape)
    real = int(inputs["attention_mask"].sum())
    for log in logs[:real].flatten():
        total += float(log.detach().exp()) * torch.autograd.grad(log, gates[0], retain_graph=True)[0].square().numpy()
    return total / real / 2


def test_draws_average_to_the_mean_over_positions() -> None:
    """Token heads: over 120 seeds the drawn scores are the exact mean over real positions, within 30 % a head."""
    model = build("bert", head=AutoModelForTokenClassification, num_labels=3)
    inputs = {name: value[:1] for name, value in unlabelled().items()}  # five real tokens, five of padding
    exact = exact_over_tokens(model, inputs)
    drawn = np.stack([score(model, [inputs], scorer="divergence", seed=seed).heads for seed in range(120)])
    np.testing.assert_allclose(drawn.mean(0), exact, rtol=0.3)
    assert drawn.mean(0).sum() == pytest.approx(exact.sum(), rel=0.1)
    assert (drawn.std(0) > 0.1 * exact).all()


def prepared(head: Any) -> tuple[Inputs, Inputs]:
    """Inputs for a task head, and labels that it takes."""
    inputs = unlabelled()
    if head is AutoModelForMultipleChoice:
        return {name: value.view(3, 2, -1) for name, value in inputs.items()}, {"labels": torch.tensor([0, 1, 1])}
    if head is AutoModelForSequenceClassification:
        return inputs, {"labels": torch.tensor([0, 1, 1, 0, 1, 0])}
    if head is AutoModelForQuestionAnswering:
        places = torch.tensor([1, 2, 3, 1, 2, 0])
        return inputs, {"start_positions": places, "end_positions": places + 1}
    return inputs, {"labels": torch.zeros(6, 10, dtype=torch.long)}


@pytest.mark.parametrize("head", HEADS)
def test_labels_do_not_matter(head: Any) -> None:
    """Every task head is scored without labels, and the same, bit for bit, with them."""
    model, (inputs, labels) = build("bert", head=head), prepared(head)
    without = score(model, [inputs], scorer="divergence", ffn_units="neuron")
    assert without == score(model, [inputs | labels], scorer="divergence", ffn_units="neuron")
    assert without.heads.min() > 0 and np.isfinite(without.ffn).all()


@pytest.mark.parametrize(
    "head", [AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoModelForQuestionAnswering]
)
def test_neither_batches_nor_padding_matter(head: Any) -> None:
    """Draws belong to the example: 24 examples score the same in batches of 1, 5 and 24, however padded."""
    model, data = build("bert", head=head), examples(24)
    ways = [padded(data, size) for size in (1, 5, 24)]
    one, *others = (score(model, batches[::-1], scorer="divergence", seed=7) for batches in ways)
    for other in others:
        np.testing.assert_allclose(other.heads, one.heads, rtol=1e-3)
        np.testing.assert_allclose(other.ffn, one.ffn, rtol=1e-3)


def test_only_drawn_answers_depend_on_the_seed() -> None:
    """A token head's score is a seed's; a classifier's is exact."""
    inputs = unlabelled()
    for head, same in ((AutoModelForSequenceClassification, True), (AutoModelForTokenClassification, False)):
        model = build("bert", head=head)
        first, again, other = (score(model, [inputs], scorer="divergence", seed=seed) for seed in (1, 1, 2))
        assert first == again and (first == other) == same


def test_a_unit_that_changes_nothing_scores_zero() -> None:
    """A head whose output columns are zero does not move the output, whatever the loss says."""
    model = build("bert")
    with torch.no_grad():
        model.bert.encoder.layer[1].attention.output.dense.weight[:, 8:16] = 0
    heads = score(model, [unlabelled()], scorer="divergence").heads
    assert heads[1, 1] == 0 and (np.delete(heads.ravel(), 5) > 0).all()


def test_an_encoder_without_a_task_head_is_refused() -> None:
    """It has no distribution that could move."""
    model = build("bert", head=AutoModel)
    with pytest.raises(UserError, match="no task head"):
        divergence(model, [unlabelled()], structures_of(model), 0)
