"""Squared bias and variance by weights remaining, after the paper's figure 1: on the page and on paper."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supertickets.reports.style import INK, KINDS, layout, weights_axis

PANELS = {"bias": "squared bias", "variance": "variance over seeds"}


def bias_variance(table: pd.DataFrame) -> go.Figure:
    """Two panels over one axis of weights; bars are 95 % intervals, the full model is a line with its own band.

    `table` is `tables.bias_variance`.
    """
    plain = {"exponentformat": "power"}  # Plotly would write a variance of 0.00001 as 10µ
    below = plain | {"title": {"text": PANELS["variance"]}, "domain": [0, 0.45], "rangemode": "tozero"}
    figure = go.Figure(
        layout=layout(
            560,
            xaxis=weights_axis(table) | {"anchor": "y2"},
            yaxis=plain | {"title": {"text": PANELS["bias"]}, "domain": [0.55, 1]},
            yaxis2=below,
            hovermode="closest",
        )
    )
    for name, axis in zip(PANELS, ("y", "y2"), strict=True):
        for kind, rows in table.groupby("kind", sort=False):
            _add(figure, str(kind), rows, name, axis, float(table["weights_encoder"].min()))
    return figure


def paper_bias_variance(table: pd.DataFrame, width: float) -> Figure:
    """The same for a page, one column of so many inches wide."""
    figure = Figure(figsize=(width, 3.4), layout="constrained")
    panels = figure.subplots(2, sharex=True)
    for axes, (name, words) in zip(panels, PANELS.items(), strict=True):
        _panel(axes, table, name)
        axes.set_ylabel(words)
    panels[0].invert_xaxis()
    panels[1].set_xlabel("encoder weights remaining (%)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure


def _add(figure: go.Figure, kind: str, rows: pd.DataFrame, name: str, axis: str, least: float) -> None:
    style, full = KINDS[kind], kind == "full"
    y, low, high = (list(rows[column]) for column in (name, f"{name}_low", f"{name}_high"))
    if full:
        figure.add_hrect(y0=low[0], y1=high[0], yref=axis, fillcolor=INK, opacity=0.07, line_width=0, layer="below")
    bars = {
        "type": "data",
        "symmetric": False,
        "array": [b - a for a, b in zip(y, high, strict=True)],
        "arrayminus": [a - b for a, b in zip(y, low, strict=True)],
        "color": style.colour,
        "thickness": 1.5,
        "width": 4,
        "visible": not full,
    }
    figure.add_scatter(
        x=[100, 100 * least] if full else list(100 * rows["weights_encoder"]),
        y=y * 2 if full else y,
        yaxis=axis,
        error_y=bars,
        name=style.label,
        legendgroup=kind,
        showlegend=axis == "y",
        mode="lines" if full else "lines+markers",
        line={"color": style.colour, "width": 2, "dash": style.dash},
        marker={"size": 8, "symbol": style.symbol},
        customdata=[(a, b, loss) for a, b, loss in zip(low, high, rows["loss"], strict=True)] * (2 if full else 1),
        hovertemplate=f"{style.label}, {PANELS[name]}: %{{y:.4f}}<br>95 %: %{{customdata[0]:.4f}} to "
        "%{customdata[1]:.4f}; loss %{customdata[2]:.4f}<extra></extra>",
    )


def _panel(axes: Axes, table: pd.DataFrame, name: str) -> None:
    for kind, rows in table.groupby("kind", sort=False):
        style, value = KINDS[str(kind)], rows[name]
        low, high = rows[f"{name}_low"], rows[f"{name}_high"]
        if kind == "full":
            axes.axhspan(float(low.iloc[0]), float(high.iloc[0]), color=INK, alpha=0.08, linewidth=0)
            axes.axhline(float(value.iloc[0]), color=INK, linestyle=":", linewidth=1.2, label=style.label)
            continue
        axes.errorbar(
            100 * rows["weights_encoder"],
            value,
            yerr=[value - low, high - value],
            fmt=style.paper_line,
            marker=style.paper_marker,
            color=style.colour,
            markersize=3,
            linewidth=1.2,
            label=style.label,
        )
