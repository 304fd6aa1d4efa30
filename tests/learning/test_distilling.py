"""A teacher's logits travel with their examples, and its term joins the loss with the weight that was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import PreTrainedModel

from small_examples import examples, tokenizer
from small_models import CONFIGS, build
from supertickets.config import TrainingConfig
from supertickets.errors import UserError
from supertickets.learning.distilling import TEACHER_COLUMN, TaughtExamples, distilled
from supertickets.learning.evaluation import predict
from supertickets.learning.training import TicketTrainer, train

STILL: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
DATA = examples(24)


def settings(**given: Any) -> TrainingConfig:
    """Two epochs of three steps each, at a rate at which small models learn."""
    return TrainingConfig(**{"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", **given})


def logits_for(data: Dataset, classes: int = 2) -> np.ndarray:
    """A teacher that is nobody: random logits."""
    return np.random.default_rng(1).normal(0, 2, (len(data), classes)).astype(np.float32)


def trained(teacher: np.ndarray | None, data: Dataset = DATA, *, family: str = "bert", **given: Any) -> PreTrainedModel:
    """A model after a training under a teacher."""
    model = build(family)
    train(model, data, tokenizer(), settings(**given), seed=0, teacher_logits=teacher)
    return model


def relabelled(data: Dataset) -> Dataset:
    """The examples with every label turned round."""
    turned = [1 - label for label in data["labels"]]
    return data.remove_columns("labels").add_column("labels", turned)


def distance(one: PreTrainedModel, other: PreTrainedModel) -> float:
    """The largest difference between two models' weights."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def test_the_loss_is_the_formula() -> None:
    """(1 - w) x task + w T^2 sum_y p_T (log p_T - log q_T), by hand, for two examples of three classes."""
    ours = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])
    theirs = torch.tensor([[0.0, 3.0, 1.0], [1.0, 1.0, 1.0]])
    p, q = (theirs / 3).softmax(1).numpy(), (ours / 3).softmax(1).numpy()
    expected = 0.75 * 7 + 0.25 * 9 * (p * np.log(p / q)).sum(1).mean()
    config = settings(teacher_weight=0.25, temperature=3.0)
    assert float(distilled(torch.tensor(7.0), {"logits": ours}, theirs, config)) == pytest.approx(expected, rel=1e-6)


def test_numbers_have_the_squared_distance() -> None:
    """(1 - w) x task + w x mean squared distance, whatever the temperature."""
    ours, theirs = torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 4.0])
    found = distilled(torch.tensor(1.0), {"logits": ours}, theirs, settings(teacher_weight=0.4, temperature=5.0))
    assert float(found) == pytest.approx(0.6 * 1 + 0.4 * 2.5)


def test_the_temperature_leaves_the_gradients_size() -> None:
    """Near agreement the term's gradient is the same at T = 2 and at T = 20: T^2 makes up for the softening."""
    sizes = []
    for temperature in (2.0, 20.0):
        ours = torch.tensor([[0.02, 0.0, -0.01]], requires_grad=True)
        config = settings(teacher_weight=1.0, temperature=temperature)
        distilled(torch.tensor(0.0), {"logits": ours}, torch.zeros(1, 3), config).backward()
        assert ours.grad is not None
        sizes.append(float(ours.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


def test_every_example_keeps_its_row() -> None:
    """Rows are read in any order, singly or as a batch, each with its own logits."""
    logits = logits_for(DATA, 3)
    taught = TaughtExamples(DATA, logits, 3)
    assert len(taught) == 24
    for index, row in zip([7, 0, 23], taught.__getitems__([7, 0, 23]), strict=True):
        assert row == {**DATA[index], TEACHER_COLUMN: logits[index].tolist()} == taught[index]


@pytest.mark.parametrize("family", CONFIGS)
def test_the_right_rows_reach_the_loss(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every batch of shuffled, padded examples the teacher's rows are those of the batch's tokens."""
    by_tokens = {tuple(ids): row for ids, row in zip(DATA["input_ids"], logits_for(DATA).tolist(), strict=True)}
    met, original = [], TicketTrainer.compute_loss

    def watch(self: TicketTrainer, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
        for ids, mask, row in zip(
            inputs["input_ids"], inputs["attention_mask"], inputs[TEACHER_COLUMN].tolist(), strict=True
        ):
            met.append(row == by_tokens[tuple(ids[mask.bool()].tolist())])
        return original(self, model, inputs, *more, **named)

    monkeypatch.setattr(TicketTrainer, "compute_loss", watch)
    trained(logits_for(DATA), family=family)
    assert met == 48 * [True]


def test_a_selection_with_an_order_of_its_own_works() -> None:
    """Examples picked from a larger set keep their rows, and nothing is added to the set."""
    picked = examples(40).select([30, 2, 17, 5, 39, 11, 20, 8])
    taught = TaughtExamples(picked, logits_for(picked), 2)
    assert taught[4]["input_ids"] == examples(40)[39]["input_ids"]
    assert TEACHER_COLUMN not in picked.column_names


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_hardly_any_teacher_is_no_teacher(accumulation: int, precision: str) -> None:
    """With its weight near 0 the steps are those without a teacher, to 1e-5: same dropout, scale and batches."""
    options = {"gradient_accumulation": accumulation, "precision": precision, "batch_size": 8 // accumulation}
    without = trained(None, **options)
    tiny = trained(logits_for(DATA), **options, teacher_weight=1e-9)
    assert distance(tiny, without) < 1e-5
    assert distance(trained(logits_for(DATA), **options, teacher_weight=0.5), without) > 1e-4


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_with_all_the_weight_labels_do_not_matter(accumulation: int, precision: str) -> None:
    """At weight 1, turning every label round changes no bit of any weight; at 0.9 it does."""
    options: dict[str, Any] = {"gradient_accumulation": accumulation, "precision": precision}
    for weight, same in ((1.0, True), (0.9, False)):
        one = trained(logits_for(DATA), teacher_weight=weight, **options)
        other = trained(logits_for(DATA), relabelled(DATA), teacher_weight=weight, **options)
        assert (distance(one, other) == 0) == same


def test_accumulated_batches_scale_both_terms_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss that is differentiated is the same mixture in one batch of 16 and in two of 8, batch by batch."""
    data, teacher = DATA.select(range(16)), logits_for(DATA)[:16]
    mixtures = []
    for accumulation in (1, 2):
        found: list[tuple[float, float, float]] = []

        def keep(task: Any, outputs: Any, rows: Any, config: TrainingConfig, into: Any = found) -> Any:
            loss = distilled(task, outputs, rows, config)
            term = 4 * nn.functional.kl_div(
                (outputs["logits"] / 2).log_softmax(1), (rows / 2).softmax(1), reduction="batchmean"
            )
            into.append((float(loss.detach()), float(task.detach()), float(term.detach())))
            return loss

        monkeypatch.setattr("supertickets.learning.training.distilled", keep)
        model = build("bert", **STILL)
        config = settings(epochs=1, batch_size=16 // accumulation, gradient_accumulation=accumulation)
        train(model, data, tokenizer(), config, seed=0, teacher_logits=teacher)
        assert len(found) == accumulation
        for loss, task, term in found:
            assert loss == pytest.approx(0.5 * task + 0.5 * term, rel=1e-5)
        mixtures.append(np.mean([loss for loss, _, _ in found]))
    assert mixtures[0] == pytest.approx(mixtures[1], rel=1e-5)


def test_it_learns_what_the_teacher_says() -> None:
    """With a teacher that is always wrong and all the weight, the model ends wrong, as sure as the teacher."""
    data = examples(64)
    wrong = 1 - np.asarray(data["labels"])
    teacher = np.where(np.eye(2)[wrong] == 1, 2.0, -2.0).astype(np.float32)
    model = build("bert")
    config = settings(epochs=12, learning_rate=3e-3, teacher_weight=1.0)
    train(model, data, tokenizer(), config, seed=0, teacher_logits=teacher)
    logits = predict(model, data, tokenizer())
    assert (logits.argmax(1) == wrong).mean() >= 0.95
    assert np.abs(logits[:, 1] - logits[:, 0]).mean() == pytest.approx(4, abs=1)


def test_it_learns_the_teachers_numbers() -> None:
    """Regression: what it predicts follows the teacher, not the labels."""
    data = examples(64, regression=True)
    teacher = (1 - np.asarray(data["labels"])).astype(np.float32)
    model = build("bert", num_labels=1, problem_type="regression")
    config = settings(epochs=12, learning_rate=3e-3, teacher_weight=1.0)
    train(model, data, tokenizer(), config, seed=0, teacher_logits=teacher)
    assert np.corrcoef(predict(model, data, tokenizer()), teacher)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("shape", "labels"),
    [((23, 2), 2), ((24, 3), 2), ((24,), 2), ((24, 1), 1), ((25,), 1)],
)
def test_a_teacher_of_another_size_is_refused(shape: tuple[int, ...], labels: int) -> None:
    """Wrong rows or classes: both shapes are in the sentence, and nothing was trained."""
    model = build("bert", num_labels=labels)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    needed = r"\(24,\)" if labels == 1 else r"\(24, 2\)"
    shown = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(UserError, match=rf"shape {shown}, the examples and the model need {needed}"):
        train(model, DATA, tokenizer(), settings(), seed=0, teacher_logits=np.zeros(shape, np.float32))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
