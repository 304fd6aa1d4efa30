"""share: from a config that names tasks to one model that runs each of them as its own ticket."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from supertickets import UserError, check, export, load, predict, settings, share, storage
from supertickets.cli.app import main
from supertickets.conflicts import task_config
from supertickets.experiments import layout
from supertickets.experiments.executors import InProcess
from supertickets.experiments.gathering import Gathering
from supertickets.experiments.progress import Silent
from supertickets.experiments.records import Record
from supertickets.experiments.shares import chosen_run, record_folder, share_missing
from supertickets.workflows import reporting
from supertickets.workflows.sharing import Shared
from tiny_sweeps import SHORTEST, assert_same, snapshot, write_films

ROOT = Path(__file__).resolve().parents[2]
ARMS = "arms=[multitask, sharing]"


def write_rte(folder: Path) -> Path:
    """RTE's files as published: 40 pairs to train on, 12 to report on, 5 without labels; returns the folder above."""
    (folder / "RTE").mkdir(parents=True)
    header = "index\tsentence1\tsentence2"
    for name, rows in (("train", 40), ("dev", 12)):
        words = ["good", "bad"]
        lines = [
            f"{row}\tthe {name} was {words[row // 2 % 2]}\tit was good\t{('entailment', 'not_entailment')[row % 2]}"
            for row in range(rows)
        ]
        (folder / "RTE" / f"{name}.tsv").write_text("\n".join([f"{header}\tlabel", *lines]) + "\n", encoding="utf-8")
    pairs = [f"{row}\tthe film was {'very ' * row}good\tit was bad" for row in range(5)]
    (folder / "RTE" / "test.tsv").write_text("\n".join([header, *pairs]) + "\n", encoding="utf-8")
    return folder


def write_config(root: Path, encoder: Path) -> Path:
    """A config for a known task and for films of one's own."""
    films = write_films(root / "films", train=40)
    glue = write_rte(root / "glue")
    own = f"{{train: {films}/train.csv, test: {films}/test.csv, text: review, label: stars}}"
    lines = [
        f"data: {{folder: {glue}}}",
        f"encoder: {{name: {encoder}, max_length: 16}}",
        "tasks:",
        "  rte: {}",
        f"  films: {own}",
    ]
    (root / "share.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / "share.yaml"


def without_report(folder: Path) -> tuple[str, Path]:
    """Stands for the report, which has tests of its own."""
    return "Sharing does.", folder / "report.html"


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here looks at the report."""
    monkeypatch.setattr(reporting, "conclude_and_report_sharing", without_report, raising=False)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path) -> Path:
    """The config of two tasks."""
    return write_config(tmp_path_factory.mktemp("share"), tiny_bert_folder)


@pytest.fixture(scope="module")
def shared(config: Path) -> Iterator[Shared]:
    """What share left for it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reporting, "conclude_and_report_sharing", without_report, raising=False)
        yield share(config, out=config.parent / "out", workers=1, set=[*SHORTEST, ARMS])


def refusal(*arguments: object, **options: object) -> str:
    """The one sentence by which predict refuses; nothing is written."""
    with pytest.raises(UserError) as refused:
        predict(*arguments, **options)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_kept_config_of_glue_is_sound() -> None:
    """configs/glue.yaml: eight tasks, a folder to set, 1000 examples, three seeds, every arm."""
    file = ROOT / "configs" / "glue.yaml"
    config = settings.load_shared(file, ["data.folder=/glue"])
    assert list(config.tasks) == ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"]
    assert (config.data.folder, config.data.train_examples, config.data.report_examples) == ("/glue", 1000, 1000)
    assert (config.encoder.name, config.seeds, config.training.learning_rate) == ("minilm", (0, 1, 2), 1e-4)
    assert config.tickets.kinds == ("winning",) and config.arms == ("multitask", "sharing", "random")
    assert settings.load_shared(file) == replace(config, data=replace(config.data, folder="../shared/glue"))


def test_mixed_tasks_keep_their_own_columns(tmp_path: Path) -> None:
    """What `data` says of columns is for tasks of own files, what it says of the folder for known ones."""
    lines = ["data: {folder: g, text: review, label: stars}", "tasks:", "  rte: {}", "  mine: {train: a, test: b}"]
    (tmp_path / "c.yaml").write_text("\n".join(lines), encoding="utf-8")
    config = settings.load_shared(tmp_path / "c.yaml")
    rte, mine = (task_config(config, task).data for task in ("rte", "mine"))
    assert (rte.folder, rte.text, rte.label, rte.train) == ("g", "text", "label", None)
    assert (mine.folder, mine.text, mine.label, mine.train) == (None, "review", "stars", "a")


def test_share_leaves_records_and_a_model(shared: Shared, config: Path) -> None:
    """Each task's sweep, a record for each arm and task, and one model whose parts add up to the records' scores."""
    assert shared == Shared("Sharing does.", config.parent / "out" / "report.html", config.parent / "out" / "model")
    tasks = Gathering.open(config.parent / "out")
    records = share_missing(tasks, InProcess(), 1, Silent())
    assert [(record.kind, record.name.rpartition("/")[2]) for record in records] == [
        (arm, task) for arm in ("multitask", "sharing") for task in ("rte", "films")
    ]
    about = json.loads((shared.model / layout.SHARED_FILE).read_text(encoding="utf-8"))["tasks"]
    run = chosen_run(tasks, records)
    for task in ("rte", "films"):
        record = Record.load(record_folder(tasks.folder, run, task))
        assert about[task]["report"] == record.report.main
        assert about[task]["run"] == run.name
        model, tokenizer = load(shared.model, task=task)
        split = tasks.sweeps[task].splits(0).report
        for row in (0, 7):
            inputs = {name: torch.tensor([split[name][row]]) for name in ("input_ids", "token_type_ids")}
            with torch.no_grad():
                logits = model(**inputs).logits[0].numpy()
            np.testing.assert_allclose(record.arrays["report_predictions"][row], logits, atol=1e-5)
        assert len(tokenizer) == len(tasks.sweeps[task].tokenizer)


def test_share_again_trains_nothing(
    shared: Shared, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line, too: no step is trained, no record and no model changes; what is there is told."""
    out = config.parent / "out"
    before = snapshot(out)
    monkeypatch.setattr("transformers.Trainer.training_step", None)
    words = [word for setting in (*SHORTEST, ARMS) for word in ("--set", setting)]
    assert main(["share", str(config), "--out", str(out), "--workers", "1", *words]) == 0
    printed, told = capsys.readouterr()
    assert printed == f"Sharing does.\n{out / 'report.html'}\n"
    assert "2 of 2 multi-task runs are there already" in told
    after = snapshot(out)
    kept = [name for name in before if name.startswith(("model/", "runs/")) or "/runs/" in name]
    assert len(kept) > 15 and all(after[name] == before[name] for name in kept)


def test_a_damaged_model_is_made_again(shared: Shared, config: Path, tmp_path: Path) -> None:
    """Weights that were changed: share trains the chosen run once more, and the model is the same as before."""
    out = shutil.copytree(config.parent / "out", tmp_path / "out")
    weights = out / "model" / "shared.safetensors"
    body = weights.read_bytes()
    weights.write_bytes(body[:-1] + b"x")
    share(config, out=out, workers=1, set=[*SHORTEST, ARMS])
    assert weights.read_bytes() == body


def test_given_tickets_stand_in_for_sweeps(shared: Shared, config: Path, tmp_path: Path) -> None:
    """With the sweeps of another experiment as tickets, no sweep is run and the numbers are the same."""
    found = config.parent / "out" / "tasks"
    given = [f"tasks.{task}.ticket={found / task}" for task in ("rte", "films")]
    share(config, out=tmp_path / "out", workers=1, set=[*SHORTEST, ARMS, *given])
    assert not (tmp_path / "out" / "tasks").exists()
    ours, theirs = (
        share_missing(Gathering.open(folder), InProcess(), 1, Silent())
        for folder in (tmp_path / "out", config.parent / "out")
    )
    assert_same(ours, theirs)


def test_tickets_of_another_task_are_refused(shared: Shared, config: Path, tmp_path: Path) -> None:
    """The films' sweep would be trained under the name of RTE; `check` says so, too."""
    films = config.parent / "out" / "tasks" / "films"
    for given in (f"tasks.rte.ticket={films}", f"tasks.mine={{task: RTE, ticket: {films}}}"):
        for ask in (partial(share, config, out=tmp_path / "out", workers=1), partial(check, config)):
            with pytest.raises(UserError, match=r"films: task (rte|mine): its tickets are of another task, films"):
                ask(set=[*SHORTEST, ARMS, given])


def test_one_task_in_two_spellings_is_refused(config: Path, tmp_path: Path) -> None:
    """Its examples would count twice."""
    for ask in (partial(share, config, out=tmp_path / "out", workers=1), partial(check, config)):
        with pytest.raises(UserError, match=r"^tasks: rte and RTE are one task; leave one of them out$"):
            ask(set=[*SHORTEST, ARMS, "tasks.RTE={}"])


# ---- predict


def test_predict_reads_the_tasks_own_columns(shared: Shared, config: Path, tmp_path: Path) -> None:
    """Own data: the column of the training file, its labels, texts cut where training cut them; both folders."""
    texts = [f"the film was {'good ' * count}" for count in (1, 3, 30)]
    pd.DataFrame({"stars": ["no"] * 3, "review": texts}).to_csv(tmp_path / "texts.csv", index=False)
    for folder in (shared.model, config.parent / "out"):
        predict(folder, tmp_path / "texts.csv", out=tmp_path / "p.csv", task="films")
        found = pd.read_csv(tmp_path / "p.csv")
        assert list(found) == ["prediction", "p_no", "p_yes"]
        model, tokenizer = load(shared.model, task="films")
        for row, text in enumerate(texts):
            with torch.no_grad():
                logits = model(**tokenizer([text], truncation=True, max_length=16, return_tensors="pt")).logits[0]
            expected = torch.softmax(logits, -1).numpy()
            np.testing.assert_allclose(found.loc[row, ["p_no", "p_yes"]].to_numpy(float), expected, atol=1e-5)
            assert found.loc[row, "prediction"] == ("no", "yes")[int(expected.argmax())]


def test_predict_reads_a_known_tasks_files_as_published(shared: Shared, config: Path, tmp_path: Path) -> None:
    """RTE's unlabelled test file, from the command line, as CSV and as GLUE's server takes it."""
    file = config.parent / "glue" / "RTE" / "test.tsv"
    for form, ending in (("csv", "csv"), ("glue", "tsv")):
        line = ["predict", shared.model, file, "--task", "rte", "--out", tmp_path / f"p.{ending}", "--format", form]
        assert main([str(word) for word in line]) == 0
    table = pd.read_csv(tmp_path / "p.csv")
    assert list(table) == ["prediction", "p_entailment", "p_not_entailment"] and len(table) == 5
    served = pd.read_csv(tmp_path / "p.tsv", sep="\t")
    assert list(served["prediction"]) == list(table["prediction"]) and list(served["index"]) == [*range(5)]


def test_predict_needs_a_task_that_is_there(shared: Shared, config: Path, tmp_path: Path) -> None:
    """None, or another: one sentence that names those there are; nothing is written."""
    file, out = config.parent / "films" / "test.csv", tmp_path / "p.csv"
    for folder in (shared.model, config.parent / "out"):
        assert "none is named; choose one of rte, films" in refusal(folder, file, out=out)
        assert "there is no task cola here; choose one of rte, films" in refusal(folder, file, out=out, task="cola")
    copied = shutil.copytree(shared.model, tmp_path / "model")
    body = storage.read_sealed(copied / layout.SHARED_FILE)
    del body["tasks"]["films"]["reading"]
    storage.write_sealed(copied / layout.SHARED_FILE, body)
    assert "it says nothing of how films reads texts" in refusal(copied, file, out=out, task="films")
    assert not out.exists()


def test_predict_before_the_end(config: Path, tmp_path: Path) -> None:
    """An experiment without a model yet says so."""
    (tmp_path / "early").mkdir()
    shutil.copyfile(config, tmp_path / "early" / "config.yaml")
    sentence = refusal(tmp_path / "early", config.parent / "films" / "test.csv", out=tmp_path / "p.csv", task="rte")
    assert "no shared model" in sentence


def test_layout_and_artifact_agree() -> None:
    """The names that are written down twice, as one place loads no torch."""
    from supertickets.encoders import shared as artifact

    assert (layout.SHARED_FILE, layout.MODEL) == (artifact.SHARED_FILE, artifact.MODEL_FOLDER)


# ---- export


def test_a_tasks_model_can_be_exported(shared: Shared, tmp_path: Path) -> None:
    """As a folder of its own, for transformers; its logits are the task's."""
    line = ["export", shared.model, "--task", "rte", "--out", tmp_path / "rte"]
    assert main([str(word) for word in line]) == 0
    ours, tokenizer = load(shared.model, task="rte")
    theirs, _ = load(tmp_path / "rte")
    inputs = tokenizer(["the film was good"], ["it was bad"], return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(ours(**inputs).logits, theirs.eval()(**inputs).logits)
    assert theirs.config.id2label == {0: "entailment", 1: "not_entailment"}
    assert (tmp_path / "rte" / "README.md").is_file()
    for task in (None, "cola"):
        with pytest.raises(UserError, match="choose one of rte, films"):
            export(shared.model, task=task, out=tmp_path / "other")
    with pytest.raises(UserError, match="no tasks in this folder"):
        export(tmp_path / "rte", task="rte", out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_workers_give_the_same_records(shared: Shared, config: Path, tmp_path: Path) -> None:
    """Two worker processes, the tickets given: the same records, bit for bit."""
    from supertickets.experiments.executors import cores

    if cores() < 2:
        pytest.skip("needs two cores")
    found = config.parent / "out" / "tasks"
    given = [f"tasks.{task}.ticket={found / task}" for task in ("rte", "films")]
    share(config, out=tmp_path / "out", workers=2, set=[*SHORTEST, ARMS, *given])
    ours, theirs = (
        share_missing(Gathering.open(folder), InProcess(), 1, Silent())
        for folder in (tmp_path / "out", config.parent / "out")
    )
    assert_same(ours, theirs)
