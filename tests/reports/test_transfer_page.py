"""The page of a transfer: its numbers, what is missing, and nothing of a user's as markup."""

from __future__ import annotations

from fake_transfer import transferred
from supertickets.experiments.transfer_outcome import conclude_transfer, sentence
from supertickets.reports.transfer_figures import ARMS, learning_curve
from supertickets.reports.transfer_page import render_transfer
from supertickets.reports.transfer_rows import difference_rows, score_rows


def test_the_page_has_sentence_scores_and_differences() -> None:
    """Each arm has a row; wins are marked where the interval excludes zero, and there alone."""
    found = transferred()
    outcome = conclude_transfer(found, resamples=100)
    text = render_transfer(found, outcome)
    assert sentence(outcome) in text and "not finished" not in text
    assert [row.cells[0].value for row in score_rows(outcome)] == [ARMS[arm].label for arm in outcome.arms]
    first = difference_rows(outcome)[0]
    assert first.cells[0].value == "sharing encoder, its ticket − plain multi-task encoder"
    assert [cell.value[-1] in "▲▼" for cell in first.cells[1:]] == [True, False, True]
    assert first.cells[1].value.endswith("▲") and first.cells[3].value.endswith("▼")
    assert text.count("A note.") == 1 and "1\u202f000" in text


def test_an_unfinished_page_says_what_is_missing() -> None:
    """By arm; a name that begins another's is not counted with it."""
    found = transferred(undone=[("sharing", 2), ("random", 2)])
    text = render_transfer(found, conclude_transfer(found, resamples=50))
    assert "39 of 45 runs are done" in text
    assert "sharing encoder, its ticket: 6 of 9 runs are done." in text
    assert "sharing encoder, in full: " not in text
    empty = transferred(undone=[(arm, seed) for arm in ARMS for seed in (0, 1, 2)])
    assert "No result yet: no run is finished." in render_transfer(empty, conclude_transfer(empty))


def test_what_a_user_wrote_is_escaped() -> None:
    """The task's name is text, and stands in no figure."""
    found = transferred(name="<b>&x")
    outcome = conclude_transfer(found, resamples=20)
    text = render_transfer(found, outcome)
    assert "<b>&x" not in text and "&lt;b&gt;&amp;x" in text
    figure = learning_curve(outcome)
    assert figure is not None and "&x" not in figure.to_json()


def test_the_curve_has_a_line_and_a_band_for_each_arm() -> None:
    """Means at the examples of each share, on a logarithmic axis; the band is the interval; one point has bars."""
    outcome = conclude_transfer(transferred(), resamples=50)
    figure = learning_curve(outcome)
    assert figure is not None and figure.layout.xaxis.type == "log"
    lines = {trace.name: trace for trace in figure.data if trace.name}
    assert list(lines) == [look.label for look in ARMS.values()]
    line, bands = lines["plain multi-task encoder"], [point.bands["multitask"] for point in outcome.points]
    assert list(line.x) == [10, 100, 1000] and list(line.y) == [100 * band.value for band in bands]
    band = next(trace for trace in figure.data if trace.legendgroup == "multitask" and not trace.name)
    assert list(band.y) == [100 * b.high for b in bands] + [100 * b.low for b in bands[::-1]]
    found = transferred()
    one = type(found)(**{**found.__dict__, "shares": {0.1: 1000}, "records": {0.1: found.records[0.1]}})
    single = learning_curve(conclude_transfer(one, resamples=20))
    assert single is not None and all(t.error_y.array is not None for t in single.data if t.name)
