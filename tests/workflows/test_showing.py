"""show: what a folder holds, what is missing and what it cost."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import fake_races
from supertickets import settings, storage
from supertickets.cli.app import main
from supertickets.errors import UserError
from supertickets.experiments.plans import plan
from supertickets.experiments.records import ARRAYS_FILE, Cost, Record, Size
from supertickets.experiments.schedules import schedule
from supertickets.learning.metrics import Scores
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures
from supertickets.tickets.ticket import Ticket
from supertickets.workflows.reporting import report
from supertickets.workflows.showing import show

OVERRIDES = ["budget=smoke", "data.task=rte", "data.folder=glue"]
PLANNED = plan(settings.load(overrides=OVERRIDES))  # 2 full, 4 winning, 2 random, 2 losing
STRUCTURES = Structures("bert", np.full((2, 4), 1000), np.full((2, 1), 4000), 20_000, 30_000)


def record(name: str, kind: str, sparsity: float, seed: int) -> Record:
    """A finished run that cost 70 seconds."""
    scores = Scores(0.75, {"accuracy": 0.75}, 8)
    arrays = {"report_labels": np.arange(8)}
    return Record(
        name=name,
        kind=kind,
        sparsity=sparsity,
        seed=seed,
        selection=scores,
        report=replace(scores, main=0.625, metrics={"accuracy": 0.625}),
        size=Size(0.8, 0.7, (3, 4), (1, 0)),
        cost=Cost({"training": 60.0, "evaluation": 10.0}, 100),
        settings={},
        provenance={"time": "2021-08-01T00:00:00+00:00", "commit": None},
        arrays=arrays,
    )


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep's folder with all but the last two of its ten runs."""
    storage.write_text(tmp_path / "config.yaml", settings.dump(settings.load(overrides=OVERRIDES)))
    for run in PLANNED[:-2]:
        record(run.name, run.kind, run.sparsity, run.seed).save(tmp_path / "runs" / run.name)
    return tmp_path


def ticket(folder: Path) -> None:
    """Save a ticket that keeps 6 of 8 heads and 1 of 2 FFN sublayers."""
    importance = Importance(STRUCTURES, np.arange(8.0).reshape(2, 4), np.array([[1.0], [2.0]]))
    mask = Mask.winning(importance, 0.25, ffn_sparsity=0.5)
    Ticket(mask, "winning", 0.25, 1, "minilm", "0" * 64, importance, {"time": "2021-08-01"}).save(folder)


def test_an_unfinished_sweep(sweep: Path) -> None:
    """It is told by its config; what is missing is told run by run; the cost is the sum over its records."""
    shown = show(sweep)
    assert shown.kind == "sweep" and shown.seconds == 8 * 70
    assert shown.missing == ("losing 0.5 seed 0", "losing 0.5 seed 1")
    rows = dict(shown.rows)
    assert rows["lacks"] == "super_ticket, speedup.json, report.html" and rows["now"] == "nobody works on it"
    assert rows["what"] == "rte with minilm, budget smoke: seeds 0, 1, levels 0.2, 0.5"
    assert rows["done"] == "8 of 10 runs: 2 of 2 full, 4 of 4 winning, 2 of 2 random, 0 of 2 losing"
    assert rows["cost"] == "9 min (training 8 min, evaluation 80 s); 800 examples trained on"
    assert "missing  losing 0.5 seed 0, losing 0.5 seed 1" in str(shown)
    assert show(sweep / "config.yaml") == shown


def test_a_finished_sweep(sweep: Path) -> None:
    """Nothing is missing, and its sentence is shown."""
    for run in PLANNED[-2:]:
        record(run.name, run.kind, run.sparsity, run.seed).save(sweep / "runs" / run.name)
    storage.write_json(sweep / "outcome.json", {"sentence": "The super ticket keeps 80.0 % of the weights."})
    (sweep / "super_ticket").mkdir()
    (sweep / "report.html").touch()
    (sweep / "speedup.json").touch()
    shown = show(sweep)
    rows = dict(shown.rows)
    assert shown.missing == () and rows["result"] == "The super ticket keeps 80.0 % of the weights."
    assert rows["lacks"] == "" and "now" not in rows
    assert str(shown).splitlines()[-1].split() == ["missing", "nothing"]


def test_what_report_said_of_an_unfinished_sweep_is_no_verdict(sweep: Path) -> None:
    """It stands as what is known so far; written before the latest records, it says that it can be made anew."""
    said = "The super ticket keeps 80.0 % of the weights. 2 planned runs are missing."
    for missing, told in ((["a", "b"], said), (["a", "b", "c"], f"{said} (`report` writes it anew)")):
        storage.write_json(sweep / "outcome.json", {"sentence": said, "missing": missing})
        rows = dict(show(sweep).rows)
        assert rows["so far"] == told and "result" not in rows


def test_a_sweep_with_a_damaged_record(sweep: Path) -> None:
    """A torn file is named and hides none of the other records."""
    torn = sweep / "runs" / PLANNED[0].name / ARRAYS_FILE
    torn.write_bytes(torn.read_bytes()[:-3])
    shown = show(sweep)
    assert str(torn) in dict(shown.rows)["damaged"] and shown.seconds == 7 * 70
    assert len(shown.missing) == 2


def test_a_sweep_that_has_not_begun(tmp_path: Path) -> None:
    """With a config and nothing else, all is missing, most of it only counted, and nothing was spent."""
    storage.write_text(tmp_path / "config.yaml", settings.dump(settings.load(overrides=OVERRIDES)))
    shown = show(tmp_path)
    assert len(shown.missing) == len(PLANNED) and shown.seconds == 0
    assert "and 2 more" in str(shown) and "cost" not in str(shown)


def test_a_run(sweep: Path) -> None:
    """A run says what it was, its scores on both splits with n, its size and its cost."""
    run = next(run for run in PLANNED if run.kind == "winning")
    shown = show(sweep / "runs" / run.name)
    rows = dict(shown.rows)
    assert (shown.kind, shown.missing, shown.seconds) == ("run", (), 70)
    assert rows["what"] == f"winning ticket at sparsity {run.sparsity:g}, seed {run.seed}"
    assert rows["report"] == "62.5 (accuracy 62.5; n = 8)" and rows["selection"].startswith("75.0")
    assert rows["weights"] == "80.0% of all, 70.0% of the encoder's layers" and rows["heads"] == "3, 4 by layer"
    assert rows["cost"] == "70 s (training 60 s, evaluation 10 s); 100 examples trained on"
    assert rows["made"] == "time 2021-08-01T00:00:00+00:00"


def test_a_ticket_alone(tmp_path: Path) -> None:
    """A ticket shows the units it keeps layer by layer and the weights that remain; its cost is not known."""
    ticket(tmp_path / "some")
    shown = show(tmp_path / "some")
    rows = dict(shown.rows)
    assert shown.kind == "ticket" and shown.seconds is None and rows["cost"] == ""
    assert rows["what"] == "winning ticket at sparsity 0.25, seed 1, of minilm"
    assert rows["keeps"] == "6 of 8 heads, 1 of 2 FFN units"
    # 2 heads of 1000 and 1 FFN sublayer of 4000 weights are gone from 30 000 and from 20 000
    assert rows["weights"] == "80.0% of all, 70.0% of the encoder's layers"
    assert (rows["layer 1"], rows["layer 2"]) == ("heads 0011, FFN 0", "heads 1111, FFN 1")
    assert "trained weights" in shown.missing[0]


def test_a_ticket_of_neurons(tmp_path: Path) -> None:
    """Of neurons, which are too many to show, it tells how many each layer keeps."""
    fine = Structures("bert", STRUCTURES.heads, np.full((2, 1536), 2), 20_000, 30_000)
    scores = np.arange(2 * 1536.0).reshape(2, 1536)
    mask = Mask.winning(Importance(fine, np.arange(8.0).reshape(2, 4), scores, "order"), 0.25)
    Ticket(mask, "winning", 0.25, 1, "minilm", "0" * 64).save(tmp_path / "some")
    rows = dict(show(tmp_path / "some").rows)
    assert rows["keeps"] == "6 of 8 heads, 2304 of 3072 FFN neurons"
    assert rows["layer 1"] == "heads 0011, FFN 768 of 1536 neurons"
    assert rows["layer 2"] == "heads 1111, FFN 1536 of 1536 neurons"


def test_a_sweep_over_neurons(tmp_path: Path) -> None:
    """It is told by its config."""
    config = settings.load(overrides=[*OVERRIDES, "units.ffn=neuron"])
    storage.write_text(tmp_path / "config.yaml", settings.dump(config))
    assert dict(show(tmp_path).rows)["what"].endswith("levels 0.2, 0.5, FFN neurons")


def test_a_ticket_of_a_sweep(sweep: Path) -> None:
    """Inside a sweep a ticket's cost is its run's, and with weights beside it nothing is missing."""
    run = next(run for run in PLANNED if run.kind == "winning")
    folder = sweep / "tickets" / run.name
    ticket(folder)
    assert show(folder).seconds == 70
    (folder / "model.safetensors").touch()
    whole = show(folder / "ticket.json")
    assert whole.missing == () and dict(whole.rows)["damaged"] == ""


def test_a_delivered_model_that_was_changed(sweep: Path) -> None:
    """Its weights are there, so nothing is missing, but they are not what was delivered."""
    folder = sweep / "super_ticket"
    ticket(folder)
    (folder / "model.safetensors").write_bytes(b"weights")
    storage.write_json(folder / "checksums.json", {"model.safetensors": hashlib.sha256(b"weights").hexdigest()})
    assert dict(show(folder).rows)["damaged"] == ""
    (folder / "model.safetensors").write_bytes(b"Weights")
    assert "model.safetensors is not the file that was exported" in dict(show(folder).rows)["damaged"]
    (folder / "model.safetensors").unlink()
    gone = show(folder)
    assert "model.safetensors was written with this model and is missing" in dict(gone.rows)["damaged"]
    assert gone.missing == ()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent", "no such file or folder"),
        ("", "not a ticket, a run or a sweep; give a folder with ticket.json or record.json or config.yaml"),
        ("notes.txt", "nothing to show here"),
        ("torn/ticket.json", "torn or not JSON"),
    ],
)
def test_what_cannot_be_shown(name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing path, another folder or file, and a torn one are one sentence each."""
    (tmp_path / "notes.txt").touch()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "ticket.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=words):
        show(tmp_path / name)
    assert main(["show", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_experiment_that_still_sweeps_its_tasks(sweep: Path, tmp_path: Path) -> None:
    """Before its own config is there, it says so and names a task's sweep, which can be shown."""
    place = sweep.rename(tmp_path.parent / f"{tmp_path.name}-moved")
    storage.write_text(tmp_path / "tasks" / "rte" / "config.yaml", (place / "config.yaml").read_text(encoding="utf-8"))
    for look in (show, report):
        with pytest.raises(UserError, match=r"still sweeps its tasks; look at a task's sweep, such as .*/tasks/rte"):
            look(tmp_path)
    assert show(tmp_path / "tasks" / "rte").kind == "sweep"


def test_a_race_tells_its_stopped_levels(tmp_path: Path) -> None:
    """How many runs it may still take, what comes next, and which levels were stopped and why."""
    config = fake_races.config_of("data.task=rte", "data.folder=glue")
    storage.write_text(tmp_path / "config.yaml", settings.dump(config))
    storage.write_json(tmp_path / "data.json", {"task": asdict(fake_races.TASK)})
    world = fake_races.World(lambda sparsity: 0.88 - 0.2 * sparsity)
    for run in schedule(config, fake_races.TASK, ()).runs:
        world.find(run).save(tmp_path / "runs" / run.name)
    shown = show(tmp_path)
    rows = dict(shown.rows)
    assert rows["done"].startswith("10 of at most ") and "7 of " in rows["done"]
    assert rows["later"].startswith("at most ") and rows["later"].endswith(" runs more, as the race decides")
    assert "level 0.7: it ran with 1 seed; the chance that the whole grid would prefer it is" in rows["stopped"]
    assert shown.missing[0].startswith("winning 0.1 seed 1")


def test_a_run_that_was_ended_says_so(tmp_path: Path) -> None:
    """Its scores are not those of a finished run."""
    ended = replace(record("winning-0.7-s0", "winning", 0.7, 0), stopped=0.5)
    ended.save(tmp_path / "winning-0.7-s0")
    assert (
        dict(show(tmp_path / "winning-0.7-s0").rows)["stopped"] == "hopeless after 50% of its training; not comparable"
    )
