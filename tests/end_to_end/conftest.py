"""The films that most of these tests look for a super ticket in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_sweeps import write_films


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder with train.csv (40 rows) and test.csv (12 rows), the test's own."""
    return write_films(tmp_path / "films")
