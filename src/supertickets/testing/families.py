"""What every encoder family must do: named checks that run on any model of it, under any task head."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import get_args
from unittest import SkipTest

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from supertickets.config import FfnUnit
from supertickets.encoders.families import family_of, head_in, layers_of, structures_of, weight_count
from supertickets.encoders.gating import Gating, gate, open_gates
from supertickets.encoders.loading import quiet
from supertickets.encoders.onnx import TOLERANCE as ONNX_TOLERANCE
from supertickets.encoders.onnx import export_onnx, load_onnx
from supertickets.encoders.pruning import prune
from supertickets.testing.inputs import Inputs, inputs_for
from supertickets.testing.masks import half, nothing, uneven, without
from supertickets.testing.passes import (
    TOLERANCE,
    assert_same,
    check_named,
    largest_difference,
    objective,
    outputs,
    outputs_with_zeros,
    slope,
)
from supertickets.tickets.masks import Mask

UNITS: tuple[FfnUnit, ...] = get_args(FfnUnit)

Check = Callable[[PreTrainedModel, Inputs], None]


class CheckLeftOut(UserWarning):
    """A check could not run here, for the reason given."""


def check_family(model: PreTrainedModel, inputs: Inputs | None = None) -> None:
    """Run every check of CHECKS on copies of a full model; it is left as it was.

    `inputs` is a small batch that the model takes, by default one made from its config. Raises
    AssertionError, with the check's name and numbers, for the first check that fails, and UserError
    for an architecture without a row. Checks that cannot run here, because a package is missing, are
    named in a warning (CheckLeftOut).
    """
    for name, check in family_checks(model, inputs):
        try:
            check()
        except SkipTest as reason:
            warnings.warn(f"check_family left out {name}: {reason}", CheckLeftOut, stacklevel=2)


def family_checks(model: PreTrainedModel, inputs: Inputs | None = None) -> Iterator[tuple[str, Callable[[], None]]]:
    """The checks of a model by name, for `pytest.mark.parametrize`: each a function without arguments.

    A check that cannot run here raises unittest.SkipTest with the reason, which pytest reports as skipped.
    """
    structures_of(model)  # an architecture without a row is bad input, and no failed check
    inputs = inputs_for(model) if inputs is None else inputs
    for name, check in CHECKS.items():
        yield name, partial(_run, name, check, model, inputs)


def _run(name: str, check: Check, model: PreTrainedModel, inputs: Inputs) -> None:
    with check_named(name):
        check(copy.deepcopy(model).eval().float(), inputs)


def gated_equals_pruned(model: PreTrainedModel, inputs: Inputs) -> None:
    """Half the units closed by gates, and half the units gone, are one function, and not the full model's."""
    full = outputs(model, inputs)
    for units in UNITS:
        mask = half(structures_of(model, units))
        with gate(model, mask):
            gated = outputs(model, inputs)
        changed = largest_difference(gated, full)
        assert changed > TOLERANCE, f"closing half the heads and FFN {units}s changes the outputs by {changed:.1e} only"
        assert_same(outputs(_pruned(model, mask), inputs), gated, f"pruned to half the heads and FFN {units}s")


def gate_gradients(model: PreTrainedModel, inputs: Inputs) -> None:
    """The gradient of each layer's gates, along random signs, is the central difference of the loss."""
    model = model.double()
    inputs = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
    rng = torch.Generator().manual_seed(0)
    for units in UNITS:
        opened = zip(("heads", "ffn"), open_gates(model, ffn_units=units), strict=True)
        gates = {kind: one.detach().double().requires_grad_() for kind, one in opened}
        with Gating(model, **gates):
            gradients = torch.autograd.grad(objective(model, inputs), tuple(gates.values()))
        for kind, gradient in zip(gates, gradients, strict=True):
            if kind == "heads" and units != UNITS[0]:
                continue  # the same gates once more
            for layer, row in enumerate(gradient):
                direction = (torch.randint(2, row.shape, generator=rng) * 2 - 1).to(row)
                analytic, numeric = (row @ direction).item(), slope(model, inputs, gates, kind, layer, direction)
                what = f"{kind} of layer {layer} (FFN {units}s): along random signs their gradient is {analytic:.6g}"
                assert row.norm() > 0, f"{what}: they change nothing"
                assert abs(analytic - numeric) <= 0.01 * gradient.norm(), f"{what}, the loss's slope {numeric:.6g}"


def layer_without_heads(model: PreTrainedModel, inputs: Inputs) -> None:
    """The first and the last layer without heads: what their attention adds is its output bias."""
    for layer in _ends(model):
        mask = without(structures_of(model), "heads", layer)
        expected = outputs_with_zeros(model, inputs, layer, family_of(model.config.model_type).output, bias=False)
        assert_same(outputs(_pruned(model, mask), inputs), expected, f"layer {layer} pruned of its heads")


def layer_without_ffn(model: PreTrainedModel, inputs: Inputs) -> None:
    """The first and the last layer without their FFN sublayer: it adds nothing, not even its output bias."""
    for layer in _ends(model):
        mask = without(structures_of(model), "ffn", layer)
        expected = outputs_with_zeros(model, inputs, layer, family_of(model.config.model_type).ffn_out, bias=True)
        assert_same(outputs(_pruned(model, mask), inputs), expected, f"layer {layer} pruned of its FFN sublayer")


def layer_without_neurons(model: PreTrainedModel, inputs: Inputs) -> None:
    """The first and the last layer without a single neuron: what their FFN adds is its output bias."""
    for layer in _ends(model):
        mask = without(structures_of(model, "neuron"), "ffn", layer)
        expected = outputs_with_zeros(model, inputs, layer, family_of(model.config.model_type).ffn_out, bias=False)
        assert_same(outputs(_pruned(model, mask), inputs), expected, f"layer {layer} pruned of its neurons")


def nothing_left(model: PreTrainedModel, inputs: Inputs) -> None:
    """Without any unit no projection is left in any layer, and the model still runs as its gates say."""
    mask = nothing(structures_of(model))
    with gate(model, mask):
        gated = outputs(model, inputs)
    pruned = _pruned(model, mask)
    for index, layer in enumerate(layers_of(pruned)):
        left = [path for path, module in layer.named_modules() if isinstance(module, nn.Linear)]
        assert not left, f"layer {index} without any unit still has {len(left)} projections: {', '.join(left)}"
    assert_same(outputs(pruned, inputs), gated, "without any head or FFN")


def pruning_twice(model: PreTrainedModel, inputs: Inputs) -> None:
    """Pruning one half and then another gives the model that pruning both at once gives, weight by weight."""
    for units in UNITS:
        structures = structures_of(model, units)
        first, second = half(structures), half(structures, seed=1)
        twice, once = _pruned(_pruned(model, first), second), _pruned(model, first & second)
        ours, theirs = twice.state_dict(), once.state_dict()
        differing = [name for name in theirs if name not in ours or not torch.equal(ours[name], theirs[name])]
        assert len(ours) == len(theirs) and not differing, (
            f"pruned twice (FFN {units}s), {len(differing)} of {len(theirs)} weights differ: {differing[:3]}"
        )
        assert_same(outputs(twice, inputs), outputs(once, inputs), f"pruned twice by heads and FFN {units}s")


def counted_weights(model: PreTrainedModel, inputs: Inputs) -> None:
    """Structures count the encoder's weights, and a mask removes exactly the weights its dropped units hold."""
    for units in UNITS:
        structures, before = structures_of(model, units), weight_count(model.base_model)
        assert structures.total_weights == before, f"{structures.total_weights} weights are counted, {before} are there"
        mask = half(structures)
        counted = int(structures.heads[~mask.heads].sum() + structures.ffn[~mask.ffn].sum())
        removed = before - weight_count(_pruned(model, mask).base_model)
        assert removed == counted, (
            f"half the heads and FFN {units}s hold {counted} weights by count, {removed} are gone"
        )


def saved_equals_loaded(model: PreTrainedModel, inputs: Inputs) -> None:
    """A pruned model, saved and loaded through its Auto class, is the same model, weight by weight."""
    auto = getattr(transformers, f"AutoModel{head_in(type(model).__name__).removeprefix('Model')}")
    for units in UNITS:
        pruned = _pruned(model, uneven(structures_of(model, units)))
        with tempfile.TemporaryDirectory() as folder, quiet():
            pruned.save_pretrained(folder)
            loaded = auto.from_pretrained(folder, attn_implementation=model.config._attn_implementation).eval()
        ours, theirs = loaded.to(model.device).state_dict(), pruned.state_dict()
        differing = [name for name in theirs if name not in ours or not torch.equal(ours[name], theirs[name])]
        assert not differing, f"loaded from disk, {len(differing)} of {len(theirs)} weights differ: {differing[:3]}"
        assert_same(outputs(loaded, inputs), outputs(pruned, inputs), f"loaded from disk (FFN {units}s)")


def training_step(model: PreTrainedModel, inputs: Inputs) -> None:
    """A step on a pruned model moves every matrix that is left in its layers, and its loss stays finite."""
    for units in UNITS:
        pruned = _pruned(model, uneven(structures_of(model, units))).train().requires_grad_(True)
        kept = {
            f"layer {index}, {name}": weight
            for index, layer in enumerate(layers_of(pruned))
            for name, weight in layer.named_parameters()
            if weight.ndim == 2
        }
        before = {name: weight.detach().clone() for name, weight in kept.items()}
        optimiser = torch.optim.AdamW(pruned.parameters(), lr=1e-3)
        objective(pruned, inputs).backward()
        optimiser.step()
        still = [name for name, weight in kept.items() if torch.equal(weight, before[name])]
        assert not still, f"a training step leaves {len(still)} of {len(kept)} kept matrices as they were: {still[:3]}"
        loss = objective(pruned.eval(), inputs).item()
        assert np.isfinite(loss), f"after one training step the loss is {loss}"


def attention_weights(model: PreTrainedModel, inputs: Inputs) -> None:
    """`output_attentions` gives one entry for every layer, with as many heads as the layer keeps."""
    mask = uneven(structures_of(model))
    pruned = _pruned(model, mask)
    pruned.set_attn_implementation("eager")
    with torch.no_grad():
        found = pruned(**inputs, output_attentions=True).attentions
    layers = model.config.num_hidden_layers
    assert len(found) == layers, f"{len(found)} attentions for {layers} layers"
    if len(mask.heads) == layers:  # else layers share their weights, and their heads with them
        heads = [0 if one is None else one.shape[1] for one in found]
        assert heads == list(mask.heads_per_layer), f"attentions of {heads} heads, kept are {mask.heads_per_layer}"


def attention_backends(model: PreTrainedModel, inputs: Inputs) -> None:
    """Eager and SDPA attention agree on a pruned model, where the architecture has both."""
    mask = uneven(structures_of(model))
    found = []
    for backend in ("eager", "sdpa") if model._supports_sdpa else ("eager",):
        model.set_attn_implementation(backend)
        found.append(outputs(_pruned(model, mask), inputs))
    assert_same(found[-1], found[0], "pruned, under SDPA")


def onnx_runtime(model: PreTrainedModel, inputs: Inputs) -> None:
    """A pruned model, a layer without heads included, gives the same outputs in ONNX Runtime."""
    if missing := [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]:
        raise SkipTest(f"needs the package {' and '.join(missing)}")
    pruned = _pruned(model, uneven(structures_of(model, "neuron"))).cpu()
    inputs = {name: value.cpu() for name, value in inputs.items()}
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(pruned, _any_tokenizer(), Path(folder) / "onnx")
        exported = load_onnx(Path(folder) / "onnx")
    found, expected = vars(exported(**inputs)), pruned(**inputs)
    difference = largest_difference(list(found.values()), [expected[name].detach() for name in found])
    assert difference <= ONNX_TOLERANCE, f"in ONNX Runtime the outputs differ by {difference:.1e}"


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        gated_equals_pruned,
        gate_gradients,
        layer_without_heads,
        layer_without_ffn,
        layer_without_neurons,
        nothing_left,
        pruning_twice,
        counted_weights,
        saved_equals_loaded,
        training_step,
        attention_weights,
        attention_backends,
        onnx_runtime,
    )
}


def _pruned(model: PreTrainedModel, mask: Mask) -> PreTrainedModel:
    return prune(copy.deepcopy(model), mask)


def _ends(model: PreTrainedModel) -> list[int]:
    return sorted({0, len(layers_of(model)) - 1})


def _any_tokenizer() -> PreTrainedTokenizerFast:
    """An export takes a tokenizer along; the checks feed token ids, and need none."""
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")))
