"""predict: one line for each row, equal to what the model gives these texts, from any folder that holds a model."""

from __future__ import annotations

import csv
import inspect
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
)

from supertickets import UserError, find
from supertickets.cli.app import main
from supertickets.encoders.onnx import export_onnx
from supertickets.learning import evaluation
from supertickets.workflows import predicting
from supertickets.workflows.exporting import export
from supertickets.workflows.predicting import predict
from tiny_sweeps import SHORTEST, write_films

WORDS = "the film was good bad great poor smart slow warm it is not very old new best worst and story".split()
ROWS = 57


def sentences(n: int, seed: int) -> list[str]:
    """Texts of very different lengths."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 30))) for _ in range(n)]


TEXTS, SECONDS = sentences(ROWS, 0), sentences(ROWS, 1)


def tuned(folder: Path, encoder: Path, head: Any = BertForSequenceClassification, **settings: Any) -> Path:
    """A tuned model's folder as anyone may have one: a random BERT whose predictions differ from text to text."""
    config = BertConfig.from_pretrained(encoder, **settings)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = head(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.2 * torch.randn_like(weight))
            model.classifier.bias.zero_()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def stars(tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with three named classes."""
    names = {0: "bad", 1: "fair", 2: "good, or better"}
    return tuned(tmp_path_factory.mktemp("stars"), tiny_bert_folder, id2label=names)


@pytest.fixture(scope="module")
def sweep(tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `find` leaves for own films: columns review and stars, texts cut at 24 tokens."""
    base = tmp_path_factory.mktemp("sweep")
    films = write_films(base / "films")
    find(
        train=f"{films}/train.csv", test=f"{films}/test.csv", text="review", label="stars",
        encoder=str(tiny_bert_folder), out=base / "out", workers=1, set=[*SHORTEST, "encoder.max_length=24"],
    )  # fmt: skip
    return base / "out"


def expected(folder: Path, texts: list[str], pairs: list[str] | None = None, longest: int = 64) -> np.ndarray:
    """Logits of each text on its own, with transformers alone."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    found = []
    for index, text in enumerate(texts):
        pair = [pairs[index]] if pairs else None
        with torch.no_grad():
            inputs = tokenizer([text], pair, truncation=True, max_length=longest, return_tensors="pt")
            found.append(model.eval()(**inputs).logits[0].numpy())
    return np.array(found)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Shares of the classes."""
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def write_csv(path: Path, **columns: list[str]) -> Path:
    """A CSV file."""
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def shares(path: Path) -> np.ndarray:
    """The probability columns of a result."""
    return pd.read_csv(path).filter(like="p_").to_numpy()


def test_labels_and_probabilities(stars: Path, tmp_path: Path) -> None:
    """One line for each row, in order: the most probable label, and a probability for each class; names are quoted."""
    file = write_csv(tmp_path / "texts.csv", id=[str(i) for i in range(ROWS)], text=TEXTS)
    assert predict(stars, file, out=tmp_path / "preds.csv") == tmp_path / "preds.csv"
    found, logits = pd.read_csv(tmp_path / "preds.csv"), expected(stars, TEXTS)
    assert list(found.columns) == ["prediction", "p_bad", "p_fair", "p_good, or better"]
    np.testing.assert_allclose(shares(tmp_path / "preds.csv"), softmax(logits), atol=2e-6)
    names = np.array(["bad", "fair", "good, or better"])
    assert found["prediction"].tolist() == names[logits.argmax(1)].tolist()
    assert len(set(found["prediction"])) > 1 and len(found) == ROWS


@pytest.mark.parametrize(("rows", "batch_size"), [(1, 32), (7, 3), (20, 1), (57, 57), (2048, 8)])
def test_parts_and_batches_change_nothing(
    rows: int, batch_size: int, stars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the batch and the part of the file read at once, results equal `evaluation.predict` on all rows."""
    monkeypatch.setattr(predicting, "AT_ONCE", rows)
    file = write_csv(tmp_path / "texts.csv", text=TEXTS)
    predict(stars, file, out=tmp_path / "preds.csv", batch_size=batch_size)
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(stars), AutoTokenizer.from_pretrained(stars)
    encoded = tokenizer(TEXTS, truncation=True, max_length=64, return_attention_mask=False)
    data = Dataset.from_dict({**encoded, "length": [len(ids) for ids in encoded["input_ids"]]})
    logits = evaluation.predict(model, data, tokenizer)
    np.testing.assert_allclose(shares(tmp_path / "preds.csv"), softmax(logits), atol=2e-6)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_kind_of_file(kind: str, stars: Path, tmp_path: Path) -> None:
    """Pairs from CSV, TSV, JSONL and Parquet; quotes, separators and line ends inside a text are text."""
    first = [*TEXTS[:4], 'a "good" film,\nnot\tbad']
    frame = pd.DataFrame({"one": first, "other": range(5), "two": SECONDS[:5]})
    file = tmp_path / f"texts.{kind}"
    if kind == "jsonl":
        frame.to_json(file, orient="records", lines=True)
    elif kind == "parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False, sep="," if kind == "csv" else "\t")
    predict(stars, file, out=tmp_path / "preds.csv", text="one", text_pair="two")
    found = shares(tmp_path / "preds.csv")
    np.testing.assert_allclose(found, softmax(expected(stars, first, SECONDS[:5])), atol=2e-6)
    assert np.abs(found - softmax(expected(stars, first))).max() > 1e-3  # the second text counts


def test_numbers(tiny_bert_folder: Path, tmp_path: Path) -> None:
    """A regression gives one column, the number."""
    folder = tuned(tmp_path / "model", tiny_bert_folder, num_labels=1, problem_type="regression")
    predict(folder, write_csv(tmp_path / "texts.csv", text=TEXTS), out=tmp_path / "preds.csv")
    found = pd.read_csv(tmp_path / "preds.csv")
    assert list(found.columns) == ["prediction"]
    np.testing.assert_allclose(found["prediction"], expected(folder, TEXTS)[:, 0], rtol=1e-5, atol=1e-5)


def test_what_find_left(sweep: Path, tmp_path: Path) -> None:
    """The sweep's folder or its super ticket's: columns, labels and length are those of training."""
    texts = [*TEXTS[:5], " ".join(["good"] * 40), " ".join(["good"] * 22 + ["bad"] * 18)]  # alike up to 24 tokens
    file = write_csv(tmp_path / "texts.csv", other=texts, review=texts)
    for folder, name in ((sweep, "a.csv"), (sweep / "super_ticket", "b.csv")):
        predict(folder, file, out=tmp_path / name)
    found = pd.read_csv(tmp_path / "a.csv")
    assert list(found.columns) == ["prediction", "p_no", "p_yes"] and len(found) == 7
    assert found.iloc[5].tolist() == found.iloc[6].tolist()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    predict(sweep, file, out=tmp_path / "c.csv", text="other")
    assert (tmp_path / "c.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()


def test_a_super_tickets_own_report_score(sweep: Path, tmp_path: Path) -> None:
    """Predicted again, the report examples score what the delivered model's score is recorded to be."""
    test = sweep.parent / "films" / "test.csv"
    predict(sweep, test, out=tmp_path / "preds.csv")
    right = (pd.read_csv(tmp_path / "preds.csv")["prediction"] == pd.read_csv(test)["stars"]).mean()
    assert right == pytest.approx(json.loads((sweep / "speedup.json").read_text())["report"])


def test_onnx_equals_torch(stars: Path, tmp_path: Path) -> None:
    """By --backend onnx, and from an exported folder: the same labels, probabilities within 1e-4."""
    file = write_csv(tmp_path / "texts.csv", text=TEXTS, two=SECONDS)
    columns = {"text": "text", "text_pair": "two"}
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(stars), AutoTokenizer.from_pretrained(stars)
    export_onnx(model, tokenizer, tmp_path / "onnx")
    predict(stars, file, out=tmp_path / "torch.csv", **columns)
    predict(stars, file, out=tmp_path / "a.csv", backend="onnx", **columns)
    predict(tmp_path / "onnx", file, out=tmp_path / "b.csv", **columns)
    ours = pd.read_csv(tmp_path / "torch.csv")
    for name in ("a.csv", "b.csv"):
        assert pd.read_csv(tmp_path / name)["prediction"].tolist() == ours["prediction"].tolist()
        np.testing.assert_allclose(shares(tmp_path / name), shares(tmp_path / "torch.csv"), atol=1e-4)
    assert len(set(ours["prediction"])) > 1
    with pytest.raises(UserError, match="this folder holds an ONNX model; leave out --backend torch"):
        predict(tmp_path / "onnx", file, out=tmp_path / "c.csv", backend="torch")


def submission(path: Path) -> list[str]:
    """A submission's predictions, read as the server reads them; indices count from 0."""
    with path.open(encoding="utf-8", newline="") as stream:
        head, *rows = csv.reader(stream, delimiter="\t")
    assert head == ["index", "prediction"] and [int(index) for index, _ in rows] == [*range(len(rows))]
    return [cell for _, cell in rows]


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("LABEL_0", "LABEL_1", "LABEL_2"), ("entailment", "neutral", "contradiction")),
        (("CONTRADICTION", "NEUTRAL", "ENTAILMENT"), ("contradiction", "neutral", "entailment")),
    ],
)
def test_a_submission_of_classes(
    names: tuple[str, ...], order: tuple[str, ...], tiny_bert_folder: Path, tmp_path: Path
) -> None:
    """MNLI's test file as published (quotes are text, more columns): the server's names for the model's classes."""
    folder = tuned(tmp_path / "model", tiny_bert_folder, id2label=dict(enumerate(names)))
    first = [f'"{text}' for text in TEXTS]
    lines = [f"{row}\tx\t{a}\t{b}" for row, (a, b) in enumerate(zip(first, SECONDS, strict=True))]
    file = tmp_path / "test_matched.tsv"
    file.write_text("\n".join(["index\tgenre\tsentence1\tsentence2", *lines]) + "\n", encoding="utf-8")
    predict(folder, file, out=tmp_path / "MNLI-m.tsv", task="mnli", format="glue")
    found = submission(tmp_path / "MNLI-m.tsv")
    assert found == [order[index] for index in expected(folder, first, SECONDS).argmax(1)]
    assert len(set(found)) > 1


@pytest.mark.parametrize("header", ["", "index\tsentence"])
def test_cola_with_and_without_a_header(header: str, tiny_bert_folder: Path, tmp_path: Path) -> None:
    """CoLA's dev file has no header line, its test file has one; labels are 0 and 1."""
    folder = tuned(tmp_path / "model", tiny_bert_folder, id2label={0: "unacceptable", 1: "acceptable"})
    lines = [header, *(f"{row}\t{text}" for row, text in enumerate(TEXTS))]
    if not header:
        lines = [f"gj04\t1\t\t{text}" for text in TEXTS]
    file = tmp_path / "texts.tsv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    predict(folder, file, out=tmp_path / "CoLA.tsv", task="cola", format="glue")
    assert submission(tmp_path / "CoLA.tsv") == [str(index) for index in expected(folder, TEXTS).argmax(1)]


def test_a_submission_of_similarities(tiny_bert_folder: Path, tmp_path: Path) -> None:
    """STS-B: numbers with three decimals, none below 0 or above 5."""
    folder = tuned(tmp_path / "model", tiny_bert_folder, num_labels=1)
    model, values = BertForSequenceClassification.from_pretrained(folder), expected(folder, TEXTS, SECONDS)
    scale = float(9 / np.ptp(values))
    with torch.no_grad():  # from -2 to 7
        model.classifier.weight.mul_(scale)
        model.classifier.bias.fill_(-2 - scale * float(values.min()))
    model.save_pretrained(folder)
    file = write_csv(tmp_path / "test.csv", sentence1=TEXTS, sentence2=SECONDS)
    predict(folder, file, out=tmp_path / "STS-B.tsv", task="stsb", format="glue")
    found, values = submission(tmp_path / "STS-B.tsv"), expected(folder, TEXTS, SECONDS)[:, 0]
    assert all(len(cell.split(".")[1]) == 3 for cell in found)
    np.testing.assert_allclose(np.array(found, dtype=float), np.clip(values, 0, 5), atol=6e-4)
    assert {"0.000", "5.000"} < set(found)


def test_real_files(glue: Path, tiny_bert_folder: Path, tmp_path: Path) -> None:
    """RTE's published dev file, as it is, by its task's name only."""
    folder = tuned(tmp_path / "model", tiny_bert_folder)
    predict(folder, glue / "RTE" / "dev.tsv", out=tmp_path / "RTE.tsv", task="RTE", format="glue")
    assert len(found := submission(tmp_path / "RTE.tsv")) == 277 and set(found) <= {"entailment", "not_entailment"}


class Lines:
    """Progress that is kept."""

    def __init__(self) -> None:
        self.planned: tuple[float, int] = (0.0, 0)
        self.costs: list[float] = []
        self.lines: list[str] = []

    def plan(self, total_cost: float, total_runs: int, at_once: int = 1) -> None:
        """Keep it."""
        self.planned = (total_cost, total_runs)

    def revise(self, total_cost: float, total_runs: int) -> None:
        """Not here."""

    def done(self, name: str, cost: float, line: str) -> None:
        """Keep it."""
        self.costs.append(cost)
        self.lines.append(line)

    def say(self, line: str) -> None:
        """Not here."""


@pytest.mark.parametrize(("rows", "count"), [(1, 19), (10, 6), (100, 1)])
def test_progress(rows: int, count: int, stars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 20 lines however large the file is; what was planned is what is done."""
    monkeypatch.setattr(predicting, "AT_ONCE", rows)
    seen = Lines()
    predict(stars, write_csv(tmp_path / "t.csv", text=TEXTS), out=tmp_path / "preds.csv", progress=seen)
    assert seen.planned == (57.0, count) and len(seen.costs) == count
    assert sum(seen.costs) == 57 and seen.lines[-1] == "57 of 57 rows"


def test_the_command(
    stars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verb writes the file and prints its path; what goes on is on stderr."""
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "t.csv", review=TEXTS)
    assert main(["predict", str(stars), "t.csv", "--out", "preds.csv", "--text", "review", "--batch-size", "8"]) == 0
    out, err = capsys.readouterr()
    assert out == "preds.csv\n" and "[1/1] 57 of 57 rows" in err
    assert len(pd.read_csv("preds.csv")) == ROWS


def refusal(folder: Path, file: Path, tmp_path: Path, **options: Any) -> str:
    """The one sentence; nothing is written."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        predict(folder, file, **({"out": tmp_path / "preds.csv"} | options))
    assert "\n" not in str(caught.value) and sorted(tmp_path.rglob("*")) == before
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "body", "options", "sentence"),
    [
        ("t.csv", "text;b\nx;y\n", {}, "(the columns are text;b); separate the columns by commas, not by ';'"),
        ("t.csv", "a,b\nx,y\n", {}, ":1: column text is missing (the columns are a, b); name the file's column with"),
        (
            "t.csv",
            "text\nx\n",
            {"text_pair": "two"},
            "column two is missing (the columns are text); this model reads p",
        ),
        ("t.csv", "text\nx\n", {"task": "rte"}, "column sentence1 is missing (the columns are text); this model reads"),
        (
            "t.csv",
            "text,b\nx,y\n",
            {"task": "sst2", "text_pair": "b"},
            "reads one text, and --text-pair b gives it two",
        ),
        ("t.csv", "", {}, "t.csv: the file is empty"),
        ("t.csv", "text\n", {}, "t.csv: the file is empty: it has a header and no examples"),
        ("t.jsonl", "\n", {}, "t.jsonl: the file is empty"),
        ("t.csv", "text\nx\n \n", {}, None),
        ("t.csv", "text,b\nx,y\n ,y\n", {}, "t.csv:3:1: the text in column text is missing"),
        ("t.csv", "text,b\nx,y\nx\n", {}, "t.csv:3:2: too few fields"),
        ("t.jsonl", '{"text": 3}\n', {}, "t.jsonl:1: column text holds int values, not text"),
        ("t.jsonl", '{"text": "x"}\n{"a": "x"}\n', {}, "t.jsonl:2: column text is missing"),
        ("t.parquet", "text", {}, "t.parquet: not a Parquet file"),
        ("t.doc", "text", {}, "t.doc: unknown kind of file .doc"),
        ("t.csv", "text\nx\n", {"format": "glue"}, "the GLUE format needs to know the task"),
        ("t.csv", "text\nx\n", {"format": "glue", "task": "snli"}, "GLUE's server takes no snli"),
        ("t.csv", "text\nx\n", {"task": "rt"}, "unknown task rt; did you mean rte?"),
        ("t.csv", "sentence\nx\n", {"task": "sst2", "format": "glue"}, "this model has 3 outputs, sst2 needs 2"),
        (
            "t.csv",
            "sentence1,sentence2\nx,y\n",
            {"task": "mnli", "format": "glue"},
            "the model's labels (bad, fair, good, or better) are not those of mnli",
        ),
    ],
)
def test_bad_files_and_options(
    name: str, body: str, options: dict[str, Any], sentence: str | None, stars: Path, tmp_path: Path
) -> None:
    """Each is one sentence that says where, and no file."""
    (tmp_path / name).write_text(body, encoding="utf-8")
    if sentence is None:
        predict(stars, tmp_path / name, out=tmp_path / "preds.csv", **options)
        assert len(pd.read_csv(tmp_path / "preds.csv")) == 1
        return
    assert sentence in refusal(stars, tmp_path / name, tmp_path, **options)


def test_a_pair_model_says_so(tiny_bert_folder: Path, sweep: Path, tmp_path: Path) -> None:
    """A sweep knows whether it was about pairs: one column too few or too many is refused."""
    pairs = tmp_path / "pairs"
    shutil.copytree(sweep, pairs, ignore=shutil.ignore_patterns("runs", "cache"))
    (pairs / "super_ticket" / "ticket_task.json").unlink()  # as in a sweep's folder from before there was one
    config = (pairs / "config.yaml").read_text(encoding="utf-8")
    (pairs / "config.yaml").write_text(config.replace("text_pair: null", "text_pair: reply"), encoding="utf-8")
    assert "text_pair: reply" in (pairs / "config.yaml").read_text(encoding="utf-8")
    file = write_csv(tmp_path / "t.csv", review=TEXTS)
    assert "column reply is missing (the columns are review); this model reads pairs" in refusal(pairs, file, tmp_path)
    assert "this model reads one text, and --text-pair review gives it two" in refusal(
        sweep, file, tmp_path, text_pair="review"
    )


def test_where_results_may_go(stars: Path, tmp_path: Path) -> None:
    """No folder there, a folder instead of a file, or the texts themselves: refused; an old result is replaced."""
    file = write_csv(tmp_path / "t.csv", text=TEXTS)
    (tmp_path / "dir").mkdir()
    assert "there is no such folder" in refusal(stars, file, tmp_path, out=tmp_path / "none" / "preds.csv")
    assert "a folder, not a file" in refusal(stars, file, tmp_path, out=tmp_path / "dir")
    assert "would replace the texts" in refusal(stars, file, tmp_path, out=tmp_path / "dir" / ".." / "t.csv")
    (tmp_path / "old.csv").write_text("old")
    predict(stars, file, out=tmp_path / "old.csv")
    assert len(pd.read_csv(tmp_path / "old.csv")) == ROWS


def test_folders_without_a_model_for_this(stars: Path, tiny_bert_folder: Path, sweep: Path, tmp_path: Path) -> None:
    """No folder, no model, no tokenizer, no trained head, another head, an unfinished sweep: one sentence each."""
    file = write_csv(tmp_path / "t.csv", text=TEXTS)
    assert "there is no such folder" in refusal(tmp_path / "none", file, tmp_path)
    (tmp_path / "empty").mkdir()
    assert "config.json is missing" in refusal(tmp_path / "empty", file, tmp_path)
    assert "no trained head" in refusal(tiny_bert_folder, file, tmp_path)
    other = tuned(tmp_path / "tokens", tiny_bert_folder, BertForTokenClassification)
    assert "no trained head" in refusal(other, file, tmp_path)
    several = tuned(tmp_path / "several", tiny_bert_folder, problem_type="multi_label_classification")
    assert "several labels" in refusal(several, file, tmp_path)
    bare = Path(shutil.copytree(stars, tmp_path / "bare", ignore=shutil.ignore_patterns("tok*", "vocab*")))
    assert "holds no tokenizer" in refusal(bare, file, tmp_path)
    early = Path(shutil.copytree(sweep, tmp_path / "early", ignore=shutil.ignore_patterns("super_ticket", "cache")))
    assert "no super ticket yet" in refusal(early, file, tmp_path)
    model = BertForTokenClassification.from_pretrained(other)
    export_onnx(model, AutoTokenizer.from_pretrained(other), tmp_path / "onnx")
    assert "does not classify texts: its outputs are logits" in refusal(tmp_path / "onnx", file, tmp_path)


def test_killed_midway(stars: Path, tmp_path: Path) -> None:
    """A process killed while it writes leaves no file under the result's name."""
    file = write_csv(tmp_path / "t.csv", text=TEXTS)
    code = f"""
import os, signal
from supertickets.learning import evaluation
from supertickets.workflows import predicting
predicting.AT_ONCE = 20
real, calls = evaluation.predict, []
def dying(*arguments, **options):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
evaluation.predict = dying
predicting.predict({str(stars)!r}, {str(file)!r}, out={str(tmp_path / "preds.csv")!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "preds.csv").exists()
    assert len([*tmp_path.glob(".preds.csv.*.partial")]) == 1  # it had begun


def test_a_failure_leaves_what_was_there(stars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error after the first rows removes what was written of them; an old result stays as it was."""
    file = write_csv(tmp_path / "t.csv", text=TEXTS)
    (tmp_path / "old.csv").write_text("old")
    real, calls = evaluation.predict, []

    def failing(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("the machine stopped")
        return real(*arguments, **options)

    monkeypatch.setattr(predicting, "AT_ONCE", 20)
    monkeypatch.setattr(evaluation, "predict", failing)
    with pytest.raises(RuntimeError, match="the machine stopped"):
        predict(stars, file, out=tmp_path / "old.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.csv", "t.csv"]
    assert (tmp_path / "old.csv").read_text() == "old"


@pytest.mark.parametrize("to", ["hf", "onnx"])
def test_an_exported_folder(to: Any, sweep: Path, tmp_path: Path) -> None:
    """What `export` wrote predicts as the sweep does, long texts too: the same columns, the same labels, within 1e-4.

    The texts are alike up to the 24 tokens at which the sweep cut them, or much shorter.
    """
    long = [" ".join(["good"] * 22 + [word] * 18) for word in ("good", "bad", "worst")]
    file = write_csv(tmp_path / "t.csv", review=[*TEXTS, *long], text=SECONDS + SECONDS[:3])
    export(sweep, to=to, out=tmp_path / "exported")
    predict(sweep, file, out=tmp_path / "ours.csv")
    predict(tmp_path / "exported", file, out=tmp_path / "theirs.csv")
    ours, theirs = pd.read_csv(tmp_path / "ours.csv"), pd.read_csv(tmp_path / "theirs.csv")
    np.testing.assert_allclose(shares(tmp_path / "theirs.csv"), shares(tmp_path / "ours.csv"), atol=1e-4)
    assert theirs.columns.tolist() == ["prediction", "p_no", "p_yes"]
    assert theirs["prediction"].tolist() == ours["prediction"].tolist()
    assert np.ptp(shares(tmp_path / "theirs.csv")[-3:], axis=0).max() < 1e-6
    assert "ticket_task.json" in json.loads((tmp_path / "exported" / "checksums.json").read_text())


def test_a_super_ticket_without_its_sweep(sweep: Path, tmp_path: Path) -> None:
    """Moved elsewhere, or loaded by transformers alone, it cuts texts at the same token, and knows its columns."""
    long = [" ".join(["good"] * 22 + [word] * 18) for word in ("good", "bad")]
    file = write_csv(tmp_path / "t.csv", review=[*TEXTS, *long])
    moved = Path(shutil.copytree(sweep / "super_ticket", tmp_path / "moved"))
    predict(sweep, file, out=tmp_path / "a.csv")
    predict(moved, file, out=tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    tokenizer = AutoTokenizer.from_pretrained(moved)
    assert tokenizer.model_max_length == 24
    model = AutoModelForSequenceClassification.from_pretrained(moved).eval()
    with torch.no_grad():
        logits = [model(**tokenizer([text], truncation=True, return_tensors="pt")).logits[0].numpy() for text in long]
    np.testing.assert_allclose(shares(tmp_path / "a.csv")[-2:], softmax(np.array(logits)), atol=2e-6)


@pytest.mark.parametrize("to", ["super_ticket", "hf", "onnx"])
def test_another_task_is_refused(to: Any, sweep: Path, tmp_path: Path) -> None:
    """A model of films makes no submission about grammar, and reads no pairs, wherever it was exported to."""
    folder = sweep / "super_ticket"
    if to != "super_ticket":
        folder = export(sweep, to=to, out=tmp_path / "exported")
    file = write_csv(tmp_path / "t.csv", sentence=TEXTS, review=TEXTS, sentence1=TEXTS, sentence2=SECONDS)
    assert "--task: this model learned train, not cola; train on the data of cola under its name: find cola" in refusal(
        folder, file, tmp_path, task="cola", format="glue"
    )
    assert "this model reads one text, and --text-pair sentence2 gives it two" in refusal(
        folder, file, tmp_path, text_pair="sentence2"
    )
    assert "this model reads one text, and rte has pairs of texts; leave --task out" in refusal(
        folder, file, tmp_path, task="rte"
    )


def test_options_that_are_not_known(stars: Path, tmp_path: Path) -> None:
    """Without the type checks of these tests, another backend or format, or an empty batch, is one sentence."""
    file = write_csv(tmp_path / "t.csv", text=TEXTS)
    for options, sentence in (
        ({"backend": "tf"}, r"backend: 'tf' is not known here \(torch, onnx\)"),
        ({"format": "json"}, r"format: 'json' is not known here \(csv, glue\)"),
        ({"batch_size": 0}, "batch_size: a batch holds at least 1 text, not 0"),
    ):
        with pytest.raises(UserError, match=sentence):
            inspect.unwrap(predict)(stars, file, out=tmp_path / "preds.csv", **options)
    assert not (tmp_path / "preds.csv").exists()
