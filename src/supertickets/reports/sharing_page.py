"""The page of a sharing experiment: one self-contained HTML file, made as a sweep's is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from supertickets import settings, storage
from supertickets.experiments.sharing_outcome import Sharing, SharingOutcome, whole_sentence
from supertickets.reports import prose, sharing_figures, sharing_prose, sharing_rows
from supertickets.reports.page import REPORT_FILE, embedded, fill
from supertickets.reports.style import FFN_NAMES


def write_sharing_page(folder: Path, sharing: Sharing, outcome: SharingOutcome) -> Path:
    """Write `report.html` into the experiment's folder and return its path; raises UserError where it cannot."""
    path = folder / REPORT_FILE
    storage.write_text(path, render_sharing(sharing, outcome))
    return path


def render_sharing(sharing: Sharing, outcome: SharingOutcome) -> str:
    """The page's HTML. Everything that is not ours is escaped."""
    return fill("sharing.html", _result(sharing, outcome) | _found(sharing, outcome) | _background(sharing))


def _result(sharing: Sharing, outcome: SharingOutcome) -> dict[str, Any]:
    return {
        "title": f"{len(sharing.tasks)} tasks · {sharing.config.encoder.name}",
        "subject": "ticket sharing",
        "eyebrow": "Ticket sharing report",
        "made_by": "experiment",
        "noscript": "The figures need JavaScript; the tables hold their numbers.",
        "sentence": whole_sentence(sharing, outcome) if sharing.finished else None,
        "gained": outcome.gained,
        "tiles": sharing_prose.tiles(outcome),
        "unfinished": sharing_prose.unfinished(sharing),
        "done": sharing.finished,
        "planned": sharing.planned,
    }


def _found(sharing: Sharing, outcome: SharingOutcome) -> dict[str, Any]:
    effects, several = sharing_figures.effects(outcome), len(sharing.tasks) > 1
    return {
        "tasks": [{"name": task.name, "metrics": task.task.metrics} for task in sharing.tasks],
        "scores": sharing_rows.score_rows(sharing, outcome),
        "differences": sharing_rows.difference_rows(outcome),
        "effects": embedded(effects) if effects is not None else None,
        "weights": sharing_rows.weight_rows(sharing, outcome),
        "weight_terms": sharing_prose.weights(outcome),
        "ffn_name": FFN_NAMES[sharing.config.units.ffn],
        "overlap": embedded(sharing_figures.overlap(outcome.overlap)) if several else None,
        "overlap_text": sharing_prose.overlap(outcome) if several else "",
        "cost_columns": sharing_rows.cost_columns(sharing),
        "costs": sharing_rows.cost_rows(sharing),
    }


def _background(sharing: Sharing) -> dict[str, Any]:
    return {
        "sizes": sharing_rows.size_rows(sharing),
        "data_notes": sharing_prose.notes(sharing),
        "terms": sharing_prose.terms(sharing),
        "origin": sharing_prose.origin(sharing),
        "settings": settings.dump(sharing.config),
        "version": prose.version(sharing_prose.records(sharing)),
    }
