"""Broken configs, data, tickets and command lines: exit 0 or 2, no traceback, no write outside the out folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from broken_inputs import CASES, PROFILE, WORDS, as_json, broken_bytes, broken_lines, broken_tree
from supertickets import load as load_model
from supertickets import storage
from supertickets.data.tasks import Task
from supertickets.encoders.checkpoints import load_tokenizer
from supertickets.encoders.families import structures_of
from supertickets.encoders.shared import save_shared
from supertickets.experiments.reading import Reading
from supertickets.settings import commented, load
from supertickets.tickets.masks import Mask
from tiny_sweeps import TWO_SEEDS, write_films
from watching import COUNTED, survives

pytestmark = [pytest.mark.usefixtures("no_training"), pytest.mark.timeout(7200)]

CONFIG: dict[str, Any] = {
    "data": {"train": "train.csv", "test": "test.csv", "text": "review", "label": "stars"},
    "encoder": {"name": "minilm", "max_length": 32},
    "training": {"epochs": 1, "batch_size": 8, "learning_rate": 0.01},
    "tickets": {"levels": [0.25, 0.5], "control_levels": [0.5], "kinds": ["winning", "random"]},
    "seeds": [0, 1],
    "budget": "smoke",
}
SHARED = {**CONFIG, "data": {"text": "review", "label": "stars"}, "arms": ["sharing"]}
SHARED["tasks"] = {name: {"train": "train.csv", "test": "test.csv"} for name in ("one", "two")}


def cases(share: float) -> Callable[[Any], Any]:
    """The shared profile with a share of all cases."""
    return settings(PROFILE, max_examples=max(1, round(share * CASES)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run: with the films, and bystanders that nobody may touch."""
    root = tmp_path_factory.mktemp("place").resolve()
    write_films(root)
    (root / "mine.txt").write_text("mine")
    return root


@pytest.fixture(autouse=True)
def counted(record_property: Callable[[str, object], None]) -> Iterator[None]:
    """Note how many cases a test has run."""
    before = COUNTED["cases"]
    yield
    record_property("cases", COUNTED["cases"] - before)


def emptied(*paths: Path) -> None:
    """Nothing of an earlier case is there."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


# ---- configs

YAML = st.one_of(
    broken_lines(yaml.safe_dump(CONFIG, sort_keys=False)),
    broken_lines(commented(load())),
    broken_bytes(yaml.safe_dump(CONFIG).encode()),
    broken_tree(CONFIG).map(as_json),
    broken_tree(SHARED).map(as_json),
    broken_lines(yaml.safe_dump(SHARED)),
)


@cases(0.3)
@given(body=YAML, verb=st.sampled_from(["check", "sweep", "share"]))
def test_configs(place: Path, body: bytes, verb: str) -> None:
    """Whatever stands in a config file, it is sound or refused."""
    out, file = place / "out", place / "sweep.yaml"
    emptied(out)
    file.write_bytes(body)
    line = [verb, str(file)] if verb == "check" else [verb, str(file), "--out", str(out), "--workers", "1"]
    survives(line, place, [out])


# ---- data

FILMS = [(f"the movie {n} was {'good' if n % 2 else 'bad'}", "yes" if n % 2 else "no") for n in range(12)]
ROWS = [("review", "stars"), *FILMS]
NUMBERED = [("review", "stars"), *((f"movie {n}", str(n / 3)) for n in range(12))]
OBJECTS = [dict(zip(ROWS[0], row, strict=True)) for row in ROWS[1:]]


def as_text(rows: list[tuple[str, str]], separator: str) -> str:
    """Rows as lines."""
    return "\n".join(separator.join(row) for row in rows) + "\n"


def as_parquet(columns: dict[str, list[Any]]) -> bytes:
    """Columns as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue().to_pybytes())


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """JSON lines, one or two of which are broken."""
    lines = [as_json(one) for one in OBJECTS]
    for _ in range(draw(st.integers(1, 2))):
        lines[draw(st.integers(0, len(lines) - 1))] = as_json(draw(broken_tree(OBJECTS[0])))
    return b"\n".join(lines)


PARQUETS = (
    as_parquet({"review": ["a", "b", "c", "d"] * 3, "stars": ["no", "yes"] * 6}),
    as_parquet({"review": ["a", None, "c", "d"] * 3, "stars": [1, None, 2] * 4}),
    as_parquet({"review": [["a"], ["b"]] * 6, "stars": [{"x": 1}, None] * 6}),
    as_parquet({"review": [b"\xff", b"b"] * 6, "stars": [0.5, float("nan")] * 6}),
    as_parquet({"review": [], "stars": []}),
)
FILES = st.one_of(
    st.tuples(st.just("csv"), broken_lines(as_text(ROWS, ","))),
    st.tuples(st.just("csv"), broken_lines(as_text(NUMBERED, ","))),
    st.tuples(st.just("tsv"), broken_lines(as_text(ROWS, "\t"))),
    st.tuples(st.just("csv"), broken_bytes(as_text(ROWS, ",").encode())),
    st.tuples(st.just("jsonl"), objects()),
    st.tuples(st.just("json"), broken_bytes(b"\n".join(map(as_json, OBJECTS)))),
    st.tuples(st.just("parquet"), st.sampled_from(PARQUETS)),
    st.tuples(st.just("parquet"), broken_bytes(PARQUETS[0])),
)


@cases(0.3)
@given(given=FILES, role=st.sampled_from(["train", "test", "predict"]), glue=st.booleans())
def test_data(place: Path, finished: Path, given: tuple[str, bytes], role: str, glue: bool) -> None:
    """Whatever stands in a file of examples or of texts, it is read or refused."""
    kind, body = given
    out, file = place / "out", place / f"texts.{kind}"
    for old in place.glob("texts.*"):
        old.unlink()
    emptied(out)
    file.write_bytes(body)
    if role == "predict":
        more = ["--format", "glue", "--task", "rte"] if glue else []
        survives(["predict", str(finished), str(file), "--out", str(out), *more], place, [out])
        return
    sound = {"train": place / "train.csv", "test": place / "test.csv"} | {role: file}
    files = [word for name, path in sound.items() for word in (f"--{name}", str(path))]
    line = ["find", *files, "--text", "review", "--label", "stars", "--encoder", "minilm", "--budget", "smoke"]
    survives([*line, "--out", str(out), "--workers", "1"], place, [out])


# ---- tickets and models


@pytest.fixture(scope="module")
def folders(finished: Path, tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What a stranger may send: a sweep with its super ticket, a shared model, an encoder."""
    shared = tmp_path_factory.mktemp("shared") / "shared"
    models = {name: load_model(tiny_bert_folder)[0] for name in ("one", "two")}
    masks = {name: Mask.full(structures_of(model)) for name, model in models.items()}
    task = Task("one", "classification", ("no", "yes"), ("accuracy",))
    about = {name: {"reading": Reading(task, False, "review", None, 32).to_dict()} for name in models}
    save_shared(shared, models, masks, load_tokenizer(str(tiny_bert_folder)), about)
    return {"sweep": finished, "shared": shared, "encoder": tiny_bert_folder}


def commands(kind: str, folder: Path, films: Path, out: Path) -> list[list[str]]:
    """What is done with it; the last word of the first ones is the folder that may be written to."""
    texts = [str(films / "test.csv"), "--text", "review", "--out", str(out)]
    tiny = ["--train", f"{films}/train.csv", "--test", f"{films}/test.csv", "--text", "review", "--label", "stars"]
    one = [word for setting in TWO_SEEDS for word in ("--set", setting)]
    if kind == "sweep":
        inner = [folder, folder / "super_ticket", *sorted(folder.glob("tickets/*")), *sorted(folder.glob("runs/*"))]
        return [
            *(["show", str(path)] for path in inner),
            ["report", str(folder)],
            *(["predict", str(path), *texts] for path in inner[:2]),
            *(["export", str(path), "--out", str(out)] for path in inner[:2]),
            ["find", *tiny, "--encoder", "minilm", *one, "--workers", "1", "--out", str(folder)],
        ]
    if kind == "shared":
        task = ["--task", "one"]
        return [["predict", str(folder), *texts, *task], ["export", str(folder), *task, "--out", str(out)]]
    return [["find", *tiny, "--encoder", str(folder), *one, "--workers", "1", "--out", str(out)]]


def resealed(path: Path, tree: Any) -> bytes:
    """The JSON with the checksums that fit it, which a stranger can compute as we do."""
    if isinstance(tree, dict):
        name = storage.SEAL if path.name != "record.json" else "sha256"
        if name in tree:
            rest = {key: value for key, value in tree.items() if key != name}
            tree = rest | {name: storage.checksum(rest)}
    return as_json(tree)


def broken(data: st.DataObject, path: Path, others: list[Path]) -> None:
    """Damage one file: gone, another's, a folder, other bytes, or other JSON with a checksum that fits."""
    kind = data.draw(st.integers(0, 9), "kind")
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_bytes(data.draw(st.sampled_from(others), "other").read_bytes())
    elif kind == 2:
        path.unlink()
        path.mkdir()
    elif path.suffix == ".json" and kind > 3:
        path.write_bytes(resealed(path, data.draw(broken_tree(json.loads(path.read_bytes())), "tree")))
    else:
        path.write_bytes(data.draw(broken_bytes(path.read_bytes()), "bytes"))


@cases(0.25)
@given(data=st.data())
def test_tickets_and_models(place: Path, folders: dict[str, Path], data: st.DataObject) -> None:
    """A folder in which a file is not what it was is read as before, made anew or refused."""
    kind = data.draw(st.sampled_from(["sweep", "sweep", "sweep", "shared", "encoder"]), "kind")
    folder, out = place / kind, place / "out"
    emptied(folder, out)
    shutil.copytree(folders[kind], folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors", ".yaml", ".arrow"))
    path = data.draw(st.sampled_from(files), "file")
    broken(data, path, files)
    if (path.parent / "checksums.json").is_file() and data.draw(st.booleans(), "without checksums"):
        (path.parent / "checksums.json").unlink()
    line = data.draw(st.sampled_from(commands(kind, folder, place, out)), "command")
    survives(line, place, [out, *([folder] if line[0] in ("report", "find") and kind == "sweep" else [])])


# ---- command lines

VERBS = ("find", "sweep", "share", "transfer", "predict", "report", "show", "check", "init", "export", "", "--version")
VERBS += ("--help",)
FLAGS = (
    "--data",
    "--train",
    "--test",
    "--text",
    "--text-pair",
    "--label",
    "--encoder",
    "--target",
    "--out",
    "--budget",
)
FLAGS += ("--workers", "--config", "--set", "--task", "--format", "--backend", "--batch-size", "--to", "--help", "-x")
FLAGS += ("--ray-address", "--recipe", "--watch")
# No NUL and no lone surrogates but those of undecodable bytes: a system's command line has none.
PLAIN = (*(word for word in WORDS if "\x00" not in word and "\ud800" not in word), "\udcff", "rte", "train.csv")
PLAIN += (
    "smoke",
    "sweep.yaml",
    "params=0.5",
    "seeds=[0]",
    "training.epochs=1",
    "tickets.levels=[0.5]",
    "data.text=review",
)
PLAIN += ("tickets.target=flops=0.5", "units.ffn=neuron", "minilm", "sweep", "shared", "out", "onnx", "glue", "1", "-5")
PLAIN += ("best", "ray", "auto", "ray://127.0.0.1:9", "127.0.0.1:9", "s3://bucket/out")
# What is written to is what was asked for, so only places inside the folder are asked for.
VALUES = st.sampled_from([word for word in PLAIN if ".." not in word and not word.startswith("/")])


@cases(0.15)
@given(
    verb=st.sampled_from(VERBS),
    words=st.lists(VALUES, max_size=2),
    flags=st.lists(st.tuples(st.sampled_from(FLAGS), VALUES), max_size=4),
)
def test_command_lines(place: Path, verb: str, words: list[str], flags: list[tuple[str, str]]) -> None:
    """Whatever is asked for on the command line, it is done or refused."""
    given = [*words, *(value for _, value in flags)]
    kept = {path: path.read_bytes() for path in place.iterdir() if path.is_file()}
    survives(
        [verb, *words, *(part for flag in flags for part in flag)],
        place,
        [place / name for name in (*given, "runs", "supertickets.yaml")],
    )
    for path in set(place.iterdir()) - set(kept):
        emptied(path)
    for path, body in kept.items():
        path.write_bytes(body)
