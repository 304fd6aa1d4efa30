"""SVG figures of a sharing experiment and of a transfer: equal bytes for equal numbers, and nothing drawn of none."""

from __future__ import annotations

from pathlib import Path

from fake_sharing import experiment
from fake_transfer import transferred
from supertickets.experiments.sharing_outcome import conclude_sharing
from supertickets.experiments.transfer_outcome import conclude_transfer
from supertickets.reports import sharing_paper_figures as figures
from supertickets.reports.sharing_paper_figures import write_sharing_figures, write_transfer_figures


def test_a_sharing_experiment_has_two_figures(tmp_path: Path) -> None:
    """Effects and overlap, the same bytes each time; a name with a dollar sign is no formula."""
    outcome = conclude_sharing(experiment({"plain": 0.1, "a $x$ <b>": -0.1, "third": 0.0}), resamples=50)
    written = write_sharing_figures(tmp_path / "one", outcome)
    assert [path.name for path in written] == ["effects.svg", "overlap.svg"]
    again = write_sharing_figures(tmp_path / "two", outcome)
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]
    assert all(path.stat().st_size < 200_000 for path in written)


def test_what_cannot_be_drawn_is_left_out(tmp_path: Path) -> None:
    """One task has no overlap; without differences there are no effects; without a point no curve."""
    one = conclude_sharing(experiment({"a": 0.1}), resamples=20)
    assert [path.name for path in write_sharing_figures(tmp_path, one)] == ["effects.svg"]
    alone = conclude_sharing(experiment({"a": 0.1, "b": 0.1}, methods=("full", "winning", "sharing")), resamples=20)
    drawn = {path.name for path in write_sharing_figures(tmp_path / "alone", alone)}
    assert drawn == {"overlap.svg"}
    empty = transferred(undone=[(arm, s) for arm in figures.ARMS for s in (0, 1, 2)])
    assert write_transfer_figures(tmp_path, conclude_transfer(empty)) == []


def test_effects_show_what_is_sure() -> None:
    """A filled mark has an interval without zero, an open one is undecided; every task and the average have a row."""
    outcome = conclude_sharing(experiment({"up": 0.1, "level": 0.0}), resamples=100)
    figure = figures.effects(outcome)
    assert figure is not None
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["up", "level", "average"]
    faces = [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"]
    assert [face == "white" for face in faces][:2] == [False, True]


def test_the_learning_curve_is_logarithmic(tmp_path: Path) -> None:
    """Five lines at the examples of each share, with the means that the outcome has."""
    outcome = conclude_transfer(transferred(), resamples=50)
    figure = figures.learning_curve(outcome)
    assert figure is not None
    (axes,) = figure.axes
    assert axes.get_xscale() == "log" and len(axes.lines) == 5
    line = next(line for line in axes.lines if line.get_label() == "sharing encoder, its ticket")
    assert list(line.get_ydata()) == [100 * point.bands["sharing"].value for point in outcome.points]
    (path,) = write_transfer_figures(tmp_path, outcome)
    assert path == tmp_path / "figures" / "transfer.svg"
