"""`report` and `show` on the folder of a real, tiny sharing experiment, with the encoder gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from supertickets import settings
from supertickets.conflicts import task_config
from supertickets.errors import UserError
from supertickets.experiments.executors import InProcess
from supertickets.experiments.gathering import Gathering, sweep_folder
from supertickets.experiments.progress import Silent
from supertickets.experiments.shares import share_missing
from supertickets.experiments.sharing_reading import read_sharing
from supertickets.experiments.sweeps import run_missing
from supertickets.experiments.workspace import Workspace
from supertickets.workflows.reporting import conclude_and_report_sharing, is_sharing, report
from supertickets.workflows.showing import show
from tiny_sweeps import SHORT, write_films


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path) -> tuple[Path, Path, list[str]]:
    """The folder of a finished experiment of two tasks and two seeds, its encoder's, and its runs' names."""
    root = tmp_path_factory.mktemp("report")
    encoder = root / "encoder"
    shutil.copytree(tiny_bert_folder, encoder)
    films = {name: write_films(root / name, train=rows) for name, rows in (("a", 40), ("b", 64))}
    lines = [f"  {name}: {{train: {folder}/train.csv, test: {folder}/test.csv}}" for name, folder in films.items()]
    text = ["data: {text: review, label: stars}", f"encoder: {{name: {encoder}}}", "tasks:", *lines]
    (root / "share.yaml").write_text("\n".join(text) + "\n", encoding="utf-8")
    config = settings.load_shared(root / "share.yaml", SHORT)
    for task in config.tasks:
        sweep = Workspace.prepare(sweep_folder(root / "out", config, task), task_config(config, task))
        run_missing(sweep, InProcess(), 1, Silent())
    tasks = Gathering.put(root / "out", config)
    share_missing(tasks, InProcess(), 1, Silent())
    names = [run.name for run in tasks.runs()]
    shutil.rmtree(encoder)
    return root / "out", encoder, names


def test_a_finished_experiment(finished: tuple[Path, Path, list[str]]) -> None:
    """Page and outcome are written from records and tickets alone; both have the sentence."""
    folder, encoder, _ = finished
    assert not encoder.exists()
    text, page = conclude_and_report_sharing(folder)
    assert page == folder / "report.html" == report(folder)
    kept = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    assert kept["sentence"] == text
    assert kept["missing"] == []
    assert set(kept["tasks"]) == {"a", "b"}
    assert kept["average"]["scores"]["sharing"]["n"] == 2
    assert "on the mean over 2 tasks" in text


def test_it_plans_the_runs_that_were_made(finished: tuple[Path, Path, list[str]]) -> None:
    """Read without the encoder, the experiment has the names, masks and weights of the runs that trained with it."""
    folder, _, names = finished
    sharing = read_sharing(folder)
    assert (sharing.planned, sharing.finished, sharing.missing, sharing.unplanned) == (len(names), 6, (), ())
    for task in sharing.tasks:
        assert [record.name for record in task.records["sharing"]] == [
            f"{name}/{task.name}" for name in names if name.startswith("sharing")
        ]
        for record in task.records["sharing"]:
            ticket = task.tickets[record.seed]
            assert ticket.weights_remaining.all == record.size.weights_all
            assert (ticket.heads == record.arrays["heads"]).all()


def test_an_unfinished_experiment(finished: tuple[Path, Path, list[str]], tmp_path: Path) -> None:
    """A run that lacks one task's record does not count; with none left there is a page but no outcome."""
    folder = tmp_path / "out"
    shutil.copytree(finished[0], folder)
    (run,) = folder.glob("runs/random-s1-*")
    (run / "b" / "record.json").unlink()
    (folder / "runs" / "random-s7-0badf00d" / "a").mkdir(parents=True)
    shutil.copy(run / "a" / "record.json", folder / "runs" / "random-s7-0badf00d" / "a")
    sharing = read_sharing(folder)
    assert (sharing.missing, sharing.unplanned) == ((run.name,), ("random-s7-0badf00d",))
    page = report(folder).read_text(encoding="utf-8")
    assert "5 of 6 runs are done" in page
    assert "not planned by these settings: random-s7-0badf00d" in page
    shown = show(folder)
    assert shown.kind == "experiment"
    assert run.name in shown.missing
    assert "5 of 6 multi-task runs: 2 of 2 multitask, 2 of 2 sharing, 1 of 2 random" in str(shown)
    shutil.rmtree(folder / "runs")
    assert "No result yet" in report(folder).read_text(encoding="utf-8")
    assert not (folder / "outcome.json").exists()
    with pytest.raises(UserError, match="no run of this experiment is finished yet"):
        conclude_and_report_sharing(folder)


def test_show_tells_of_tasks_and_result(finished: tuple[Path, Path, list[str]]) -> None:
    """Each task has a row with its level and where its tickets come from; the sentence is that of the outcome."""
    folder = finished[0]
    text, _ = conclude_and_report_sharing(folder)
    shown = show(folder)
    rows = dict(shown.rows)
    assert rows["a"].endswith("from tasks/a") and "super ticket at sparsity 0." in rows["a"]
    assert rows["result"] == text
    assert rows["done"].startswith("6 of 6 multi-task runs")
    assert shown.missing == () and rows["lacks"] == "model"
    sharing = read_sharing(folder)
    records = [
        r for task in sharing.tasks for r in (*task.sweep, *(x for a in sharing.config.arms for x in task.records[a]))
    ]
    assert shown.seconds == pytest.approx(sum(sum(record.cost.seconds.values()) for record in records))
    assert "; the tasks' own sweeps " in rows["cost"]
    (run,) = folder.glob("runs/multitask-s0-*")
    assert dict(show(run / "a").rows)["what"] == "full model, shared, seed 0"


def test_which_folder_is_whose(finished: tuple[Path, Path, list[str]], tmp_path: Path) -> None:
    """The experiment's config names tasks, a sweep's does not, and an empty folder has none."""
    folder = finished[0]
    assert is_sharing(folder)
    assert not is_sharing(folder / "tasks" / "a")
    assert not is_sharing(tmp_path)
