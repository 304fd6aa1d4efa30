"""Importance is the expected absolute gate gradient, whatever the batches, and the 2021 sum on demand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from small_models import CONFIGS, batch, build
from supertickets import seeding
from supertickets.config import FfnUnit, Kind, ScorerName
from supertickets.conflicts import RESAMPLABLE
from supertickets.encoders.families import structures_of, weight_count
from supertickets.encoders.gating import Gating, gate, open_gates
from supertickets.encoders.pruning import mask_of, prune
from supertickets.errors import UserError
from supertickets.learning.scoring import PER_EXAMPLE, SCORERS, Batch, score, score_resampled
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask, draw
from supertickets.tickets.structures import Structures

Inputs = dict[str, torch.Tensor]


def pieces(inputs: Inputs, sizes: list[int]) -> list[Inputs]:
    """The batch cut into batches of these sizes."""
    ends = np.cumsum(sizes)
    return [
        {name: value[end - size : end] for name, value in inputs.items()} for size, end in zip(sizes, ends, strict=True)
    ]


def by_definition(
    model: PreTrainedModel, inputs: Inputs, ffn_units: FfnUnit = "sublayer"
) -> tuple[np.ndarray, np.ndarray]:
    """E_x |dL(x) / d gate|, one example and one backward pass at a time."""
    structures = structures_of(model, ffn_units)
    sums = [np.zeros(structures.heads.shape), np.zeros(structures.ffn.shape)]
    examples = len(inputs["input_ids"])
    for one in pieces(inputs, [1] * examples):
        gates = open_gates(model, ffn_units=ffn_units)
        with Gating(model, *gates):
            gradients = torch.autograd.grad(model(**one).loss, gates)
        sums = [total + gradient.abs().numpy() for total, gradient in zip(sums, gradients, strict=True)]
    return sums[0] / examples, sums[1] / examples


def assert_same(importance: Importance, expected: tuple[np.ndarray, np.ndarray]) -> None:
    """Equal scores, to float32's rounding."""
    np.testing.assert_allclose(importance.heads, expected[0], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(importance.ffn, expected[1], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("ffn_units", get_args(FfnUnit))
@pytest.mark.parametrize("family", CONFIGS)
def test_one_backward_pass_gives_every_examples_gradient(family: str, ffn_units: FfnUnit) -> None:
    """A batch scores as its examples do one by one, padding included."""
    model, inputs = build(family), batch()
    importance = score(model, [inputs], ffn_units=ffn_units)
    assert_same(importance, by_definition(model, inputs, ffn_units))
    assert importance.ffn.shape == (3, 1 if ffn_units == "sublayer" else importance.structures.units_per_layer)
    assert (importance.ffn > 0).mean() > 0.8  # a ReLU or its kin may close a neuron for all tokens


def test_a_sublayers_gate_is_all_its_neurons_gates_and_its_bias() -> None:
    """On one example the signed neuron gradients of a layer add up to the sublayer's, without its output bias."""
    model, one = build("bert"), pieces(batch(), [1])[0]
    for layer in model.bert.encoder.layer:
        torch.nn.init.zeros_(layer.output.dense.bias)
    sums = []
    for ffn_units in get_args(FfnUnit):
        gates = open_gates(model, ffn_units=ffn_units)
        with Gating(model, *gates):
            sums.append(torch.autograd.grad(model(**one).loss, gates)[1].sum(1))
    torch.testing.assert_close(sums[0], sums[1], rtol=1e-4, atol=1e-7)


def labelled(head: Any) -> Inputs:
    """Inputs for a head whose loss is a mean over something else than examples."""
    inputs = batch()
    generator = torch.Generator().manual_seed(1)
    if head is AutoModelForMultipleChoice:
        return {
            "input_ids": inputs["input_ids"].view(3, 2, -1),
            "attention_mask": inputs["attention_mask"].view(3, 2, -1),
            "labels": torch.tensor([0, 1, 1]),
        }
    if head is AutoModelForQuestionAnswering:
        del inputs["labels"]
        return inputs | {
            "start_positions": torch.tensor([1, 2, 3, 1, 2, 0]),
            "end_positions": torch.tensor([3, 4, 4, 2, 2, 1]),
        }
    tokens = torch.randint(0, 2, inputs["input_ids"].shape, generator=generator)
    tokens[0, 5:], tokens[3, 1:] = -100, -100  # examples with different numbers of labelled tokens
    return inputs | {"labels": tokens}


@pytest.mark.parametrize(
    "head",
    [AutoModelForTokenClassification, AutoModelForMaskedLM, AutoModelForQuestionAnswering, AutoModelForMultipleChoice],
)
def test_heads_whose_loss_is_a_mean_over_tokens(head: Any) -> None:
    """An example's loss is the mean over its own labelled tokens, however many its neighbours have."""
    model, inputs = build("bert", head=head), labelled(head)
    assert_same(score(model, [inputs]), by_definition(model, inputs))


def test_regression_scores_too() -> None:
    """With one output and real labels the loss is the squared error."""
    model = build("bert", num_labels=1, problem_type="regression")
    inputs = batch() | {"labels": torch.linspace(0, 5, 6)}
    assert_same(score(model, [inputs]), by_definition(model, inputs))


def test_as_released_is_the_2021_sum() -> None:
    """Per-token absolute products, never reset between batches: 1/N sum (N - k + 1) g_k (D1, kept on purpose)."""
    model, batches = build("bert"), pieces(batch(), [2, 2, 2])
    products = []
    for one in batches:
        outputs: list[torch.Tensor] = []

        def keep(_: Any, arguments: tuple[torch.Tensor, ...], into: list[torch.Tensor] = outputs) -> None:
            arguments[0].retain_grad()
            into.append(arguments[0])

        hooks = [layer.attention.output.dense.register_forward_pre_hook(keep) for layer in model.bert.encoder.layer]
        model(**one).loss.backward()
        for hook in hooks:
            hook.remove()
        per_token = [
            (value * value.grad).unflatten(-1, (4, 8)).sum(-1).abs().sum((0, 1))
            for value in outputs
            if value.grad is not None
        ]
        products.append(torch.stack(per_token).detach().numpy())
    expected = (3 * products[0] + 2 * products[1] + products[2]) / 3
    np.testing.assert_allclose(score(model, batches, scorer="as_released").heads, expected, rtol=1e-4)


def test_taylor_is_the_mean_square() -> None:
    """One example at a time, taylor is as_described squared."""
    model, one = build("bert"), pieces(batch(), [1])[0]
    np.testing.assert_allclose(score(model, [one], scorer="taylor").heads, score(model, [one]).heads ** 2, rtol=1e-5)


@pytest.mark.parametrize("scorer", PER_EXAMPLE)
def test_a_resample_is_the_score_of_repeated_examples(scorer: ScorerName) -> None:
    """Each resample scores as a batch does in which every example stands as often as it was drawn."""
    model, inputs = build("bert"), batch()
    rng = seeding.generator(3, "resamples of the scored examples")
    found, resampled = score_resampled(model, pieces(inputs, [4, 2]), scorer=scorer, seed=3, resamples=5)
    assert_same(found, tuple(getattr(score(model, [inputs], scorer=scorer), name) for name in ("heads", "ffn")))
    counts = np.concatenate([rng.poisson(1.0, (5, size)) for size in (4, 2)], axis=1)
    assert len(resampled) == 5 and len({tuple(row) for row in counts.tolist()}) == 5
    for one, times in zip(resampled, counts, strict=True):
        repeated = {name: value.repeat_interleave(torch.tensor(times), 0) for name, value in inputs.items()}
        expected = score(model, [repeated], scorer=scorer)
        assert_same(one, (expected.heads, expected.ffn))


def test_random_scores_depend_on_the_seed_alone() -> None:
    """The control scorer is reproducible, and another seed is another ranking."""
    model = build("bert")
    first, again, other = (score(model, [], scorer="random", seed=seed) for seed in (1, 1, 2))
    assert first == again and first != other


def thinned(model: PreTrainedModel, ffn_units: FfnUnit) -> Mask:
    """A mask with a layer without heads and a layer without FFN units."""
    structures = structures_of(model, ffn_units)
    heads = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
    ffn = np.random.default_rng(0).random(structures.ffn.shape) < 0.5
    ffn[0, 0], ffn[1] = True, False
    return Mask(structures, heads, ffn)


@pytest.mark.parametrize("ffn_units", get_args(FfnUnit))
@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("family", ["bert", "mpnet", "albert", "modernbert"])
def test_a_pruned_model_scores_as_the_gated_one(family: str, scorer: ScorerName, ffn_units: FfnUnit) -> None:
    """Units keep their numbers, those that are left their scores, and those that are gone score 0."""
    model, inputs = build(family), batch()
    mask = thinned(model, ffn_units)
    with gate(model, mask):
        expected = score(model, [inputs], scorer=scorer, ffn_units=ffn_units)
    found = score(prune(model, mask), [inputs], scorer=scorer, ffn_units=ffn_units)
    for name in ("heads", "ffn"):
        ours, theirs, kept = getattr(found, name), getattr(expected, name), getattr(mask, name)
        assert (ours[~kept] == 0).all()
        np.testing.assert_allclose(ours[kept], theirs[kept], rtol=2e-4, atol=1e-7)
        assert ours[kept].max() > 0
    assert np.array_equal(found.there[0], mask.heads) and np.array_equal(found.there[1], mask.ffn)
    assert expected.present is None
    assert found.structures == mask.structures


def test_a_model_without_any_ffn_still_scores_its_heads() -> None:
    """Gates that nothing uses have gradient 0, and are no error."""
    model = build("bert")
    structures = structures_of(model)
    prune(model, Mask(structures, np.ones(structures.heads.shape, bool), np.zeros(structures.ffn.shape, bool)))
    for scorer in ("as_described", "divergence"):
        importance = score(model, [batch()], scorer=scorer)
        assert importance.heads.min() > 0 and importance.ffn.max() == 0


@pytest.mark.parametrize("options", [{}, {"ffn_units": "neuron", "rounds": 2}])
@pytest.mark.parametrize("scorer", SCORERS)
def test_scoring_leaves_the_model_alone(scorer: ScorerName, options: dict[str, Any]) -> None:
    """Weights, training mode, gradients and frozen parts are after scoring what they were before."""
    model = build("bert").train()
    model.bert.embeddings.requires_grad_(False)
    before = {name: (value.clone(), value.requires_grad) for name, value in model.named_parameters()}
    score(model, [batch()], scorer=scorer, **options)
    assert model.training
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name][0]) and value.requires_grad == before[name][1] and value.grad is None
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_dropout_is_off_while_scoring() -> None:
    """A model in training mode scores as in evaluation mode."""
    model = build("bert")
    assert score(model.train(), [batch()]) == score(model.eval(), [batch()])


def test_table_holds_every_scorer_of_the_config() -> None:
    """The config's names and the table's keys are the same."""
    assert set(SCORERS) == set(get_args(ScorerName))


def test_the_settings_know_what_can_be_resampled() -> None:
    """The scorers that the settings let resample are those of the table."""
    assert set(RESAMPLABLE) == set(PER_EXAMPLE)


def test_a_function_of_the_users_own_scores() -> None:
    """A scorer that is no row of the table gets the model in evaluation mode, the batches, the units and the seed."""
    model = build("bert").train()

    def first_heads(scored: PreTrainedModel, batches: Iterable[Batch], structures: Structures, seed: int) -> Importance:
        assert not scored.training and seed == 3 and len(list(batches)) == 1
        assert structures == structures_of(model, "neuron")
        return Importance(structures, np.tile(np.arange(4.0)[::-1], (3, 1)), np.ones(structures.ffn.shape))

    mask = Mask.winning(score(model, [batch()], scorer=first_heads, seed=3, ffn_units="neuron"), 0.5)
    assert mask.heads.tolist() == 3 * [[True, True, False, False]]


def test_no_batches_and_no_labels_are_refused() -> None:
    """Each is one sentence."""
    model, inputs = build("bert"), batch()
    with pytest.raises(UserError, match="no batch came"):
        score(model, [])
    del inputs["labels"]
    for scorer in ("as_described", "as_released"):
        with pytest.raises(UserError, match="carry no labels"):
            score(model, [inputs], scorer=scorer)


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("kind", ["winning", "random", "losing"])
def test_a_pruned_model_is_pruned_further_by_score(kind: Kind, rounds: int) -> None:
    """A quarter of what is left goes, what is gone is not kept, and the mask says the size that the model then has."""
    model = build("bert")
    structures = structures_of(model, "neuron")
    first = Mask.winning(score(model, [batch()], ffn_units="neuron"), 0.5)
    full = weight_count(model.base_model)
    importance = score(prune(model, first), [batch()], ffn_units="neuron", rounds=rounds)
    mask = draw(kind, importance, 0.25, rng=np.random.default_rng(0))
    assert (int(first.heads.sum()), int(first.ffn.sum())) == (6, 72)
    assert (int(mask.heads.sum()), int(mask.ffn.sum())) == (5, 56)  # floor(0.25 * 6) heads, 2 of 9 blocks of 8 neurons
    assert mask & first == mask and all(count % 8 == 0 for count in mask.ffn_per_layer)
    prune(model, mask)
    assert mask_of(model, structures) == mask
    assert weight_count(model.base_model) == pytest.approx(mask.weights_remaining.all * full)
