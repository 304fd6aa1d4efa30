"""predict: labels and probabilities, or numbers, for the texts of a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from jaxtyping import Float

from supertickets import storage
from supertickets.data.tasks import Columns, KnownTask, known
from supertickets.errors import UserError
from supertickets.experiments.layout import CONFIG_FILE, MODEL, SHARED_FILE, SUPER_TICKET
from supertickets.experiments.progress import Progress, Silent
from supertickets.experiments.reading import Reading
from supertickets.experiments.transfer_folder import check_no_transfer
from supertickets.workflows.submitting import CsvLines, GlueLines, check_on_the_server, check_same_task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from supertickets.encoders.onnx import OnnxModel

Backend = Literal["torch", "onnx"]
Format = Literal["csv", "glue"]

AT_ONCE = 2048  # rows that are read, tokenised and predicted together; the longest first
MOST_LINES = 20  # of progress


@dataclass(frozen=True)
class _Source:
    """A model's folder, with what is known of its task and its texts: None where no sweep made it.

    `task` is one of those that share the folder's encoder.
    """

    folder: Path
    reading: Reading | None = None
    task: str | None = None


def predict(
    model_dir: Path | str,
    file: Path | str,
    *,
    out: Path | str,
    text: str | None = None,
    text_pair: str | None = None,
    task: str | None = None,
    format: Format = "csv",
    backend: Backend | None = None,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Path:
    """Predict every row of a CSV, TSV, JSONL or Parquet file, in its order, and return the path of the result.

    `model_dir` is what `find` left (the sweep's folder or its super ticket), an exported folder, any tuned
    Hugging Face folder of a known family, an ONNX folder, or what `share` left, of whose tasks `task`
    chooses one. `text` and `text_pair` name the file's columns; they default to those the model was
    trained on, or to those of the known `task`, whose published files can be read as they are. Texts
    are cut where the sweep cut them. `format` csv has the columns `prediction` and, for classes, one
    `p_<label>` each; glue is what GLUE's server takes: `index` and `prediction`, tab-separated, of the
    task that the model learned. `backend` onnx exports the model first. The file is checked as a whole
    before anything is predicted, then read in parts, so it may be larger than the memory. Raises
    UserError; nothing is written then.
    """
    path, target, progress = Path(file), Path(out), progress or Silent()
    _check_options(format, backend, batch_size)
    _check_target(path, target)
    source = _source(Path(model_dir), task)
    row = _known_task(source, task)
    columns = _columns(source, row, text, text_pair)
    if format == "glue":
        check_same_task(source.reading, check_on_the_server(row))

    from supertickets.data.unlabelled import count_rows

    progress.say("checking the file")
    rows = count_rows(path, columns, row, at_once=AT_ONCE)
    with TemporaryDirectory() as scratch:
        model, tokenizer = _load(source, backend, Path(scratch))
    writer = GlueLines(model.config, row) if format == "glue" and row else CsvLines(model.config)
    parts = _predictions(source, model, tokenizer, (path, columns, row), batch_size)
    with storage.atomic_file(target) as stream:
        stream.write(writer.header().encode())
        for values in _followed(parts, rows, progress):
            stream.write(writer.lines(values).encode())
    return target


def _check_options(format: str, backend: str | None, batch_size: int) -> None:
    for name, value, values in (("format", format, get_args(Format)), ("backend", backend, (None, *get_args(Backend)))):
        if value not in values:
            raise UserError(f"'{value}' is not known here ({', '.join(filter(None, values))})", name)
    if batch_size < 1:
        raise UserError(f"a batch holds at least 1 text, not {batch_size}", "batch_size")


def _check_target(file: Path, out: Path) -> None:
    if out.is_dir():
        raise UserError("this is a folder, not a file", str(out), "name a file for the predictions")
    if not out.parent.is_dir():
        raise UserError("there is no such folder", str(out.parent), "make it, or choose another --out")
    if out.exists() and file.exists() and out.samefile(file):
        raise UserError("the predictions would replace the texts", str(out), "choose another --out")


def _source(path: Path, task: str | None) -> _Source:
    """The model's folder and what made it, wherever in that one points."""
    if not path.is_dir():
        raise UserError("there is no such folder", str(path), "give a sweep's folder or a model's")
    if any((path / one / SHARED_FILE).is_file() for one in (".", MODEL)):
        return _shared_source(path, task)
    check_no_transfer(path)
    if (path / CONFIG_FILE).is_file():
        if not (path / SUPER_TICKET / "config.json").is_file():
            what = "there is no super ticket yet, and no shared model"
            raise UserError(what, str(path), "run it on, or give a model's folder")
        path = path / SUPER_TICKET
    if not (path / "config.json").is_file():
        what = "this folder holds no model: config.json is missing"
        raise UserError(what, str(path), "give a sweep's folder or a model's")
    return _Source(path, Reading.beside(path))


def _shared_source(path: Path, task: str | None) -> _Source:
    from supertickets.encoders.shared import described_task, locate

    folder = locate(path)
    assert folder is not None
    described_task(folder, task)
    assert task is not None
    return _Source(folder, Reading.of_shared(folder, task), task)


def _known_task(source: _Source, task: str | None) -> KnownTask | None:
    """The task asked for, or the known one that the model learned; None for own data."""
    if source.task is None and task is not None:
        return known(task)
    return known(source.reading.task.name) if source.reading and source.reading.known else None


def _columns(source: _Source, row: KnownTask | None, text: str | None, text_pair: str | None) -> Columns:
    """Where the file keeps its texts: as asked, else as the task or the training data has it."""
    reading = source.reading
    if row is not None:
        usual, pair = row.layouts[0].columns.text, row.layouts[0].columns.text_pair
    else:
        usual = (reading.text if reading else "text",)
        pair = (reading.text_pair,) if reading and reading.text_pair else ()
    if text_pair is not None and not pair and (row or reading):
        what = f"this model reads one text, and --text-pair {text_pair} gives it two"
        raise UserError(what, str(source.folder), "leave --text-pair out")
    if row and reading and bool(pair) != bool(reading.text_pair):
        ours, theirs = ("pairs of texts", "one text") if reading.text_pair else ("one text", "pairs of texts")
        what = f"this model reads {ours}, and {row.task.name} has {theirs}"
        raise UserError(what, str(source.folder), "leave --task out")
    remedy = "name the file's column with --text"
    if pair or text_pair:
        remedy = "this model reads pairs of texts: name the file's columns with --text and --text-pair"
    return Columns((text,) if text else usual, (text_pair,) if text_pair else pair, (), remedy)


def _load(
    source: _Source, backend: Backend | None, scratch: Path
) -> tuple[PreTrainedModel | OnnxModel, PreTrainedTokenizerBase]:
    from supertickets.encoders.checkpoints import load_tokenizer
    from supertickets.encoders.onnx import ABOUT_FILE, export_onnx, load_onnx
    from supertickets.encoders.trained import load_trained

    folder = source.folder
    model: PreTrainedModel | OnnxModel
    if (folder / ABOUT_FILE).is_file():
        if backend == "torch":
            remedy = "leave out --backend torch, or give the folder it was exported from"
            raise UserError("this folder holds an ONNX model", str(folder), remedy)
        model, tokenizer = load_onnx(folder), load_tokenizer(str(folder))
        if model.outputs.get("logits") != 2:
            what = f"this model does not classify texts: its outputs are {', '.join(model.outputs)}"
            raise UserError(what, str(folder), "export one with a sequence-classification head")
    else:
        model, tokenizer = load_trained(folder, source.task)
        if backend == "onnx":
            export_onnx(model, tokenizer, scratch / "onnx")
            model = load_onnx(scratch / "onnx")
    if model.config.problem_type == "multi_label_classification":
        what = "this model gives several labels to one text, which predict does not write"
        raise UserError(what, str(folder), "give a model with one label for each text")
    return model, tokenizer


def _predictions(
    source: _Source,
    model: PreTrainedModel | OnnxModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: tuple[Path, Columns, KnownTask | None],
    batch_size: int,
) -> Iterator[Float[np.ndarray, "n *C"]]:
    """Logits (n, C) or numbers (n,), some rows at a time; texts are cut where the sweep cut them."""
    import pyarrow as pa
    from datasets import Dataset
    from transformers import PreTrainedModel

    from supertickets.data.batching import token_columns, usable_length
    from supertickets.data.unlabelled import read_chunks
    from supertickets.encoders.families import longest_input
    from supertickets.learning import evaluation

    longest = longest_input(model) if isinstance(model, PreTrainedModel) else model.longest
    if source.reading is not None:
        longest = min(longest, source.reading.max_length)
    for table in read_chunks(*texts, at_once=AT_ONCE):
        cells = table.cells
        columns = token_columns(cells["text"], cells.get("text_pair"), tokenizer, usable_length(longest, tokenizer))
        yield evaluation.predict(model, Dataset(pa.table(columns)), tokenizer, batch_size=batch_size)


def _followed(parts: Iterator[np.ndarray], rows: int, progress: Progress) -> Iterator[np.ndarray]:
    """The parts, with a word about them now and then."""
    count = -(-rows // AT_ONCE)
    stride = -(-count // MOST_LINES)
    progress.plan(float(rows), -(-count // stride))
    done = told = 0
    for number, part in enumerate(parts, start=1):
        yield part
        done += len(part)
        if number % stride == 0 or number == count:
            progress.done(f"row {done}", float(done - told), f"{done} of {rows} rows")
            told = done
