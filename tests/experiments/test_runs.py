"""A run's name is its settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from supertickets import settings
from supertickets.config import Config
from supertickets.experiments.runs import TicketRun, TuneRun, identity, settings_of

# For every setting that shapes a run's result, a value that is not its default.
CHANGED: dict[str, Any] = {
    "data.task": "films",
    "data.text": "review",
    "data.text_pair": "reply",
    "data.label": "stars",
    "data.kind": "regression",
    "data.train_examples": 77,
    "data.report_examples": 77,
    "encoder.max_length": 64,
    "encoder.head": "common",
    "units.ffn": "neuron",
    "units.multiple": 1,
    "training.epochs": 2.0,
    "training.batch_size": 16,
    "training.gradient_accumulation": 2,
    "training.learning_rate": 1e-4,
    "training.optimiser": "adamax",
    "training.weight_decay": 0.1,
    "training.warmup": 0.2,
    "training.max_grad_norm": 2.0,
    "training.head_dropout": 0.2,
    "training.encoder_dropout": 0.2,
    "training.precision": "fp32",
    "training.teacher": "full",
    "training.teacher_weight": 0.9,
    "training.temperature": 4.0,
    "scoring.scorer": "taylor",
    "scoring.examples": 10,
    "scoring.rounds": 3,
    "scoring.resamples": 20,
    "tickets.importance": "consensus",
    "tickets.min_heads": 0,
    "tickets.ranking": "joint",
    "selection.pooled_examples": 500,
    "selection.min_share": 0.05,
    "selection.max_share": 0.3,
    "selection.split": "common",
}


def changed(setting: str, value: Any) -> Config:
    """The default config with one setting changed, without the checks of a whole config."""
    section, _, name = setting.partition(".")
    if not name:
        return replace(Config(), **{section: value})
    return replace(Config(), **{section: replace(getattr(Config(), section), **{name: value})})


def test_every_setting_that_shapes_a_result_is_tried_below() -> None:
    """The settings that name a run are these; a new one must be added here, or be an extent."""
    assert set(settings_of(Config())) == set(CHANGED) | {"selection.seeds"}


@pytest.mark.parametrize(("setting", "value"), CHANGED.items())
def test_a_setting_that_shapes_a_result_renames_its_runs(setting: str, value: Any) -> None:
    """One changed setting changes the identity, and only that setting differs."""
    other = changed(setting, value)
    assert identity(other) != identity(Config())
    ours, theirs = settings_of(other), settings_of(Config())
    assert {key for key in ours if ours[key] != theirs[key]} == {setting}


@pytest.mark.parametrize("setting", ["data.folder", "data.train", "data.test", "encoder.name"])
def test_where_data_and_encoder_lie_renames_nothing(setting: str) -> None:
    """A file by another path is the same file: checksums of what was read hold a sweep to its data and encoder."""
    assert identity(changed(setting, "somewhere/else")) == identity(Config())


def test_no_two_changes_share_a_name() -> None:
    """The changes above give as many identities."""
    assert len({identity(changed(setting, value)) for setting, value in CHANGED.items()}) == len(CHANGED)


def test_an_identity_is_for_ever() -> None:
    """The names of runs on people's disks: hashes of what differs from the defaults, pinned here."""
    assert identity(Config()) == "44136fa3"  # sha256 of {}
    assert identity(changed("training.epochs", 5.0)) == "44bb8999"


def test_a_default_that_is_spelt_out_renames_nothing() -> None:
    """Defaults written into a config, whole numbers for floats included, are the same runs."""
    spelt = settings.load(overrides=["training.epochs=3", "tickets.min_heads=1", "encoder.max_length=128"])
    assert identity(spelt) == identity(settings.load())


@pytest.mark.parametrize(
    "override",
    [
        "tickets.levels=[0.2, 0.9]",
        "tickets.control_levels=[0.2]",
        "tickets.kinds=[winning]",
        "tickets.target=params=0.8",
        "seeds=[7, 8, 9]",
    ],
)
def test_the_extent_of_a_sweep_renames_nothing(override: str) -> None:
    """Levels, kinds and which seeds say how many runs there are, not what comes out of one."""
    assert identity(settings.load(overrides=[override])) == identity(settings.load())


def test_a_budget_names_runs_by_what_it_sets_only() -> None:
    """A budget spelt out as its settings gives the same runs: the dial itself is in no name."""
    spelt = ["training.epochs=1", "data.train_examples=96", "data.report_examples=128", "seeds=[4, 5]"]
    assert identity(settings.load(overrides=["budget=smoke"])) == identity(settings.load(overrides=spelt))


def test_the_number_of_seeds_renames_runs() -> None:
    """It sets how many examples a seed holds out to choose by, so it shapes every result."""
    assert identity(changed("seeds", (0, 1))) != identity(Config())
    assert settings_of(changed("seeds", (0, 1)))["selection.seeds"] == 2


def test_a_consensus_is_that_of_its_seeds() -> None:
    """Where all seeds draw every ticket, other seeds are other runs; and a ticket needs all of their tuned models."""
    config = changed("tickets.importance", "consensus")
    assert identity(replace(config, seeds=(0, 1, 3))) != identity(config)
    ticket = TicketRun(TuneRun(config, 2), "winning", 0.3)
    assert ticket.needs == tuple(TuneRun(config, seed) for seed in (0, 1, 2))
    assert TicketRun(TuneRun(Config(), 2), "winning", 0.3).needs == (TuneRun(Config(), 2),)


def test_the_names_of_runs() -> None:
    """Kind, level and seed can be read off; the hash is the settings'."""
    config = Config()
    tune = TuneRun(config, 2)
    ticket = TicketRun(tune, "losing", 0.3)
    assert tune.name == f"full-s2-{identity(config)}" and (tune.kind, tune.sparsity) == ("full", 0.0)
    assert ticket.name == f"losing-0.3-s2-{identity(config)}"
    assert (ticket.seed, ticket.config) == (2, config)


def test_close_levels_have_different_names() -> None:
    """Levels that differ in the sixth decimal are different runs, in different folders."""
    tune = TuneRun(Config(), 0)
    assert TicketRun(tune, "winning", 1 / 3).name != TicketRun(tune, "winning", 0.333333).name
