"""Known tasks: from the folder that holds their published files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from supertickets.data.examples import Loaded, load
from supertickets.data.tables import Table, read_jsonl, read_tsv
from supertickets.data.tasks import KnownTask, Layout, known, normalised
from supertickets.errors import UserError


def read_known(name: str, folder: Path) -> Loaded:
    """Read a known task from its own folder or from the folder of all tasks (`glue` holds `RTE`).

    Raises UserError for an unknown task, a missing folder or file, and for every fault in a file.
    """
    row = known(name)
    home, layout = _find(row, folder)
    train, report = (_read(row, layout, home / file) for file in (layout.train, layout.report))
    return load(row.task, train, report, official=(row.official_train, row.official_report))


def _find(row: KnownTask, folder: Path) -> tuple[Path, Layout]:
    """The task's folder and the first layout whose training file is there."""
    if not folder.is_dir():
        what = "this is a file, not a folder" if folder.exists() else "no such folder"
        raise UserError(what, str(folder), f"give the folder that holds the files of {row.task.name}")
    homes = [*_homes(row, folder)]
    for home in homes:
        for layout in row.layouts:
            if (home / layout.train).is_file():
                return home, layout
    files = " or ".join(dict.fromkeys(layout.train for layout in row.layouts))
    wanted = f"no training file of {row.task.name} is in it ({files})"
    if homes[0] == folder:
        wanted = f"neither a folder of {row.task.name} nor its training file is in it ({files})"
    raise UserError(wanted, str(homes[0]), "give the folder that holds the task's published files")


def _homes(row: KnownTask, folder: Path) -> Iterator[Path]:
    names = {row.task.name, *row.folders}
    yield from sorted(child for child in folder.iterdir() if child.is_dir() and normalised(child.name) in names)
    yield folder


def _read(row: KnownTask, layout: Layout, path: Path) -> Table:
    if layout.format == "jsonl":
        table = read_jsonl(path, layout.columns)
    else:
        table = read_tsv(path, layout.columns, header=layout.header, ragged=row.ragged)
    labelled = table.without("label", row.unlabelled) if row.unlabelled else table
    if not len(labelled):
        raise UserError("no row has a label", str(path), "give the published file with its labels")
    return labelled
