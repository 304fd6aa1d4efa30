"""speedup.json is read as what it must be, or refused with the name of what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supertickets import storage
from supertickets.errors import UserError
from supertickets.experiments.delivered import Delivered, Mixed
from supertickets.experiments.targets import Achieved
from supertickets.learning.speed import Speedup

SPEED = {"median": 1.5, "p10": 1, "p90": 2.0, "pairs": 15, "threads": 1, "batch_size": 32, "length": 24}
PLAIN: dict[str, Any] = SPEED | {"device": "cpu", "seed": 2, "report": 0.75}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Speed, seed and score; the soup and the target's share where there are any; None where there is no file."""
    assert Delivered.load(tmp_path) is None
    storage.write_sealed(tmp_path / "speedup.json", PLAIN)
    speed = Speedup(1.5, 1.0, 2.0, 15, 1, 32, 24, "cpu")
    assert Delivered.load(tmp_path) == Delivered(speed, 2, 0.75)
    more = {"soup": {"run": "x", "recipe": "greedy", "seeds": [0, 2]}}
    more["achieved"] = {"measure": "flops", "asked": 0.5, "found": 0.52}
    storage.write_sealed(tmp_path / "speedup.json", PLAIN | more)
    achieved = Achieved("flops", 0.5, 0.52)
    assert Delivered.load(tmp_path) == Delivered(speed, 2, 0.75, Mixed("x", "greedy", (0, 2)), achieved)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"length": "long"}, "speedup.length: Input should be a valid integer"),
        ({"seed": 1.5}, "seed: Input should be a valid integer"),
        ({"report": None}, "report: Input should be a valid number"),
        ({"soup": {"run": "x", "recipe": "greedy", "seeds": ["a"]}}, "soup.seeds.0: Input should be a valid integer"),
        ({"achieved": {"measure": "joy", "asked": 0.5, "found": 0.5}}, "achieved.measure: Input should be 'params'"),
        ({"median": 0.0}, "median: 0.0"),
        ({"median": float("nan")}, "a number in it is not finite"),
        ({"report": float("inf")}, "a number in it is not finite"),
        ({"pairs": -5}, "pairs: -5"),
        ({"batch_size": 0}, "batch_size: 0"),
    ],
)
def test_what_cannot_be_is_named(change: dict[str, Any], named: str) -> None:
    """A stranger's file, whose checksum fits, is checked value by value."""
    with pytest.raises(UserError) as fault:
        Delivered.of(PLAIN | change, "x/speedup.json")
    assert str(fault.value).startswith(f"x/speedup.json: not a speed-up ({named}")
    assert str(fault.value).endswith("; delete it: find measures anew")


def test_what_is_missing_is_named() -> None:
    """A value that is not there is told by its name."""
    plain = {name: value for name, value in PLAIN.items() if name != "pairs"}
    with pytest.raises(UserError, match=r"not a speed-up \(speedup.pairs: "):
        Delivered.of(plain, "x")
