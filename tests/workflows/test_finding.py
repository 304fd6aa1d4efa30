"""find and sweep: the main job from Python, in five lines."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from datasets import load_from_disk

import supertickets
from supertickets import UserError, find, sweep
from supertickets.config import Config
from supertickets.experiments.records import load_all
from supertickets.workflows import finding
from supertickets.workflows.reporting import OUTCOME_FILE
from tiny_sweeps import SHORTEST, snapshot, write_films

OPINIONS = ("good", "bad", "great", "poor", "best", "worst", "bright", "dull")


def write(path: Path, lines: list[str]) -> str:
    """A CSV file."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_classification_in_five_lines(tmp_path: Path, tiny_bert_folder: Path) -> None:
    """Own CSV files with words for labels: a sentence, an outcome, a report, and a model that loads."""
    films = write_films(tmp_path / "films")
    out = tmp_path / "out"
    files = {"train": f"{films}/train.csv", "test": f"{films}/test.csv", "text": "review", "label": "stars"}
    found = find(**files, encoder=str(tiny_bert_folder), out=out, workers=1, set=SHORTEST)

    assert found.sentence.endswith(".") and " % of the weights, scores " in found.sentence
    assert found.report == out / "report.html" and found.report.stat().st_size > 10_000
    assert found.model == out / "super_ticket" and (out / OUTCOME_FILE).is_file()
    assert 0 <= found.outcome.ticket.mean <= 1 and found.outcome.ticket.n == 1
    assert found.outcome.sparsity == 0.5 and 0 < found.outcome.weights_all < 1
    model, tokenizer = supertickets.load(found.model)
    assert model(**tokenizer(["a good film"], return_tensors="pt")).logits.shape == (1, 2)
    assert [record.kind for record in load_all(out)] == ["full", "winning"]

    before = snapshot(out)
    again = find(**files, encoder=str(tiny_bert_folder), out=out, workers=1, set=SHORTEST)
    assert again == found
    after = snapshot(out)
    assert {name for name in before if before[name] != after.get(name)} <= {
        "config.yaml", "data.json", "report.html", "outcome.json", "figures/curve.svg", "figures/agreement.svg"
    }  # fmt: skip


def test_regression(tmp_path: Path, tiny_bert_folder: Path) -> None:
    """Numbers with a fraction as labels: one output, correlations as metrics."""
    rows = [f"a {OPINIONS[row % 8]} movie {row},{row % 8 / 4 + 0.5}" for row in range(40)]
    train, test = (write(tmp_path / f"{n}.csv", ["text,label", *rows[s]]) for n, s in PARTS.items())
    found = find(train=train, test=test, encoder=str(tiny_bert_folder), out=tmp_path / "out", workers=1, set=SHORTEST)
    record = load_all(tmp_path / "out")[0]
    assert set(record.report.metrics) == {"pearson", "spearman"}
    assert record.arrays["report_predictions"].shape == (10,) and record.arrays["report_labels"].dtype.kind == "f"
    model, tokenizer = supertickets.load(found.model)
    assert model(**tokenizer(["a good film"], return_tensors="pt")).logits.shape == (1, 1)


PARTS = {"train": slice(0, 30), "test": slice(30, 40)}


def test_pairs_of_texts_from_a_config_file(tmp_path: Path, tiny_bert_folder: Path) -> None:
    """`sweep` with two text columns and whole numbers as labels; the second text reaches the encoder."""
    rows = [f"the {OPINIONS[row % 8]} film,it was {OPINIONS[row // 2 % 8]},{1 + row % 3}" for row in range(40)]
    for name, part in PARTS.items():
        write(tmp_path / f"{name}.csv", ["one,two,same", *rows[part]])
    file = tmp_path / "pairs.yaml"
    file.write_text(
        f"data: {{train: {tmp_path}/train.csv, test: {tmp_path}/test.csv, text: one, text_pair: two, label: same}}\n"
        f"encoder: {{name: {tiny_bert_folder}}}\n",
        encoding="utf-8",
    )
    found = sweep(file, out=tmp_path / "out", workers=1, set=SHORTEST)
    record = load_all(tmp_path / "out")[0]
    assert record.arrays["report_predictions"].shape == (10, 3)
    tokens = load_from_disk(str(tmp_path / "out" / "cache" / "report"))[0]
    assert 1 in tokens["token_type_ids"] and found.sentence.endswith(".")


def test_where_results_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `out`, runs/<task>, runs/own, or runs/<the config's name>; the demo's settings only for the demo."""

    class Stop(Exception):
        """Instead of a sweep."""

    def stop(config: Config, folder: Path, *_: object) -> None:
        raise Stop(folder, config.encoder.max_length)

    monkeypatch.setattr(finding, "_sweep", stop)
    file = tmp_path / "mine.yaml"
    file.write_text("data: {train: a.csv, test: b.csv}\n", encoding="utf-8")
    for call, folder, length in (
        (partial(find, "rte", data=tmp_path), Path("runs/rte"), 128),
        (partial(find, train="a.csv", test="b.csv"), Path("runs/own"), 128),
        (find, Path("runs/movie-reviews"), 64),
        (partial(sweep, file), Path("runs/mine"), 128),
        (partial(find, "films", train="a.csv", test="b.csv", out=tmp_path), tmp_path, 128),
    ):
        with pytest.raises(Stop) as stopped:
            call()
        assert stopped.value.args == (folder, length)


def test_workers_are_checked_first(tmp_path: Path) -> None:
    """More workers than cores is refused before anything else is looked at."""
    with pytest.raises(UserError, match="10000 workers on"):
        find(train="absent.csv", test="absent.csv", out=tmp_path / "out", workers=10_000)
    assert not (tmp_path / "out").exists()
