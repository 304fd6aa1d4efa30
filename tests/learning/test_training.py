"""The one training loop: its schedule, its steps, its precision, and what it leaves alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import PreTrainedModel

from small_examples import examples, one_by_one, tokenizer
from small_models import build
from supertickets.config import TrainingConfig
from supertickets.errors import UserError
from supertickets.learning import training
from supertickets.learning.evaluation import predict
from supertickets.learning.scoring import score
from supertickets.learning.training import resolved_precision, train

STILL: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def settings(**given: Any) -> TrainingConfig:
    """A short fp32 training at a rate at which small models learn."""
    return TrainingConfig(**{"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", **given})


@contextmanager
def seen_at_each_step(look: Callable[[Optimizer], Any]) -> Iterator[list[Any]]:
    """What `look` finds on the optimiser just before each of its steps."""
    found: list[Any] = []

    def hook(optimiser: Optimizer, _: Any, __: Any) -> None:
        found.append(look(optimiser))

    handle = register_optimizer_step_pre_hook(hook)
    try:
        yield found
    finally:
        handle.remove()


def learning_rate(optimiser: Optimizer) -> float:
    """The rate of the step to come."""
    return float(optimiser.param_groups[0]["lr"])


def gradient_norm(optimiser: Optimizer) -> float:
    """The norm over all gradients of the step to come."""
    grads = [w.grad for group in optimiser.param_groups for w in group["params"] if w.grad is not None]
    return float(torch.stack([grad.norm() for grad in grads]).norm())


def trained(model: PreTrainedModel, seed: int = 0, data: Any = None, **given: Any) -> PreTrainedModel:
    """The model after a training."""
    train(model, data or examples(), tokenizer(), settings(**given), seed=seed)
    return model


def test_it_learns_classes() -> None:
    """A BERT of three layers gets at least 95 % of its training examples right, from about half."""
    model, data = build("bert"), examples(64)
    right = (predict(model, data, tokenizer()).argmax(1) == np.asarray(data["labels"])).mean()
    trained(model, data=data, epochs=12, learning_rate=3e-3)
    assert right < 0.8
    assert (predict(model, data, tokenizer()).argmax(1) == np.asarray(data["labels"])).mean() >= 0.95


def test_it_learns_numbers() -> None:
    """Regression: what it predicts correlates above 0.9 with the labels it was trained on."""
    model = build("bert", num_labels=1, problem_type="regression")
    data = examples(64, regression=True)
    trained(model, data=data, epochs=12, learning_rate=3e-3)
    assert np.corrcoef(predict(model, data, tokenizer()), data["labels"])[0, 1] > 0.9


@pytest.mark.parametrize("optimiser", ["adamw", "adamax"])
def test_learning_rate_warms_up_and_decays(optimiser: str) -> None:
    """20 steps with a fifth of warm-up: 0, 1/4, ..., 1, then straight down to 1/16 at the last step."""
    with seen_at_each_step(learning_rate) as rates:
        trained(build("bert"), epochs=4, warmup=0.2, optimiser=optimiser)
    expected = [step / 4 for step in range(4)] + [step / 16 for step in range(16, 0, -1)]
    np.testing.assert_allclose(rates, np.array(expected) * 1e-3, rtol=1e-9)


def test_no_warm_up_starts_at_the_peak() -> None:
    """With warmup 0 the first step runs at the full rate."""
    with seen_at_each_step(learning_rate) as rates:
        trained(build("bert"), warmup=0)
    np.testing.assert_allclose(rates, [1e-3, 8e-4, 6e-4, 4e-4, 2e-4])


def test_accumulated_batches_are_one_step() -> None:
    """Two batches of 8 accumulated take the step of the one batch of 16 that they make up."""
    data = examples(16)
    whole = trained(build("bert", **STILL), data=data, batch_size=16, warmup=0, learning_rate=1e-2)
    with seen_at_each_step(learning_rate) as steps:
        halves = trained(
            build("bert", **STILL), data=data, batch_size=8, gradient_accumulation=2, warmup=0, learning_rate=1e-2
        )
    assert len(steps) == 1
    start = build("bert").state_dict()
    # A gradient that rounds to zero has no sign for Adam to follow: logits are compared, not weights.
    moved = max((value - start[name]).abs().max() for name, value in whole.state_dict().items())
    assert moved > 5e-3
    np.testing.assert_allclose(one_by_one(halves, data), one_by_one(whole, data), atol=1e-4)


def test_accumulated_gradients_are_a_mean() -> None:
    """The gradient of a step does not grow with the number of batches it is accumulated over."""
    norms = []
    for size, batches in ((16, 1), (8, 2), (4, 4)):
        with seen_at_each_step(gradient_norm) as seen:
            model = build("bert", **STILL)
            trained(model, data=examples(16), batch_size=size, gradient_accumulation=batches, max_grad_norm=1e9)
        norms += seen
    assert norms == pytest.approx([norms[0]] * 3, rel=1e-5)
    assert norms[0] > 0.01


def test_gradients_are_clipped() -> None:
    """No step sees a gradient norm above the setting, and without clipping every step does."""
    norms = {}
    for limit in (0.01, 1e9):
        with seen_at_each_step(gradient_norm) as norms[limit]:
            trained(build("bert"), max_grad_norm=limit)
    assert max(norms[0.01]) == pytest.approx(0.01, rel=1e-3)
    assert min(norms[1e9]) > 0.02


def test_biases_and_layer_norms_do_not_decay() -> None:
    """Exactly the matrices are in the group that decays."""
    model = build("bert")
    with seen_at_each_step(lambda optimiser: optimiser.param_groups) as groups:
        trained(model, weight_decay=0.25)
    decay = {id(weight): group["weight_decay"] for group in groups[0] for weight in group["params"]}
    for name, weight in model.named_parameters():
        assert decay.pop(id(weight)) == (0.25 if weight.ndim > 1 else 0.0), name
    assert not decay


def test_what_it_did_is_counted() -> None:
    """43 examples in batches of 8 over two epochs: 12 steps, 86 examples, and the mean loss over them."""
    done = train(build("bert"), examples(43), tokenizer(), settings(epochs=2), seed=0)
    assert (done.steps, done.examples) == (12, 86)
    assert 0.3 < done.loss < 1.5
    assert train(build("bert"), examples(40), tokenizer(), settings(epochs=0.5), seed=0).examples == 20


def test_bf16_trains_and_leaves_fp32() -> None:
    """Matrix products run in bf16 while training; weights, and every pass after it, are fp32."""
    model, kinds = build("bert"), []
    dense = model.bert.encoder.layer[0].intermediate.dense
    handle = dense.register_forward_hook(lambda _, __, output: kinds.append(output.dtype))
    trained(model, precision="bf16")
    assert set(kinds) == {torch.bfloat16}
    kinds.clear()
    predict(model, examples(8), tokenizer())
    score(model, [{"input_ids": torch.tensor([[5, 6, 7]]), "labels": torch.tensor([1])}])
    assert set(kinds) == {torch.float32}
    handle.remove()
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    exact = trained(build("bert"))
    distance = [(a - b).abs().max() for a, b in zip(model.parameters(), exact.parameters(), strict=True)]
    assert 0 < max(distance) < 0.01


def test_auto_precision_is_bf16_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` asks the machine, and either kind of bf16 arithmetic will do; the other two do not ask."""
    for tiles, vectors in ((True, True), (True, False), (False, True), (False, False)):
        pays = tiles or vectors
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda tiles=tiles: tiles)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda vectors=vectors: vectors)
        chosen = [
            training.arguments(settings(precision=precision), 0, "unused", None).bf16
            for precision in ("auto", "bf16", "fp32")
        ]
        assert chosen == [pays, True, False]
        assert resolved_precision(settings(precision="auto")) == ("bf16" if pays else "fp32")


def test_head_dropout_acts_in_training_only() -> None:
    """About half of the pooled values are dropped while training, none afterwards."""
    model = build("bert", **STILL, classifier_dropout=0.5)
    shares = []
    handle = model.dropout.register_forward_hook(lambda _, __, output: shares.append((output == 0).float().mean()))
    trained(model)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
    shares.clear()
    predict(model, examples(8), tokenizer())
    assert shares == [0.0]
    handle.remove()


def test_frozen_weights_stay() -> None:
    """A part that the user has frozen is bit for bit what it was, weight decay included."""
    model = build("bert")
    model.bert.embeddings.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained(model)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and not any("embeddings" in name for name in moved)


@pytest.mark.parametrize("optimiser", ["adamw", "adamax"])
def test_the_callers_generators_are_untouched(optimiser: str) -> None:
    """Training draws no number from Python's, NumPy's or torch's global generator, and ends in evaluation mode."""
    model = build("bert").train()
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    trained(model, optimiser=optimiser)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert not model.training


def test_nothing_is_written_and_nothing_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """No checkpoint, no log, no progress bar."""
    monkeypatch.chdir(tmp_path)
    train(build("bert"), examples(), tokenizer(), settings(), seed=0, log_folder=tmp_path / "logs")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_losses_go_to_a_tracker_that_was_asked_for(tmp_path: Path) -> None:
    """TensorBoard events land in the log folder."""
    pytest.importorskip("tensorboard", reason="needs supertickets[tensorboard]")
    config = settings(epochs=2, log_to=("tensorboard",))
    train(build("bert"), examples(), tokenizer(), config, seed=0, log_folder=tmp_path / "logs")
    assert [path.name.split(".")[:3] for path in tmp_path.rglob("events*")] == [["events", "out", "tfevents"]]


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, before any training."""
    monkeypatch.setattr(training, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"training.log_to: wandb is not installed; pip install wandb"):
        train(build("bert"), examples(), tokenizer(), settings(log_to=("wandb",)), seed=0)
