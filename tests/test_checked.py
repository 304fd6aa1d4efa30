"""Values of a stranger's file are what they must be, or are named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from supertickets.checked import checked
from supertickets.errors import UserError


@dataclass(frozen=True)
class Film:
    """A film."""

    name: str
    stars: float
    years: tuple[int, ...] = ()


def test_sound_values_are_read() -> None:
    """A whole number is a number, a list a tuple; what has no field is left alone."""
    plain = {"name": "x", "stars": 3, "years": [1, 2], "more": None}
    assert checked(Film, plain, "a film", "f.json", "mend it") == Film("x", 3.0, (1, 2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stars": "3"}, "stars: Input should be a valid number"),
        ({"stars": True}, "stars: Input should be a valid number"),
        ({"name": 3}, "name: Input should be a valid string"),
        ({"years": [1.5]}, "years.0: Input should be a valid integer"),
        ({"years": None}, "years: Input should be a valid array"),
        ({"stars": float("nan")}, "a number in it is not finite"),
        ({"stars": 10**400}, "a number in it is not finite"),
    ],
)
def test_unsound_values_are_named(change: dict[str, Any], words: str) -> None:
    """The first value that is wrong, where, and what to do."""
    with pytest.raises(UserError) as fault:
        checked(Film, {"name": "x", "stars": 3.0, **change}, "a film", "f.json", "mend it")
    assert str(fault.value).startswith(f"f.json: not a film ({words}") and str(fault.value).endswith("; mend it")
