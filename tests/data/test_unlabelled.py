"""Files of texts are read in parts: the same rows, the same places, and little memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pandas as pd
import pytest

from supertickets.data.tasks import Columns, known
from supertickets.data.unlabelled import count_rows, read_chunks
from supertickets.errors import UserError

COLUMNS = Columns(("one",), ("two",), ())
ONE = [f"text {row}" for row in range(11)]
TWO = [f"reply {row}" for row in range(11)]


def write(folder: Path, kind: str, one: list[str | None]) -> Path:
    """Eleven rows, a third column between the two."""
    frame, path = pd.DataFrame({"one": one, "other": range(11), "two": TWO}), folder / f"texts.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="," if kind == "csv" else "\t")
    return path


@pytest.mark.parametrize("at_once", [1, 4, 11, 100])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_parts_make_the_whole(kind: str, at_once: int, tmp_path: Path) -> None:
    """No part is larger than asked for, and together they hold every row once, in order."""
    path = write(tmp_path, kind, list(ONE))
    parts = list(read_chunks(path, COLUMNS, None, at_once=at_once))
    assert [len(part) for part in parts[:-1]] == [at_once] * (len(parts) - 1) and len(parts[-1]) <= at_once
    assert [cell for part in parts for cell in part.cells["text"]] == ONE
    assert [cell for part in parts for cell in part.cells["text_pair"]] == TWO
    assert count_rows(path, COLUMNS, None, at_once=at_once) == 11


@pytest.mark.parametrize(("kind", "place"), [("csv", ":9:1"), ("tsv", ":9:1"), ("jsonl", ":8"), ("parquet", ":row 8")])
def test_the_place_of_a_fault_in_a_later_part(kind: str, place: str, tmp_path: Path) -> None:
    """The eighth row's text is blank: its line in the file, whatever part it is in."""
    path = write(tmp_path, kind, [*ONE[:7], " ", *ONE[8:]])
    for at_once in (3, 100):
        with pytest.raises(UserError, match="the text in column one is missing") as caught:
            count_rows(path, COLUMNS, None, at_once=at_once)
        assert caught.value.where == f"{path}{place}"


def test_a_known_tasks_file_is_read_as_published(tmp_path: Path) -> None:
    """Quote characters are text, a text may be empty, fields behind the wanted ones may lack."""
    path = tmp_path / "test.tsv"
    path.write_text('index\tsentence1\tsentence2\tlabel\n0\t"a\tb\n1\t\tc"\tx\n', encoding="utf-8")
    (part,) = read_chunks(path, Columns(("sentence1",), ("sentence2",), ()), known("rte"), at_once=9)
    assert part.cells == {"text": ['"a', ""], "text_pair": ["b", 'c"']}


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """Of 6 MB of text, less than 1 MB is held at a time."""
    path = tmp_path / "texts.csv"
    path.write_text("one\n" + ("word " * 20 + "\n") * 60_000, encoding="utf-8")
    tracemalloc.start()
    assert count_rows(path, Columns(("one",), (), ()), None, at_once=100) == 60_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 6_000_000 and peak < 1_000_000


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("t.csv", b"", "the file is empty"),
        ("t.csv", b" \n\n", "the file is empty"),
        ("t.csv", b'" "\n', "the file is empty"),
        ("t.csv", b"one,two\n", "it has a header and no examples"),
        ("t.csv", b"one,two\na,\xff\n", "not UTF-8 (byte 0xFF)"),
        ("t.jsonl", b'{"one": "a"\n', "not JSON"),
        ("t.parquet", b"", "the file is empty"),
        ("t.xls", b"a", "unknown kind of file .xls"),
    ],
)
def test_files_that_cannot_be_read(name: str, body: bytes, sentence: str, tmp_path: Path) -> None:
    """One sentence each, and one for a file that is not there."""
    path = tmp_path / name
    path.write_bytes(body)
    with pytest.raises(UserError) as caught:
        count_rows(path, COLUMNS, None, at_once=10)
    assert sentence in str(caught.value)
    path.unlink()
    with pytest.raises(UserError, match="no such file"):
        count_rows(path, COLUMNS, None, at_once=10)
