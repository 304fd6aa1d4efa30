"""A sweep's target comes back from its folder as it was, and a folder has one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from supertickets import storage
from supertickets.errors import UserError
from supertickets.experiments.layout import CONFIG_FILE, TARGET_FILE
from supertickets.experiments.targets import Achieved, Target, kept_target
from supertickets.learning.speed import Timed, Timings
from supertickets.tickets.costs import UnitCosts
from supertickets.tickets.structures import Structures

STRUCTURES = Structures("toy", np.full((2, 4), 10), np.full((2, 1), 50), 200, 300)
COSTS = UnitCosts(STRUCTURES, np.full((2, 4), 0.1), np.full((2, 1), 0.25), 0.5, "latency")
MODELS = Timed(8, 2, 1.8, 1.7, 2.0, 1.0, 1.0, 1.0), Timed(4, 2, 1.4, 1.3, 1.6, 0.8, 0.75, 0.85)
TIMINGS = Timings(MODELS, 30, 1, 32, 24, "cpu")
TARGET = Target("latency=0.7", 0.375, 0.69, COSTS, 24, TIMINGS)


def test_a_target_goes_through_its_file(tmp_path: Path) -> None:
    """Asked share, level, costs and timings come back equal; machine and versions stand beside them."""
    TARGET.save(tmp_path)
    assert Target.load(tmp_path) == TARGET and TARGET.share == 0.7
    plain = storage.read_json(tmp_path / TARGET_FILE)
    assert plain["costs"]["per_head"] == 0.1 and plain["timings"]["models"][1]["p90"] == 1.6
    assert plain["provenance"]["machine"]["cores"] >= 1 and "torch" in plain["provenance"]["versions"]
    bare = Target("params=0.8", 0.2, 0.79, COSTS)
    bare.save(tmp_path)
    assert Target.load(tmp_path) == bare


def test_what_is_missed_is_counted() -> None:
    """More than was asked for is missed by the difference; less, or as much to three decimals, is met."""
    for found, missed in ((0.718, 0.018), (0.7004, 0.0), (0.6, 0.0), (0.7006, 0.001)):
        assert Achieved("latency", 0.7, found).missed == missed


def test_rounds_that_differ_are_wide() -> None:
    """A quarter of the median share between the 10th and the 90th percentile is the most."""
    assert not TIMINGS.wide
    shaky = replace(TIMINGS.models[1], share_p10=0.7, share_p90=0.91)
    assert replace(TIMINGS, models=(TIMINGS.models[0], shaky)).wide


def test_a_folder_without_one_has_none(tmp_path: Path) -> None:
    """No file, no target; a damaged one is one sentence."""
    assert Target.load(tmp_path) is None
    storage.write_json(tmp_path / TARGET_FILE, {"asked": "params=0.8", "timings": None, "costs": COSTS.to_dict()})
    with pytest.raises(UserError, match=r"target\.json: not a target \('level'\)"):
        Target.load(tmp_path)


def test_a_folder_keeps_its_target(tmp_path: Path) -> None:
    """The same target, however it is written, is taken from the folder; another one, or none, is refused."""
    TARGET.save(tmp_path)
    assert kept_target(tmp_path, "latency=0.7") is None  # nothing was run: the folder is nobody's yet
    (tmp_path / CONFIG_FILE).touch()
    for same in ("latency=0.7", "latency=0.70", "latency=.7"):
        assert kept_target(tmp_path, same) == TARGET
    for other in ("latency=0.8", "flops=0.7", None):
        with pytest.raises(UserError) as caught:
            kept_target(tmp_path, other)
        assert str(caught.value) == (
            f"{tmp_path}: this folder belongs to another config (tickets.target is latency=0.7 there, {other} here); "
            "choose another --out folder"
        )


def test_a_folder_of_levels_takes_no_target(tmp_path: Path) -> None:
    """A sweep that was begun without a target goes on without one."""
    (tmp_path / CONFIG_FILE).touch()
    assert kept_target(tmp_path, None) is None
    with pytest.raises(UserError, match=r"tickets\.target is None there, params=0\.8 here"):
        kept_target(tmp_path, "params=0.8")
