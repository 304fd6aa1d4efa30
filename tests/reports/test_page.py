"""The page says what was found, escapes what others wrote, and loads nothing."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from supertickets.config import Config, DataConfig, EncoderConfig
from supertickets.data.tasks import Task
from supertickets.experiments.outcome import DEV_SELECTED, sentence
from supertickets.experiments.records import Record
from supertickets.experiments.schedules import follow
from supertickets.reports import rows
from supertickets.reports.figures import curve
from supertickets.reports.findings import Findings, gather
from supertickets.reports.page import embedded, render
from supertickets.tickets.phases import PHASE_DEFINITIONS

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"


class Tags(HTMLParser):
    """Collects start tags and the visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._skipping = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag."""
        self.tags.append((tag, dict(attrs)))
        self._skipping = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        """A script's end is the end of what is not text."""
        self._skipping = False

    def handle_data(self, data: str) -> None:
        """Note the text."""
        if not self._skipping:
            self.text.append(data)

    @property
    def visible(self) -> str:
        """The text, with runs of white space as one."""
        return " ".join(" ".join(self.text).split())


def test_the_sentence_comes_first(findings: Findings) -> None:
    """The first paragraph under the title is the sentence."""
    assert findings.outcome is not None
    page = Tags(render(findings)).visible
    start = page.index("Super ticket report rte · minilm ") + len("Super ticket report rte · minilm ")
    assert page[start:].startswith(sentence(findings.outcome))


def test_all_that_was_promised_is_there(findings: Findings) -> None:
    """Phases, protocol, interval, data sizes, partial data, notes, versions, commit and settings are on the page."""
    page = Tags(render(findings)).visible
    for text in PHASE_DEFINITIONS.values():
        assert text in page
    for text in (
        DEV_SELECTED,
        "95 % bootstrap interval over seeds and examples",
        "277 partial 300",
        "Results flatter this task.",
        "Report set is partial: 277 of the 300 published examples.",
        "torch 2.13.0",
        "0123456789abcdef0123456789abcdef01234567",
        "learning_rate: 5.0e-05",
        "2026-01-01T10:00:00+00:00 to 2026-01-03T10:00:00+00:00",
        "42 in this report, 0 missing",
    ):
        assert text in page, text


def test_nothing_is_loaded(findings: Findings) -> None:
    """No tag names a file or an address, and the policy in the page forbids the browser to fetch any."""
    tags = Tags(render(findings)).tags
    sources = [value for _, attrs in tags for name, value in attrs.items() if name in ("src", "href", "data", "action")]
    assert sources == ["data:,"]
    policy = next(attrs["content"] for tag, attrs in tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_what_others_wrote_is_escaped(findings: Findings, task: Task) -> None:
    """Task, encoder, file names, notes, provenance and settings cannot add a tag to the page."""
    config = Config(data=DataConfig(task="rte", folder=NASTY), encoder=EncoderConfig(name=NASTY))
    size = {"file": NASTY, "rows": 277, "official": None, "partial": False, "left_out": 0}
    data = {"sizes": {"train": size, "report": size}, "notes": [NASTY], "sha256": NASTY}
    records = tuple(Record(**r.__dict__ | {"provenance": {"machine": {"cpu": NASTY}}}) for r in findings.records)
    named = dataclasses.replace(task, name=NASTY, note=NASTY, labels=(NASTY, "other"))
    nasty = dataclasses.replace(findings, config=config, data=data, records=records, task=named)
    html = render(nasty)
    clean, dirty = Tags(render(findings)), Tags(html)
    count = [sum(tag == name for tag, _ in page.tags) for page in (clean, dirty) for name in ("script", "img")]
    assert count[:2] == count[2:]
    assert not any(name.startswith("on") for _, attrs in dirty.tags for name in attrs)
    assert "<img src=x" not in html
    assert NASTY in unescape(dirty.visible)


def test_text_in_a_figure_cannot_close_its_script() -> None:
    """Text in a figure's JSON is escaped so that no `<` is left."""
    figure = go.Figure(go.Scatter(x=[1], y=[1], text=[NASTY], name="<!--<script>"))
    assert "<" not in embedded(figure)


def test_each_figure_is_in_the_page_once(findings: Findings) -> None:
    """Three figures, each with its data and a description for those who cannot see it."""
    tags = Tags(render(findings)).tags
    plots = [attrs for _, attrs in tags if attrs.get("class") == "plot"]
    assert [attrs["id"] for attrs in plots] == ["curve", "units", "bias", "agreement"]
    assert all(attrs["aria-label"] for attrs in plots)
    assert [attrs["data-figure"] for tag, attrs in tags if "data-figure" in attrs] == [
        "curve",
        "units",
        "bias",
        "agreement",
    ]


def test_the_protocol_row_stands_under_the_super_ticket(findings: Findings) -> None:
    """The table has every level, and the paper's protocol right under the chosen ticket, both marked."""
    made = rows.level_rows(findings)
    assert len(made) == 14 + 1
    place = next(i for i, row in enumerate(made) if row.css == "chosen")
    assert made[place].cells[0].value == "winning ★ super ticket"
    assert (made[place + 1].cells[0].value, made[place + 1].css) == (DEV_SELECTED, "protocol")
    assert len({len(row.cells) for row in made}) == 1 == len({len(rows.columns(findings)) - len(made[0].cells)})


def test_a_task_of_two_metrics_has_a_column_for_each(
    config: Config, synthetic_records: Callable[..., list[Record]]
) -> None:
    """MRPC's accuracy and F1 stand beside their mean, STS-B's correlations beside theirs."""
    for task in (
        Task("mrpc", "classification", ("0", "1"), ("accuracy", "f1")),
        Task("stsb", "regression", (), ("pearson", "spearman")),
    ):
        found = gather(config, task, {}, synthetic_records(config, task), resamples=20)
        names = [column.name for column in rows.columns(found)]
        assert names[3:5] == list(task.metrics)
        row = rows.level_rows(found)[0]
        values = [float(row.cells[i].sort) for i in (2, 3, 4)]
        assert 100 * values[0] == pytest.approx((values[1] + values[2]) / 2)
        assert f"mean of {'accuracy and F1' if task.labels else 'Pearson correlation and Spearman'}" in render(found)


def test_a_page_about_neurons(findings: Findings, fine_findings: Findings) -> None:
    """Their column, level, heat map and terms speak of FFN neurons, of rounds and of the teacher; others of FFNs."""
    html = render(fine_findings)
    page, plain = Tags(html).visible, Tags(render(findings)).visible
    for text in (
        "FFN neurons Seeds",
        "of the FFN neurons, that the ticket drops; neurons in blocks of 8, as far as these divide a layer.",
        "how many of the 3 rounds of scoring the unit outlived",
        "Grey squares: share of the layer’s FFN neurons that is kept, mean over seeds.",
        "heads and FFN neurons together",
        "on the outputs of its seed’s tuned full model",
        "ffn: neuron",
        "rounds: 3",
        "teacher: full",
    ):
        assert text in page and text not in plain, text
    assert "Level 0.3: 51 of 72 heads and 70.0 % of the FFN neurons are kept." in html
    assert "rounds of scoring outlived, of 3" in html
    assert "heads relative to their layer, FFNs to all layers." in plain and "FFNs Seeds" in plain
    once = dataclasses.replace(fine_findings.config, scoring=findings.config.scoring)
    assert "importance of heads relative to their layer" in render(dataclasses.replace(fine_findings, config=once))


def test_no_gain_is_not_dressed_up(config: Config, task: Task, synthetic_records: Callable[..., list[Record]]) -> None:
    """When no ticket beats the full model the page says so in its first sentence."""
    found = gather(config, task, {}, synthetic_records(config, task, gain=-0.08), resamples=50)
    html = render(found)
    assert '<p class="sentence loss">No ticket beats the full model: ' in html


@pytest.mark.parametrize(
    ("done", "says"),
    [
        (0, ["0 of 42 runs are done", "No result yet", "winning tickets: 0 of 21 runs are done."]),
        (2, ["2 of 42 runs are done", "full model: 2 of 3 runs are done.", "No result yet"]),
        (4, ["4 of 42 runs are done", "winning tickets: 1 of 21 runs are done.", "What follows may still change"]),
        (30, ["30 of 42 runs are done", "random tickets: 6 of 9 runs are done."]),
        (42, []),
    ],
)
def test_an_unfinished_sweep_says_what_is_missing(findings: Findings, done: int, says: list[str]) -> None:
    """A page can be made after any number of runs, and names what has not been run."""
    found = gather(findings.config, findings.task, findings.data, findings.records[:done], resamples=20)
    page = Tags(render(found)).visible
    for text in says:
        assert text in page
    assert ("not finished" in page) == (done < 42)
    assert re.search(rf"{done} in this report, {42 - done} missing", page)


def test_runs_outside_the_plan_are_not_counted(findings: Findings) -> None:
    """Records of seeds that the config does not name are left out, and the page says how many."""
    config = dataclasses.replace(findings.config, seeds=(0, 1))
    renamed = [r for r in findings.records if r.seed < 2]
    plan_of_two = gather(config, findings.task, {}, findings.records, resamples=10)
    # The number of seeds shapes each selection split, so none of the old runs belongs to the new plan.
    assert plan_of_two.records == ()
    assert len(plan_of_two.unplanned) == 42
    assert "42 runs in the folder that these settings do not plan" in render(plan_of_two)
    assert len(renamed) == 28


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (245.0, "4 min 05 s"), (7980.0, "2 h 13 min")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    """Seconds, minutes and hours, whichever fits."""
    assert rows.duration(seconds) == text


def test_a_race_says_what_it_stopped_and_when(
    config: Config, task: Task, findings: Findings, synthetic_records: Callable[..., list[Record]]
) -> None:
    """Every stopped level has its line, its hollow mark and its seeds; the promise is told, and nothing is missing."""
    race = dataclasses.replace(config, strategy="race")
    everywhere = dataclasses.replace(config.tickets, control_levels=config.tickets.levels)
    grid = dataclasses.replace(config, tickets=everywhere)
    every = {record.name: record for record in synthetic_records(grid, task)}
    wanted, found, _ = follow(race, task, lambda run: every.get(run.name))
    findings = gather(race, task, findings.data, list(found.values()), resamples=50)
    page = Tags(render(findings)).visible
    assert wanted.stops and findings.missing == () and findings.schedule == wanted
    assert f"{len(wanted.runs)} in this report, 0 missing" in page
    for stop in wanted.stops:
        assert f"Level {stop.sparsity:g} was stopped: it ran with {stop.seeds} seed" in page
    assert "that the whole grid would choose this level" in page and "(asked for: 90 %)" in page
    assert findings.outcome is not None and findings.outcome.sparsity in (wanted.finalists or ())
    assert findings.outcome.ticket.n == 3 and findings.outcome.control is not None
    assert findings.outcome.control.sparsity == findings.outcome.sparsity
    winning = next(trace for trace in curve(findings.levels).data if trace.name == "winning tickets")
    hollow = {
        custom[0] for custom, symbol in zip(winning.customdata, winning.marker.symbol, strict=True) if "open" in symbol
    }
    assert hollow == {stop.sparsity for stop in wanted.stops}


def test_a_grid_s_page_does_not_speak_of_races(findings: Findings) -> None:
    """No level was stopped, and no mark is hollow."""
    page = Tags(render(findings)).visible
    assert "stopped" not in page and "Hollow" not in page
