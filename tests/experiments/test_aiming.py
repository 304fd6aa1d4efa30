"""From a target to a level: counted or measured on the config's encoder, and checked on the delivered model."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from supertickets.config import Config, FfnUnit
from supertickets.encoders.loading import load
from supertickets.encoders.pruning import prune
from supertickets.errors import UserError
from supertickets.experiments import aiming
from supertickets.experiments.aiming import achieved, aimed, find_target
from supertickets.experiments.workspace import Inputs
from supertickets.learning.costing import latency_costs
from supertickets.learning.speed import Speedup
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask
from tiny_sweeps import config_of


def inputs_of(films: Path, encoder: Path, target: str, *more: str) -> Inputs:
    """The films' inputs with a target instead of levels."""
    own = ("training.epochs=1", "seeds=[0]", f"tickets.target={target}")
    return Inputs.read(config_of(films, encoder, *more, short=own))


def any_ticket(inputs: Inputs, level: float, seed: int = 3) -> Mask:
    """The winning ticket of random scores, as a run draws it."""
    rng, units = np.random.default_rng(seed), inputs.structures
    scores = Importance(units, rng.random(units.heads.shape), rng.random(units.ffn.shape))
    options = inputs.config
    return Mask.winning(scores, level, min_heads=options.tickets.min_heads, multiple=options.units.multiple)


@pytest.mark.parametrize("ffn_units", ["sublayer", "neuron"])
@pytest.mark.parametrize(("measure", "share"), [("params", 0.8), ("flops", 0.7)])
def test_a_counted_target_is_met_exactly(
    measure: str, share: float, ffn_units: FfnUnit, films: Path, tiny_bert_folder: Path
) -> None:
    """Whatever the scores, the pruned model has the expected share, which is at most the one asked for."""
    inputs = inputs_of(films, tiny_bert_folder, f"{measure}={share}", f"units.ffn={ffn_units}")
    target = find_target(inputs)
    assert target.expected <= share and target.costs.measure == measure
    full, _ = load(str(tiny_bert_folder))
    pruned = prune(copy.deepcopy(full), any_ticket(inputs, target.level))
    found = achieved(target, full, pruned, Speedup(2.0, 1.9, 2.1, 15, 1, 32, 24, "cpu"))
    assert (found.measure, found.asked) == (measure, share)
    assert found.found == pytest.approx(target.expected, rel=1e-9)
    less = any_ticket(inputs, target.level - 0.0001)
    assert target.costs.share(less) > share


def test_the_length_is_the_median_of_the_training_texts(films: Path, tiny_bert_folder: Path) -> None:
    """FLOPs are those of a text of the data: the films have 7 to 9 tokens, padded to 16, or cut at the config's 8."""
    inputs = inputs_of(films, tiny_bert_folder, "flops=0.7")
    lengths = [len(ids) for ids in inputs.tokenizer(list(inputs.examples["train"]["text"]))["input_ids"]]
    assert find_target(inputs).length == int(np.ceil(np.median(lengths) / 8)) * 8
    assert find_target(inputs_of(films, tiny_bert_folder, "flops=0.7", "encoder.max_length=8")).length == 8
    assert find_target(inputs_of(films, tiny_bert_folder, "params=0.8")).length is None


def test_a_latency_is_measured_on_the_encoder(
    films: Path, tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The level meets the share by the table that was measured, whose timings are kept; the speed-up tells the rest."""
    measured = []

    def few(model: object, length: int, units: FfnUnit, *, multiple: int) -> object:
        measured.append((length, units, multiple))
        table, timings = latency_costs(model, length, units, multiple=multiple, rounds=3)  # type: ignore[arg-type]
        # This small a model's times are noise: prices that a user's encoder has.
        return replace(table, heads=np.full((2, 4), 0.1), ffn=np.full((2, 64), 0.01), fixed=0.2), timings

    monkeypatch.setattr(aiming, "latency_costs", few)
    inputs = inputs_of(films, tiny_bert_folder, "latency=0.7", "units.ffn=neuron", "units.multiple=16")
    target = find_target(inputs)
    assert measured == [(target.length, "neuron", 16)]
    assert target.timings is not None and target.timings.rounds == 3 and target.timings.batch_size == 32
    assert 0.6 < target.expected <= 0.7
    full, _ = load(str(tiny_bert_folder))
    found = achieved(target, full, full, Speedup(1.25, 1.2, 1.3, 15, 1, 32, 24, "cpu"))
    assert (found.measure, found.asked, found.found) == ("latency", 0.7, 0.8)


def test_one_level_for_all_tickets(films: Path, tiny_bert_folder: Path) -> None:
    """Winning tickets and controls are drawn at the target's level; its own config may name it, no other level."""
    inputs = inputs_of(films, tiny_bert_folder, "params=0.8")
    target = find_target(inputs)
    once = aimed(inputs, target)
    assert once.config.tickets.levels == once.config.tickets.control_levels == (target.level,)
    assert once.config.tickets.target == "params=0.8"
    assert aimed(once, target).config == once.config
    with pytest.raises(UserError, match=r"tickets\.levels: 0\.3 is not the level of the target params=0\.8, which is"):
        aimed(inputs_of(films, tiny_bert_folder, "params=0.8", "tickets.levels=[0.3]"), target)


def test_a_target_out_of_reach(films: Path, tiny_bert_folder: Path) -> None:
    """The embeddings alone are more than a tenth of the weights: the sentence says what can be had."""
    with pytest.raises(UserError, match=r"tickets\.target: no ticket keeps only 0\.1 of the weights: the smallest one"):
        find_target(inputs_of(films, tiny_bert_folder, "params=0.1"))


def test_a_target_renames_no_run(config: Config) -> None:
    """The level shapes a run, the target does not: a run of the same level is the same run."""
    from supertickets.experiments.runs import identity

    targeted = replace(config, tickets=replace(config.tickets, target="params=0.8"))
    assert identity(targeted) == identity(config)
