"""The Plotly figure of a transfer: the learning curve, a line for each arm, with its 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import plotly.graph_objects as go
from plotly.colors import hex_to_rgb

from supertickets.config import TransferArm
from supertickets.experiments.transfer_outcome import PointFound, TransferOutcome
from supertickets.reports.style import INK, KINDS, KindStyle, layout

# Okabe and Ito's colours, as those of the kinds of ticket; tickets look as they do elsewhere.
ARMS: Mapping[TransferArm, KindStyle] = {
    "pretrained": KindStyle("pretrained encoder", INK, "dot", "circle", ":", "."),
    "multitask": KindStyle("plain multi-task encoder", "#009e73", "dashdot", "diamond", "-.", "D"),
    "sharing-full": KindStyle("sharing encoder, in full", "#56b4e9", "longdash", "triangle-up", "--", "^"),
    "random": replace(KINDS["random"], label="sharing encoder, random ticket"),
    "sharing": replace(KINDS["winning"], label="sharing encoder, its ticket"),
}


def learning_curve(outcome: TransferOutcome) -> go.Figure | None:
    """Report scores against training examples, on a logarithmic axis; None before there is a point.

    Bands are 95 % intervals over seeds and examples, and so are bars where there is one point only.
    """
    if not outcome.points:
        return None
    examples = [point.examples for point in outcome.points]
    figure = go.Figure(
        layout=layout(
            460,
            xaxis={
                "type": "log",
                "title": {"text": "training examples of the new task"},
                "tickvals": examples,
                "ticktext": [f"{n:,}".replace(",", "\u202f") for n in examples],
            },
            yaxis={"title": {"text": "score on the report split (× 100)"}},
            margin={"l": 56, "r": 16, "t": 76, "b": 56},
        )
    )
    for arm, look in ARMS.items():
        points = [point for point in outcome.points if arm in point.bands]
        if points:
            _add_band(figure, arm, points, look)
    for arm, look in ARMS.items():
        points = [point for point in outcome.points if arm in point.bands]
        if points:
            _add_line(figure, arm, points, look)
    return figure


def _add_band(figure: go.Figure, arm: TransferArm, points: list[PointFound], look: KindStyle) -> None:
    x = [point.examples for point in points]
    high, low = ([100 * getattr(point.bands[arm], side) for point in points] for side in ("high", "low"))
    red, green, blue = hex_to_rgb(look.colour)
    figure.add_scatter(
        x=x + x[::-1],
        y=high + low[::-1],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.10)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=arm,
    )


def _add_line(figure: go.Figure, arm: TransferArm, points: list[PointFound], look: KindStyle) -> None:
    bands = [point.bands[arm] for point in points]
    bars = {
        "type": "data",
        "symmetric": False,
        "array": [100 * (band.high - band.value) for band in bands],
        "arrayminus": [100 * (band.value - band.low) for band in bands],
        "color": look.colour,
    }
    figure.add_scatter(
        x=[point.examples for point in points],
        y=[100 * band.value for band in bands],
        error_y=bars if len(points) == 1 else None,
        name=look.label,
        legendgroup=arm,
        mode="lines+markers",
        line={"color": look.colour, "width": 2.5 if arm == "sharing" else 2, "dash": look.dash},
        marker={"symbol": look.symbol, "size": 8},
        customdata=[[100 * band.low, 100 * band.high] for band in bands],
        hovertemplate=f"{look.label}, %{{x}} examples: %{{y:.1f}} (95 %: %{{customdata[0]:.1f}} to "
        "%{customdata[1]:.1f})<extra></extra>",
    )
