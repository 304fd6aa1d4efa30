"""What units cost is what running the model without them saves."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from small_models import CONFIGS, build
from supertickets.config import FfnUnit
from supertickets.encoders.families import structures_of
from supertickets.encoders.pruning import prune
from supertickets.learning import costing, timing
from supertickets.learning.costing import flops, flops_costs, latency_costs
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures

T, D, F, LAYERS = 16, 32, 48, 3  # the tests' tokens, and the small models' width, FFN width and layers


def some_mask(structures: Structures, seed: int = 0) -> Mask:
    """About half of the units, by chance; never none of a layer's heads."""
    rng = np.random.default_rng(seed)
    heads, ffn = rng.random(structures.heads.shape) < 0.5, rng.random(structures.ffn.shape) < 0.5
    heads[:, 1] = True
    return Mask(structures, heads, ffn)


def counted(model: PreTrainedModel) -> int:
    """Torch's own count of one forward pass."""
    ids = torch.ones(1, T, dtype=torch.long)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    return counter.get_total_flops()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_flops_are_those_of_the_formula(attention: str) -> None:
    """A head: four projections of T tokens, scores and context; an FFN: both projections; a multiply-add is 2."""
    table = flops_costs(build("bert", attention), T)
    assert table.measure == "flops"
    size = D // 4
    assert (table.heads == 4 * 2 * T * D * size + 2 * 2 * T * T * size).all()
    assert (table.ffn == 2 * 2 * T * D * F).all()
    assert table.fixed == 2 * D * D + 2 * D * 2  # pooler and task head, on the first token


def test_neurons_share_the_ffns_flops() -> None:
    """A neuron has its row of the first and its column of the second projection; a gated one has two rows."""
    assert (flops_costs(build("bert"), T, "neuron").ffn == 2 * 2 * T * D).all()
    assert (flops_costs(build("modernbert"), T, "neuron").ffn == 3 * 2 * T * D).all()


@pytest.mark.parametrize("ffn_units", ["sublayer", "neuron"])
@pytest.mark.parametrize("family", CONFIGS)
def test_the_table_gives_what_torch_counts(family: str, ffn_units: FfnUnit) -> None:
    """Full and pruned, on a mask that the table was not made from: the same number, for every family."""
    model = build(family)
    table = flops_costs(model, T, ffn_units)
    mask = some_mask(table.structures)
    assert table.full == flops(model, T) == counted(model)
    pruned = prune(copy.deepcopy(model), mask)
    assert table.of(mask) == pytest.approx(counted(pruned), rel=0.01)
    assert flops(model, T) - flops(pruned, T) == pytest.approx(table.full - table.of(mask), rel=1e-9)


def test_the_model_is_left_alone() -> None:
    """Counting prunes copies: the model keeps its weights and units, and gets no gradients."""
    model = build("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flops_costs(model, T)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert getattr(model.config, "supertickets", None) is None
    assert all(weight.grad is None for weight in model.parameters())


def seconds_of(model: PreTrainedModel, _: object, *, head: float, unit: float, rest: float) -> float:
    """A clock that gives each unit its price."""
    kept = getattr(model.config, "supertickets", None)
    structures = structures_of(model)
    if kept is None:
        return rest + head * structures.heads.size + unit * structures.ffn.size
    return rest + head * sum(len(row) for row in kept["heads"]) + unit * sum(bool(units) for units in kept["ffn"])


@pytest.mark.parametrize("unit", [0.3, 0.0])
def test_latency_is_fitted_to_the_clock(unit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that adds up gives back the price of a head, of an FFN and of the rest, and predicts other masks."""
    monkeypatch.setattr(
        timing, "_seconds", lambda model, batch: seconds_of(model, batch, head=0.1, unit=unit, rest=0.5)
    )
    table, timings = latency_costs(build("bert"), T, rounds=3)
    assert table.measure == "latency"
    assert table.heads == pytest.approx(np.full((3, 4), 0.1)) and table.fixed == pytest.approx(0.5)
    assert table.ffn == pytest.approx(np.full((3, 1), unit))
    assert table.full == pytest.approx(timings.models[0].median)
    assert [(one.heads, one.ffn) for one in timings.models] == [(12, 3), (6, 3), (12, 2), (6, 2)]


def test_a_machine_that_slows_down_changes_no_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds on a machine that is 1 to 9 times as slow give the exact price: each is compared within itself.

    In the third round it slows down for one model, so that the medians of the seconds are of different rounds.
    """
    by_round = [[1.0] * 4, [1.0] * 4, [2.0, 2.0, 9.0, 2.0], [9.0] * 4, [9.0] * 4]
    slow = iter([1.0] * 4 + [factor for factors in by_round for factor in factors])  # after a warm-up
    monkeypatch.setattr(
        timing,
        "_seconds",
        lambda model, batch: next(slow) * seconds_of(model, batch, head=0.1, unit=0.3, rest=0.5),
    )
    table, timings = latency_costs(build("bert"), T, rounds=5)
    assert timings.models[0].median == pytest.approx(2 * 2.6) and timings.models[2].median == pytest.approx(9 * 2.3)
    assert (table.heads / table.full).ravel()[0] == pytest.approx(0.1 / 2.6)
    assert (table.ffn / table.full).ravel()[0] == pytest.approx(0.3 / 2.6)
    assert timings.wide


def test_units_that_save_no_time_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a smaller model happens to be slower, its units cost 0, never less."""
    monkeypatch.setattr(
        timing, "_seconds", lambda model, batch: seconds_of(model, batch, head=-0.01, unit=0.3, rest=0.5)
    )
    table, _ = latency_costs(build("bert"), T, rounds=1)
    assert (table.heads == 0).all() and (table.ffn > 0.2).all() and table.fixed > 0.3


def test_latency_is_measured_here_and_told_with_its_conditions() -> None:
    """Real clocks: positive times with their spread, for neurons in blocks, with batch, length, rounds, threads."""
    table, timings = latency_costs(build("bert"), T, "neuron", batch_size=4, rounds=3)
    assert table.heads.shape == (3, 4) and table.ffn.shape == (3, F)
    assert [(one.heads, one.ffn) for one in timings.models] == [(12, 144), (6, 144), (12, 72), (6, 72)]
    assert all(0 < one.p10 <= one.median <= one.p90 for one in timings.models)
    assert all(0 < one.share_p10 <= one.share <= one.share_p90 for one in timings.models)
    assert (timings.models[0].share_p10, timings.models[0].share_p90) == (1, 1)
    about = (timings.rounds, timings.threads, timings.batch_size, timings.length, timings.device)
    assert about == (3, torch.get_num_threads(), 4, T, "cpu")


def test_blocks_are_kept_whole() -> None:
    """Of 48 neurons in blocks of 16, one block goes: the times are of sizes that masks have."""
    (_, _, less, _) = costing._masks(structures_of(build("bert"), "neuron"), 16)
    assert less.ffn_per_layer == (32, 32, 32)
