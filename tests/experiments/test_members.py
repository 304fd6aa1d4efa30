"""Members of a soup: which of a sweep's models wait on disk, and that they come back bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from supertickets import UserError
from supertickets.config import Config
from supertickets.experiments import members
from supertickets.experiments.runs import TicketRun, TruncatedRun, TuneRun
from supertickets.settings import load


def of(*settings: str) -> Config:
    """A sweep that delivers a soup, with more settings."""
    return load(overrides=("delivery.soup=uniform", *settings))


def test_at_most_two_models_a_seed_are_kept() -> None:
    """The full models always; the winning tickets only where there is one level."""
    one, two = of("tickets.levels=[0.4]"), of("tickets.levels=[0.4, 0.5]")
    for config in (one, two):
        assert members.is_wanted(TuneRun(config, 3), config)
    assert members.is_wanted(TicketRun(TuneRun(one, 3), "winning", 0.4), one)
    assert not any(members.is_wanted(TicketRun(TuneRun(two, 3), "winning", level), two) for level in (0.4, 0.5))


def test_nothing_else_is_kept() -> None:
    """Controls, second trainings, truncated encoders, runs of a baseline's settings, sweeps without a soup."""
    config = of("tickets.levels=[0.4]")
    winning = TicketRun(TuneRun(config, 3), "winning", 0.4)
    random, other = replace(winning, kind="random"), TuneRun(of("tickets.levels=[0.4]", "training.epochs=9"), 3)
    for run in (random, replace(winning, second=True), TruncatedRun(winning), other):
        assert not members.is_wanted(run, config), run.name
    plain = of("tickets.levels=[0.4]", "delivery.soup=none")
    assert not members.is_wanted(TuneRun(plain, 3), plain)


def test_weights_come_back(tiny_bert_folder: Path, tmp_path: Path) -> None:
    """Bit for bit; without their checksum they are no member; all go together."""
    config = of("tickets.levels=[0.4]")
    run = TuneRun(config, 3)
    model = AutoModel.from_pretrained(tiny_bert_folder)
    members.keep(tmp_path, run, model)
    back = members.weights(tmp_path, run)
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[name], value) for name, value in model.state_dict().items())
    torn = members.seal(tmp_path, run).with_name(members.WEIGHTS_FILE)
    torn.write_bytes(torn.read_bytes()[:-1] + b"!")
    with pytest.raises(UserError, match="damaged"):
        members.weights(tmp_path, run)
    members.seal(tmp_path, run).write_text("{}")
    with pytest.raises(UserError, match="damaged"):
        members.weights(tmp_path, run)
    members.keep(tmp_path, other := TuneRun(config, 4), model)
    members.drop(tmp_path, run)
    assert not members.seal(tmp_path, run).exists() and members.weights(tmp_path, other).keys() == back.keys()
    members.remove(tmp_path)
    assert not list(tmp_path.iterdir())
