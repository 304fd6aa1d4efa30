"""`report` on a folder: what it writes, also for an unfinished sweep, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supertickets import storage
from supertickets.config import Config
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.records import Record
from supertickets.workflows.reporting import conclude_and_report, report

Write = Callable[[Config, Task, list[Record]], Path]
Build = Callable[..., list[Record]]


def test_a_finished_sweep(config: Config, task: Task, synthetic_records: Build, sweep_folder: Write) -> None:
    """Page, figures and outcome are written; the outcome holds the sentence that is on the page."""
    folder = sweep_folder(config, task, synthetic_records(config, task))
    storage.write_json(
        folder / "speedup.json",
        {
            "median": 1.4,
            "p10": 1.3,
            "p90": 1.5,
            "pairs": 15,
            "threads": 1,
            "batch_size": 32,
            "length": 24,
            "device": "cpu",
            "seed": 1,
            "report": 0.75,
        },
    )
    outcome, text, page = conclude_and_report(folder)
    assert page == folder / "report.html"
    assert sorted(path.name for path in (folder / "figures").iterdir()) == ["agreement.svg", "bias.svg", "curve.svg"]
    kept = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    assert kept["sentence"] == text
    assert text.endswith("and runs 1.4 times as fast.") or "and runs 1.4 times as fast; " in text
    assert (kept["missing"], kept["sparsity"]) == ([], outcome.sparsity)
    assert kept["ticket"]["n"] == 3


def test_report_twice_gives_the_same_bytes(
    config: Config, task: Task, synthetic_records: Build, sweep_folder: Write
) -> None:
    """The same records give the same page, outcome and figures."""
    folder = sweep_folder(config, task, synthetic_records(config, task)[:12])
    files = [report(folder), folder / "outcome.json", folder / "figures" / "curve.svg"]
    first = [path.read_bytes() for path in files]
    report(folder)
    assert [path.read_bytes() for path in files] == first


def test_an_unfinished_sweep_is_reported(
    config: Config, task: Task, synthetic_records: Build, sweep_folder: Write
) -> None:
    """Before there is anything to conclude the page is written, an outcome is not, and concluding is refused."""
    folder = sweep_folder(config, task, synthetic_records(config, task)[:2])
    assert "2 of 42 runs are done" in report(folder).read_text(encoding="utf-8")
    assert not (folder / "outcome.json").exists()
    with pytest.raises(UserError, match="no seed has both its full model and a winning ticket yet"):
        conclude_and_report(folder)


def test_a_stale_outcome_does_not_stay(
    config: Config, task: Task, synthetic_records: Build, sweep_folder: Write
) -> None:
    """An outcome whose runs were deleted since is removed, so that no file contradicts the page."""
    folder = sweep_folder(config, task, synthetic_records(config, task)[:1])
    storage.write_json(folder / "outcome.json", {"sentence": "old"})
    report(folder)
    assert not (folder / "outcome.json").exists()


def test_a_folder_that_is_no_sweep(tmp_path: Path) -> None:
    """A folder without a config is refused in one sentence, and nothing is written into it."""
    with pytest.raises(UserError, match=r"this is not a sweep's folder: config\.yaml is missing"):
        report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_is_named(config: Config, task: Task, synthetic_records: Build, sweep_folder: Write) -> None:
    """A record whose arrays were changed stops the report with the file's name."""
    records = synthetic_records(config, task)[:4]
    folder = sweep_folder(config, task, records)
    path = folder / "runs" / records[0].name / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=records[0].name):
        report(folder)


def test_reporting_never_loads_torch() -> None:
    """A whole report needs neither torch nor transformers."""
    code = (
        "import sys, supertickets.workflows.reporting, supertickets.reports.page, supertickets.reports.paper_figures\n"
        "print([name for name in ('torch', 'transformers', 'datasets', 'accelerate') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
