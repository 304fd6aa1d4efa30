"""Ticket sharing, exactly: what moves in a task's step, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import Optimizer

from small_examples import examples, tokenizer
from small_models import CONFIGS, batch, build
from supertickets.config import SamplingConfig, TrainingConfig
from supertickets.data.batching import collator
from supertickets.data.mixing import MixedBatches
from supertickets.encoders.families import structures_of
from supertickets.encoders.pruning import prune
from supertickets.errors import UserError
from supertickets.learning import training
from supertickets.learning.multitask import EndToEnd, of_one_task, train_shared
from supertickets.learning.optimisers import OPTIMISERS
from supertickets.learning.sharing import Guard, SharedModel
from supertickets.tickets.masks import Mask

STILL: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def some_mask(family: str = "bert", seed: int = 0) -> Mask:
    """Half of the heads, one layer without any, one FFN dropped."""
    structures = structures_of(build(family))
    heads = np.random.default_rng(seed).random(structures.heads.shape) > 0.5
    heads[1] = False
    ffn = np.ones(structures.ffn.shape, dtype=np.bool_)
    ffn[seed % len(ffn)] = False
    return Mask(structures, heads, ffn)


def two_tasks(family: str = "bert", **settings: Any) -> SharedModel:
    """One task with a ticket, one with the whole encoder and three classes."""
    mask = some_mask(family)
    models = {"a": build(family, **settings), "b": build(family, num_labels=3, **settings)}
    return SharedModel(models, {"a": mask, "b": Mask.full(mask.structures)})


def settings(**given: Any) -> TrainingConfig:
    """A short fp32 training."""
    return TrainingConfig(**{"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", **given})


@pytest.mark.parametrize("optimiser", ["adamw", "adamax"])
def test_a_step_moves_nothing_outside_the_tasks_ticket(optimiser: str) -> None:
    """Over 20 alternating steps with decay: weights and optimiser state outside the ticket stay bit for bit."""
    shared = two_tasks().train()
    groups = [{"params": list(shared.parameters()), "weight_decay": 0.1}]
    optimizer = OPTIMISERS[optimiser](groups, 1e-2)  # type: ignore[index]
    guard = Guard(shared, optimizer)
    moved = 0
    for step in range(20):
        guard.task = "ba"[step % 2]
        before = everything(shared, optimizer)
        optimizer.zero_grad()
        shared(task=guard.task, **batch(seed=step)).loss.backward()
        optimizer.step()
        if guard.task == "a":
            for name, tensor in everything(shared, optimizer).items():
                outside = outside_of(shared, name, tensor)
                assert torch.equal(outside, outside_of(shared, name, before.get(name, torch.zeros_like(tensor)))), name
                moved += not torch.equal(tensor, before.get(name, tensor))
    assert moved > 100  # the ticket itself has moved


def everything(shared: SharedModel, optimizer: Optimizer) -> dict[str, torch.Tensor]:
    """Copies of all weights and all entrywise optimiser state, by name."""
    copies = {}
    for name, weight in shared.named_parameters():
        copies[name] = weight.detach().clone()
        for key, value in optimizer.state.get(weight, {}).items():
            if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                copies[f"{name}:{key}"] = value.clone()
    return copies


def outside_of(shared: SharedModel, name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The entries that task a's ticket drops: all of a weight it lacks, none of one it holds whole."""
    prefix, _, rest = name.removeprefix("models.").partition(".")
    inside = rest.split(":")[0]
    if prefix != "a":
        return tensor  # the other task's head
    view = shared._views["a"]
    if inside in view.missing:
        return tensor
    part = view.slices.get(inside)
    return tensor[:0] if part is None else tensor.index_select(part.dim, part.dropped)


@pytest.mark.parametrize("family", CONFIGS)
def test_the_view_computes_what_the_pruned_model_does(family: str) -> None:
    """Logits under the mask equal those of the materialised single-task model, bit for bit."""
    shared = two_tasks(family).eval()
    with torch.no_grad():
        under_mask = shared(task="a", **batch()).logits
        single = shared.single("a")
        assert torch.equal(single(**batch()).logits, under_mask)
    assert single.num_parameters() < shared.models["a"].num_parameters()


def test_full_masks_are_plain_multi_task_training() -> None:
    """The same weights, bit for bit, as a plain loop over two models on one encoder with the same batches."""
    data = {"a": examples(40), "b": examples(24, seed=1)}
    full = Mask.full(some_mask().structures)
    config = settings(max_grad_norm=1e9, warmup=0.0)
    shared = SharedModel({"a": build("bert", **STILL), "b": build("bert", **STILL)}, {"a": full, "b": full})
    train_shared(shared, data, tokenizer(), config, SamplingConfig(), seed=0)
    models = {"a": build("bert", **STILL), "b": build("bert", **STILL)}
    models["b"].bert = models["a"].bert
    plain = torch.nn.ModuleDict(models).train()
    by_hand(plain, lambda task, inputs: plain[task](**inputs).loss, data, config)
    for name, weight in shared.models.named_parameters():
        assert torch.equal(weight, dict(plain.named_parameters())[name]), name


@pytest.mark.parametrize("tasks", ["a", "abcdefgh"])
def test_tasks_with_one_ticket_train_as_that_ticket(tasks: str) -> None:
    """One mask for one task, or for eight: the steps are those of the pruned model trained on the same batches."""
    data = {task: examples(24, seed=place) for place, task in enumerate(tasks)}
    mask, config = some_mask(), settings(max_grad_norm=1e9, warmup=0.0)
    shared = SharedModel({task: build("bert", **STILL) for task in tasks}, dict.fromkeys(tasks, mask))
    train_shared(shared, data, tokenizer(), config, SamplingConfig(), seed=0)
    pruned = torch.nn.ModuleDict({task: prune(build("bert", **STILL), mask) for task in tasks}).train()
    for task in tasks:
        pruned[task].bert = pruned["a"].bert
    by_hand(pruned, lambda task, inputs: pruned[task](**inputs).loss, data, config)
    for task in tasks:
        for name, weight in shared.single(task).named_parameters():
            torch.testing.assert_close(weight, dict(pruned[task].named_parameters())[name], rtol=0, atol=1e-6)


def test_a_task_that_never_has_its_turn_changes_nothing() -> None:
    """With a weight of zero beside it, a task's weights are trained to the same values, bit for bit."""
    alone, beside = ({task: examples(40, seed=place) for place, task in enumerate(tasks)} for tasks in ("a", "ab"))
    mask, trained = some_mask(), []
    for data, weights in ((alone, {"a": 1.0}), (beside, {"a": 1.0, "b": 0.0})):
        shared = SharedModel({task: build("bert") for task in data}, dict.fromkeys(data, mask))
        train_shared(shared, data, tokenizer(), settings(), SamplingConfig(weights=weights), seed=0)
        trained.append(dict(shared.models["a"].named_parameters()))
    start = dict(build("bert").named_parameters())
    assert all(torch.equal(weight, trained[1][name]) for name, weight in trained[0].items())
    assert sum(not torch.equal(weight, start[name]) for name, weight in trained[0].items()) > 20


def by_hand(
    model: torch.nn.Module, loss_of: Callable[[str, Any], torch.Tensor], data: dict[str, Any], config: TrainingConfig
) -> None:
    """The same optimiser, schedule and batches in a loop of a dozen lines."""
    decayed = {name for name, _ in model.named_parameters() if not name.endswith("bias") and "LayerNorm" not in name}
    named = list(model.named_parameters())
    groups = [
        {"params": [w for n, w in named if n in decayed], "weight_decay": config.weight_decay},
        {"params": [w for n, w in named if n not in decayed], "weight_decay": 0.0},
    ]
    optimizer = OPTIMISERS[config.optimiser](groups, config.learning_rate)
    order = MixedBatches({t: list(d["length"]) for t, d in data.items()}, config.batch_size, 0, epochs=2)
    rows, collate, steps = EndToEnd(data), of_one_task(collator(tokenizer())), 2 * len(order)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(2):
        for indices in order:
            inputs = collate(rows.__getitems__(indices))
            task = inputs.pop("task")
            optimizer.zero_grad()
            loss_of(task, inputs).backward()
            optimizer.step()
            schedule.step()


def test_classes_and_numbers_train_together() -> None:
    """A classification and a regression task share an encoder; both losses fall below their start."""
    data = {"a": examples(64), "b": examples(64, seed=1, regression=True)}
    mask = some_mask()
    models = {"a": build("bert"), "b": build("bert", num_labels=1, problem_type="regression")}
    shared = SharedModel(models, {"a": mask, "b": some_mask(seed=2)})
    collate = of_one_task(collator(tokenizer()))
    batches = {task: collate(EndToEnd({task: data[task]}).__getitems__(list(range(64)))) for task in data}
    before = {task: shared.eval()(**dict(batches[task])).loss.item() for task in data}
    done = train_shared(shared, data, tokenizer(), settings(epochs=8, learning_rate=3e-3), SamplingConfig(), seed=0)
    after = {task: shared.eval()(**dict(batches[task])).loss.item() for task in data}
    assert done.examples == 8 * 128
    assert all(after[task] < 0.9 * before[task] for task in data)


def test_in_bf16_nothing_outside_moves_either() -> None:
    """Autocast training of one task leaves what its ticket drops as it was, learns, and is off afterwards."""
    data = {"a": examples(64)}
    shared = SharedModel({"a": build("bert")}, {"a": some_mask()})
    before = {name: weight.detach().clone() for name, weight in shared.named_parameters()}
    inputs = of_one_task(collator(tokenizer()))(EndToEnd(data).__getitems__(list(range(64))))
    loss = shared(**inputs).loss.item()
    train_shared(shared, data, tokenizer(), settings(epochs=6, precision="bf16"), SamplingConfig(), seed=0)
    moved = 0
    for name, weight in shared.named_parameters():
        assert torch.equal(outside_of(shared, name, weight), outside_of(shared, name, before[name])), name
        moved += not torch.equal(weight, before[name])
    assert moved > 20
    with torch.no_grad():
        after = shared(**inputs)
        assert after.loss.item() < loss
        assert after.logits.dtype == torch.float32
        inputs.pop("task")
        assert torch.equal(after.logits, shared.single("a")(**inputs).logits)


def test_what_a_guard_puts_back_lies_where_the_weights_do() -> None:
    """The rows and columns outside a ticket are listed on each weight's own device."""
    shared = two_tasks()
    torch.nn.Module.to(shared, "meta")
    outside = shared.outside("a")
    assert outside and all(part.dropped.is_meta and weight.is_meta for weight, part in outside)


def test_what_does_not_fit_is_refused() -> None:
    """Other tasks than masks, other examples than tasks, accumulated gradients: one sentence each."""
    full = Mask.full(some_mask().structures)
    with pytest.raises(UserError, match="models are for a; masks are for b"):
        SharedModel({"a": build("bert")}, {"b": full})
    shared = SharedModel({"a": build("bert")}, {"a": full})
    with pytest.raises(UserError, match="examples are for c; tasks are a"):
        train_shared(shared, {"c": examples(8)}, tokenizer(), settings(), SamplingConfig(), seed=0)
    with pytest.raises(UserError, match="must be 1 in multi-task training, not 2"):
        train_shared(
            shared, {"a": examples(8)}, tokenizer(), settings(gradient_accumulation=2), SamplingConfig(), seed=0
        )


def test_each_tasks_examples_are_counted() -> None:
    """Two epochs in proportion: each task's examples twice, and both together are the training's."""
    data = {"a": examples(), "b": examples().select(range(8))}
    done = train_shared(plain_pair(), data, tokenizer(), settings(), SamplingConfig(), seed=0)
    assert done.by_task == {"a": 2 * len(examples()), "b": 16}
    assert done.examples == sum(done.by_task.values())


def plain_pair() -> SharedModel:
    """Two tasks of two classes, both on the whole encoder."""
    mask = Mask.full(structures_of(build("bert")))
    return SharedModel({"a": build("bert"), "b": build("bert")}, {"a": mask, "b": mask})


def test_losses_of_many_tasks_go_to_a_tracker(tmp_path: Path) -> None:
    """TensorBoard events land in the log folder."""
    pytest.importorskip("tensorboard", reason="needs supertickets[tensorboard]")
    config, data = settings(log_to=("tensorboard",)), {"a": examples(), "b": examples()}
    train_shared(plain_pair(), data, tokenizer(), config, SamplingConfig(), seed=0, log_folder=tmp_path / "logs")
    (path,) = (tmp_path / "logs").rglob("events*")
    assert path.name.startswith("events.out.tfevents")


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, before any training."""
    monkeypatch.setattr(training, "find_spec", lambda _: None)
    data = {"a": examples(), "b": examples()}
    with pytest.raises(UserError, match=r"training.log_to: wandb is not installed"):
        train_shared(plain_pair(), data, tokenizer(), settings(log_to=("wandb",)), SamplingConfig(), seed=0)
