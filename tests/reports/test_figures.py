"""Figures show the tables' numbers, for the screen and for a paper."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from supertickets.config import FfnUnit, Kind
from supertickets.experiments.outcome import DEV_SELECTED
from supertickets.reports import figures
from supertickets.reports.findings import Findings, gather
from supertickets.reports.paper_figures import FIGURES, write_figures
from supertickets.reports.style import FAINT, FFN_NAMES, KINDS


def traces(figure: object) -> dict[str, dict[str, object]]:
    """The named traces of a figure, as the browser gets them."""
    plain = json.loads(figure.to_json())  # type: ignore[attr-defined]
    return {trace["name"]: trace for trace in plain["data"] if "name" in trace}


def test_curve_shows_each_level_at_its_size(findings: Findings) -> None:
    """The winning line's points are the table's, in percent, largest ticket first."""
    drawn = traces(figures.curve(findings.levels, findings.outcome, findings.choice))
    rows = findings.levels.query("kind == 'winning'").sort_values("weights_encoder", ascending=False)
    assert drawn["winning tickets"]["x"] == pytest.approx(list(100 * rows["weights_encoder"]))
    assert drawn["winning tickets"]["y"] == pytest.approx(list(100 * rows["report"]))
    assert set(drawn) >= {"full model", "winning tickets", "random tickets", "losing tickets", "super ticket"}


def test_curve_marks_the_chosen_ticket(findings: Findings) -> None:
    """The star lies on the super ticket's size and report score."""
    outcome = findings.outcome
    assert outcome is not None
    star = traces(figures.curve(findings.levels, outcome, findings.choice))["super ticket"]
    assert star["x"] == pytest.approx([100 * outcome.weights_encoder])
    assert star["y"] == pytest.approx([100 * outcome.ticket.mean])


def test_curve_marks_what_the_paper_would_have_picked(findings: Findings) -> None:
    """Where the report split prefers another level, that level has a mark of its own."""
    outcome = findings.outcome
    assert outcome is not None
    other = dataclasses.replace(outcome, dev_selected=dataclasses.replace(outcome.dev_selected, sparsity=0.6))
    assert DEV_SELECTED in traces(figures.curve(findings.levels, other, findings.choice))
    same = dataclasses.replace(
        outcome, dev_selected=dataclasses.replace(outcome.dev_selected, sparsity=outcome.sparsity)
    )
    assert DEV_SELECTED not in traces(figures.curve(findings.levels, same, findings.choice))


def test_phases_cover_the_axis_without_gaps(findings: Findings) -> None:
    """Shaded spans start at the full model, touch each other, and hold each level inside its own phase."""
    choice = findings.choice
    assert choice is not None
    spans = figures.phase_spans(choice)
    assert spans[0][1] == 100
    assert all(a[2] == b[1] for a, b in pairwise(spans))
    for place in choice.points:
        inside = [name for name, start, stop in spans if stop <= 100 * place.weights_encoder <= start]
        assert inside == [choice.phases.labels[place.sparsity]]


def test_units_show_one_level_at_a_time(findings: Findings) -> None:
    """Seven levels, one visible; a unit that no seed keeps is a dot, one that all keep a full square."""
    drawn = json.loads(figures.units(findings.units, 0.3, "importance").to_json())["data"]
    assert [trace["visible"] for trace in drawn] == [False, False, True, False, False, False, False]
    kept = findings.units.query("sparsity == 0.3")["kept"]
    sizes = drawn[2]["marker"]["size"]
    assert len(sizes) == len(kept) == 6 * 13
    assert {size for size, share in zip(sizes, kept, strict=True) if share == 0} == {5}
    assert {size for size, share in zip(sizes, kept, strict=True) if share == 1} == {20}


def test_a_layers_neurons_are_one_grey_square(fine_findings: Findings) -> None:
    """Its size goes with the share that is kept; heads keep their place on the scale, which has the given name."""
    drawn = json.loads(figures.units(fine_findings.units, 0.3, "rounds outlived").to_json())
    cells, trace = fine_findings.units.query("sparsity == 0.3"), drawn["data"][2]
    assert drawn["layout"]["coloraxis"]["colorbar"]["title"]["text"] == "rounds outlived"
    for place, (unit, kept) in enumerate(zip(cells["unit"], cells["kept"], strict=True)):
        assert (trace["marker"]["color"][place] == FAINT) == (unit == "neurons")
        if unit == "neurons":
            assert trace["marker"]["size"][place] == pytest.approx(20 * (0.35 + 0.65 * kept))
            told = ["FFN neurons", f"{100 * kept:.1f} % kept, mean over 3 seeds"]
            assert trace["customdata"][place] == told
    assert trace["customdata"][0][1].endswith(f"importance {cells['importance'].iloc[0]:.3f}")


def test_kinds_differ_in_more_than_colour() -> None:
    """No two kinds share a colour, a dash or a paper line style, and every kind of ticket has a style."""
    styles = list(KINDS.values())
    for attribute in ("colour", "dash", "paper_line", "paper_marker"):
        assert len({getattr(style, attribute) for style in styles}) == len(styles)
    assert set(FfnUnit.__args__) == set(FFN_NAMES)  # type: ignore[attr-defined]
    assert set(Kind.__args__) | {"full"} == set(KINDS)  # type: ignore[attr-defined]


def test_paper_figures_are_the_same_bytes_twice(tmp_path: Path, findings: Findings) -> None:
    """SVG files carry no date and no random ids."""
    first, second = write_figures(tmp_path / "a", findings), write_figures(tmp_path / "b", findings)
    assert [path.name for path in first] == [f"{name}.svg" for name in FIGURES]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert ElementTree.parse(one).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_nothing_to_draw_writes_nothing(tmp_path: Path, findings: Findings) -> None:
    """Without tickets there is no figure, and no empty file."""
    only = gather(findings.config, findings.task, {}, [r for r in findings.records if r.kind == "full"], resamples=10)
    assert write_figures(tmp_path, only) == []
    assert list(tmp_path.iterdir()) == []
