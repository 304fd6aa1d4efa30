"""The tables of docs/better.md say what the sweeps say, in numbers that can be checked by hand."""

from __future__ import annotations

import re
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import make_better
from supertickets import settings, storage
from supertickets.config import Config, DataConfig, ScoringConfig
from supertickets.data.tasks import Task
from supertickets.endings import BaselinesConfig
from supertickets.experiments.baselines import baseline_runs
from supertickets.experiments.plans import plan
from supertickets.experiments.records import Cost, Record, Size
from supertickets.experiments.runs import SoupRun
from supertickets.learning.metrics import score

ROOT = Path(__file__).resolve().parents[2]
LABELS = np.arange(200) % 2
CONFIG = settings.load(
    overrides=["delivery.soup=uniform", "seeds=[0, 1]", "tickets.levels=[0.4]", "tickets.kinds=[winning]"],
    base={"data": asdict(DataConfig(task="movie-reviews")), "baselines": asdict(BaselinesConfig(arms=("random",)))},
)


def guesses(right: int) -> np.ndarray:
    """Logits that are right on the first so many of 200 examples."""
    return np.eye(2, dtype=np.float32)[np.where(np.arange(200) < right, LABELS, 1 - LABELS)]


def record(run: Any, task: Task, right: int, **more: np.ndarray) -> Record:
    """The record of a run."""
    arrays = {f"{split}_{name}": x for split in ("selection", "report")
              for name, x in (("predictions", guesses(right)), ("labels", LABELS))}  # fmt: skip
    scores, weights = score(task, guesses(right), LABELS), 1 - run.sparsity
    size, cost = Size(weights, weights, (1,), (1,)), Cost({}, 1)
    about = {"delivery.soup": "uniform"} if isinstance(run, SoupRun) else {}
    return Record(run.name, run.kind, run.sparsity, run.seed, scores, scores, size, cost, about, {}, {**arrays, **more})


def write(folder: Path, config: Config, right: dict[str, int]) -> None:
    """A finished sweep whose kinds have these right answers, one more for seed 1; a soup's are those of both."""
    task = Task(folder.name, "classification", ("no", "yes"), ("accuracy",))
    storage.write_text(folder / "config.yaml", settings.dump(config))
    storage.write_json(folder / "data.json", {"task": asdict(task)})
    storage.write_json(folder / "outcome.json", {"missing": []})
    runs = dict.fromkeys([*plan(config), *baseline_runs(config, 0.4)])
    for one in runs:
        record(one, task, right[one.kind] + one.seed).save(folder / "runs" / one.name)
    for sparsity in (0.4, 0.0):
        soup = SoupRun(config, "uniform", sparsity)
        count = right[soup.kind]
        more = {"members": np.array([0, 1]), "without_predictions": np.stack([guesses(count), guesses(count)])}
        record(soup, task, count, **more).save(folder / "runs" / soup.name)


def test_the_recipes_table_by_hand(tmp_path: Path) -> None:
    """Scores, soups, baselines and their means over two tasks; differences are paired and averaged over tasks."""
    right = {"full": 150, "winning": 160, "random": 140, "soup": 166, "full-soup": 156}
    write(tmp_path / "recipe" / "films", CONFIG, right)
    write(tmp_path / "recipe" / "plays", CONFIG, right | {"winning": 156})
    write(tmp_path / "neurons" / "films", CONFIG, right | {"winning": 154})
    whole = make_better.filled("a <!-- made by docs/make_better.py --> old <!-- end --> z", tmp_path)
    page, neurons = whole.split("\n\n## Neurons, and twelve epochs\n\n")
    assert "| ticket | 77.2 ± 0.4 | 77.2 ± 0.4 |" in neurons and neurons.endswith("<!-- end --> z")
    assert page.startswith("a <!-- made by docs/make_better.py -->\n\n## The recipe")
    lines = {line.split(" | ")[0].strip("| "): line for line in page.splitlines() if line.startswith("|")}
    assert lines["full model"] == "| full model | 75.2 ± 0.4 | 75.2 ± 0.4 | 75.2 ± 0.4 |"
    assert lines["ticket"] == "| ticket | 80.2 ± 0.4 | 78.2 ± 0.4 | 79.2 ± 0.4 |"
    cells = lines["ticket minus full model"].split(" | ")
    assert [cell.split(" [")[0] for cell in cells[1:]] == ["+5.0", "+3.0", "+4.0"]
    assert lines["ticket soup"] == "| ticket soup | 83.0 | 83.0 | 83.0 |"
    assert [cell.split(" [")[0] for cell in lines["ticket soup minus full soup"].split(" | ")[1:]] == ["+5.0"] * 3
    assert lines["random ticket of the same size"].endswith("size | 70.2 ± 0.4 | 70.2 ± 0.4 | 70.2 ± 0.4 |")
    rival = lines["ticket minus it"].split(" | ")
    assert [cell.split(" [")[0] for cell in rival[1:]] == ["+10.0", "+8.0", "+9.0"]


def test_a_baseline_that_a_task_lacks(tmp_path: Path) -> None:
    """Its cell is empty, and so is the mean, which would be over other tasks than the ticket's."""
    right = {"full": 150, "winning": 160, "random": 140, "soup": 166, "full-soup": 156}
    write(tmp_path / "recipe" / "films", CONFIG, right)
    write(tmp_path / "recipe" / "plays", replace(CONFIG, baselines=BaselinesConfig()), right)
    page = make_better.filled("<!-- made by docs/make_better.py --><!-- end -->", tmp_path)
    assert "| random ticket of the same size | 70.2 ± 0.4 |  |  |" in page
    assert re.search(r"\| ticket minus it \| \+10\.0 \[[^|]*\] \|  \|  \|", page)


def test_the_choices_tables_by_hand(tmp_path: Path) -> None:
    """One table a size; the mean difference over tasks stands only where every task has the choice."""
    base = replace(CONFIG, delivery=replace(CONFIG.delivery, soup="none"), baselines=BaselinesConfig())
    taylor = replace(base, scoring=ScoringConfig(scorer="taylor"))
    right = {"full": 150, "winning": 160, "soup": 1, "full-soup": 1}
    for task in ("cola", "rte"):
        write(tmp_path / "choices" / f"{task}-100-minilm" / "as_described", base, right)
        write(tmp_path / "choices" / f"{task}-100-minilm" / "taylor", taylor, right | {"winning": 164})
    write(tmp_path / "choices" / "rte-100-minilm" / "random", base, right | {"winning": 100})
    page = make_better.filled("<!-- made by docs/make_better.py --><!-- end -->", tmp_path)
    assert "### minilm, 100 training examples, 60 % of the encoder's weights" in page
    header = "| choice | cola | rte | mean minus full model [95 %] | mean minus `as_described` [95 %] |"
    assert header in page and "| full model | 75.2 ± 0.4 | 75.2 ± 0.4 |  |  |" in page
    cell = r"82\.2 \(\+7\.0 \[[^]]*\]\)"
    assert re.search(rf"\| `taylor` \| {cell} \| {cell} \| \+7\.0 \[[^|]*\] \| \+2\.0 \[", page)
    assert re.search(r"\| `as_described` \|[^|]*\|[^|]*\| \+5\.0 \[[^|]*\] \|  \|", page)
    assert re.search(r"\| `random` \|  \| 50\.2 \(−25\.0 \[[^]]*\]\) \|  \|  \|", page)


def test_the_page_is_what_the_kept_sweeps_make() -> None:
    """Making the tables of docs/better.md anew from results/better changes nothing."""
    page = (ROOT / "docs" / "better.md").read_text(encoding="utf-8")
    assert make_better.filled(page, ROOT / "results" / "better") == page, "run: python docs/make_better.py"


@pytest.mark.parametrize("encoder", ["minilm", "mpnet"])
def test_every_choice_of_the_scripts_is_a_setting(encoder: str) -> None:
    """What runs/choice.bash sets is understood, for each choice by its name, and levels rise."""
    names = "as_described neurons joint iterative consensus taylor divergence as_released magnitude random teacher"
    told = 'echo "$(listed "${levels[@]}") ${settings[@]}"'
    script = f". runs/choice.bash; for n in {names}; do choice $n {encoder}; {told}; done"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    for name, line in zip(names.split(), done.stdout.splitlines(), strict=True):
        levels, _, chosen = line.partition("] ")
        config = settings.load(overrides=[f"tickets.levels={levels}]", *chosen.split()])
        assert len(config.tickets.levels) == 3 and list(config.tickets.levels) == sorted(config.tickets.levels)
        assert name == "as_described" or config != settings.load(overrides=[f"tickets.levels={levels}]"])


def test_the_recipes_config_is_sound() -> None:
    """configs/better.yaml loads with a task and a folder beside it, and asks for every baseline."""
    config = settings.load(ROOT / "configs" / "better.yaml", ["data.task=rte", "data.folder=x"])
    assert (config.recipe, config.delivery.soup, len(config.seeds)) == ("best", "uniform", 5)
    assert len(config.baselines.arms) == 9
