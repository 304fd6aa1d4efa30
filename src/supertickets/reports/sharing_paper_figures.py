"""The figures for a paper of a sharing experiment, and of a transfer from it: SVG files, as those of a sweep."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from supertickets.experiments.sharing_outcome import SharingOutcome
from supertickets.experiments.transfer_outcome import TransferOutcome
from supertickets.reports.paper_figures import COLUMN, write_svgs
from supertickets.reports.sharing_figures import LONGEST, SHOWN
from supertickets.reports.style import GRID, IMPORTANCE_SCALE, INK, KINDS
from supertickets.reports.transfer_figures import ARMS

PALE = LinearSegmentedColormap.from_list("pale", [IMPORTANCE_SCALE[0][1], IMPORTANCE_SCALE[1][1]])


def write_sharing_figures(folder: Path, outcome: SharingOutcome) -> list[Path]:
    """Write `figures/effects.svg` and, of several tasks, `figures/overlap.svg`; returns the paths."""
    return write_svgs(folder, {"effects": partial(effects, outcome), "overlap": partial(overlap, outcome)})


def write_transfer_figures(folder: Path, outcome: TransferOutcome) -> list[Path]:
    """Write `figures/transfer.svg` once there is a point; returns its path in a list."""
    return write_svgs(folder, {"transfer": partial(learning_curve, outcome)})


def effects(outcome: SharingOutcome) -> Figure | None:
    """Ticket sharing less its rivals by task and on average, as on the page; None before there is a difference."""
    columns = [*outcome.tasks.items(), ("average", outcome.average)]
    drawn = [one for one in SHOWN if any(one[0] in column.differences for _, column in columns)]
    if not drawn:
        return None
    figure = Figure(figsize=(COLUMN, 0.9 + 0.24 * len(columns)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=INK, linewidth=0.6, zorder=0)
    axes.axhline(len(columns) - 1.5, color=GRID, linewidth=0.6, zorder=0)
    for index, (pair, label, kind) in enumerate(drawn):
        look, shift = KINDS[kind], 0.17 * (2 * index - len(drawn) + 1)
        named = label
        for place, (_, column) in enumerate(columns):
            gap = column.differences.get(pair)
            if gap is None:
                continue
            sure = pair in (*column.wins, *column.losses)
            axes.errorbar(
                100 * gap.value,
                place + shift,
                xerr=[[100 * (gap.value - gap.low)], [100 * (gap.high - gap.value)]],
                color=look.colour,
                marker=look.paper_marker,
                markerfacecolor=look.colour if sure else "white",
                markersize=4,
                linewidth=1,
                label=named,
            )
            named = "_"  # the legend has each rival once
    axes.set_yticks(range(len(columns)), [_short(name) for name, _ in columns])
    axes.set_ylim(len(columns) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("ticket sharing: difference of the score (× 100)")
    figure.legend(loc="outside upper left")
    return figure


def overlap(outcome: SharingOutcome) -> Figure | None:
    """Units in common between the tasks' tickets, in clustered order, with chance in small; None for one task."""
    found = outcome.overlap
    if len(found.tasks) < 2:
        return None
    order = list(found.order)
    names = [_short(found.tasks[index]) for index in order]
    figure = Figure(figsize=(COLUMN, 0.7 + 0.32 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(found.found[order][:, order], cmap=PALE, vmin=0, vmax=1, aspect="auto")
    for row, a in enumerate(order):
        for column, b in enumerate(order):
            if a == b:
                continue
            axes.text(column, row - 0.14, f"{found.found[a, b]:.2f}", ha="center", va="center", color=INK, fontsize=6)
            axes.text(column, row + 0.26, f"{found.chance[a, b]:.2f}", ha="center", va="center", color=INK, fontsize=4)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def learning_curve(outcome: TransferOutcome) -> Figure | None:
    """Report scores against training examples with 95 % intervals, as on the page; None before there is a point."""
    if not outcome.points:
        return None
    figure = Figure(figsize=(COLUMN, 2.9), layout="constrained")
    axes = figure.add_subplot()
    for arm, look in ARMS.items():
        points = [point for point in outcome.points if arm in point.bands]
        bands = [point.bands[arm] for point in points]
        if not points:
            continue
        x, mean = [point.examples for point in points], [100 * band.value for band in bands]
        low, high = ([100 * getattr(band, side) for band in bands] for side in ("low", "high"))
        style = f"{look.paper_line}{look.paper_marker}"
        axes.plot(x, mean, style, color=look.colour, linewidth=1.2, markersize=3, label=look.label)
        axes.fill_between(x, low, high, color=look.colour, alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    examples = [point.examples for point in outcome.points]
    axes.xaxis.set_major_locator(FixedLocator(examples))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(examples, [f"{n:,}".replace(",", "\u202f") for n in examples])
    axes.set_xlabel("training examples of the new task")
    axes.set_ylabel("score (× 100)")
    figure.legend(loc="outside upper left", ncols=1)
    return figure


def _short(name: str) -> str:
    """A task's name as a figure may have it; a dollar sign would begin a formula."""
    return (name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…").replace("$", r"\$")
