"""The report's Plotly figures: the curve, the units of each level, and agreement over seeds.

No text that a user wrote goes into a figure: Plotly reads its text as markup.
"""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go

from supertickets.experiments.outcome import Choice, Outcome
from supertickets.reports.style import (
    ACCENT,
    DRAWN_BY,
    FAINT,
    IMPORTANCE_SCALE,
    INK,
    KINDS,
    MARGIN,
    PHASE_SHADES,
    layout,
    weights_axis,
)


def curve(levels: pd.DataFrame, outcome: Outcome | None = None, choice: Choice | None = None) -> go.Figure:
    """Report scores against encoder weights remaining: every kind with its spread, phases, super ticket marked.

    `levels` is `tables.levels`. Bands and bars are one standard deviation over seeds.
    """
    figure = go.Figure(
        layout=layout(
            460,
            xaxis=weights_axis(levels),
            yaxis={"title": {"text": "score on the report split (× 100)"}},
            hovermode="closest",
        )
    )
    if choice is not None:
        _shade_phases(figure, phase_spans(choice))
    _add_full(figure, levels)
    for kind in ("losing", "random", "winning"):
        rows = levels[levels["kind"] == kind].sort_values("weights_encoder", ascending=False)
        if len(rows):
            _add_kind(figure, kind, rows, int(levels["seeds"].max()))
    if outcome is not None:
        _mark_choices(figure, levels, outcome)
    return figure


def phase_spans(choice: Choice) -> list[tuple[str, float, float]]:
    """(phase, from, to) along x in percent of encoder weights, largest first; borders lie half-way between levels."""
    points = sorted(choice.points, key=lambda p: -p.weights_encoder)
    xs = [100 * p.weights_encoder for p in points]
    borders = [100.0, *((a + b) / 2 for a, b in pairwise(xs)), xs[-1] - MARGIN]
    spans: list[tuple[str, float, float]] = []
    for place, (start, stop) in zip(points, pairwise(borders), strict=True):
        phase = choice.phases.labels[place.sparsity]
        if spans and spans[-1][0] == phase:
            spans[-1] = (phase, spans[-1][1], stop)
        else:
            spans.append((phase, start, stop))
    return spans


def units(table: pd.DataFrame, shown: float, colour: str) -> go.Figure:
    """Heat map of one level's units, `shown` at first; one trace a level, so that the page can switch between them.

    `table` is `tables.units`. A square's size is the share of seeds that keep the unit (a dot: none does), its
    colour the importance, which `colour` names. FFN units stand in the last column; a layer's neurons are one
    grey square, its size the share of them that is kept.
    """
    layers, heads = int(table["layer"].max()), int(table.loc[table["unit"] == "head", "index"].max())
    ticks = [*range(1, heads + 1), heads + 2]
    figure = go.Figure(
        layout=layout(
            144 + 30 * layers,
            showlegend=False,
            margin={"l": 48, "r": 12, "t": 12, "b": 132},
            coloraxis=_importance_axis(table, colour, below=68 / (30 * layers)),
            xaxis={
                "tickvals": ticks,
                "ticktext": [*(str(t) for t in ticks[:-1]), "FFN"],
                "range": [0.3, heads + 2.9],
                "title": {"text": "attention head"},
                "showgrid": False,
                "tickangle": 0,
            },
            yaxis={
                "tickvals": list(range(1, layers + 1)),
                "range": [0.4, layers + 0.6],
                "title": {"text": "layer"},
                "showgrid": False,
            },
        )
    )
    largest = 20 if heads <= 12 else 15
    for sparsity, rows in table.groupby("sparsity"):
        figure.add_trace(_unit_trace(rows, heads, largest, visible=sparsity == shown))
    return figure


def agreement(table: pd.DataFrame) -> go.Figure:
    """How much two winning tickets have in common, by level, against random tickets of the same sizes."""
    figure = go.Figure(
        layout=layout(
            340,
            xaxis=weights_axis(table),
            yaxis={"title": {"text": "units in common (Jaccard)"}, "range": [0, 1.04]},
        )
    )
    for of, rows in table.groupby("of", sort=False):
        style = DRAWN_BY[str(of)]
        spread = {
            "type": "data",
            "symmetric": False,
            "array": list(rows["high"] - rows["mean"]),
            "arrayminus": list(rows["mean"] - rows["low"]),
            "color": style.colour,
            "thickness": 1.5,
            "width": 4,
        }
        figure.add_scatter(
            x=list(100 * rows["weights_encoder"]),
            y=list(rows["mean"]),
            error_y=spread,
            name=style.label.format(seeds=rows["seeds"].iloc[0]),
            mode="lines+markers",
            line={"color": style.colour, "width": 2.5, "dash": style.dash},
            marker={"size": 8, "symbol": style.symbol},
            customdata=rows[["sparsity", "low", "high", "pairs"]].to_numpy().tolist(),
            hovertemplate="level %{customdata[0]:g}: %{y:.2f}<br>%{customdata[1]:.2f} to %{customdata[2]:.2f} "
            "over %{customdata[3]} pairs<extra></extra>",
        )
    chance = table.drop_duplicates("sparsity")
    figure.add_scatter(
        x=list(100 * chance["weights_encoder"]),
        y=list(chance["chance"]),
        name="chance (random tickets)",
        mode="lines",
        line={"color": FAINT, "width": 2, "dash": "dash"},
        hovertemplate="chance: %{y:.2f}<extra></extra>",
    )
    return figure


def _shade_phases(figure: go.Figure, spans: list[tuple[str, float, float]]) -> None:
    wide = (100 - spans[-1][2]) / 6
    for phase, start, stop in spans:
        figure.add_vrect(x0=stop, x1=start, fillcolor=PHASE_SHADES[phase], line_width=0, layer="below")
        figure.add_annotation(
            x=(start + stop) / 2,
            y=1,
            yref="paper",
            yanchor="top",
            text=f"phase {phase}" if start - stop > wide else phase,
            showarrow=False,
            font={"color": FAINT, "size": 12},
        )
        if start < 100:
            figure.add_vline(x=start, line={"color": FAINT, "width": 1, "dash": "dot"}, layer="below")


def _add_full(figure: go.Figure, levels: pd.DataFrame) -> None:
    rows = levels[levels["kind"] == "full"]
    if rows.empty:
        return
    style, mean, std = KINDS["full"], 100 * float(rows["report"].iloc[0]), 100 * float(rows["report_std"].iloc[0])
    figure.add_hrect(y0=mean - std, y1=mean + std, fillcolor=INK, opacity=0.07, line_width=0, layer="below")
    figure.add_scatter(
        x=[100, 100 * float(levels["weights_encoder"].min())],
        y=[mean, mean],
        name=style.label,
        legendrank=1,
        mode="lines",
        line={"color": style.colour, "width": 2, "dash": style.dash},
        hovertemplate=f"full model: {mean:.1f} ± {std:.1f}<extra></extra>",
    )


def _add_kind(figure: go.Figure, kind: str, rows: pd.DataFrame, seeds: int) -> None:
    style = KINDS[kind]
    x, y, std = (list(100 * rows[name]) for name in ("weights_encoder", "report", "report_std"))
    if kind == "winning":
        edge = [a + b for a, b in zip(y, std, strict=True)] + [a - b for a, b in zip(y, std, strict=True)][::-1]
        figure.add_scatter(
            x=x + x[::-1],
            y=edge,
            fill="toself",
            fillcolor="rgba(0, 114, 178, 0.16)",
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
        )
    bars = {
        "type": "data",
        "array": std,
        "color": style.colour,
        "thickness": 1.5,
        "width": 4,
        "visible": kind != "winning",
    }
    figure.add_scatter(
        x=x,
        y=y,
        error_y=bars,
        name=style.label,
        legendrank=list(KINDS).index(kind) + 1,
        mode="lines+markers",
        line={"color": style.colour, "width": 2.5 if kind == "winning" else 1.75, "dash": style.dash},
        marker={"size": 8, "symbol": _symbols(style.symbol, rows, seeds), "color": style.colour},
        customdata=(rows[["sparsity", "report_std", "report_low", "report_high", "seeds"]] * [1, 100, 100, 100, 1])
        .to_numpy()
        .tolist(),
        hovertemplate=f"{style.label}, level %{{customdata[0]:g}}<br>%{{y:.1f}} ± %{{customdata[1]:.1f}} "
        "(95 %: %{customdata[2]:.1f} to %{customdata[3]:.1f})<br>%{x:.1f} % of the encoder, "
        "%{customdata[4]} seeds<extra></extra>",
    )


def _symbols(symbol: str, rows: pd.DataFrame, seeds: int) -> list[str]:
    return [f"{symbol}-open" if few else symbol for few in rows["seeds"] < seeds]


def _mark_choices(figure: go.Figure, levels: pd.DataFrame, outcome: Outcome) -> None:
    winning = levels[levels["kind"] == "winning"]
    marks = [("super ticket", outcome.sparsity, "star", 19, "#ffb000", INK)]
    if outcome.dev_selected.sparsity != outcome.sparsity:
        marks.append(
            ("dev-selected (paper protocol)", outcome.dev_selected.sparsity, "circle-open", 17, ACCENT, ACCENT)
        )
    for name, sparsity, symbol, size, fill, edge in marks:
        row = winning[winning["sparsity"] == sparsity]
        figure.add_scatter(
            x=list(100 * row["weights_encoder"]),
            y=list(100 * row["report"]),
            name=name,
            legendrank=len(KINDS) + 1,
            mode="markers",
            marker={"symbol": symbol, "size": size, "color": fill, "line": {"color": edge, "width": 1.5}},
            hovertemplate=f"{name}: level {sparsity:g}, %{{y:.1f}}<extra></extra>",
        )


def _importance_axis(table: pd.DataFrame, title: str, below: float) -> dict[str, object]:
    top = table["importance"].max()
    return {
        "colorscale": [list(stop) for stop in IMPORTANCE_SCALE],
        "cmin": 0,
        "cmax": float(top) if pd.notna(top) and top > 0 else 1.0,
        "colorbar": {
            "orientation": "h",
            "x": 0.5,
            "y": -below,
            "yanchor": "top",
            "thickness": 10,
            "len": 0.7,
            "nticks": 4,
            "outlinewidth": 0,
            "title": {"text": title, "side": "top", "font": {"size": 13}},
            "tickfont": {"size": 12},
        },
    }


def _unit_trace(rows: pd.DataFrame, heads: int, largest: int, visible: bool) -> go.Scatter:
    column = rows["index"].where(rows["unit"] == "head", heads + 2)
    dropped = rows["kept"] == 0
    return go.Scatter(
        x=list(column),
        y=list(rows["layer"]),
        mode="markers",
        visible=visible,
        marker={
            "symbol": ["circle-open" if d else "square" for d in dropped],
            "size": [5 if d else largest * (0.35 + 0.65 * k) for d, k in zip(dropped, rows["kept"], strict=True)],
            "color": [_colour(*cell) for cell in zip(rows["unit"], rows["importance"], strict=True)],
            "coloraxis": "coloraxis",
            "opacity": 1,
            "line": {"width": [1 if d else 0 for d in dropped], "color": FAINT},
        },
        customdata=[
            _told(*cell)
            for cell in zip(*(rows[name] for name in ("unit", "index", "kept", "seeds", "importance")), strict=True)
        ],
        hovertemplate="layer %{y}, %{customdata[0]}<br>%{customdata[1]}<extra></extra>",
    )


def _colour(unit: str, importance: float) -> float | str:
    """A place on the scale of importance; neurons have none, and are grey."""
    return FAINT if unit == "neurons" else float(importance) if pd.notna(importance) else 0.0


def _told(unit: str, index: int, kept: float, seeds: int, importance: float) -> list[str]:
    """What is told of a unit under the pointer: its name, and what became of it."""
    if unit == "neurons":
        return ["FFN neurons", f"{100 * kept:.1f} % kept, mean over {seeds} seed{'s' if seeds != 1 else ''}"]
    scored = "not scored" if pd.isna(importance) else f"{importance:.3f}"
    name = f"head {index}" if unit == "head" else "FFN"
    return [name, f"kept by {round(kept * seeds)} of {seeds} seeds<br>importance {scored}"]
