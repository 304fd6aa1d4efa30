"""How figures look, on the page and on paper: colours, marks and words for each kind of ticket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from supertickets.config import FfnUnit

MARGIN = 2.5  # percent of the weights that the axis goes on past the smallest ticket
INK, FAINT, GRID, ACCENT = "#1c2733", "#5b6875", "#e3e7ec", "#0b5cad"
FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
PHASE_SHADES = {"I": "#ffffff", "II": "#f2f4f7", "III": "#e4e8ed"}
# One hue from pale to dark: order survives greyscale printing and every colour vision.
IMPORTANCE_SCALE = ((0.0, "#d6e4f2"), (0.5, "#5b9bd0"), (1.0, "#08305f"))

FFN_NAMES: dict[FfnUnit, str] = {"sublayer": "FFNs", "neuron": "FFN neurons"}


@dataclass(frozen=True)
class KindStyle:
    """Colour, line and mark of one kind: no two kinds differ in colour alone."""

    label: str
    colour: str
    dash: str
    symbol: str
    paper_line: str
    paper_marker: str


# Okabe and Ito's colours, told apart under every common colour vision deficiency.
KINDS: dict[str, KindStyle] = {
    "full": KindStyle("full model", INK, "dot", "circle", ":", ""),
    "winning": KindStyle("winning tickets", "#0072b2", "solid", "circle", "-", "o"),
    "random": KindStyle("random tickets", "#d55e00", "dash", "square", "--", "s"),
    "losing": KindStyle("losing tickets", "#7a4b94", "dashdot", "triangle-down", "-.", "v"),
}

# Tickets of a pair, by what they do not share (`experiments.stability`).
DRAWN_BY: dict[str, KindStyle] = {
    "seed": KindStyle("winning tickets of two seeds", "#0072b2", "solid", "circle", "-", "o"),
    "consensus": KindStyle("consensus of {seeds} seeds, of {seeds} others", "#009e73", "dashdot", "square", "-.", "s"),
    "examples": KindStyle("all {seeds} seeds, other examples", "#cc79a7", "dot", "diamond", ":", "D"),
}


def layout(height: int, **more: Any) -> dict[str, Any]:
    """The Plotly layout that every figure starts from; `more` is laid over it, axes merged."""
    axis = {
        "gridcolor": GRID,
        "linecolor": FAINT,
        "ticks": "outside",
        "tickcolor": FAINT,
        "ticklen": 4,
        "zeroline": False,
        "automargin": True,
        "fixedrange": True,
        "title": {"standoff": 10},
    }
    base = {
        "template": "none",
        "height": height,
        "autosize": True,
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"family": FONT, "size": 14, "color": INK},
        "margin": {"l": 56, "r": 16, "t": 16, "b": 56},
        "hoverlabel": {"font": {"family": FONT, "size": 13}, "align": "left"},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
    }
    named = {"xaxis", "yaxis", *(name for name in more if name.startswith(("xaxis", "yaxis")))}
    axes = {name: axis | more.pop(name, {}) for name in sorted(named)}
    return base | axes | more


def weights_axis(table: pd.DataFrame) -> dict[str, object]:
    """Everything at the left, as a ticket shrinks to the right."""
    title = {"text": "encoder weights remaining (%)"}
    return {"title": title, "range": [101, 100 * float(table["weights_encoder"].min()) - MARGIN]}
