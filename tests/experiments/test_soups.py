"""Soups of a tiny sweep: one mask, one head start, averaged weights, and no example that anyone trained on."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import supertickets
from supertickets import find
from supertickets.experiments import delivery, lottery, members, soups
from supertickets.experiments.delivery import delivered_run
from supertickets.experiments.executors import InProcess
from supertickets.experiments.interrupts import Patience, patient
from supertickets.experiments.progress import Silent
from supertickets.experiments.records import Record, load_all
from supertickets.experiments.runs import Run, SoupRun, TicketRun, TuneRun
from supertickets.experiments.soup_outcome import conclude_soups
from supertickets.experiments.soups import are_recorded, make_soups, soup, soup_runs
from supertickets.experiments.workspace import Workspace
from supertickets.learning.evaluation import predict
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask
from supertickets.tickets.ticket import Ticket
from supertickets.workflows.finding import Found
from tiny_sweeps import SHORT, snapshot

OWN = (*SHORT[:3], "tickets.levels=[0.5]", "tickets.kinds=[winning, random]", "seeds=[3, 4]", "delivery.soup=uniform")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, films: Path, tiny_bert_folder: Path) -> Found:
    """A finished `find` with a uniform soup of two seeds; its one level's models are not trained a second time."""
    own = {"train": f"{films}/train.csv", "test": f"{films}/test.csv", "text": "review", "label": "stars"}
    out = tmp_path_factory.mktemp("souped") / "out"

    def once_more(run: Run, _: Workspace) -> None:
        raise AssertionError(f"{run.name} has been trained in the sweep")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soups, "perform", once_more)
        return find(**own, encoder=str(tiny_bert_folder), out=out, workers=1, set=OWN)


@pytest.fixture(scope="module")
def sweep(found: Found) -> Workspace:
    """Its workspace."""
    return Workspace.open(found.report.parent)


@pytest.fixture(scope="module")
def records(sweep: Workspace) -> dict[tuple[str, int], Record]:
    """Its records by kind and seed; the soups have seed 0."""
    return {(record.kind, record.seed): record for record in load_all(sweep.folder)}


def test_all_seeds_have_one_ticket(sweep: Workspace, records: dict[tuple[str, int], Record]) -> None:
    """Its mask is what the mean of the seeds' normalised importance draws."""
    structures = sweep.rewind_point(3).structures()
    tuned = [records["full", seed].arrays for seed in (3, 4)]
    scores = [Importance(structures, a["importance_heads"], a["importance_ffn"]).normalised() for a in tuned]
    mask = Mask.winning(Importance.mean(scores), 0.5)
    for seed in (3, 4):
        arrays = records["winning", seed].arrays
        assert mask == Mask(structures, arrays["heads"], arrays["ffn"])


def test_nobody_trained_on_the_selection_examples(sweep: Workspace) -> None:
    """They are the same for every seed, as the head start is; without a soup each seed has its own."""
    ours, theirs = sweep.splits(3), sweep.splits(4)
    assert ours.selection[:] == theirs.selection[:] and ours.train[:] == theirs.train[:]
    heads = [sweep.rewind_point(seed).model().state_dict() for seed in (3, 4)]
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
    config = sweep.config
    alone = replace(
        sweep,
        config=replace(
            config,
            encoder=replace(config.encoder, head="per_seed"),
            selection=replace(config.selection, split="per_seed"),
        ),
    )
    assert alone.splits(3).selection[:] != alone.splits(4).selection[:]
    heads = [alone.rewind_point(seed).model().state_dict() for seed in (3, 4)]
    assert not all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])


def test_the_delivered_model_is_the_mean(
    found: Found, sweep: Workspace, records: dict[tuple[str, int], Record]
) -> None:
    """Its weights are the mean of the retrained members', it is pruned, and it predicts what the record says."""
    members = [lottery.retrain(TicketRun(TuneRun(sweep.config, seed), "winning", 0.5), sweep) for seed in (3, 4)]
    model, tokenizer = supertickets.load(found.model)
    for name, weight in model.state_dict().items():
        mean = sum(one.model.state_dict()[name].double() for one in members) / 2
        assert torch.equal(weight, mean.to(weight.dtype)), name
    record = records["soup", 0]
    predictions = predict(model, sweep.splits(3).report, tokenizer)
    assert np.allclose(predictions, record.arrays["report_predictions"], atol=1e-5)
    assert record.size == records["winning", 3].size and records["full-soup", 0].size.weights_all == 1.0


def test_without_a_seed_it_is_the_other(records: dict[tuple[str, int], Record]) -> None:
    """With two seeds the soups without one are the other's model: the recorded predictions, bit for bit."""
    for kind, single in (("soup", "winning"), ("full-soup", "full")):
        arrays = records[kind, 0].arrays
        assert arrays["members"].tolist() == arrays["mixed"].tolist() == [3, 4]
        for left_out, other in ((0, 4), (1, 3)):
            assert np.array_equal(
                arrays["without_predictions"][left_out], records[single, other].arrays["report_predictions"]
            )


def test_the_outcome_compares_a_soup_with_a_soup(found: Found, records: dict[tuple[str, int], Record]) -> None:
    """Scores and differences are those of the records, and the sentence and the page say them."""
    outcome = found.outcome.soup
    assert outcome is not None and outcome.recipe == "uniform" and outcome.seeds == (3, 4)
    ticket, full = records["soup", 0].report.main, records["full-soup", 0].report.main
    assert (outcome.ticket.value, outcome.full.value) == (ticket, full)
    assert outcome.difference.value == pytest.approx(ticket - full)
    assert outcome.difference.low <= ticket - full <= outcome.difference.high
    single = np.mean([records["winning", seed].report.main for seed in (3, 4)])
    assert outcome.ticket_gain.value == pytest.approx(ticket - single)
    assert "The uniform soup of its seeds scores" in found.sentence
    page = found.report.read_text(encoding="utf-8")
    assert "Ticket soup minus full soup" in page and "Not counted" not in page


def test_its_members_go_and_it_stays(found: Found, sweep: Workspace) -> None:
    """No weights but the delivered model's are left, and the same command again does nothing."""
    assert not (sweep.folder / "members").exists()
    assert are_recorded(sweep, soup_runs(sweep, 0.5))
    before = snapshot(sweep.folder / "runs") | snapshot(found.model)
    config = sweep.folder / "config.yaml"
    assert find(config=config, out=sweep.folder, workers=1) == found
    assert snapshot(sweep.folder / "runs") | snapshot(found.model) == before


def test_a_torn_member_is_refused(found: Found, sweep: Workspace) -> None:
    """Weights that do not have their checksum are never averaged."""
    runs = soup_runs(sweep, 0.5)
    make_soups(sweep, runs, InProcess(), Silent())
    weights = sweep.folder / "members" / runs[0].members[0].name / "weights.safetensors"
    body = bytearray(weights.read_bytes())
    body[-1] ^= 1
    weights.write_bytes(body)
    with pytest.raises(supertickets.UserError, match="damaged"):
        soup(runs[0], sweep)
    make_soups(sweep, runs, InProcess(), Silent())  # the torn member is trained once more
    assert soup(runs[0], sweep).record.report == Record.load(sweep.run_folder(runs[0])).report
    members.remove(sweep.folder)


def test_a_damaged_soup_is_made_again(found: Found, sweep: Workspace, tmp_path: Path) -> None:
    """Its record does not count, and the next call writes the same one."""
    folder = Path(shutil.copytree(sweep.folder, tmp_path / "copy"))
    record = folder / "runs" / soup_runs(sweep, 0.5)[0].name / "record.json"
    before = record.read_bytes()
    record.write_bytes(before.replace(b'"kind"', b'"kinds"'))
    again = find(config=folder / "config.yaml", out=folder, workers=1)
    assert again.outcome.soup == found.outcome.soup
    assert Record.load(record.parent).report == Record.load(sweep.run_folder(soup_runs(sweep, 0.5)[0])).report


def test_a_soup_needs_no_ticket_of_its_members(sweep: Workspace, tmp_path: Path) -> None:
    """Tickets may be deleted: the soup's is drawn again, and the same."""
    folder = Path(shutil.copytree(sweep.folder, tmp_path / "copy"))
    before = Ticket.load(folder / "super_ticket")
    for name in ("tickets", "super_ticket"):
        shutil.rmtree(folder / name)
    find(config=folder / "config.yaml", out=folder, workers=1)
    after = Ticket.load(folder / "super_ticket")
    assert after.mask == before.mask and after.importance == before.importance
    assert (after.seed, after.kind, after.rewind_sha256) == (before.seed, before.kind, before.rewind_sha256)
    assert after.provenance["soup"] == before.provenance["soup"] == {"recipe": "uniform", "seeds": [3, 4]}


def test_a_ctrl_c_waits_for_what_is_averaged_and_delivered(
    sweep: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both soups and the delivered one are made while the handler of Ctrl-C is patient."""
    folder = Path(shutil.copytree(sweep.folder, tmp_path / "copy"))
    for run in soup_runs(sweep, 0.5):
        shutil.rmtree(folder / "runs" / run.name)
    shutil.rmtree(folder / "super_ticket")
    in_flight: list[tuple[str, bool]] = []

    def noted(module: ModuleType, name: str) -> None:
        original = getattr(module, name)

        def call(*arguments: object) -> object:
            handler = signal.getsignal(signal.SIGINT)
            assert isinstance(handler, Patience)
            in_flight.append((name, handler.in_flight))
            return original(*arguments)

        monkeypatch.setattr(module, name, call)

    noted(soups, "soup")
    noted(delivery, "deliver")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with patient(lambda line: pytest.fail(line)):
            find(config=folder / "config.yaml", out=folder, workers=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert in_flight == [("soup", True), ("soup", True), ("deliver", True)]


def test_no_soup_without_a_member(found: Found, sweep: Workspace, records: dict[tuple[str, int], Record]) -> None:
    """Where a seed's run has failed a seed's own ticket is delivered, and an older soup is compared with nothing."""
    kept = [record for key, record in records.items() if key != ("winning", 4) and "soup" not in key[0]]
    run, soups = delivered_run(sweep, kept, 0.5)
    assert soups == () and run == TicketRun(TuneRun(sweep.config, 3), "winning", 0.5)
    run, soups = delivered_run(sweep, list(records.values()), 0.5)
    assert run == soups[0] and len(soups) == 2
    both = [records["soup", 0], records["full-soup", 0]]
    full, ticket = ([records[kind, seed] for seed in (3, 4)] for kind in ("full", "winning"))
    assert conclude_soups(sweep.task, both, ticket, full) == found.outcome.soup
    assert conclude_soups(sweep.task, both, ticket[:1], full) is None


def test_a_soup_is_named_by_its_seeds(sweep: Workspace) -> None:
    """Recipe, level and seeds can be read off."""
    assert SoupRun(sweep.config, "greedy", 0.5).name.startswith("soup-0.5-greedy-s3.4-")
    assert SoupRun(sweep.config, "uniform", 0.0).name.startswith("full-soup-0.0-uniform-s3.4-")
