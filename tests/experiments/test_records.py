"""A record is whole, or it does not count."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from supertickets import storage
from supertickets.errors import UserError
from supertickets.experiments.records import ARRAYS_FILE, RECORD_FILE, Cost, Record, Size, load_all
from supertickets.learning.metrics import Scores

RECORD = Record(
    name="winning-0.5-s1-00000000",
    kind="winning",
    sparsity=0.5,
    seed=1,
    selection=Scores(0.1 + 0.2, {"accuracy": 0.1 + 0.2}, 7),
    report=Scores(2 / 3, {"pearson": 1 / 3, "spearman": 1.0}, 3),
    size=Size(0.75, 0.5, (3, 0), (1, 0)),
    cost=Cost({"training": 1.25, "loading": 0.5}, 33),
    settings={"training.epochs": 3.0, "data.task": None},
    provenance={"commit": None, "threads": 1, "versions": {"python": "3"}},
    arrays={
        "report_predictions": np.array([[0.1, -1e-30], [np.float32(1 / 3), 5]], dtype=np.float32),
        "report_labels": np.arange(2),
        "heads": np.array([[True, False, True, True], [False] * 4]),
        "importance_ffn": np.array([[1e-300], [0.0]]),
    },
)


def test_round_trip(tmp_path: Path) -> None:
    """What is read back is what was saved, to the last bit, types included; its arrays are read-only."""
    RECORD.save(tmp_path)
    found = Record.load(tmp_path)
    assert replace(found, arrays={}) == replace(RECORD, arrays={})
    assert set(found.arrays) == set(RECORD.arrays)
    for name, array in RECORD.arrays.items():
        assert found.arrays[name].dtype == array.dtype and np.array_equal(found.arrays[name], array)
        assert not found.arrays[name].flags.writeable


def test_saving_what_was_loaded_changes_nothing(tmp_path: Path) -> None:
    """Loaded and saved again, both files are the same bytes."""
    RECORD.save(tmp_path / "a")
    Record.load(tmp_path / "a").save(tmp_path / "b")
    for name in (RECORD_FILE, ARRAYS_FILE):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_json_is_written_last(tmp_path: Path) -> None:
    """It alone says that a run is done, so arrays without it are no record."""
    RECORD.save(tmp_path / "runs" / "a")
    (tmp_path / "runs" / "a" / RECORD_FILE).unlink()
    assert load_all(tmp_path) == []
    with pytest.raises(UserError, match=r"record\.json: no such file"):
        Record.load(tmp_path / "runs" / "a")


def edited(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    """A change made in record.json by hand."""

    def edit(folder: Path) -> None:
        body = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        change(body)
        body["sha256"] = storage.checksum({name: value for name, value in body.items() if name != "sha256"})
        (folder / RECORD_FILE).write_text(json.dumps(body), encoding="utf-8")

    return edit


def cut(name: str, keep: float) -> Callable[[Path], None]:
    """A file that was torn."""

    def tear(folder: Path) -> None:
        body = (folder / name).read_bytes()
        (folder / name).write_bytes(body[: int(keep * len(body))])

    return tear


def rounded_up(folder: Path) -> None:
    """Somebody made a score better."""
    text = (folder / RECORD_FILE).read_text(encoding="utf-8")
    (folder / RECORD_FILE).write_text(text.replace('"seed": ', '"seed": 1'), encoding="utf-8")


def flip(folder: Path) -> None:
    """One bit of the arrays is another."""
    body = bytearray((folder / ARRAYS_FILE).read_bytes())
    body[-1] ^= 1
    (folder / ARRAYS_FILE).write_bytes(body)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "json torn": (cut(RECORD_FILE, 0.5), RECORD_FILE),
    "json empty": (cut(RECORD_FILE, 0), RECORD_FILE),
    "json another": (lambda folder: (folder / RECORD_FILE).write_text("[]"), RECORD_FILE),
    "a number edited by hand": (rounded_up, "damaged"),
    "arrays torn": (cut(ARRAYS_FILE, 0.9), ARRAYS_FILE),
    "arrays empty": (cut(ARRAYS_FILE, 0), ARRAYS_FILE),
    "arrays tampered with": (flip, ARRAYS_FILE),
    "arrays gone": (lambda folder: (folder / ARRAYS_FILE).unlink(), ARRAYS_FILE),
    "another checksum": (edited(lambda body: body.update(arrays_sha256="0" * 64)), ARRAYS_FILE),
    "no checksum": (edited(lambda body: body.pop("arrays_sha256")), "not a record"),
    "no scores": (edited(lambda body: body.pop("report")), "not a record"),
    "scores of another kind": (edited(lambda body: body.update(report=3)), "not a record"),
    "no size": (edited(lambda body: body.update(size=None)), "not a record"),
    "a stranger's field": (edited(lambda body: body.update(colour="red")), "not a record"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_record_is_named(case: str, tmp_path: Path) -> None:
    """Torn or tampered with, it is refused in one sentence that says where it is, also among others."""
    damage, words = DAMAGE[case]
    for name in ("a", "b"):
        replace(RECORD, name=name).save(tmp_path / "runs" / name)
    damage(tmp_path / "runs" / "b")
    for load in (lambda: Record.load(tmp_path / "runs" / "b"), lambda: load_all(tmp_path)):
        with pytest.raises(UserError) as caught:
            load()
        text = str(caught.value)
        assert str(tmp_path / "runs" / "b") in text and words in text and "\n" not in text


def test_all_records_of_a_sweep(tmp_path: Path) -> None:
    """Those under runs/, by name; nothing else there counts."""
    for name in ("b", "a"):
        replace(RECORD, name=name).save(tmp_path / "runs" / name)
    (tmp_path / "runs" / ".c.partial").mkdir()
    (tmp_path / "runs" / "notes.txt").touch()
    assert [record.name for record in load_all(tmp_path)] == ["a", "b"]
    assert load_all(tmp_path / "absent") == []
