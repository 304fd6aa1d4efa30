"""docs/reference.md is made from the docstrings, so it cannot say something else than they do."""

from __future__ import annotations

from pathlib import Path

import make_reference

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_reference_is_up_to_date() -> None:
    """The page is what `make docs` would write now."""
    assert make_reference.reference() == (DOCS / "reference.md").read_text(encoding="utf-8"), "run: make docs"


def test_the_reference_groups_every_name_once() -> None:
    """Each public name is in exactly one group of the page."""
    import supertickets

    assert sorted(name for names in make_reference.GROUPS.values() for name in names) == supertickets.__all__


def test_every_setting_has_its_row() -> None:
    """The table of settings shows paths, defaults and help as config.py has them."""
    table = make_reference.settings()
    assert "| `training.epochs` | `3.0` | Passes over the training examples. |" in table
    assert "| `seeds` | `0, 1, 2` | One full repetition per seed" in table
