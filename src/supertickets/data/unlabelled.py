"""The texts of a file whose labels nobody knows, some rows at a time, so that the file may have any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from supertickets.data.arrow import parquet_chunks
from supertickets.data.examples import texts
from supertickets.data.own import READERS
from supertickets.data.tables import (
    Record,
    Table,
    csv_records,
    delimited,
    from_objects,
    header_of,
    json_objects,
    no_rows,
    tsv_records,
)
from supertickets.data.tasks import Columns, KnownTask
from supertickets.errors import UserError


def count_rows(path: Path, columns: Columns, task: KnownTask | None, *, at_once: int) -> int:
    """Read the whole file once and count its rows; raises UserError for all that `read_chunks` would stumble over."""
    rows = sum(len(table) for table in read_chunks(path, columns, task, at_once=at_once))
    if not rows:
        raise no_rows(path)
    return rows


def read_chunks(path: Path, columns: Columns, task: KnownTask | None, *, at_once: int) -> Iterator[Table]:
    """The rows of a CSV, TSV, JSONL or Parquet file in their order, up to `at_once` at a time; each cell is a text.

    A TSV file of a known task is read as published: quote characters are text, texts may be empty, and
    the header line may be missing where the task's published files lack it. Raises UserError, with file,
    line and column where there are some.
    """
    published = task is not None and path.suffix.lower() == ".tsv"
    for table in _tables(path, columns, task if published else None, at_once):
        for role in table.names:
            texts(table, role, published)
        yield table


def _tables(path: Path, columns: Columns, task: KnownTask | None, rows: int) -> Iterator[Table]:
    kind = path.suffix.lower()
    if kind not in READERS:
        if not path.is_file():
            raise UserError("no such file", str(path), "check the path")
        raise UserError(f"unknown kind of file {kind or path.name}", str(path), f"give one of {', '.join(READERS)}")
    if kind == ".parquet":
        return parquet_chunks(path, columns, rows)
    if kind not in (".csv", ".tsv"):
        objects = json_objects(path)
        return (from_objects(path, chunk, columns) for chunk in iter(lambda: list(islice(objects, rows)), []))
    if task is None:
        return _delimited(path, csv_records(path, "," if kind == ".csv" else "\t"), columns, (), True, rows)
    return _delimited(path, tsv_records(path), columns, task.layouts[0].header, False, rows)


def _delimited(
    path: Path, records: Iterator[Record], columns: Columns, header: Sequence[str], trailing: bool, rows: int
) -> Iterator[Table]:
    """`header` names the columns of a file whose first line does not."""
    first = next(records, None)
    if first is None:
        raise no_rows(path)
    if header and not any(name in first[1] for name in columns.text):
        found, records = list(header), chain([first], records)
    else:
        found = header_of(iter([first]))
    while chunk := list(islice(records, rows)):
        yield delimited(path, chunk, columns, found, trailing=trailing)
