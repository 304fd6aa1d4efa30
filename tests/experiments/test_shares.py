"""Sharing experiments: from finished sweeps to records of every arm, once each."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from supertickets import provenance, settings
from supertickets.config import ShareConfig
from supertickets.conflicts import task_config
from supertickets.errors import UserError
from supertickets.experiments import parcels, ray_nodes, shares
from supertickets.experiments.executors import InProcess
from supertickets.experiments.gathering import Gathering, sweep_folder
from supertickets.experiments.progress import Silent
from supertickets.experiments.ray_nodes import Order, perform
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.shares import record_folder, share_missing
from supertickets.experiments.sharing_outcome import conclude_sharing, whole_sentence
from supertickets.experiments.sharing_reading import read_sharing
from supertickets.experiments.sweeps import run_missing
from supertickets.experiments.workspace import Workspace
from tiny_sweeps import SHORT, assert_same, snapshot, write_films


class Told(Silent):
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def done(self, name: str, cost: float, line: str) -> None:
        """Remember the line."""
        self.lines.append(line)

    def say(self, line: str) -> None:
        """Remember the line."""
        self.lines.append(line)


def config_of(root: Path, encoder: Path, *more: str) -> ShareConfig:
    """Two tasks of made-up films, three short levels, two seeds."""
    films = {name: write_films(root / name, train=rows) for name, rows in (("a", 40), ("b", 64))}
    lines = [f"  {name}: {{train: {folder}/train.csv, test: {folder}/test.csv}}" for name, folder in films.items()]
    text = ["data: {text: review, label: stars}", f"encoder: {{name: {encoder}}}", "tasks:", *lines]
    (root / "share.yaml").write_text("\n".join(text) + "\n", encoding="utf-8")
    return settings.load_shared(root / "share.yaml", [*SHORT, *more])


def swept(folder: Path, config: ShareConfig) -> Gathering:
    """Every task's own sweep, finished."""
    for task in config.tasks:
        sweep = Workspace.prepare(sweep_folder(folder, config, task), task_config(config, task))
        run_missing(sweep, InProcess(), 1, Silent())
    return Gathering.put(folder, config)


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path
) -> tuple[Gathering, list[Record], list[str]]:
    """A finished experiment, its records, and what was said meanwhile."""
    root, told = tmp_path_factory.mktemp("share"), Told()
    tasks = swept(root / "out", config_of(root, tiny_bert_folder))
    return tasks, share_missing(tasks, InProcess(), 1, told), told.lines


def test_every_arm_seed_and_task_has_a_record(finished: tuple[Gathering, list[Record], list[str]]) -> None:
    """Three arms, two seeds, two tasks: 12 records; 6 lines that name the mean over the tasks."""
    _, records, lines = finished
    found = {(record.kind, record.seed, record.name.rpartition("/")[2]) for record in records}
    assert found == {(a, s, t) for a in ("multitask", "sharing", "random") for s in (0, 1) for t in ("a", "b")}
    assert len(records) == 12
    assert len(lines) == 6
    assert all("mean over 2 tasks" in line for line in lines)
    trained = {(r.name.rpartition("/")[2], r.cost.trained_examples + r.selection.n) for r in records}
    assert trained == {("a", 40), ("b", 64)}  # one epoch, in proportion to sizes


def test_arms_differ_in_their_masks_only(finished: tuple[Gathering, list[Record], list[str]]) -> None:
    """Multitask keeps all, sharing the super ticket, random as many units, and others in some task and seed."""
    tasks, records, _ = finished
    by = {(record.kind, record.seed, record.name.rpartition("/")[2]): record for record in records}
    other = []
    for task in ("a", "b"):
        for seed in (0, 1):
            full, ticket, random = (by[arm, seed, task] for arm in ("multitask", "sharing", "random"))
            assert full.size.weights_all == 1.0
            assert ticket.size.weights_all < 1.0
            for name in ("heads", "ffn"):
                assert ticket.arrays[name].sum() == random.arrays[name].sum()
                assert np.array_equal(ticket.arrays[name], getattr(tasks.mask(task, "sharing", seed), name))
            other.append(not np.array_equal(ticket.arrays["heads"], random.arrays["heads"]))
            assert np.array_equal(full.arrays["report_labels"], ticket.arrays["report_labels"])
    assert any(other)


def test_a_finished_experiment_computes_nothing(finished: tuple[Gathering, list[Record], list[str]]) -> None:
    """Run again, no file changes, and the records are the same."""
    tasks, records, _ = finished
    before, told = snapshot(tasks.folder), Told()
    again = share_missing(Gathering.put(tasks.folder, tasks.config), InProcess(), 1, told)
    assert [record.name for record in again] == [record.name for record in records]
    after = snapshot(tasks.folder)
    assert {k: v[1] for k, v in after.items()} == {k: v[1] for k, v in before.items()}
    assert {k for k in after if after[k][0] != before[k][0]} == {"config.yaml"}
    assert told.lines == ["6 of 6 multi-task runs are there already"]


def test_a_damaged_record_is_computed_again(finished: tuple[Gathering, list[Record], list[str]]) -> None:
    """A truncated record of one task: its run alone is repeated, with equal predictions."""
    tasks, records, _ = finished
    run, told = tasks.runs()[2], Told()
    path = record_folder(tasks.folder, run, "b") / RECORD_FILE
    path.write_text(path.read_text(encoding="utf-8")[:200], encoding="utf-8")
    again = share_missing(tasks, InProcess(), 1, told)
    assert sum("mean over" in line for line in told.lines) == 1
    for old, new in zip(records, again, strict=True):
        assert np.array_equal(old.arrays["report_predictions"], new.arrays["report_predictions"])


def test_tickets_of_another_encoder_are_refused(
    finished: tuple[Gathering, list[Record], list[str]], tmp_path: Path, tiny_bert_folder: Path
) -> None:
    """The task and both encoders' owners stand in the message, and nothing is written."""
    import shutil

    from transformers import AutoModel

    tasks, _, _ = finished
    other = shutil.copytree(tiny_bert_folder, tmp_path / "other")
    model = AutoModel.from_pretrained(other)
    model.encoder.layer[0].output.dense.bias.data += 1
    model.save_pretrained(other)
    config = config_of(tmp_path, other, f"tasks.a.ticket={tasks.folder / 'tasks' / 'a'}")
    run_missing(Workspace.prepare(tmp_path / "out" / "tasks" / "b", task_config(config, "b")), InProcess(), 1, Silent())
    with pytest.raises(UserError, match=r"the tickets of b are of another encoder"):
        Gathering.put(tmp_path / "out", config)
    assert not (tmp_path / "out" / "config.yaml").exists()


def test_an_unfinished_sweep_is_refused(tmp_path: Path, tiny_bert_folder: Path) -> None:
    """A task whose sweep has no tickets yet cannot share them."""
    config = config_of(tmp_path, tiny_bert_folder)
    for task in config.tasks:
        Workspace.prepare(sweep_folder(tmp_path / "out", config, task), task_config(config, task))
    with pytest.raises(UserError, match="this sweep is not finished: 6 of 6 runs are missing"):
        Gathering.put(tmp_path / "out", config).runs()


def test_another_config_on_the_folder_is_refused(finished: tuple[Gathering, list[Record], list[str]]) -> None:
    """Another mixture is another experiment; other arms are not."""
    from dataclasses import replace

    tasks, _, _ = finished
    uniform = replace(tasks.config, sampling=replace(tasks.config.sampling, mixture="uniform"))
    with pytest.raises(UserError, match=r"sampling\.mixture is proportional there, uniform here"):
        Gathering.put(tasks.folder, uniform)
    Gathering.put(tasks.folder, replace(tasks.config, arms=("multitask",)))
    Gathering.put(tasks.folder, tasks.config)


def test_a_shared_run_elsewhere_leaves_the_same_here(
    finished: tuple[Gathering, list[Record], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a Ray node does it, from a parcel of settings, data, encoder and the sweeps' records: equal to the bit."""
    tasks, records, _ = finished
    run = tasks.runs()[-1]
    shared = parcels.shared_by_all(run, tasks.folder)
    monkeypatch.setattr(ray_nodes.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("supertickets.experiments.workspace.resolve", lambda _: str(tmp_path / "nowhere"))
    order = Order(
        shares._share_and_save, (run, tasks.folder), tasks.folder, {}, 1, provenance.collect()["versions"], "token"
    )
    answer = perform(order, shared)
    assert (answer.error, answer.bad_input) == (None, None)
    assert {name.split("/")[0] for name in answer.files} == {"runs"}
    parcels.land(answer.files, tmp_path / "here")
    found = [Record.load(tmp_path / "here" / "runs" / run.name / task) for task in tasks.sweeps]
    assert_same(found, [record for record in records if record.name.startswith(f"{run.name}/")])


def test_a_shared_run_that_fails_is_left_out(
    finished: tuple[Gathering, list[Record], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried three times, kept as failed and told; the records of the others come back."""
    tasks, records, _ = finished
    folder = Path(shutil.copytree(tasks.folder, tmp_path / "out"))
    lost = tasks.runs()[-1]
    shutil.rmtree(folder / "runs" / lost.name)

    def fail(*_: object) -> None:
        raise RuntimeError("lost")

    monkeypatch.setattr(shares.lottery, "share", fail)
    told = Told()
    found = share_missing(Gathering.open(folder), InProcess(), 1, told)
    assert_same(found, [record for record in records if not record.name.startswith(f"{lost.name}/")])
    assert told.lines[-1] == f"{lost.arm}, seed {lost.seed}: failed 3 times, left out: RuntimeError: lost"
    sharing = read_sharing(folder)
    assert sharing.failed == {lost.name: "RuntimeError: lost"} and sharing.missing == (lost.name,)
    assert whole_sentence(sharing, conclude_sharing(sharing)).endswith(" 1 planned run is missing, 1 of them failed.")
