"""Records -> pandas tables: levels, agreement over seeds, units, costs. Scores are shares of 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from supertickets.config import TicketsConfig
from supertickets.data.tasks import Task
from supertickets.experiments.bias import decompose
from supertickets.experiments.outcome import full_models, of_kind
from supertickets.experiments.records import Record
from supertickets.experiments.stability import importance_of, mask_of, recorded, stability
from supertickets.experiments.statistics import Interval, difference, mean_interval, summary
from supertickets.tickets.importance import Importance

KIND_ORDER = ("full", "winning", "random", "losing")


def levels(task: Task, records: Sequence[Record], resamples: int = 2000) -> pd.DataFrame:
    """One row per kind and sparsity, full model first: sizes, scores on both splits, differences with intervals.

    Columns `<name>`, `<name>_low`, `<name>_high` hold an interval: `report` (the score itself), `to_full`,
    `to_random` (the random tickets of equal size); NaN where there is nothing to compare with.
    """
    full, drawn = full_models(records), of_kind(records, "random")
    rows = []
    for kind in KIND_ORDER:
        for sparsity, group in of_kind(records, kind).items():
            rivals = [] if kind in ("full", "random") else drawn.get(sparsity, [])
            rows.append(
                {"kind": kind, "sparsity": sparsity}
                | _sizes(group)
                | _scores(task, group, resamples)
                | _interval("to_full", _compared(task, group, [] if kind == "full" else full, resamples))
                | _interval("to_random", _compared(task, group, rivals, resamples))
            )
    return pd.DataFrame(rows)


def agreement(records: Sequence[Record], tickets: TicketsConfig | None = None, multiple: int = 8) -> pd.DataFrame:
    """Per level and way of drawing: mean, lowest and highest Jaccard of two tickets, and what chance gives.

    A ticket is drawn by one seed's importance (`of` is "seed": the recorded tickets, where each seed drew its own)
    or by the consensus of several (`experiments.stability`). Where nothing can be compared there is no row.
    """
    tickets = tickets or TicketsConfig()
    drawn = of_kind(records, "winning")
    found = stability(records, tickets, list(drawn), multiple)
    if tickets.importance == "seed":
        singly = [one for level, group in drawn.items() if (one := recorded(level, group)) is not None]
        found = [*singly, *(one for one in found if one.of != "seed")]
    weights = {s: float(np.mean([r.size.weights_encoder for r in group])) for s, group in drawn.items()}
    rows = [{"weights_encoder": weights[one.sparsity]} | asdict(one) for one in found]
    columns = ["sparsity", "weights_encoder", "of", "seeds", "mean", "low", "high", "chance", "pairs"]
    return pd.DataFrame(rows, columns=columns)


def bias_variance(task: Task, records: Sequence[Record], resamples: int = 2000) -> pd.DataFrame:
    """One row per kind and sparsity with two seeds at least: squared bias and variance over seeds, and their sum.

    None of them where the full model's is the only one.
    `bias` and `variance` have intervals in the columns `<name>_low` and `<name>_high` (`experiments.bias`).
    """
    rows = []
    for kind in KIND_ORDER:
        for sparsity, group in of_kind(records, kind).items():
            if len(group) > 1:
                found = decompose(task, group, resamples)
                weights = float(np.mean([r.size.weights_encoder for r in group]))
                row = {"kind": kind, "sparsity": sparsity, "weights_encoder": weights, "seeds": len(group)}
                row |= {"loss": found.loss} | _interval("bias", found.bias) | _interval("variance", found.variance)
                rows.append(row)
    rows = rows if len(rows) > 1 else []  # the full model's alone are nothing to compare
    named = [f"{name}{end}" for name in ("bias", "variance") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["kind", "sparsity", "weights_encoder", "seeds", "loss", *named])


def units(records: Sequence[Record]) -> pd.DataFrame:
    """One row per winning level and unit (`head` or `ffn`): share of the seeds that keep it, and its importance.

    Importance (PAPER §1.2: heads over the norm of their layer, FFN sublayers over that of all layers) is the
    mean over the seeds whose tuned model has been scored. A layer's neurons have one row, `neurons`: the share
    of them that is kept, and no importance, as that of a neuron is relative to the others of its layer.
    """
    scores = _importance(records)
    rows: list[dict[str, Any]] = []
    for sparsity, group in of_kind(records, "winning").items():
        masks = [mask_of(record) for record in group]
        names = "head", "ffn" if masks[0].structures.ffn_units == "sublayer" else "neurons"
        kept = np.mean([m.heads for m in masks], axis=0), np.mean([m.ffn for m in masks], axis=0).mean(1, keepdims=True)
        for unit, shares, values in zip(names, kept, scores or (None, None), strict=True):
            for (layer, index), share in np.ndenumerate(shares):
                value = float("nan") if values is None else float(values[layer, index])
                place = {"sparsity": sparsity, "unit": unit, "layer": layer + 1, "index": index + 1}
                rows.append(place | {"kept": float(share), "importance": value, "seeds": len(group)})
    return pd.DataFrame(rows, columns=["sparsity", "unit", "layer", "index", "kept", "importance", "seeds"])


def costs(records: Sequence[Record]) -> pd.DataFrame:
    """One row per kind, and one for all: runs, wall seconds by stage and together, examples trained on."""
    stages = list(dict.fromkeys(stage for record in records for stage in record.cost.seconds))
    rows = []
    for kind in (*KIND_ORDER, "all"):
        group = [r for r in records if kind in (r.kind, "all")]
        if group:
            seconds = {stage: float(sum(r.cost.seconds.get(stage, 0.0) for r in group)) for stage in stages}
            row = {"kind": kind, "runs": len(group)} | seconds | {"total": sum(seconds.values())}
            rows.append(row | {"trained_examples": sum(r.cost.trained_examples for r in group)})
    return pd.DataFrame(rows, columns=["kind", "runs", *stages, "total", "trained_examples"])


def _importance(records: Sequence[Record]) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean over seeds of the normalised importance: heads (L, H) and FFN (L, 1); None while no model is scored.

    NaN for neurons.
    """
    scored = [importance_of(r) for r in full_models(records) if "importance_heads" in r.arrays]
    if not scored:
        return None
    mean = Importance.mean([one.normalised() for one in scored])
    layers = mean.structures.layers
    return mean.heads, mean.ffn if mean.structures.ffn_units == "sublayer" else np.full((layers, 1), np.nan)


def _sizes(group: Sequence[Record]) -> dict[str, float]:
    """Means over seeds (a joint ranking keeps other numbers in each)."""
    return {
        "weights_all": float(np.mean([r.size.weights_all for r in group])),
        "weights_encoder": float(np.mean([r.size.weights_encoder for r in group])),
        "heads": float(np.mean([sum(r.size.heads) for r in group])),
        "ffn": float(np.mean([sum(r.size.ffn) for r in group])),
    }


def _scores(task: Task, group: Sequence[Record], resamples: int) -> dict[str, float | int]:
    report, selection = summary(group), summary(group, "selection")
    named = {f"metric_{name}": float(np.mean([r.report.metrics[name] for r in group])) for name in task.metrics}
    return (
        {"seeds": report.n}
        | _interval("report", mean_interval(task, group, resamples=resamples))
        | {"report_std": report.std, "selection": selection.mean, "selection_std": selection.std}
        | named
    )


def _compared(task: Task, a: Sequence[Record], b: Sequence[Record], resamples: int) -> Interval | None:
    shared = {r.seed for r in a} & {r.seed for r in b}
    return difference(task, a, b, resamples=resamples) if shared else None


def _interval(name: str, value: Interval | None) -> dict[str, float]:
    parts = (value.value, value.low, value.high) if value else (float("nan"),) * 3
    return dict(zip((name, f"{name}_low", f"{name}_high"), parts, strict=True))
