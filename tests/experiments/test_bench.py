"""A run's workplace: its batches, its clock, and the record it makes of a trained model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from supertickets.config import Config
from supertickets.encoders.families import structures_of
from supertickets.encoders.pruning import prune
from supertickets.experiments.bench import Bench
from supertickets.experiments.records import Record
from supertickets.experiments.runs import TicketRun, TuneRun, settings_of
from supertickets.experiments.workspace import Workspace
from supertickets.tickets.masks import Mask
from tiny_sweeps import config_of

# Nothing is trained in this module.


def test_stages_add_up(swept: Workspace, config: Config) -> None:
    """Each stage has its seconds; a stage that is entered twice has the sum; a failed one counts too."""
    bench = Bench(TuneRun(config, 0), swept)
    for _ in range(2):
        with bench.timed("waiting"):
            np.linalg.inv(np.eye(50))
    model = bench.rewind_point.model()
    record = bench.result(model, Mask.full(structures_of(model))).record
    assert set(record.cost.seconds) == {"waiting", "loading", "evaluation"}
    assert all(seconds > 0 for seconds in record.cost.seconds.values())


def test_the_record_of_an_untrained_ticket(swept: Workspace, config: Config) -> None:
    """Its size is the mask's, its scores are of its predictions, its origin has threads, data, settings."""
    run = TicketRun(TuneRun(config, 1), "winning", 0.5)
    bench = Bench(run, swept)
    full = bench.rewind_point.model()
    keep = np.array([[True, False, True, True], [True, False, False, False]])
    mask = Mask(structures_of(full), keep, np.array([[True], [False]]))
    result = bench.result(prune(full, mask), mask)
    record = result.record
    assert (record.name, record.kind, record.sparsity, record.seed) == (run.name, "winning", 0.5, 1)
    assert (record.size.heads, record.size.ffn) == ((3, 1), (1, 0))
    assert record.size.weights_all == mask.weights_remaining.all < 1
    assert record.size.weights_encoder == mask.weights_remaining.encoder < record.size.weights_all
    assert np.array_equal(record.arrays["heads"], keep) and "importance_heads" not in record.arrays
    for split, n in (("selection", 8), ("report", 12)):
        hits = record.arrays[f"{split}_predictions"].argmax(axis=1) == record.arrays[f"{split}_labels"]
        assert getattr(record, split).main == hits.mean() and getattr(record, split).n == len(hits) == n
    assert record.provenance["threads"] == 1 and record.provenance["origin"] == swept.data["origin"]
    assert record.settings == settings_of(config) and record.cost.trained_examples == 0


@pytest.mark.parametrize(("limit", "scored"), [(None, 32), (10, 10), (1000, 32)])
def test_how_many_examples_are_scored(limit: int | None, scored: int, swept: Workspace, config: Config) -> None:
    """All the seed's training examples, or as many as the settings say; each once."""
    limited = replace(config, scoring=replace(config.scoring, examples=limit))
    batches = list(Bench(TuneRun(limited, 0), swept).scoring_batches())
    assert sum(len(batch["labels"]) for batch in batches) == scored


def test_the_importance_of_the_tuned_model(swept: Workspace, config: Config, records: list[Record]) -> None:
    """A ticket's run reads the scores that its own seed's tuned model left, bit for bit."""
    for record in records[:2]:
        tune = TuneRun(config, record.seed)
        importance = Bench(TicketRun(tune, "winning", 0.5), swept).importance_of(tune)
        assert np.array_equal(importance.heads, record.arrays["importance_heads"])
        assert np.array_equal(importance.ffn, record.arrays["importance_ffn"])
        assert importance.heads.shape == (2, 4) and importance.ffn.shape == (2, 1)


def test_a_ticket_names_its_origin(swept: Workspace, config: Config) -> None:
    """Encoder, seed, level, the checksum of the weights it rewinds to, and versions."""
    run = TicketRun(TuneRun(config, 0), "losing", 0.5)
    bench = Bench(run, swept)
    importance = bench.importance_of(run.tune)
    ticket = bench.ticket(run.kind, Mask.full(importance.structures), importance)
    assert (ticket.kind, ticket.sparsity, ticket.seed, ticket.encoder) == ("losing", 0.5, 0, config.encoder.name)
    assert ticket.rewind_sha256 == swept.rewind_point(1).sha256 and "torch" in ticket.provenance["versions"]


def test_the_config_of_a_run_is_its_own(swept: Workspace, films: str, tiny_bert_folder: str) -> None:
    """Settings of a record are the run's, so that a record says how it came about."""
    config = config_of(films, tiny_bert_folder, "scoring.scorer=magnitude")  # type: ignore[arg-type]
    bench = Bench(TuneRun(config, 0), swept)
    model = bench.rewind_point.model()
    settings = bench.result(model, Mask.full(structures_of(model))).record.settings
    assert settings["scoring.scorer"] == "magnitude"
