"""The tables of docs/sharing.md say what the kept experiment says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import make_sharing
from fake_sharing import experiment
from supertickets.experiments.sharing_outcome import SharingOutcome, conclude_sharing

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def outcome() -> SharingOutcome:
    """One task that sharing helps, one that it hurts."""
    return conclude_sharing(experiment({"helped": 0.12, "hurt": -0.12}), resamples=200)


def rows(table: str) -> dict[str, list[str]]:
    """The cells of a table's rows, by the first."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {first: rest for first, *rest in lines}


def test_scores_by_task(outcome: SharingOutcome) -> None:
    """Every task and the mean, with what its ticket keeps and five methods' scores."""
    found = rows(make_sharing.scores(outcome))
    assert list(found) == ["helped", "hurt", "mean"] and {len(cells) for cells in found.values()} == {6}
    assert [cells[0] for cells in found.values()] == ["97.5 %", "95.0 %", "96.2 %"]
    for name, column in outcome.tasks.items():
        sharing = column.scores["sharing"]
        assert f"{100 * sharing.mean:.1f} ± {100 * sharing.std:.1f}" == found[name][4]


def test_only_what_excludes_zero_is_bold(outcome: SharingOutcome) -> None:
    """12 points more and 12 fewer are, their mean of none is not."""
    found = rows(make_sharing.differences(outcome))
    assert re.fullmatch(r"\*\*\+1[\d.]+ \[\+[\d.]+, \+[\d.]+\]\*\*", found["helped"][0])
    assert re.fullmatch(r"\*\*-1[\d.]+ \[-[\d.]+, -[\d.]+\]\*\*", found["hurt"][0])
    assert not found["mean"][0].startswith("**") and "[-" in found["mean"][0]


@pytest.mark.skipif(not (ROOT / "results/sharing/outcome.json").exists(), reason="no kept result")
def test_the_page_is_what_the_kept_experiment_makes() -> None:
    """Making the tables anew from results/sharing changes nothing."""
    page = make_sharing.PAGE.read_text(encoding="utf-8")
    assert make_sharing.filled(page, ROOT / "results" / "sharing") == page
