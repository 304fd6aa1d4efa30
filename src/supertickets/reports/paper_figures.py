"""The figures for a paper: SVG files that are the same bytes for the same records."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from supertickets import storage
from supertickets.reports.bias_figures import paper_bias_variance
from supertickets.reports.figures import phase_spans
from supertickets.reports.findings import Findings
from supertickets.reports.style import DRAWN_BY, FAINT, INK, KINDS, MARGIN, PHASE_SHADES

COLUMN = 3.4  # inches: one column of a two-column page
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "supertickets",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.linewidth": 0.6,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 7,
}


def write_figures(sweep_folder: Path, findings: Findings) -> list[Path]:
    """Write `figures/<name>.svg` for every figure of a sweep there is something to draw for; returns their paths."""
    return write_svgs(sweep_folder, {name: partial(draw, findings) for name, draw in FIGURES.items()})


def write_svgs(folder: Path, draws: Mapping[str, Callable[[], Figure | None]]) -> list[Path]:
    """Write `figures/<name>.svg` of every function that draws one; returns their paths."""
    written = []
    for name, draw in draws.items():
        with matplotlib.rc_context(STYLE):
            figure = draw()
            if figure is not None:
                buffer = io.StringIO()
                figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
                written.append(folder / "figures" / f"{name}.svg")
                storage.write_text(written[-1], buffer.getvalue())
    return written


def curve(findings: Findings) -> Figure | None:
    """Report scores against encoder weights remaining, as on the page; None without a full model or a ticket."""
    levels = findings.levels
    if levels.empty or set(levels["kind"]) == {"full"}:
        return None
    figure = Figure(figsize=(COLUMN, 2.5), layout="constrained")
    axes = figure.add_subplot()
    for phase, start, stop in phase_spans(findings.choice) if findings.choice else []:
        axes.axvspan(stop, start, color=PHASE_SHADES[phase], linewidth=0, zorder=0)
        axes.annotate(
            phase, ((start + stop) / 2, 0.99), xycoords=("data", "axes fraction"), ha="center", va="top", color=FAINT
        )
    for kind in dict.fromkeys(levels["kind"]):
        style, rows = KINDS[kind], levels[levels["kind"] == kind].sort_values("weights_encoder")
        x, mean, std = 100 * rows["weights_encoder"], 100 * rows["report"], 100 * rows["report_std"]
        if kind == "full":
            axes.axhspan(float((mean - std).iloc[0]), float((mean + std).iloc[0]), color=INK, alpha=0.08, linewidth=0)
            axes.axhline(float(mean.iloc[0]), color=INK, linestyle=":", linewidth=1.2, label=style.label)
            continue
        axes.plot(
            x,
            mean,
            style.paper_line,
            marker=style.paper_marker,
            color=style.colour,
            linewidth=1.2,
            markersize=3,
            label=style.label,
        )
        few = rows["seeds"] < levels["seeds"].max()  # levels that a race stopped, and most of its controls
        axes.plot(x[few], mean[few], style.paper_marker, color=style.colour, markersize=3, markerfacecolor="white")
        axes.fill_between(x, mean - std, mean + std, color=style.colour, alpha=0.15, linewidth=0)
    if findings.outcome is not None:
        outcome = findings.outcome
        place = 100 * outcome.weights_encoder, 100 * outcome.ticket.mean
        axes.plot(
            *place,
            "*",
            color="#ffb000",
            markeredgecolor=INK,
            markeredgewidth=0.6,
            markersize=10,
            label="super ticket",
            zorder=5,
        )
    axes.set_xlim(101, 100 * float(levels["weights_encoder"].min()) - MARGIN)
    axes.set_xlabel("encoder weights remaining (%)")
    axes.set_ylabel("score (× 100)")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def agreement(findings: Findings) -> Figure | None:
    """Overlap of two winning tickets against chance, by level; None with fewer than two seeds."""
    table = findings.agreement
    if table.empty:
        return None
    figure = Figure(figsize=(COLUMN, 2.1), layout="constrained")
    axes = figure.add_subplot()
    words = {"seed": "two seeds", "consensus": "{0} seeds, {0} others", "examples": "other examples"}
    for of, rows in table.groupby("of", sort=False):
        style, bars = DRAWN_BY[str(of)], [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
        axes.errorbar(
            100 * rows["weights_encoder"],
            rows["mean"],
            yerr=bars,
            color=style.colour,
            marker=style.paper_marker,
            markersize=3,
            linewidth=1.2,
            label=words[str(of)].format(rows["seeds"].iloc[0]),
        )
    chance = table.drop_duplicates("sparsity")
    axes.plot(100 * chance["weights_encoder"], chance["chance"], "--", color=FAINT, linewidth=1.2, label="chance")
    axes.invert_xaxis()
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("encoder weights remaining (%)")
    axes.set_ylabel("units in common (Jaccard)")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def bias(findings: Findings) -> Figure | None:
    """Squared bias and variance over seeds, as on the page; None with fewer than two seeds."""
    return paper_bias_variance(findings.bias, COLUMN) if len(findings.bias) else None


FIGURES: dict[str, Callable[[Findings], Figure | None]] = {"curve": curve, "bias": bias, "agreement": agreement}
