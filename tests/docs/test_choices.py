"""docs/choices.md says what the kept sweeps say, in numbers that can be checked by hand."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import make_choices
from supertickets import settings, storage
from supertickets.config import Config, DataConfig, ScoringConfig, UnitsConfig
from supertickets.data.tasks import Task
from supertickets.experiments.records import Cost, Record, Size
from supertickets.learning.metrics import score

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "results" / "choices"
TASK = Task("films", "classification", ("no", "yes"), ("accuracy",))
CONFIG = Config(data=DataConfig(task="movie-reviews", train_examples=100))
LABELS = np.arange(200) % 2


def record(kind: str, level: float, seed: int, weights: float, right: int) -> Record:
    """A run that answers the first `right` of 200 examples rightly."""
    guesses = np.where(np.arange(200) < right, LABELS, 1 - LABELS)
    arrays = {}
    for split in ("selection", "report"):
        arrays |= {f"{split}_predictions": np.eye(2, dtype=np.float32)[guesses], f"{split}_labels": LABELS}
    scores = score(TASK, arrays["report_predictions"], LABELS)
    size, cost = Size(weights, weights, (1,), (1,)), Cost({"training": 1.0}, 100)
    return Record(f"{kind}-{level}-s{seed}", kind, level, seed, scores, scores, size, cost, {}, {}, arrays)


def write(
    folder: Path, config: Config, levels: dict[float, tuple[float, int]], full: int = 150, missing: tuple[str, ...] = ()
) -> None:
    """A sweep of three seeds: at each level the weights left and the right answers, one more for each further seed."""
    storage.write_text(folder / "config.yaml", settings.dump(config))
    sizes = {"train": {"rows": 500}, "report": {"rows": 200}}
    storage.write_json(folder / "data.json", {"task": asdict(TASK), "sizes": sizes, "origin": {}, "notes": []})
    storage.write_json(folder / "outcome.json", {"missing": list(missing)})
    for seed in range(3):
        runs = [record("full", 0.0, seed, 1.0, full)]
        runs += [record("winning", level, seed, weights, right + seed) for level, (weights, right) in levels.items()]
        for one in runs:
            one.save(folder / "runs" / one.name)


@pytest.fixture
def choices(tmp_path: Path) -> Path:
    """The base, neurons at levels of other numbers but the same weights, a bad scorer, and one that is not finished."""
    write(tmp_path / "as_described", CONFIG, {0.3: (0.8, 160), 0.7: (0.3, 140)})
    neurons = replace(CONFIG, units=UnitsConfig(ffn="neuron"))
    write(tmp_path / "neurons", neurons, {0.2: (0.802, 160), 0.5: (0.5, 150), 0.65: (0.301, 144)})
    write(
        tmp_path / "random", replace(CONFIG, scoring=ScoringConfig(scorer="random")), {0.3: (0.8, 100), 0.7: (0.3, 98)}
    )
    taylor = replace(CONFIG, scoring=ScoringConfig(scorer="taylor"))
    write(tmp_path / "taylor", taylor, {0.3: (0.8, 190), 0.7: (0.3, 190)}, missing=("winning-0.3-s2",))
    return tmp_path


def test_the_page_is_what_the_kept_sweeps_make() -> None:
    """Making docs/choices.md anew from results/choices changes nothing."""
    if not KEPT.is_dir():
        pytest.skip("there is no results/choices here: runs/choices.sh makes it")
    assert make_choices.page(KEPT) == (ROOT / "docs" / "choices.md").read_text(encoding="utf-8"), (
        "run: python docs/make_choices.py"
    )


def test_rows_by_hand(choices: Path) -> None:
    """Scores, differences at the nearest weights and seeds are those of the records; no table shows other levels."""
    page = make_choices.page(choices)
    first, second = page.split("## Level 0.3")[1].split("## Level 0.7")
    assert "| `as_described` | 80.0 % | 80.5 ± 0.5 |  | 3 |" in first
    assert "| `neurons` | 80.2 % | 80.5 ± 0.5 | 0.0 [0.0, 0.0] | 3 |" in first
    assert "| `random` | 80.0 % | 50.5 ± 0.5 | −30.0 [" in first
    assert "| `neurons` | 30.1 % | 72.5 ± 0.5 | +2.0 [" in second
    assert "| `random` | 30.0 % | 49.5 ± 0.5 | −21.0 [" in second
    about = " ".join(page.split())
    assert "The tuned full model scores 75.0 ± 0.0." in about and "100 of 500 training examples" in about


def test_sentences_follow_the_intervals(choices: Path) -> None:
    """The best mean is named at each level, and as better or worse what has zero outside its interval."""
    lines = make_choices.page(choices).split("## What the numbers say\n\n")[1].splitlines()[:3]
    assert lines[0].startswith(
        "- Level 0.3: the highest mean is that of `as_described` (80.5 ± 0.5). Worse, zero outside"
    )
    assert "`random` (−30.0 [" in lines[0] and "Better" not in lines[0]
    assert lines[1].startswith(
        "- Level 0.7: the highest mean is that of `neurons` (72.5 ± 0.5). Better than `as_described`"
    )
    assert lines[2] == (
        "- 3 of 4 intervals exclude zero. If no choice made a difference, chance alone would be expected to make 0.2 "
        "of 4 do so."
    )


def test_no_difference_is_said(tmp_path: Path) -> None:
    """Where every interval includes zero, the page claims nothing."""
    write(tmp_path / "as_described", CONFIG, {0.3: (0.8, 160)})
    write(tmp_path / "neurons", replace(CONFIG, units=UnitsConfig(ffn="neuron")), {0.2: (0.8, 160)})
    page = make_choices.page(tmp_path)
    assert "No interval excludes zero: 3 seeds do not tell any choice from `as_described` here." in page
    assert "Better" not in page and "Worse" not in page and "- 0 of 1 intervals exclude zero." in page


def test_what_is_not_there_is_named(choices: Path) -> None:
    """Choices without a folder, or with runs missing, are left out of the tables, and the page says so."""
    page = make_choices.page(choices)
    assert "| `taylor` | mean squared gradient | not there yet |" in page
    left_out = "`teacher`, `iterative`, `divergence`, `taylor`, `as_released`, `magnitude`"
    assert f"Not there yet, and left out above: {left_out}." in page
    assert "| `taylor` | 80.0 %" not in page
    assert "| `neurons` | single FFN neurons instead of whole sublayers | `units.ffn=neuron` |" in page


def test_without_the_base_there_is_no_page(tmp_path: Path) -> None:
    """All others are compared with it."""
    with pytest.raises(SystemExit, match="is no finished sweep, and all others are compared with it"):
        make_choices.page(tmp_path)


def test_other_full_models_are_said(tmp_path: Path) -> None:
    """Sweeps whose tuned models differ compare more than tickets, and the page says so."""
    write(tmp_path / "as_described", CONFIG, {0.3: (0.8, 160)})
    write(tmp_path / "random", replace(CONFIG, scoring=ScoringConfig(scorer="random")), {0.3: (0.8, 160)})
    assert "The tuned full models of all choices are the same" in " ".join(make_choices.page(tmp_path).split())
    write(tmp_path / "random", replace(CONFIG, scoring=ScoringConfig(scorer="random")), {0.3: (0.8, 160)}, full=149)
    assert "The tuned full models of the choices are not all the same" in " ".join(make_choices.page(tmp_path).split())
