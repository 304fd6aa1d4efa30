"""Tables hold the numbers that the records imply."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from supertickets.config import Config
from supertickets.data.tasks import Task
from supertickets.experiments import stability
from supertickets.experiments.outcome import of_kind
from supertickets.experiments.records import Record
from supertickets.experiments.statistics import difference
from supertickets.reports import tables
from supertickets.reports.findings import Findings


def test_one_row_per_kind_and_level(findings: Findings) -> None:
    """Full model first, then 7 winning, 3 random and 3 losing levels, each over 3 seeds."""
    kinds = list(findings.levels["kind"])
    assert kinds == ["full"] + ["winning"] * 7 + ["random"] * 3 + ["losing"] * 3
    assert (findings.levels["seeds"] == 3).all()


def test_rows_hold_means_and_paired_differences(findings: Findings, task: Task) -> None:
    """A row's score is the mean over seeds, its differences those of `statistics.difference`."""
    records = list(findings.records)
    ticket, full = of_kind(records, "winning")[0.4], of_kind(records, "full")[0.0]
    row = findings.levels.query("kind == 'winning' and sparsity == 0.4").iloc[0]
    assert row["report"] == pytest.approx(np.mean([r.report.main for r in ticket]))
    assert row["report_std"] == pytest.approx(np.std([r.report.main for r in ticket], ddof=1))
    gap = difference(task, ticket, full, resamples=200)
    assert (row["to_full"], row["to_full_low"], row["to_full_high"]) == (gap.value, gap.low, gap.high)
    rival = difference(task, ticket, of_kind(records, "random")[0.4], resamples=200)
    assert row["to_random"] == rival.value


def test_what_cannot_be_compared_is_nan(findings: Findings) -> None:
    """The full model has no difference to itself, random tickets none to random, level 0.1 no random ticket."""
    levels = findings.levels
    assert levels.query("kind == 'full'")["to_full"].isna().all()
    assert levels.query("kind == 'random'")["to_random"].isna().all()
    assert levels.query("kind == 'winning' and sparsity == 0.1")["to_random"].isna().all()


def test_agreement_is_the_mean_over_pairs_and_chance_is_lower(findings: Findings) -> None:
    """Jaccard by hand equals the table's, and tickets that share importance agree more than chance."""
    masks = [
        np.concatenate([r.arrays["heads"].ravel(), r.arrays["ffn"].ravel()])
        for r in of_kind(list(findings.records), "winning")[0.5]
    ]
    byhand = [(a & b).sum() / (a | b).sum() for a, b in combinations(masks, 2)]
    row = findings.agreement.query("sparsity == 0.5").iloc[0]
    assert row["mean"] == pytest.approx(np.mean(byhand))
    assert (row["low"], row["high"], row["pairs"]) == (min(byhand), max(byhand), 3)
    assert (findings.agreement["chance"] < findings.agreement["mean"]).all()


def test_chance_is_what_random_tickets_have_in_common(findings: Findings) -> None:
    """The chance line is within 0.06 of random tickets' real agreement at every control level."""
    for sparsity, group in of_kind(list(findings.records), "random").items():
        masks = [tables.mask_of(r) for r in group]
        real = np.mean([a.jaccard(b) for a, b in combinations(masks, 2)])
        assert findings.agreement.set_index("sparsity").loc[sparsity, "chance"] == pytest.approx(real, abs=0.06)


def test_equal_overlaps_have_their_own_mean(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pairs that all overlap by 1/11, whose sum over three is rounded below it: no bar of negative length."""
    assert np.mean([1 / 11] * 3) < 1 / 11
    monkeypatch.setattr(stability, "overlaps", lambda _: (np.full(3, 1 / 11), np.full(3, 0.05)))
    table = tables.agreement(list(findings.records))
    assert (table["mean"] == 1 / 11).all() and (table["low"] == table["high"]).all()


def test_one_seed_agrees_with_nobody(findings: Findings) -> None:
    """With one seed there are no pairs and no row."""
    assert tables.agreement([r for r in findings.records if r.seed == 0]).empty


def test_units_hold_shares_and_normalised_importance(findings: Findings) -> None:
    """Shares are means over seeds; importance is normalised per layer for heads and over layers for FFNs."""
    table = findings.units
    assert len(table) == 7 * (6 * 12 + 6)
    level = table.query("sparsity == 0.3")
    group = of_kind(list(findings.records), "winning")[0.3]
    head = level.query("unit == 'head' and layer == 2 and index == 5").iloc[0]
    assert head["kept"] == pytest.approx(np.mean([r.arrays["heads"][1, 4] for r in group]))
    scores = [r.arrays["importance_heads"] for r in findings.records if r.kind == "full"]
    expected = np.mean([s[1, 4] / np.linalg.norm(s[1]) for s in scores])
    assert head["importance"] == pytest.approx(expected)
    ffn = [r.arrays["importance_ffn"] for r in findings.records if r.kind == "full"]
    value = level.query("unit == 'ffn' and layer == 3")["importance"].iloc[0]
    assert value == pytest.approx(np.mean([f[2, 0] / np.linalg.norm(f) for f in ffn]))


def test_a_layers_neurons_are_one_row(findings: Findings) -> None:
    """A ticket over single neurons gets one row a layer: the share of neurons kept, and no importance."""
    ffn = np.zeros((6, 8), bool)
    ffn[0, :2] = True
    fine = [
        Record(**r.__dict__ | {"arrays": dict(r.arrays) | {"ffn": ffn, "importance_ffn": np.ones((6, 8))}})
        for r in findings.records
        if r.seed == 0 and r.sparsity in (0.0, 0.1)
    ]
    cells = tables.units(fine).query("unit != 'head'")
    assert set(cells["unit"]) == {"neurons"}
    assert list(cells["kept"]) == [0.25, 0, 0, 0, 0, 0]
    assert cells["importance"].isna().all()


def test_neurons_are_counted_like_other_units(fine_findings: Findings) -> None:
    """Levels hold kept neurons in blocks of 8 (of 240), the same for all kinds; agreement beats chance."""
    levels = fine_findings.levels
    assert list(levels.query("kind == 'winning'")["ffn"]) == [216, 192, 168, 144, 120, 96, 72]
    assert list(levels.query("kind == 'random'")["ffn"]) == [192, 144, 96]
    assert (fine_findings.agreement["chance"] < fine_findings.agreement["mean"]).all()
    cells = fine_findings.units.query("unit == 'neurons' and sparsity == 0.3")
    assert cells["kept"].mean() == pytest.approx(0.7) and len(cells) == 6


def test_an_order_is_shown_as_it_is(findings: Findings, fine_findings: Findings) -> None:
    """Scores of several rounds are an order and are not normalised; records without the setting are of one round."""
    head = fine_findings.units.query("unit == 'head' and layer == 2 and index == 5").iloc[0]
    full = [r for r in fine_findings.records if r.kind == "full"]
    assert head["importance"] == pytest.approx(np.mean([r.arrays["importance_heads"][1, 4] for r in full]))
    assert tables.importance_of(full[0]).scale == "order"
    old = next(r for r in findings.records if r.kind == "full")
    plain = {key: value for key, value in old.settings.items() if key != "scoring.rounds"}
    assert tables.importance_of(Record(**old.__dict__ | {"settings": plain})).scale == "raw"


def test_costs_add_up(findings: Findings) -> None:
    """The last row is the sum of the rows above it, and of all records."""
    costs = findings.costs.set_index("kind")
    assert list(costs.index) == ["full", "winning", "random", "losing", "all"]
    parts = costs.drop(index="all").sum()
    assert parts["total"] == pytest.approx(costs.loc["all", "total"])
    assert costs.loc["all", "runs"] == len(findings.records) == 42
    assert costs.loc["all", "trained_examples"] == 42 * 6471
    assert costs.loc["winning", "scoring"] == 0.0


def test_no_records_give_empty_tables(config: Config, task: Task) -> None:
    """Before the first run every table is there and empty."""
    for table in (tables.levels(task, []), tables.agreement([]), tables.units([]), tables.costs([])):
        assert table.empty
