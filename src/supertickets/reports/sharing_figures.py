"""The Plotly figures of a sharing experiment: where sharing helps or hurts, and what the tasks' tickets have in common.

Tasks' names are the user's: they are escaped, as Plotly reads its text as markup.
"""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go

from supertickets.experiments.outcome import signed
from supertickets.experiments.sharing_outcome import Column, Comparison, SharingOutcome
from supertickets.experiments.sharing_tickets import Overlap
from supertickets.reports.style import GRID, IMPORTANCE_SCALE, INK, KINDS, layout

SHOWN: tuple[tuple[Comparison, str, str], ...] = (
    (("sharing", "multitask"), "minus plain multi-task learning", "winning"),
    (("sharing", "random"), "minus sharing with random tickets", "random"),
)
LONGEST = 22  # letters of a task's name; the tables have all of it


def effects(outcome: SharingOutcome) -> go.Figure | None:
    """Ticket sharing less its rivals, a row for each task and one for the average; None before there is a difference.

    Bars are 95 % intervals; a filled mark has one that excludes zero.
    """
    columns = [(short(name), column) for name, column in outcome.tasks.items()] + [("average", outcome.average)]
    drawn = [one for one in SHOWN if any(one[0] in column.differences for _, column in columns)]
    if not drawn:
        return None
    names = [f"<b>{name}</b>" if column is outcome.average else name for name, column in columns]
    figure = go.Figure(
        layout=layout(
            130 + 40 * len(columns),
            xaxis={"title": {"text": "difference of the report score (× 100)"}},
            yaxis={
                "tickvals": list(range(len(names))),
                "ticktext": names,
                "range": [len(names) - 0.4, -0.6],
                "showgrid": False,
                "ticks": "",
            },
            legend={"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        )
    )
    figure.add_vline(x=0, line={"color": INK, "width": 1}, layer="below")
    figure.add_hline(y=len(names) - 1.5, line={"color": GRID, "width": 1}, layer="below")
    for index, (pair, label, style) in enumerate(drawn):
        _add_differences(figure, columns, pair, f"ticket sharing {label}", style, 0.17 * (2 * index - 1))
    return figure


def overlap(found: Overlap) -> go.Figure:
    """Two heat maps, of which the page shows one: units in common, and what chance gives for tickets of these sizes.

    Tasks stand in the order that clustering gives.
    """
    order = list(found.order)
    names = [short(found.tasks[index]) for index in order]
    size, places = len(names), list(range(len(names)))
    axis = {"tickvals": places, "ticktext": names, "showgrid": False, "ticks": "", "range": [-0.5, size - 0.5]}
    ends = {"range": [size - 0.5, -0.5]}
    figure = go.Figure(layout=layout(150 + 46 * size, xaxis=axis | {"tickangle": -35}, yaxis=axis | ends))
    told = [
        [
            f"{names[i]} and {names[j]}: {found.found[a, b]:.2f}<br>by chance: {found.chance[a, b]:.2f}"
            for j, b in enumerate(order)
        ]
        for i, a in enumerate(order)
    ]
    for values, visible in ((found.found, True), (found.chance, False)):
        shown = values[order][:, order]
        figure.add_heatmap(
            x=places,
            y=places,
            z=shown.tolist(),
            zmin=0,
            zmax=1,
            visible=visible,
            colorscale=[[0, IMPORTANCE_SCALE[0][1]], [1, IMPORTANCE_SCALE[1][1]]],  # pale enough for dark numbers
            showscale=False,
            textfont={"color": INK},
            text=[[f"{value:.2f}" for value in row] for row in shown.tolist()],
            texttemplate="%{text}",
            customdata=told,
            hovertemplate="%{customdata}<extra></extra>",
            xgap=1,
            ygap=1,
        )
    return figure


def short(name: str) -> str:
    """A task's name as a figure may have it: not too long, and no markup."""
    return escape(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…")


def _add_differences(
    figure: go.Figure, columns: list[tuple[str, Column]], pair: Comparison, label: str, style: str, shift: float
) -> None:
    rows = [(place, name, column) for place, (name, column) in enumerate(columns) if pair in column.differences]
    gaps = [column.differences[pair] for _, _, column in rows]
    look = KINDS[style]
    sure = [pair in (*column.wins, *column.losses) for _, _, column in rows]
    figure.add_scatter(
        x=[100 * gap.value for gap in gaps],
        y=[place + shift for place, _, _ in rows],
        name=label,
        mode="markers",
        marker={
            "symbol": [look.symbol if known else f"{look.symbol}-open" for known in sure],
            "size": 10,
            "color": look.colour,
            "line": {"width": 2, "color": look.colour},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [100 * (gap.high - gap.value) for gap in gaps],
            "arrayminus": [100 * (gap.value - gap.low) for gap in gaps],
            "color": look.colour,
            "thickness": 1.5,
            "width": 4,
        },
        customdata=[
            [name, signed(gap.value), signed(gap.low), signed(gap.high)]
            for (_, name, _), gap in zip(rows, gaps, strict=True)
        ],
        hovertemplate="%{customdata[0]}: %{customdata[1]} (95 %: %{customdata[2]} to %{customdata[3]})<extra>"
        f"{label}</extra>",
    )
