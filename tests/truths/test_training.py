"""Laws of training: a seed is a result, tickets see the full model's batches, gated and pruned are one training."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from small_examples import examples, tokenizer
from small_models import CONFIGS, build
from supertickets.config import Optimiser, TrainingConfig
from supertickets.encoders.families import family_of, head_size, layers_of, structures_of
from supertickets.encoders.gating import gate
from supertickets.encoders.modeling_supertickets import part
from supertickets.encoders.pruning import prune
from supertickets.encoders.rewinding import RewindPoint
from supertickets.learning.training import train
from supertickets.tickets.masks import Mask

# A layer without heads, a layer without FFN, and whole rows in between.
HEADS = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
FFN = np.array([[1], [1], [0]], dtype=bool)
STILL: dict[str, Any] = {
    name: 0.0
    for name in (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "dropout",
        "attention_dropout",
        "seq_classif_dropout",
        "classifier_dropout_prob",
        "pooler_dropout",
    )
}


def mask_of(model: PreTrainedModel) -> Mask:
    """The mask above, for this model."""
    return Mask(structures_of(model), HEADS, FFN)


def trained(model: PreTrainedModel, *, seed: int = 0, size: int = 24, **given: Any) -> PreTrainedModel:
    """The model after two epochs in batches of eight."""
    config = TrainingConfig(**{"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", **given})
    train(model, examples(size), tokenizer(), config, seed=seed)
    return model


def inputs_while_training(model: PreTrainedModel, **given: Any) -> list[list[list[int]]]:
    """The token ids of every batch that came by, in order."""
    seen: list[list[list[int]]] = []
    handle = model.register_forward_pre_hook(
        lambda _, __, inputs: seen.append(inputs["input_ids"].tolist()), with_kwargs=True
    )
    trained(model, **given)
    handle.remove()
    return seen


def paths_of(model: PreTrainedModel, layer: torch.nn.Module) -> tuple[list[str], list[str]]:
    """The projections that hold rows of heads (optional ones if this model has them), and the other units' ones."""
    family, names = family_of(model.config.model_type), dict(layer.named_modules())
    rows = [*family.projections, *(path for path in family.optional if path in names)]
    return rows, [family.output, family.ffn_in, family.ffn_out]


def kept_weights(model: PreTrainedModel, mask: Mask) -> dict[str, torch.Tensor]:
    """What pruning a full model leaves, sliced here by hand: the rows, columns, layers of the units that are kept."""
    size, kept = head_size(model), {}
    for index, (layer, heads, ffn) in enumerate(zip(layers_of(model), mask.heads, mask.ffn, strict=True)):
        projections, (output, *both) = paths_of(model, layer)
        columns = np.repeat(heads, size)
        for path in projections:
            for name, value in part(layer, path).named_parameters():
                rows = np.tile(columns, len(value) // len(columns))  # a fused projection has several blocks
                kept[f"{index}.{path}.{name}"] = value[rows]
        for name, value in part(layer, output).named_parameters():
            kept[f"{index}.{output}.{name}"] = value if name == "bias" else value[:, columns]
        for path in both if ffn.any() else ():
            kept |= {f"{index}.{path}.{name}": value for name, value in part(layer, path).named_parameters()}
    return {name: value.detach() for name, value in kept.items() if value.numel()}


def left_weights(pruned: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The weights of a pruned model's units, under the same names."""
    left = {}
    for index, layer in enumerate(layers_of(pruned)):
        projections, others = paths_of(pruned, layer)
        for name, value in layer.named_parameters():
            if name.rpartition(".")[0] in (*projections, *others):
                left[f"{index}.{name}"] = value.detach()
    return left


def test_a_seed_trains_to_the_same_bits() -> None:
    """Two trainings of one seed, dropout on, end in bit-identical weights; another seed's end elsewhere."""
    first, again, other = (trained(build("bert"), seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_a_seed_and_a_teacher_train_to_the_same_bits() -> None:
    """So do two trainings under one teacher; another teacher's, and nobody's, end elsewhere."""
    config = TrainingConfig(epochs=2, batch_size=8, learning_rate=1e-3, precision="fp32")
    ends = []
    for teacher in (0, 0, 1, None):
        model = build("bert")
        logits = None if teacher is None else np.random.default_rng(teacher).normal(size=(24, 2))
        train(model, examples(24), tokenizer(), config, seed=0, teacher_logits=logits)
        ends.append(torch.cat([value.flatten() for value in model.state_dict().values()]))
    assert torch.equal(ends[0], ends[1])
    assert not any(torch.equal(ends[0], other) for other in ends[2:])


def test_what_the_caller_drew_before_does_not_matter() -> None:
    """A training depends on its seed, not on the state of the global generators."""
    first = trained(build("bert")).state_dict()
    with torch.random.fork_rng():
        torch.manual_seed(123)
        again = trained(build("bert")).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_full_and_pruned_models_see_the_same_batches() -> None:
    """Batch order belongs to the seed: a ticket of another size, or another family, meets the same batches."""
    full = inputs_while_training(build("bert"))
    pruned = prune(build("bert"), mask_of(build("bert")))
    assert len(full) == 6
    assert inputs_while_training(pruned) == full
    assert inputs_while_training(build("electra"), optimiser="adamax", precision="bf16") == full
    assert inputs_while_training(build("bert"), seed=1) != full


def test_epochs_do_not_repeat_their_batches() -> None:
    """The second epoch holds the same examples in other batches (D13)."""
    batches = inputs_while_training(build("bert"), size=40)

    def unpadded(epoch: list[list[list[int]]]) -> set[frozenset[tuple[int, ...]]]:
        return {frozenset(tuple(token for token in row if token) for row in batch) for batch in epoch}

    first, second = unpadded(batches[:5]), unpadded(batches[5:])
    assert set().union(*first) == set().union(*second)
    assert first != second


@pytest.mark.parametrize("optimiser", get_args(Optimiser))
@pytest.mark.parametrize("family", CONFIGS)
def test_gated_and_pruned_training_take_the_same_steps(family: str, optimiser: Optimiser) -> None:
    """After six steps without dropout and decay, kept weights are equal to 1e-5, and dropped ones have not moved."""
    still = {name: value for name, value in STILL.items() if hasattr(CONFIGS[family](), name)}
    options: dict[str, Any] = {"optimiser": optimiser, "weight_decay": 0.0}
    gated, pruned = build(family, **still), build(family, **still)
    mask = mask_of(gated)
    start = {name: value.clone() for name, value in gated.state_dict().items()}
    with gate(gated, mask):
        trained(gated, **options)
    ours, theirs = left_weights(trained(prune(pruned, mask), **options)), kept_weights(gated, mask)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=1e-5)
    moved = max((value - start[name]).abs().max() for name, value in gated.state_dict().items())
    assert moved > 5e-4
    dropped = Mask(mask.structures, ~mask.heads, ~mask.ffn)
    before = build(family, **still)
    before.load_state_dict(start)
    unmoved = kept_weights(before, dropped)
    for name, value in kept_weights(gated, dropped).items():
        if not name.endswith(f"{family_of(gated.config.model_type).output}.bias"):  # belongs to no head
            assert torch.equal(value, unmoved[name]), name


@pytest.mark.parametrize("family", CONFIGS)
def test_rewound_weights_are_the_pretrained_ones(family: str) -> None:
    """After training a ticket and rewinding it, every weight of every kept unit is the pretrained one, bit for bit."""
    model = build(family)
    mask, expected = mask_of(model), kept_weights(build(family), mask_of(model))
    point = RewindPoint.of(model)
    ticket = trained(prune(point.model(), mask))
    assert not torch.equal(
        left_weights(ticket)[f"0.{family_of(model.config.model_type).projections[0]}.weight"],
        next(iter(expected.values())),
    )
    rewound = left_weights(point.restore(ticket))
    assert rewound.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in rewound.items())
