"""The page: one self-contained HTML file that loads nothing from the network."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
import plotly.io
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from supertickets import settings, storage
from supertickets.reports import bias_figures, figures, prose, rows
from supertickets.reports.findings import Findings
from supertickets.reports.style import FFN_NAMES

REPORT_FILE = "report.html"
_NOSCRIPT = (
    "The figures and the sorting need JavaScript; the same figures lie in the folder <code>figures</code> beside this "
    "page."
)


def write_page(sweep_folder: Path, findings: Findings) -> Path:
    """Write `report.html` into the sweep's folder and return its path; raises UserError when it cannot be written."""
    path = sweep_folder / REPORT_FILE
    storage.write_text(path, render(findings))
    return path


def render(findings: Findings) -> str:
    """The page's HTML. Everything that is not ours is escaped."""
    return fill("page.html", _result(findings) | _figures(findings) | _tables(findings) | _background(findings))


def fill(template: str, context: Mapping[str, Any]) -> str:
    """The HTML of a template beside this module, with style, script and Plotly in it; all but `Markup` is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, loader=jinja2.FunctionLoader(_file)
    )
    ours = {"css": Markup(_file("page.css")), "js": Markup(_file("page.js")), "plotly": Markup(get_plotlyjs())}
    return environment.get_template(template).render({**context, **ours})


def embedded(figure: go.Figure) -> Markup:
    """A figure as JSON that may stand inside a script element: no `<` is left in it."""
    text = str(plotly.io.to_json(figure)).replace("<", "\\u003c")
    return Markup(text)  # no user's text is in a figure, and nothing can close the element


def _file(name: str) -> str:
    return resources.files("supertickets.reports").joinpath(name).read_text(encoding="utf-8")


def _result(findings: Findings) -> dict[str, Any]:
    outcome = findings.outcome
    return {
        "title": f"{findings.task.name} · {findings.config.encoder.name}",
        "subject": "super ticket",
        "eyebrow": "Super ticket report",
        "made_by": "sweep",
        "noscript": Markup(_NOSCRIPT),
        "sentence": findings.sentence if outcome else None,
        "beats_full": outcome.beats_full if outcome else None,
        "tiles": prose.tiles(outcome) if outcome else [],
        "unfinished": prose.unfinished(findings),
        "done": len(findings.records),
        "planned": findings.schedule.in_all,
    }


def _figures(findings: Findings) -> dict[str, Any]:
    levels, agreement, units = findings.levels, findings.agreement, findings.units
    drawable = bool(set(levels.get("kind", ())) - {"full"})
    shown = findings.choice.sparsity if findings.choice else None
    if shown is None and len(units):
        shown = float(units["sparsity"].iloc[0])
    return {
        "curve": embedded(figures.curve(levels, findings.outcome, findings.choice)) if drawable else None,
        "units": embedded(figures.units(units, shown, prose.importance_name(findings))) if shown is not None else None,
        "units_caption": prose.units_caption(findings),
        "ffn_name": FFN_NAMES[findings.config.units.ffn],
        "unit_levels": rows.unit_levels(findings, shown),
        "bias": embedded(bias_figures.bias_variance(findings.bias)) if len(findings.bias) else None,
        "bias_caption": prose.bias_caption(findings),
        "agreement": embedded(figures.agreement(agreement)) if len(agreement) else None,
        "phases": prose.phases(findings),
        "race": prose.race(findings),
    }


def _tables(findings: Findings) -> dict[str, Any]:
    return {
        "columns": rows.columns(findings),
        "rows": rows.level_rows(findings),
        "protocol_text": prose.protocol(findings.outcome) if findings.outcome else None,
        "metric_text": prose.metrics(findings.task),
        "baseline_columns": rows.BASELINE_COLUMNS,
        "baselines": rows.baseline_rows(findings.outcome),
        "cost_columns": rows.cost_columns(findings.costs),
        "costs": rows.cost_rows(findings.costs),
    }


def _background(findings: Findings) -> dict[str, Any]:
    return {
        "sizes": rows.sizes(findings),
        "data_notes": prose.data_notes(findings),
        "terms": prose.terms(findings),
        "origin": prose.origin(findings),
        "settings": settings.dump(findings.config),
        "version": prose.version(findings.records),
    }
