"""Tables from Parquet files, dataset folders and the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
from datasets import ClassLabel, Dataset, DatasetDict

from supertickets import storage
from supertickets.data.tables import Table, resolve
from supertickets.data.tasks import Columns
from supertickets.errors import UserError


def read_parquet(path: Path, columns: Columns) -> Table:
    """Read the wanted columns of a Parquet file."""
    import pyarrow.parquet as pq

    with _parquet(path):
        names = resolve(str(path), pq.read_schema(path).names, columns, line=None)
        table = pq.read_table(path, columns=list(dict.fromkeys(names.values())))
        cells = {role: table.column(name).to_pylist() for role, name in names.items()}
    return _table(str(path), cells, names)


def parquet_chunks(path: Path, columns: Columns, rows: int) -> Iterator[Table]:
    """The wanted columns of a Parquet file, up to `rows` rows at a time."""
    import pyarrow.parquet as pq

    first = 1
    with _parquet(path), pq.ParquetFile(path) as file:
        names = resolve(str(path), file.schema_arrow.names, columns, line=None)
        for batch in file.iter_batches(rows, columns=list(dict.fromkeys(names.values()))):
            cells = {role: batch.column(name).to_pylist() for role, name in names.items()}
            yield Table(str(path), names, cells, range(first, first + len(batch)), unit="row")
            first += len(batch)


@contextmanager
def _parquet(path: Path) -> Iterator[None]:
    """Faults of a file that is missing, empty, no Parquet, or whose names or texts are no UTF-8, as a UserError."""
    import pyarrow as pa

    if not path.is_file():
        raise UserError("no such file", str(path), "check the path")
    if not path.stat().st_size:
        raise UserError("the file is empty", str(path), "give a Parquet file with examples")
    try:
        yield
    except (OverflowError, UnicodeDecodeError) as fault:  # a date beyond Python's, bytes that are no text
        what = f"it holds a value that cannot be read ({_first_line(fault)})"
        raise UserError(what, str(path), "mend the value, or write the column as text") from fault
    except (pa.ArrowException, OSError) as fault:
        raise UserError(f"not a Parquet file ({_first_line(fault)})", str(path), "write it again as Parquet") from fault


def read_dataset(source: str, columns: Columns) -> Table:
    """Read a dataset folder (`folder` or `folder:split`) or a hub dataset (`name:split` or `name:config:split`)."""
    with no_progress_bars():
        dataset = _load(source)
    names = resolve(source, dataset.column_names, columns, line=None)
    return _table(source, {role: _cells(dataset, name) for role, name in names.items()}, names)


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keep `datasets` from drawing bars over ours; afterwards it draws them again if it did before."""
    silent = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not silent:
            datasets.enable_progress_bars()


def _table(source: str, cells: dict[Any, list[Any]], names: dict[Any, str]) -> Table:
    rows = len(cells["label"])
    if not rows:
        raise UserError("there are no examples in it", source, "add examples")
    return Table(source, names, cells, range(1, rows + 1), unit="row")


def _cells(dataset: Dataset, name: str) -> list[Any]:
    """A column as Python values, classes by their names; a class id outside the names is a missing label."""
    cells, feature = list(dataset[name]), dataset.features[name]
    if not isinstance(feature, ClassLabel):
        return cells
    return [feature.names[cell] if cell is not None and 0 <= cell < len(feature.names) else None for cell in cells]


def _load(source: str) -> Dataset:
    if Path(source).is_dir():
        return _local(source, None)
    name, _, split = source.rpartition(":")
    if Path(name).is_dir() and name:
        return _local(name, split)
    if not name or not split:
        remedy = "give a CSV, TSV, JSONL or Parquet file, a dataset folder, or a hub dataset as name:split"
        raise UserError("no such file or folder", source, remedy)
    name, _, config = name.partition(":")
    return _one(source, _guarded(source, lambda: datasets.load_dataset(name, config or None)), split)


def _local(folder: str, split: str | None) -> Dataset:
    source = f"{folder}:{split}" if split else folder
    saved = any((Path(folder) / name).is_file() for name in ("state.json", "dataset_dict.json"))
    if not saved and not any(path.is_file() for path in Path(folder).rglob("*")):
        raise UserError("the folder is empty", folder, "give a folder that datasets saved, or one with data files")
    if saved:
        _check_inside(Path(folder))
    load = datasets.load_from_disk if saved else datasets.load_dataset
    whole = str(Path(folder).resolve())  # the library names its copy by the last part, and `..` would leave its cache
    return _one(source, _guarded(source, lambda: load(whole)), split)


def _check_inside(folder: Path) -> None:
    """Raise UserError where a saved dataset names files or splits outside its folder."""
    lists = [(path, "_data_files") for path in folder.rglob("state.json")]
    lists += [(path, "splits") for path in folder.glob("dataset_dict.json")]
    for path, key in lists:
        listed = storage.read_json(path).get(key)
        names = [one.get("filename") if isinstance(one, dict) else one for one in listed or ()]
        if not all(isinstance(name, str) and Path(name).name == name for name in names):
            what = f"it names {key.strip('_').replace('_', ' ')} that are not in this folder"
            raise UserError(what, str(path), "get the dataset anew")


def _guarded(source: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as fault:  # the library raises a dozen types, its parsers' and the network's among them
        remedy = "check its name, its files and the network connection"
        raise UserError(f"this dataset cannot be loaded ({_first_line(fault)})", source, remedy) from fault


def _one(source: str, found: Dataset | DatasetDict, split: str | None) -> Dataset:
    """The asked split, or the only one there is."""
    if isinstance(found, Dataset):
        return found
    if split is None and len(found) == 1:
        return next(iter(found.values()))
    if split not in found:
        name = source.removesuffix(f":{split}")
        what = f"there is no split {split} in it" if split else "it holds several splits"
        first = next(iter(found), "train")
        raise UserError(f"{what} (the splits are {', '.join(found)})", source, f"name one, as in {name}:{first}")
    return found[split]


def _first_line(fault: Exception) -> str:
    lines = str(fault).strip().splitlines()
    return f"{type(fault).__name__}: {lines[0]}" if lines else type(fault).__name__
