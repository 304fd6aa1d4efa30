"""Table: the wanted columns of one file, with the place of each cell; readers for text files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from supertickets.data.tasks import Columns, Role
from supertickets.errors import UserError

Record = tuple[int, list[str]]

LONGEST_FIELD = 2**31 - 1  # csv's own limit, 131072 characters, is less than a long document


@dataclass(frozen=True)
class Table:
    """Cells by role, one list each, as the file holds them.

    `names` are the columns' names in the file, `numbers` their positions (from 1; none where columns
    have no order), `lines` the line (or row) that each example starts on, from 1 with the header
    counted. `left_out` counts rows that the published file is known to have broken.
    """

    source: str
    names: dict[Role, str]
    cells: dict[Role, list[Any]]
    lines: Sequence[int]
    numbers: dict[Role, int] | None = None
    unit: Literal["line", "row"] = "line"
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, index: int, role: Role) -> str:
        """Where a cell stands: `train.tsv:17:3` (line, column), `train.jsonl:17`, or `train.parquet:row 17`."""
        line = f"{self.source}:{'row ' if self.unit == 'row' else ''}{self.lines[index]}"
        return f"{line}:{self.numbers[role]}" if self.numbers else line

    def without(self, role: Role, cell: str) -> Table:
        """The table less the rows whose cell equals `cell`, which are counted as left out."""
        kept = [index for index, value in enumerate(self.cells[role]) if value != cell]
        cells: dict[Role, list[Any]] = {name: [column[i] for i in kept] for name, column in self.cells.items()}
        dropped = self.left_out + len(self) - len(kept)
        lines = [self.lines[index] for index in kept]
        return Table(self.source, self.names, cells, lines, self.numbers, self.unit, dropped)


def read_tsv(path: Path, columns: Columns, *, header: Sequence[str] = (), ragged: bool = False) -> Table:
    """Read tab-separated text as GLUE publishes it: quote characters are text, one line is one row.

    `header` names the columns of a file that has no header line. Rows may lack fields behind the last
    wanted one. With `ragged`, rows with a wrong number of fields are left out and counted, not refused.
    """
    return delimited(path, tsv_records(path), columns, header, ragged=ragged, trailing=False)


def read_csv(path: Path, columns: Columns, *, delimiter: str = ",") -> Table:
    """Read delimited text with quoting as spreadsheets write it; a quoted field may span lines."""
    return delimited(path, csv_records(path, delimiter), columns)


def read_jsonl(path: Path, columns: Columns) -> Table:
    """Read one JSON object per line; the first one says which columns there are."""
    objects = list(json_objects(path))
    return from_objects(path, objects, columns)


def tsv_records(path: Path) -> Iterator[Record]:
    """Line number and fields of each line that is not blank; quote characters are text."""
    lines = ((number, line.removesuffix("\n").removesuffix("\r")) for number, line in _lines(path, "\n"))
    return ((number, line.split("\t")) for number, line in lines if line.strip())


def csv_records(path: Path, delimiter: str = ",") -> Iterator[Record]:
    """First line and fields of each row that is not blank, with quoting as spreadsheets write it."""
    limit = csv.field_size_limit(LONGEST_FIELD)
    line = 1
    try:
        reader = csv.reader((text for _, text in _lines(path, "")), delimiter=delimiter, strict=True)
        for fields in reader:
            if len(fields) > 1 or any(field.strip() for field in fields):
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as fault:
        remedy = "close each quote, and double the quote characters inside a quoted field"
        raise UserError(
            f"the quotes of the row that starts here do not match ({fault})", f"{path}:{line}", remedy
        ) from fault
    finally:
        csv.field_size_limit(limit)


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line that is not blank."""
    return ((number, _json_object(path, number, line)) for number, line in _lines(path, "\n") if line.strip())


def from_objects(path: Path, objects: Sequence[tuple[int, dict[str, Any]]], columns: Columns) -> Table:
    """The wanted columns of numbered objects, at least one; the first one says which columns there are."""
    names = resolve(str(path), list(objects[0][1]), columns, line=objects[0][0])
    cells: dict[Role, list[Any]] = {role: [] for role in names}
    numbers = []
    for number, obj in objects:
        for role, name in names.items():
            if name not in obj:
                has = ", ".join(obj) or "no columns"
                raise UserError(f"column {name} is missing (this row has {has})", f"{path}:{number}", columns.remedy)
            cells[role].append(obj[name])
        numbers.append(number)
    return Table(str(path), names, cells, numbers)


def resolve(source: str, found: Sequence[str], columns: Columns, *, line: int | None = 1) -> dict[Role, str]:
    """The name in the file of each wanted column; raises UserError, listing the columns there, when one is missing."""
    where = source if line is None else f"{source}:{line}"
    names: dict[Role, str] = {}
    for role, options in columns:
        name = next((option for option in options if option in found), None)
        if name is None:
            wanted = " or ".join(options)
            what, do = f"column {wanted} is missing (the columns are {', '.join(found)})", columns.remedy
            if len(found) == 1 and (others := [sign for sign in ";|\t" if sign in found[0]]):
                do = f"separate the columns by commas, not by {others[0]!r}, or name a file with tabs .tsv"
            raise UserError(what, where, do)
        if found.count(name) > 1:
            raise UserError(f"column {name} appears {found.count(name)} times", where, "give each column its own name")
        names[role] = name
    return names


def _lines(path: Path, newline: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line, its end included, read as asked for.

    Raises UserError when the file is missing, holds blank lines only, or is not UTF-8.
    """
    blank = True
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as stream:
            for number, line in enumerate(stream, start=1):
                blank = blank and not line.strip()
                yield number, line
    except UnicodeDecodeError as fault:
        raise _not_utf8(path) from fault
    except OSError as fault:
        reason = "no such file" if isinstance(fault, FileNotFoundError) else f"cannot be read ({fault.strerror})"
        raise UserError(reason, str(path), "check the path") from fault
    if blank:
        raise UserError("the file is empty", str(path), "give a file with a header line and examples")


def _not_utf8(path: Path) -> UserError:
    """The first byte that is no UTF-8, and its line."""
    body = path.read_bytes()
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = body.count(b"\n", 0, fault.start) + 1
        return UserError(f"not UTF-8 (byte 0x{body[fault.start]:02X})", f"{path}:{line}", "save the file as UTF-8")
    return UserError("the file has changed while it was read", str(path), "leave it alone meanwhile")


def delimited(
    path: Path,
    records: Iterable[Record],
    columns: Columns,
    header: Sequence[str] = (),
    *,
    ragged: bool = False,
    trailing: bool = True,
) -> Table:
    """The wanted columns of numbered records, of which the first is the header line unless `header` is given."""
    rows = iter(records)
    found = list(header) or header_of(rows)
    names = resolve(str(path), found, columns)
    places = {role: found.index(name) for role, name in names.items()}
    cells: dict[Role, list[Any]] = {role: [] for role in names}
    fewest = len(found) if trailing else max(places.values()) + 1
    lines, left_out = [], 0
    for line, fields in rows:
        if not fewest <= len(fields) <= len(found):
            if not ragged:
                raise _wrong_width(path, line, fields, found)
            left_out += 1
            continue
        for role, place in places.items():
            cells[role].append(fields[place])
        lines.append(line)
    if not lines:
        raise no_rows(path)
    return Table(str(path), names, cells, lines, {role: place + 1 for role, place in places.items()}, "line", left_out)


def header_of(rows: Iterator[Record]) -> list[str]:
    """The columns that the first record names."""
    _, fields = next(rows)  # files without a line are refused when they are read
    return [field.strip() for field in fields]


def _json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    remedy = "write one JSON object per line"
    try:
        obj = json.loads(line)
    except (ValueError, RecursionError) as fault:
        column = getattr(fault, "colno", 1)
        raise UserError(f"not JSON ({getattr(fault, 'msg', fault)})", f"{path}:{number}:{column}", remedy) from fault
    if not isinstance(obj, dict):
        raise UserError(f"expected a JSON object, found a {type(obj).__name__}", f"{path}:{number}", remedy)
    return obj


def _wrong_width(path: Path, line: int, fields: list[str], found: list[str]) -> UserError:
    few = len(fields) < len(found)
    fault = f"{len(fields)} instead of {len(found)} ({', '.join(found)})"
    column = len(fields) + 1 if few else len(found) + 1
    remedy = (
        f"add the field {found[len(fields)]}" if few else "remove the stray separator, or quote the field that holds it"
    )
    return UserError(f"too {'few' if few else 'many'} fields: {fault}", f"{path}:{line}:{column}", remedy)


def is_text(cell: str) -> bool:
    """Whether every character can be written: JSON's escapes can spell lone halves of surrogate pairs."""
    return not any("\ud800" <= char <= "\udfff" for char in cell)


def no_rows(path: Path) -> UserError:
    """What is wrong with a file of a header line only."""
    return UserError("the file is empty: it has a header and no examples", str(path), "add examples")
