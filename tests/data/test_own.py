"""The user's own data, in every format and with every fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from supertickets.config import DataConfig
from supertickets.data.files import Loaded, read
from supertickets.errors import UserError

ROWS = (
    {"review": 'so "good", so warm', "stars": "pos"},
    {"review": "dull", "stars": "neg"},
    {"review": "two\nlines", "stars": "pos"},
    {"review": "bad", "stars": "neg"},
)


def delimited(separator: str) -> Callable[[Path, Sequence[dict[str, Any]]], None]:
    """A writer of quoted text with this separator."""

    def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
        cells = [[*rows[0]], *([str(cell).replace('"', '""') for cell in row.values()] for row in rows)]
        path.write_text("".join(separator.join(f'"{cell}"' for cell in row) + "\n" for row in cells), encoding="utf-8")

    return write


def json_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write one object per line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a Parquet file."""
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def saved_dataset(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a folder as `save_to_disk` does."""
    datasets.Dataset.from_list(list(rows)).save_to_disk(str(path))


WRITERS = {
    ".csv": delimited(","),
    ".tsv": delimited("\t"),
    ".jsonl": json_lines,
    ".parquet": parquet,
    "_folder": saved_dataset,
}


@pytest.fixture(autouse=True)
def quiet_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what `datasets` caches, and the bars that a test's own writing would draw, out of the way."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    datasets.disable_progress_bars()


def load(train: Path | str, test: Path | str | None = None, **settings: Any) -> Loaded:
    """Read own data, the training file as report file too unless one is given."""
    columns = {"text": "review", "label": "stars"} | settings
    return read(DataConfig(train=str(train), test=str(test or train), **columns))


def sentence(folder: Path, train: Path | str, test: Path | str | None = None, **settings: Any) -> str:
    """What the user reads when the data cannot be read, with the test's folder cut off."""
    with pytest.raises(UserError) as caught:
        load(train, test, **settings)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_gives_the_same_examples(tmp_path: Path, ending: str) -> None:
    """CSV, TSV, JSONL, Parquet and dataset folders hold the same texts, labels and classes."""
    path = tmp_path / f"reviews{ending}"
    WRITERS[ending](path, ROWS)
    loaded = load(path)
    assert list(loaded.train["text"]) == [row["review"] for row in ROWS]
    assert list(loaded.train["label"]) == [1, 0, 1, 0]
    assert (loaded.task.labels, loaded.task.kind, loaded.task.metrics) == (
        ("neg", "pos"),
        "classification",
        ("accuracy",),
    )
    assert loaded.task.name == path.stem
    assert loaded.sizes["train"]["official"] is None
    assert not loaded.sizes["train"]["partial"]


def test_the_checksum_follows_the_content_alone(tmp_path: Path) -> None:
    """Two formats of the same examples have one checksum; another label gives another."""
    shas = []
    for ending, rows in (
        (".csv", ROWS),
        (".parquet", ROWS),
        (".jsonl", [*ROWS[:3], {"review": "bad", "stars": "pos"}]),
    ):
        path = tmp_path / f"reviews{ending}"
        WRITERS[ending](path, rows)
        shas.append(load(path).sha256)
    assert shas[0] == shas[1] != shas[2]


def test_pairs_of_texts(tmp_path: Path) -> None:
    """A second text column makes a task on pairs."""
    path = tmp_path / "pairs.csv"
    path.write_text("a,b,same\nx,y,1\nz,w,0\nx,w,1\ny,z,0\n", encoding="utf-8")
    loaded = load(path, text="a", text_pair="b", label="same")
    assert loaded.train[1] == {"text": "z", "text_pair": "w", "label": 0}


def test_whole_number_labels_are_classes_by_size(tmp_path: Path) -> None:
    """Whole numbers are classes, sorted as numbers, and 2 and 2.0 are one class."""
    rows = [{"review": "x", "stars": stars} for stars in ("10", "2", "2.0", "10.0", "-1", "-1")]
    WRITERS[".csv"](tmp_path / "r.csv", rows)
    loaded = load(tmp_path / "r.csv")
    assert loaded.task.labels == ("-1", "2", "10")
    assert list(loaded.train["label"]) == [2, 1, 1, 2, 0, 0]


def test_numbers_with_a_fraction_mean_regression(tmp_path: Path) -> None:
    """Labels with a fraction make a regression, scored by both correlations."""
    json_lines(tmp_path / "r.jsonl", [{"review": "x", "stars": stars} for stars in (1, 2.5, 4)])
    loaded = load(tmp_path / "r.jsonl")
    assert (loaded.task.kind, loaded.task.classes, loaded.task.metrics) == ("regression", 1, ("pearson", "spearman"))
    assert list(loaded.train["label"]) == [1.0, 2.5, 4.0]


def test_whole_numbers_can_be_asked_to_be_a_regression(tmp_path: Path) -> None:
    """`kind: regression` reads whole numbers as numbers, `kind: classification` fractions as classes."""
    json_lines(tmp_path / "r.jsonl", [{"review": "x", "stars": stars} for stars in (1, 2, 3)])
    assert load(tmp_path / "r.jsonl", kind="regression").train[2]["label"] == 3.0
    json_lines(tmp_path / "f.jsonl", [{"review": "x", "stars": stars} for stars in (0.5, 1.5, 0.5, 1.5)])
    assert load(tmp_path / "f.jsonl", kind="classification").task.labels == ("0.5", "1.5")


def test_class_names_of_a_dataset_are_kept(tmp_path: Path) -> None:
    """A dataset's ClassLabel gives words, not ids."""
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    cells = {"text": ["a", "b", "c", "d"], "label": [1, 0, 1, 0]}
    datasets.Dataset.from_dict(cells, features=features).save_to_disk(str(tmp_path / "d"))
    loaded = read(DataConfig(task="mine", train=str(tmp_path / "d"), test=str(tmp_path / "d")))
    assert (loaded.task.name, loaded.task.labels) == ("mine", ("no", "yes"))


def test_a_split_of_a_saved_dataset_is_named_behind_a_colon(tmp_path: Path) -> None:
    """`folder:split` reads that split of a saved DatasetDict."""
    folder = tmp_path / "both"
    sets = {"train": datasets.Dataset.from_list(list(ROWS)), "held": datasets.Dataset.from_list(list(ROWS[:2]))}
    datasets.DatasetDict(sets).save_to_disk(str(folder))
    loaded = load(f"{folder}:train", f"{folder}:held")
    assert (len(loaded.train), len(loaded.report)) == (4, 2)
    assert sentence(tmp_path, f"{folder}:dev", f"{folder}:held") == (
        "both:dev: there is no split dev in it (the splits are train, held); name one, as in both:train"
    )
    assert "both: it holds several splits (the splits are train, held); name one" in sentence(tmp_path, folder)


def test_the_folder_above_stays_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`..` is a folder of data like any other: what `datasets` keeps of it is written inside its cache."""
    cache = tmp_path / "cache" / "datasets"
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
    (tmp_path / "films" / "here").mkdir(parents=True)
    delimited(",")(tmp_path / "films" / "data.csv", ROWS)
    monkeypatch.chdir(tmp_path / "films" / "here")
    assert len(load("..").train) == len(ROWS)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["datasets"]
    assert [path.name for path in cache.iterdir() if path.is_dir()] == ["films"]


def test_a_folder_of_data_files_is_a_dataset(tmp_path: Path) -> None:
    """A folder of CSV files is read as `datasets` reads one, without a progress bar."""
    folder = tmp_path / "files"
    folder.mkdir()
    WRITERS[".csv"](folder / "train.csv", ROWS)
    WRITERS[".csv"](folder / "test.csv", ROWS[:2])
    loaded = load(f"{folder}:train", f"{folder}:test")
    assert (len(loaded.train), len(loaded.report)) == (4, 2)


def test_reading_draws_no_progress_bar(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Bars are off while a dataset is read and on again afterwards."""
    folder = tmp_path / "files"
    folder.mkdir()
    WRITERS[".csv"](folder / "train.csv", ROWS)
    datasets.enable_progress_bars()
    load(f"{folder}:train")
    assert not datasets.are_progress_bars_disabled()
    assert capfd.readouterr().err == ""


def test_a_hub_dataset_out_of_reach_is_one_sentence(tmp_path: Path) -> None:
    """Without network, a hub name is refused in one sentence that names it."""
    text = sentence(tmp_path, "nobody/nothing-here:train")
    assert text.startswith("nobody/nothing-here:train: this dataset cannot be loaded (")
    assert text.endswith("check its name, its files and the network connection")
    assert "\n" not in text


def test_report_examples_that_were_trained_on_are_counted(tmp_path: Path) -> None:
    """An example in both files is noted, because it flatters the score."""
    WRITERS[".csv"](tmp_path / "a.csv", ROWS)
    WRITERS[".csv"](tmp_path / "b.csv", [ROWS[0], {"review": "new", "stars": "neg"}])
    notes = load(tmp_path / "a.csv", tmp_path / "b.csv").notes
    assert notes == ["report examples whose text is in the training set, too: 1 of 2"]


def test_a_very_long_field_is_read(tmp_path: Path) -> None:
    """A text longer than the csv module's own limit is text like any other."""
    rows = [*ROWS, {"review": "x" * 200_000, "stars": "pos"}]
    WRITERS[".csv"](tmp_path / "long.csv", rows)
    assert len(load(tmp_path / "long.csv").train[4]["text"]) == 200_000


HEAD = "review,stars\n"
TWO = "good,pos\nbad,neg\n"
OTHER_COLUMNS = "name the file's columns with data.text, data.text_pair and data.label (--text, --text-pair, --label)"
BAD_CSV = {
    "empty file": ("", "r.csv: the file is empty; give a file with a header line and examples"),
    "header only": (HEAD, "r.csv: the file is empty: it has a header and no examples; add examples"),
    "missing column": (
        "text,stars\nx,pos\n",
        f"r.csv:1: column review is missing (the columns are text, stars); {OTHER_COLUMNS}",
    ),
    "column twice": (
        "review,stars,stars\nx,1,2\n",
        "r.csv:1: column stars appears 2 times; give each column its own name",
    ),
    "too few fields": (
        HEAD + TWO + "dull\n",
        "r.csv:4:2: too few fields: 1 instead of 2 (review, stars); add the field stars",
    ),
    "too many fields": (
        HEAD + "so, so,neg\n" + TWO,
        "r.csv:2:3: too many fields: 3 instead of 2 (review, stars); "
        "remove the stray separator, or quote the field that holds it",
    ),
    "missing label": (
        HEAD + TWO + "dull,\n",
        "r.csv:4:2: the label in column stars is missing; fill it in or remove the row",
    ),
    "missing text": (
        HEAD + TWO + TWO + " ,pos\n",
        "r.csv:6:1: the text in column review is missing; fill it in or remove the row",
    ),
    "line after a quoted line break": (
        HEAD + TWO + TWO + '"one\ntwo",pos\n,neg\n',
        "r.csv:8:1: the text in column review is missing; fill it in or remove the row",
    ),
    "open quote": (
        HEAD + TWO + '"dull,neg\n',
        "r.csv:4: the quotes of the row that starts here do not match (unexpected end of data); "
        "close each quote, and double the quote characters inside a quoted field",
    ),
    "one class only": (
        HEAD + "good,pos\nfine,pos\n",
        'r.csv: every label in column stars is "pos": there is one class only; '
        "give training examples that differ in their label",
    ),
    "too few for the classes": (
        HEAD + "a,x\nb,y\nc,z\n",
        "r.csv: 3 training examples are too few for the 3 classes of column stars; "
        "give 6 at least: one per class to train on and one to choose by",
    ),
    "word among the numbers": (
        HEAD + "a,1.5\nb,2.5\nc,high\n",
        'r.csv:4:2: "high" in column stars is not a number; correct the number or remove the row',
    ),
}


@pytest.mark.parametrize("fault", BAD_CSV)
def test_a_bad_csv_gets_one_sentence_with_its_place(tmp_path: Path, fault: str) -> None:
    """Each fault of the user's file is told with file, line, column and remedy."""
    text, expected = BAD_CSV[fault]
    (tmp_path / "r.csv").write_text(text, encoding="utf-8")
    assert sentence(tmp_path, tmp_path / "r.csv") == expected


def test_a_label_that_only_the_report_file_has(tmp_path: Path) -> None:
    """A report label that was never trained on is refused where it stands, with the labels there are."""
    WRITERS[".csv"](tmp_path / "a.csv", ROWS)
    (tmp_path / "b.csv").write_text(HEAD + "good,pos\nso so,neutral\n", encoding="utf-8")
    assert sentence(tmp_path, tmp_path / "a.csv", tmp_path / "b.csv") == (
        'b.csv:3:2: unknown label "neutral" in column stars (the labels are neg, pos); '
        "use only labels that a.csv has, too"
    )


def test_csv_that_is_not_utf8(tmp_path: Path) -> None:
    """A Latin-1 file is refused with the line and the byte."""
    (tmp_path / "r.csv").write_bytes(HEAD.encode() + TWO.encode() + b"caf\xe9,pos\n")
    assert sentence(tmp_path, tmp_path / "r.csv") == "r.csv:4: not UTF-8 (byte 0xE9); save the file as UTF-8"


BAD_JSON = {
    "not JSON": ('{"review": "x", "stars": 1}\n{oops\n', "r.jsonl:2:2: not JSON (Expecting property name"),
    "not an object": ("[1, 2]\n", "r.jsonl:1: expected a JSON object, found a list; write one JSON object per line"),
    "missing column": (
        '{"review": "x", "stars": 1}\n{"review": "y"}\n',
        f"r.jsonl:2: column stars is missing (this row has review); {OTHER_COLUMNS}",
    ),
    "missing label": (
        '{"review": "x", "stars": 1}\n{"review": "y", "stars": null}\n',
        "r.jsonl:2: the label in column stars is missing; fill it in or remove the row",
    ),
    "several labels": (
        '{"review": "x", "stars": [1, 2]}\n',
        "r.jsonl:1: column stars holds several labels; one label per example is what can be learned; "
        "give one label per example",
    ),
    "text that is none": (
        '{"review": 7, "stars": 1}\n{"review": "y", "stars": 2}\n' * 2,
        "r.jsonl:1: column review holds int values, not text; give the text as a string, or name another column",
    ),
    "blank": ("\n\n", "r.jsonl: the file is empty; give a file with a header line and examples"),
}


@pytest.mark.parametrize("fault", BAD_JSON)
def test_bad_json_lines_get_one_sentence_with_their_place(tmp_path: Path, fault: str) -> None:
    """Each fault of JSON lines is told with file, line, column name and remedy."""
    text, expected = BAD_JSON[fault]
    (tmp_path / "r.jsonl").write_text(text, encoding="utf-8")
    assert sentence(tmp_path, tmp_path / "r.jsonl").startswith(expected)


def test_bad_parquet(tmp_path: Path) -> None:
    """A missing column, a missing label, no rows, an empty file and a file of another format are each told apart."""
    path = tmp_path / "r.parquet"
    parquet(path, [{"review": "x", "rating": 1}])
    assert sentence(tmp_path, path).startswith("r.parquet: column stars is missing (the columns are review, rating)")
    parquet(path, [{"review": "x", "stars": 1}, {"review": "y", "stars": None}])
    assert sentence(tmp_path, path).startswith("r.parquet:row 2: the label in column stars is missing; fill")
    pq.write_table(pa.table({"review": pa.array([], pa.string()), "stars": pa.array([], pa.int64())}), path)
    assert sentence(tmp_path, path) == "r.parquet: there are no examples in it; add examples"
    path.write_text(HEAD + TWO, encoding="utf-8")
    assert sentence(tmp_path, path).startswith("r.parquet: not a Parquet file (ArrowInvalid: ")
    path.write_text("", encoding="utf-8")
    assert sentence(tmp_path, path) == "r.parquet: the file is empty; give a Parquet file with examples"


@pytest.mark.parametrize("torn", [b"moviex", b"review"])
def test_parquet_that_is_no_utf8(tmp_path: Path, torn: bytes) -> None:
    """A text, or a column's name, of other bytes than UTF-8 is a fault of the file."""
    path = tmp_path / "r.parquet"
    table = pa.table({"review": ["moviex", "moviey"], "stars": [0, 1]}).replace_schema_metadata()
    pq.write_table(table, path, compression="none", use_dictionary=False, store_schema=False)
    path.write_bytes(path.read_bytes().replace(torn, b"\xff" + torn[1:]))
    assert sentence(tmp_path, path).startswith("r.parquet: it holds a value that cannot be read (UnicodeDecodeError: ")


@pytest.mark.parametrize("cell", [pa.scalar(2**30, pa.date32()), pa.scalar(2**60, pa.timestamp("ms"))])
def test_parquet_with_a_date_beyond_all_dates(tmp_path: Path, cell: pa.Scalar) -> None:
    """What Python has no date for is a fault of the file."""
    pq.write_table(pa.table({"review": ["x"], "stars": pa.array([cell])}), tmp_path / "r.parquet")
    assert sentence(tmp_path, tmp_path / "r.parquet").startswith("r.parquet: it holds a value that cannot be read (Ov")


def test_files_that_are_not_there_or_not_known(tmp_path: Path) -> None:
    """A missing file, a name that could be anything, an unknown ending and an empty folder are each told apart."""
    assert sentence(tmp_path, tmp_path / "no.csv") == "no.csv: no such file; check the path"
    assert sentence(tmp_path, tmp_path / "no.parquet") == "no.parquet: no such file; check the path"
    assert sentence(tmp_path, "reviews") == (
        "reviews: no such file or folder; "
        "give a CSV, TSV, JSONL or Parquet file, a dataset folder, or a hub dataset as name:split"
    )
    (tmp_path / "r.xlsx").write_text("x", encoding="utf-8")
    assert sentence(tmp_path, tmp_path / "r.xlsx").startswith("r.xlsx: unknown kind of file .xlsx; give one of .csv, ")
    (tmp_path / "void").mkdir()
    assert sentence(tmp_path, tmp_path / "void").startswith("void: the folder is empty; give a folder")


def test_settings_that_do_not_name_data() -> None:
    """A training file alone, a folder alone, a task alone and a task of another kind are each refused."""
    for config, expected in (
        (DataConfig(train="a.csv"), "data: both data.train and data.test are needed; give a file to train on"),
        (DataConfig(folder="glue"), "data.task: a folder is given without a task; name the task"),
        (DataConfig(task="rte"), "data.folder: rte needs the folder of its files; give it (--data FOLDER)"),
        (DataConfig(task="rta", folder="glue"), "data.task: unknown task rta; did you mean rte?"),
        (DataConfig(task="rte", folder="glue", kind="regression"), "data.kind: rte is a classification; leave"),
    ):
        with pytest.raises(UserError) as caught:
            read(config)
        assert str(caught.value).startswith(expected)
