"""What travels to a node and back: a run there, without this machine's files, leaves the same here."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from supertickets import provenance, storage
from supertickets.experiments import parcels, ray_nodes, sweeps
from supertickets.experiments.delivery import deliver
from supertickets.experiments.plans import plan
from supertickets.experiments.ray_nodes import Answer, Order, drop, perform
from supertickets.experiments.records import Record
from supertickets.experiments.runs import TicketRun, TruncatedRun
from supertickets.experiments.workspace import Workspace
from supertickets.tickets.ticket import Ticket
from tiny_sweeps import assert_same


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Does work as a node does, in a temporary place of its own."""
    token = secrets.token_hex(4)
    monkeypatch.setattr(ray_nodes.tempfile, "gettempdir", lambda: str(tmp_path / "node"))

    def do(work: Any, run: Any, folder: Path, arguments: tuple[Any, ...], **changed: Any) -> Answer:
        shared = changed["shared"] if "shared" in changed else parcels.shared_by_all(run, folder)
        versions = changed.get("versions", provenance.collect()["versions"])
        return perform(Order(work, arguments, folder, parcels.own_of(run, folder), 1, versions, token), shared)

    return do


def test_a_run_elsewhere_leaves_the_same_here(
    copied: Callable[[], Path], records: list[Record], node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ticket's record and ticket come back to the bit, with the encoder out of reach; so does a delivered model."""
    folder = copied()
    sweep = Workspace.open(folder)
    run = next(run for run in plan(sweep.config) if run.name == records[-1].name)
    before = storage.read_arrays(folder / "tickets" / run.name / "ticket.safetensors")
    shared = parcels.shared_by_all(run, folder)
    for kind in ("runs", "tickets"):
        shutil.rmtree(folder / kind / run.name)
    monkeypatch.setattr("supertickets.experiments.workspace.resolve", lambda _: str(tmp_path / "nowhere"))

    answer = node(sweeps._perform_and_save, run, folder, (run, folder), shared=shared)
    assert (answer.error, answer.bad_input) == (None, None)
    assert not (folder / "runs" / run.name).exists() and {name.split("/")[0] for name in answer.files} == {
        "runs",
        "tickets",
    }
    parcels.land(answer.files, folder)
    assert_same([Record.load(folder / "runs" / run.name)], records[-1:])
    after = storage.read_arrays(folder / "tickets" / run.name / "ticket.safetensors")
    assert all(np.array_equal(array, after[name]) for name, array in before.items())
    assert Ticket.load(folder / "tickets" / run.name).encoder == sweep.config.encoder.name

    winning = next(run for run in plan(sweep.config) if run.kind == "winning")
    assert isinstance(winning, TicketRun)
    parcels.land(node(deliver, winning, folder, (folder, winning), shared=shared).files, folder)
    assert (folder / "super_ticket" / "model.safetensors").is_file() and (folder / "speedup.json").is_file()
    assert not list((tmp_path / "node").rglob("*-*/runs")) and not list(folder.rglob("*.partial"))


def test_a_node_of_other_versions_or_arithmetic_is_refused(
    swept: Workspace, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other packages, and another meaning of `auto`, would change results without a word."""
    run = plan(swept.config)[0]
    other = provenance.collect()["versions"] | {"torch": "1.0"}
    answer = node(sweeps._perform_and_save, run, swept.folder, (run, swept.folder), versions=other)
    assert answer.bad_input is not None and "torch 2." in answer.bad_input[0] and ", not 1.0" in answer.bad_input[0]
    monkeypatch.setattr(ray_nodes, "resolved_precision", lambda _: "fp8")
    answer = node(sweeps._perform_and_save, run, swept.folder, (run, swept.folder))
    assert answer.bad_input is not None and answer.bad_input[0].startswith("auto means fp8 on node ")
    assert answer.bad_input[1] == "training.precision"


def test_whole_folders_land_at_once_and_records_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old folder of the same name goes as a whole; a record appears after its ticket."""
    (tmp_path / "super_ticket").mkdir()
    (tmp_path / "super_ticket" / "old").touch()
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "failed.json").touch()
    order: list[str] = []
    replace = storage.atomic_folder

    def noted(final: Path, **options: Any) -> Any:
        order.append(str(final.relative_to(tmp_path)))
        return replace(final, **options)

    monkeypatch.setattr(storage, "atomic_folder", noted)
    byte = np.frombuffer(b"x", np.uint8)
    names = ["runs/a/record.json", "runs/a/logs/x", "tickets/a/ticket.json", "super_ticket/new", "speedup.json"]
    parcels.land(dict.fromkeys(names, byte), tmp_path)
    assert order == ["super_ticket", "tickets/a", "runs/a"]
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {*names}


def test_a_node_s_copy_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a node kept is removed, and what is not there is no fault."""
    monkeypatch.setattr(ray_nodes.tempfile, "gettempdir", lambda: str(tmp_path))
    place = ray_nodes._place("token")
    place.mkdir(parents=True)
    drop("token")
    drop("token")
    assert not place.exists()


def test_what_stays_the_same_lands_with_what_changed(tmp_path: Path) -> None:
    """A run that writes one of its files again brings all of them; another run's folder stays out of it."""
    one, other = np.array([1], np.uint8), np.array([2], np.uint8)
    before = {"runs/a/arrays.safetensors": one, "runs/a/record.json": one, "runs/b/record.json": one, "data.json": one}
    parcels.unpack(before | {"runs/a/record.json": other, "runs/a/logs/events": one}, tmp_path)
    back = parcels.written(tmp_path, before)
    assert sorted(back) == ["runs/a/arrays.safetensors", "runs/a/logs/events", "runs/a/record.json"]
    assert back["runs/a/record.json"][0] == 2


def test_every_kind_of_run_travels(copied: Callable[[], Path]) -> None:
    """Of a truncated encoder the tuned models' records go along, as of a ticket."""
    sweep = Workspace.open(copied())
    tickets = [run for run in plan(sweep.config) if isinstance(run, TicketRun)]
    own = parcels.own_of(TruncatedRun(tickets[0]), sweep.folder)
    assert f"runs/{tickets[0].tune.name}/record.json" in own
    assert isinstance(TruncatedRun(tickets[0]), parcels.AnyRun)
