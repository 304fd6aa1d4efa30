"""docs/reference.md is made from the docstrings, so it cannot say something else than they do."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """docs/make_reference.py as a module."""
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(generator: ModuleType) -> None:
    """The page is what `make docs` would write now."""
    assert generator.reference() == (DOCS / "reference.md").read_text(encoding="utf-8"), "run: make docs"


def test_the_reference_groups_every_name_once(generator: ModuleType) -> None:
    """Each public name is in exactly one group of the page."""
    import supertickets

    assert sorted(name for names in generator.GROUPS.values() for name in names) == supertickets.__all__


def test_every_setting_has_its_row(generator: ModuleType) -> None:
    """The table of settings shows paths, defaults and help as config.py has them."""
    table = generator.settings()
    assert "| `training.epochs` | `3.0` | Passes over the training examples. |" in table
    assert "| `seeds` | `0, 1, 2` | One full repetition per seed" in table
