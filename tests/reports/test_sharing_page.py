"""The page of a sharing experiment: what it says, what it marks, what it escapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from html import unescape
from pathlib import Path

import pytest

from fake_sharing import experiment
from supertickets.experiments.sharing_outcome import METHODS, Sharing, SharingOutcome, conclude_sharing, sentence
from supertickets.reports import sharing_figures, sharing_prose, sharing_rows
from supertickets.reports.sharing_page import render_sharing, write_sharing_page

GAINS = {"helped": 0.12, "same": 0.0, "hurt": -0.12}
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def page(sharing: Sharing) -> str:
    """The HTML without the script of Plotly, entities as letters."""
    html = render_sharing(sharing, conclude_sharing(sharing, resamples=50))
    head, _, body = html.partition("<body>")
    assert "default-src 'none'" in head
    return unescape(body)


def test_all_that_was_promised_is_there() -> None:
    """Sentence, scores, weights in a sentence each, overlap, costs, data, versions and settings are on the page."""
    sharing = experiment(GAINS)
    outcome = conclude_sharing(sharing, resamples=50)
    body = page(sharing)
    for text in (
        f'<p class="sentence loss">{sentence(outcome)}</p>',
        *(f">{sharing_rows.LABELS[method]}</td>" for method in METHODS),
        "Every method on every task",
        "97.5 % of all weights (95.0 % of the encoder’s layers; by seed: 97.5)",
        "95.0 % of all weights (90.0 % of the encoder’s layers)",
        "what must be stored",
        "random tickets of the same sizes would have",
        "training of all tasks",
        "helped: a note on helped.",
        "supertickets 0.1.0",
        "9 multi-task runs in this report, 0 missing",
        "mixture: proportional",
    ):
        assert text in body, text
    assert "not finished" not in body
    for figure in ("effects", "overlap"):
        assert body.count(f'data-figure="{figure}"') == 1


def test_a_gain_is_shown_as_one() -> None:
    """The sentence's class tells a gain from none."""
    assert '<p class="sentence">Ticket sharing gains' in page(experiment({"a": 0.1, "b": 0.1}))


def test_what_is_missing_is_said() -> None:
    """An arm's missing runs are counted; without any finished run there is no result and no difference."""
    some = page(experiment(GAINS, undone=[("sharing", 1)]))
    assert "This experiment is not finished:</strong> 8 of 9 runs are done. What follows may still change." in some
    assert "<p>ticket sharing: 2 of 3 runs are done.</p>" in some
    none = page(experiment(GAINS, undone=[(arm, s) for arm in ("multitask", "sharing", "random") for s in range(3)]))
    assert "No result yet: no multi-task run is finished." in none
    assert "Where sharing helps" not in none
    assert "What the tasks keep" in none


def test_one_task_has_no_overlap() -> None:
    """A map of one task would say nothing."""
    body = page(experiment({"alone": 0.1}))
    assert 'id="overlap"' not in body
    assert "Where sharing helps" in body


def test_what_others_wrote_is_escaped() -> None:
    """Tasks' names and notes cannot add a tag to the page."""
    html = render_sharing(*both({NASTY: 0.1, "b": 0.0}))
    clean = render_sharing(*both({"a": 0.1, "b": 0.0}))
    assert html.count("<script") == clean.count("<script")
    assert "<img" not in html


def both(gains: Mapping[str, float]) -> tuple[Sharing, SharingOutcome]:
    """An experiment with its outcome."""
    sharing = experiment(gains)
    return sharing, conclude_sharing(sharing, resamples=50)


def test_marks_stand_only_where_the_interval_excludes_zero() -> None:
    """The row of sharing less multitask: up, none, down."""
    _, outcome = both(GAINS)
    cells = sharing_rows.difference_rows(outcome)[0].cells
    assert cells[0].value == "ticket sharing − plain multi-task (MT-DNN)"
    assert [cell.value[-1] for cell in cells[1:4]] == ["▲", cells[2].value[-1], "▼"]
    assert cells[2].value[-1].isdigit()
    assert [" to " in cell.range for cell in cells[1:]] == [True] * 4


def test_the_table_of_scores_has_the_papers_layout() -> None:
    """Methods as rows; a cell for each task, the average and the weights that a task's model has."""
    sharing, outcome = both(GAINS)
    rows = sharing_rows.score_rows(sharing, outcome)
    assert [row.cells[0].value for row in rows] == [sharing_rows.LABELS[method] for method in METHODS]
    assert {len(row.cells) for row in rows} == {1 + 3 + 1 + 1}
    assert [row.cells[-1].value for row in rows] == ["100.0", "95.0", "100.0", "95.0", "95.0"]
    assert rows[3].css == "chosen"
    average = outcome.average.scores["sharing"]
    assert rows[3].cells[4].value == f"{100 * average.mean:.1f}"


def test_weights_by_task_mean_and_union() -> None:
    """Tasks drop 1, 2 and 3 heads of 10 of 400 weights each."""
    rows = sharing_rows.weight_rows(*both(GAINS))
    assert [row.cells[3].value for row in rows] == ["97.5", "95.0", "92.5", "95.0", "97.5"]
    assert [row.cells[4].value for row in rows] == ["7", "6", "5", "", ""]


def test_costs_add_up() -> None:
    """3 seeds: a task's sweep 3 full and 3 winning runs of 8 s; an arm 3 s a run, and its shared training apart."""
    sharing = experiment({"a": 0.0, "b": 0.0})
    first = sharing.tasks[0]
    trained = []
    for record in first.records["sharing"]:
        seconds = {**record.cost.seconds, "training of all tasks": 60.0}
        trained.append(dataclasses.replace(record, cost=dataclasses.replace(record.cost, seconds=seconds)))
    first = dataclasses.replace(first, records={**first.records, "sharing": tuple(trained)})
    rows = sharing_rows.cost_rows(dataclasses.replace(sharing, tasks=(first, sharing.tasks[1])))
    assert sharing_rows.cost_columns(sharing)[:3] == ["", "Own sweep", "plain multi-task (MT-DNN)"]
    assert rows[0] == ["a", "48.0 s", "9.0 s", "9.0 s", "9.0 s"] == ["a", *rows[1][1:]]
    assert rows[2] == ["training of all tasks", "", "0.0 s", "3 min 00 s", "0.0 s"]
    assert rows[3] == ["together", "1 min 36 s", "18.0 s", "3 min 18 s", "18.0 s"]


def test_sizes_of_the_data() -> None:
    """900 rows, of which a seed holds out 400; 400 to report on."""
    row = sharing_rows.size_rows(experiment({"a": 0.0}))[0]
    assert (row["train"], row["selection"], row["report"], row["train_rows"]) == ("500", "400", "400", "900")


def test_the_figure_of_differences() -> None:
    """A row a task and one for the average; filled marks where the interval excludes zero, bars as long as it."""
    _, outcome = both(GAINS)
    figure = sharing_figures.effects(outcome)
    assert figure is not None
    multitask, random = figure.data
    assert list(figure.layout.yaxis.ticktext) == ["helped", "same", "hurt", "<b>average</b>"]
    assert multitask.marker.symbol[:3] == ("circle", "circle-open", "circle")
    gap = outcome.tasks["helped"].differences["sharing", "multitask"]
    assert multitask.x[0] == pytest.approx(100 * gap.value)
    assert multitask.x[0] + multitask.error_x.array[0] == pytest.approx(100 * gap.high)
    assert multitask.x[0] - multitask.error_x.arrayminus[0] == pytest.approx(100 * gap.low)
    assert random.name == "ticket sharing minus sharing with random tickets"
    nothing = conclude_sharing(experiment(GAINS, methods=("full", "winning", "multitask")), resamples=20)
    assert sharing_figures.effects(nothing) is None


def test_the_overlap_map_stands_in_clustered_order() -> None:
    """What was found is shown, chance is hidden at first; cells follow the order of the tasks."""
    _, outcome = both(GAINS)
    found, figure = outcome.overlap, sharing_figures.overlap(outcome.overlap)
    assert [trace.visible for trace in figure.data] == [True, False]
    for trace, matrix in zip(figure.data, (found.found, found.chance), strict=True):
        for i, a in enumerate(found.order):
            for j, b in enumerate(found.order):
                assert trace.z[i][j] == matrix[a, b]
    assert list(figure.layout.xaxis.ticktext) == [found.tasks[index] for index in found.order]


def test_names_in_figures_are_short_and_no_markup() -> None:
    """Plotly reads text as markup: it is escaped, and cut at 22 letters."""
    assert sharing_figures.short("<b>x</b>") == "&lt;b&gt;x&lt;/b&gt;"
    assert sharing_figures.short("a" * 30) == "a" * 21 + "…"
    assert sharing_figures.short("a" * 22) == "a" * 22


def test_the_tiles_carry_what_a_reader_needs() -> None:
    """Average, three differences with intervals, weights with the union; one seed is said to be one."""
    _, outcome = both(GAINS)
    made = sharing_prose.tiles(outcome)
    assert [tile["name"] for tile in made] == [
        "Ticket sharing, average",
        "Sharing minus plain multi-task",
        "Sharing minus random tickets",
        "Sharing minus single task",
        "Weights kept by a task",
    ]
    assert made[-1]["details"][-1] == "all tasks together (union): 97.5 %"
    one = sharing_prose.tiles(conclude_sharing(experiment(GAINS, seeds=(0,)), resamples=50))
    assert one[1]["details"][-1].startswith("one seed")


def test_the_page_is_written(tmp_path: Path) -> None:
    """Into report.html of the folder, the same bytes for the same records."""
    folder = tmp_path
    path = write_sharing_page(folder, *both(GAINS))
    assert path == folder / "report.html"
    first = path.read_bytes()
    write_sharing_page(folder, *both(GAINS))
    assert path.read_bytes() == first
