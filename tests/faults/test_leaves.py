"""Every value in the JSON of a stranger's sweep, replaced by an odd one, under checksums that fit it."""

from __future__ import annotations

import copy
import json
import os
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import supertickets
from supertickets import storage
from supertickets.experiments.failures import Failure
from tiny_sweeps import TWO_SEEDS, write_films
from watching import survives

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_training"), pytest.mark.timeout(7200)]

ODD = (None, "x", -1, 10**400, float("nan"), [None], {"a": 1})
EVERY = int(os.environ.get("SUPERTICKETS_LEAVES", "8"))  # of so many changes one is tried; 1: all, in half an hour
KINDS = {
    "grid": ("tickets.kinds=[winning, random]", "tickets.target=params=0.9"),
    "race": ("strategy=race", "tickets.levels=[0.25, 0.5]", "tickets.control_levels=[0.25, 0.5]"),
    "soup": ("delivery.soup=uniform", "baselines.arms=[rewound_ticket, truncated]"),
    "failed": ("tickets.kinds=[winning, random]",),
}


@pytest.fixture(scope="module", params=KINDS)
def stranger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path) -> Path:
    """A finished sweep of each kind."""
    root = tmp_path_factory.mktemp(request.param).resolve()
    films = write_films(root / "films")
    settings = [one for one in TWO_SEEDS if request.param != "grid" or not one.startswith("tickets.levels")]
    supertickets.find(
        train=f"{films}/train.csv", test=f"{films}/test.csv", text="review", label="stars",
        encoder=str(tiny_bert_folder), out=root / "sweep", workers=1, set=[*settings, *KINDS[request.param]],
    )  # fmt: skip
    if request.param == "failed":
        lost = next((root / "sweep" / "runs").glob("random-*"))
        (lost / "record.json").unlink()
        storage.write_json(lost / "failed.json", asdict(Failure.of(lost.name, ValueError("no memory"), 3)))
    return root / "sweep"


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every part of a JSON value; of a list the first and the last item stand for all."""
    if path:
        yield path
    if isinstance(tree, dict):
        inside = tree
    else:
        inside = {place: tree[place] for place in (0, len(tree) - 1)} if isinstance(tree, list) and tree else {}
    for key, value in inside.items():
        yield from leaves(value, (*path, key))


def with_odd(tree: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """The tree with one part replaced, or gone where it is replaced by Ellipsis."""
    tree = copy.deepcopy(tree)
    around = tree
    for key in path[:-1]:
        around = around[key]
    if odd is ...:
        del around[path[-1]]
    else:
        around[path[-1]] = copy.deepcopy(odd)
    return tree


def one_of_each(folder: Path) -> list[Path]:
    """The JSON files: of runs and of tickets one of each kind."""
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.rglob("*.json")):
        inner = path.relative_to(folder)
        if inner.parts[0] in ("cache", "super_ticket") and path.name != "ticket.json":
            continue  # of Hugging Face's, and tried by the fuzz
        kind = inner.parts[1].split("-s")[0] if len(inner.parts) > 2 else ""
        found.setdefault((f"{inner.parts[0]} {kind}", path.name), path)
    return list(found.values())


def test_show_and_report(stranger: Path) -> None:
    """Both say something or refuse it; a record's own folder too."""
    cases, faults = 0, list[str]()
    root = stranger.parent
    for file in one_of_each(stranger):
        whole = file.read_bytes()
        tree = json.loads(whole)
        seal = storage.SEAL if file.name != "record.json" else "sha256"
        tree.pop(seal, None)
        for n, path in enumerate(leaves(tree)):
            for m, odd in enumerate((*ODD, ...)):
                if (n + m) % EVERY:
                    continue
                body = with_odd(tree, path, odd)
                file.write_bytes(json.dumps(body | {seal: storage.checksum(body)}).encode())
                lines = [["show", str(stranger)]]
                if file.parent != stranger:
                    lines.append(["show", str(file.parent)])
                if (n + m) % 11 == 0:
                    lines.append(["report", str(stranger)])
                for line in lines:
                    kept = (stranger / "outcome.json").read_bytes()
                    try:
                        survives(line, root, [stranger])
                    except Exception as fault:
                        place = traceback.extract_tb(fault.__traceback__)[-1]
                        about = f"{file.relative_to(stranger)} {path} = {str(odd)[:20]!r}: {line[0]}"
                        faults.append(
                            f"{about}: {type(fault).__name__} {place.filename}:{place.lineno} {str(fault)[:100]}"
                        )
                    if file.name != "outcome.json":
                        (stranger / "outcome.json").write_bytes(kept)
                    cases += 1
        file.write_bytes(whole)
    assert cases > 2000 / EVERY and not faults, "\n".join(faults)
