"""Bad input that once ended in a traceback, or was taken for good: each by name, and refused in one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from supertickets import storage
from supertickets.tickets.ticket import Ticket
from tiny_sweeps import flags_of, write_films
from watching import strays, survives, watched

pytestmark = pytest.mark.usefixtures("no_training")

CONFIGS = {
    "a NUL character": ("\0budget: smoke", "not valid YAML"),
    "a NUL in a path": (r'data: {train: "a\0b", test: b.csv}', "holds a NUL character"),
    "half a character": (r'data: {train: "\ud800", test: b.csv}', "error"),
    "lists two hundred deep": (f"seeds: {'[' * 250}{']' * 250}", "not valid YAML"),
    "keys sixty deep": ("\n".join(f"{' ' * depth}a:" for depth in range(60)), "unknown"),
    "a name of five thousand letters": (f"data: {{train: {'x' * 5000}.csv, test: b.csv}}", "name is too long"),
    "a number of forty digits": (f"training: {{batch_size: {10**40}}}", "training.batch_size"),
    "a number of six thousand digits": (f"training: {{batch_size: {'9' * 6000}}}", "not valid YAML"),
    "a setting in itself": ("training: &a {batch_size: *a}", "a setting contains itself"),
    "an infinite number": ("training: {learning_rate: .inf}", "training.learning_rate"),
    "aliases for a billion": (
        "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))]),
        "too large",
    ),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_configs(case: str, tmp_path: Path) -> None:
    """In a config, for check and for sweep."""
    text, words = CONFIGS[case]
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    for line in (["check", "a.yaml"], ["sweep", "a.yaml", "--workers", "1", "--out", "out"]):
        code, told = survives(line, tmp_path.resolve())
        assert code == 2 and words in told, told
        assert all(len(one) < 6000 for one in told.splitlines())


TEXT, LABEL = '{"review": %s, "stars": "no"}', '{"review": "fine", "stars": %s}'
ROWS = {
    "half a character in a text": (TEXT % r'"\ud83d"', "has half a character"),
    "half a character in a label": (LABEL % r'"\ud83d"', "has half a character"),
    "a label of four hundred digits": (LABEL % ("9" * 400), "nothing is trained here"),
    "a label of five thousand digits": (LABEL % ("9" * 5000), "not JSON"),
    "a label that is infinite": (LABEL % "1e999", "nothing is trained here"),
    "lists without end": (TEXT % ("[" * 100_000), "not JSON"),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows(case: str, tmp_path: Path) -> None:
    """In a JSON line of the training examples: refused, or read as a word, so that only training is left to do."""
    row, words = ROWS[case]
    films = write_films(tmp_path)
    good = [json.dumps({"review": f"film {n}", "stars": ("no", "yes")[n % 2]}) for n in range(20)]
    (films / "train.jsonl").write_text("\n".join([*good, row]), encoding="utf-8")
    line = ["find", "--train", "train.jsonl", "--test", "test.csv", "--text", "review", "--label", "stars"]
    code, told = survives(
        [*line, "--encoder", "minilm", "--workers", "1", "--out", "out"], tmp_path.resolve(), [tmp_path / "out"]
    )
    assert code == 2 and words in told, told


LINES = {
    "a name that is too long": (["show", "x" * 300], "this name is too long"),
    "a file as a folder": (["show", "train.csv/runs"], "error"),
    "bytes that are no text": (["show", "\udcff"], "no such file or folder"),
    "what a terminal obeys": (["show", "\x1b[31mred"], r"\x1b[31mred: no such file or folder"),
}


@pytest.mark.parametrize("case", LINES)
def test_command_lines(case: str, tmp_path: Path) -> None:
    """On the command line."""
    line, words = LINES[case]
    write_films(tmp_path)
    code, told = survives(line, tmp_path.resolve())
    assert code == 2 and words in told, told


def reshaped(folder: Path, file: str, change: Callable[[dict[str, object]], object]) -> None:
    """A change of a JSON file, which has no seal afterwards, as an old one; a record has one that fits it."""
    path = next(folder.glob(file))
    body = storage.read_json(path)
    body.pop(storage.SEAL, None)
    sealed = body.pop("sha256", None)
    change(body)
    if sealed is not None:
        body["sha256"] = storage.checksum(body)
    path.write_text(json.dumps(body), encoding="utf-8")


EXPORT = ["export", "super_ticket", "--out", "copy"]
FOLDERS: dict[str, tuple[str, Callable[[dict[str, object]], object], list[str], str]] = {
    "data without a task": ("data.json", lambda body: body.pop("task"), ["report"], "data.json: "),
    "a task of another kind": ("data.json", lambda body: body.update(task=[1]), ["report"], "data.json: "),
    "sizes of another kind": ("data.json", lambda body: body.update(sizes={"train": 3}), ["report"], "data.json: "),
    "rows in words": (
        "data.json",
        lambda body: body.update(sizes={"train": {"rows": "many"}}),
        ["report"],
        "(sizes.train.rows: ",
    ),
    "a run stopped before it began": (
        "runs/winning-*/record.json",
        lambda body: body.update(stopped=-1),
        ["report"],
        "(stopped: Input should be greater than 0)",
    ),
    "a ticket beyond all levels": (
        "tickets/winning-*/ticket.json",
        lambda body: body.update(sparsity=10**400),
        ["show", "tickets/winning-*"],
        "not a whole ticket (int too large",
    ),
    "a speed without numbers": ("speedup.json", lambda body: body.clear(), ["report"], "not a speed-up ("),
    "a speed in words": (
        "speedup.json",
        lambda body: body.update(length="long"),
        EXPORT,
        "(speedup.length: ",
    ),
    "a speed beyond all": (
        "speedup.json",
        lambda body: body.update(p90=10**400),
        ["report"],
        "(a number in it",
    ),
    "a soup of nothing": ("speedup.json", lambda body: body.update(soup=[]), EXPORT, "not a speed-up (soup: "),
    "an outcome without a level": ("outcome.json", lambda body: body.pop("sparsity"), EXPORT, "not the outcome of"),
    "a level beyond all": ("outcome.json", lambda body: body.update(sparsity=10**400), EXPORT, "not the outcome of"),
    "a ticket without origin": (
        "tickets/*/ticket.json",
        lambda body: body.update(provenance=3),
        ["show", "tickets/*"],
        "ticket.json: ",
    ),
    "structures of a trillion": (
        "tickets/*/ticket.json",
        lambda body: body.update(structures={"layers": 10**12, "heads_per_layer": 1, "units_per_layer": 1}),
        ["show", "tickets/*"],
        "structures: 1000000000000 layers",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folders(case: str, sweep: Path) -> None:
    """In a sweep's folder."""
    file, change, (verb, *more), words = FOLDERS[case]
    reshaped(sweep, file, change)
    kept = (sweep / "outcome.json").read_bytes()
    place = next(sweep.glob(more[0])) if more else sweep
    code, told = survives([verb, str(place), *more[1:]], sweep.parent, [sweep.parent / "copy"])
    assert code == 2 and told.count("error: ") == 1 and words in told, told
    assert (sweep / "outcome.json").read_bytes() == kept  # what is refused loses nothing


def test_a_record_of_another_run(sweep: Path) -> None:
    """A run's record, copied whole into another run's folder, does not count there."""
    one, other = sorted(sweep.glob("runs/full-s*"))
    shutil.rmtree(other)
    shutil.copytree(one, other)
    code, told = survives(["report", str(sweep)], sweep.parent)
    assert code == 2 and f"{other}: this is the record of another run ({one.name})" in told


def test_what_is_removed_is_told_with_its_folder(tmp_path: Path) -> None:
    """The watch itself: a tree inside the out folder may go, one beside it is told of file by file."""
    for name in ("out", "other"):
        (tmp_path / name / "tree" / "leaf").mkdir(parents=True)
        (tmp_path / name / "tree" / "leaf" / "state.json").write_text("{}", encoding="utf-8")
    with watched(tmp_path) as written:
        shutil.rmtree(tmp_path / "out" / "tree")
    assert str(tmp_path / "out" / "tree" / "leaf" / "state.json") in written and not strays(written, [tmp_path / "out"])
    with watched(tmp_path) as written:
        shutil.rmtree(tmp_path / "other" / "tree")
    assert str(tmp_path / "other" / "tree" / "leaf" / "state.json") in strays(written, [tmp_path / "out"])


def test_an_earlier_super_ticket(sweep: Path) -> None:
    """Its speed is not told of the level that is chosen now, and it is not exported as if it were of that level."""
    assert storage.read_json(sweep / "outcome.json")["speedup"] is not None
    replace(Ticket.load(sweep / "super_ticket"), sparsity=0.25).save(sweep / "super_ticket")
    (sweep / "super_ticket" / "checksums.json").unlink()
    assert survives(["report", str(sweep)], sweep.parent, [sweep])[0] == 0
    outcome = storage.read_json(sweep / "outcome.json")
    assert outcome["speedup"] is None and "times as fast" not in outcome["sentence"]
    code, told = survives(["export", str(sweep), "--out", "copy"], sweep.parent, [sweep.parent / "copy"])
    assert code == 2 and "its super ticket is of level 0.25, and its result, which is newer, of 0.5; run" in told


def test_an_address_is_no_folder(tmp_path: Path) -> None:
    """A bucket is not taken for a folder whose name begins with s3."""
    films = write_films(tmp_path)
    line = [*flags_of(films, "minilm"), "--out", "s3://bucket/x", "--workers", "1"]
    code, told = survives(["find", *line], tmp_path.resolve())
    assert code == 2 and "s3:/bucket/x: this looks like an address, and files are kept in folders only" in told
    assert not (tmp_path / "s3:").exists()


def test_texts_in_both_files_are_told(tmp_path: Path) -> None:
    """Before anything is trained: what is reported would be remembered."""
    films = write_films(tmp_path)
    line = flags_of(films, "minilm")
    line[line.index("--test") + 1] = f"{films}/train.csv"
    code, told = survives(["find", *line, "--out", "out", "--workers", "1"], tmp_path.resolve(), [tmp_path / "out"])
    assert code == 2 and "note: report examples whose text is in the training set, too: 40 of 40" in told
