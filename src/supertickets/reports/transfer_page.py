"""The page of a transfer: one self-contained HTML file, made as a sweep's is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from supertickets import settings, storage
from supertickets.experiments.transfer_outcome import TransferOutcome, Transferred, sentence
from supertickets.reports import prose, transfer_rows
from supertickets.reports.page import REPORT_FILE, embedded, fill
from supertickets.reports.rows import whole
from supertickets.reports.transfer_figures import learning_curve


def write_transfer_page(folder: Path, found: Transferred, outcome: TransferOutcome) -> Path:
    """Write `report.html` into the transfer's folder and return its path; raises UserError where it cannot."""
    path = folder / REPORT_FILE
    storage.write_text(path, render_transfer(found, outcome))
    return path


def render_transfer(found: Transferred, outcome: TransferOutcome) -> str:
    """The page's HTML. Everything that is not ours is escaped."""
    return fill("transfer.html", _result(found, outcome) | _found(found, outcome) | _background(found))


def _result(found: Transferred, outcome: TransferOutcome) -> dict[str, Any]:
    return {
        "title": f"{found.task.name} · {found.config.encoder.name}",
        "subject": "transfer",
        "eyebrow": "Transfer report",
        "made_by": "transfer",
        "noscript": "The figure needs JavaScript; the tables hold its numbers.",
        "sentence": sentence(outcome) if outcome.points else None,
        "gained": outcome.gained,
        "tiles": transfer_rows.tiles(outcome),
        "unfinished": transfer_rows.unfinished(found),
        "done": found.finished,
        "planned": found.planned,
    }


def _found(found: Transferred, outcome: TransferOutcome) -> dict[str, Any]:
    figure = learning_curve(outcome)
    return {
        "columns": [(whole(point.examples), f"{100 * point.share:g} %") for point in outcome.points],
        "curve": None if figure is None else embedded(figure),
        "scores": transfer_rows.score_rows(outcome),
        "differences": transfer_rows.difference_rows(outcome),
        "level": transfer_rows.level_row(outcome),
        "metric_text": prose.metrics(found.task),
        "costs": transfer_rows.cost_rows(found, outcome),
        "sizes": transfer_rows.size_rows(found, outcome),
        "data_notes": transfer_rows.notes(found),
    }


def _background(found: Transferred) -> dict[str, Any]:
    return {
        "terms": transfer_rows.terms(found),
        "origin": transfer_rows.origin(found),
        "settings": settings.dump(found.config),
        "version": prose.version(transfer_rows.records(found)),
    }
