"""Damaged files of every kind: refused in one sentence or made again, and never read as good."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from supertickets.cli.app import main
from supertickets.errors import UserError
from supertickets.experiments.records import Record, load_all
from supertickets.tickets.ticket import Ticket
from tiny_sweeps import TWO_SEEDS, assert_same, flags_of, settings_of_flags, snapshot

Damage = Callable[[Path, Path], None]


def cut(share: float) -> Damage:
    """A file that was torn; 0 leaves none of it."""

    def tear(path: Path, _: Path) -> None:
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return tear


def flip(path: Path, _: Path) -> None:
    """One bit in the middle of the file is another."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 4
    path.write_bytes(body)


def swap(path: Path, other: Path) -> None:
    """Another run's file, or another kind of file where there is one of its kind only."""
    shutil.copyfile(other, path)


DAMAGES: dict[str, Damage] = {"torn": cut(0.6), "emptied": cut(0), "flipped": flip, "swapped": swap}
RUN, TICKET, OTHER = "runs/full-s0-*", "tickets/winning-0.5-s0-*", "tickets/winning-0.5-s1-*"
# A kind of file: where it is, what it may be swapped with, and the commands that read it.
READ: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "record": (f"{RUN}/record.json", "runs/full-s1-*/record.json", ("report",)),
    "a ticket's record": ("runs/winning-0.5-s0-*/record.json", "runs/winning-0.5-s1-*/record.json", ("report",)),
    "predictions": (f"{RUN}/arrays.safetensors", "runs/full-s1-*/arrays.safetensors", ("report", f"show {RUN}")),
    "ticket": (f"{TICKET}/ticket.json", f"{RUN}/record.json", (f"show {TICKET}",)),
    "ticket's mask": (f"{TICKET}/ticket.safetensors", f"{RUN}/arrays.safetensors", (f"show {TICKET}",)),
    "facts of the data": ("data.json", f"{RUN}/record.json", ("report",)),
    "speed": ("speedup.json", f"{RUN}/record.json", ("report",)),
    "model": ("super_ticket/model.safetensors", f"{RUN}/arrays.safetensors", ("predict", "export")),
    "model's config": ("super_ticket/config.json", "data.json", ("predict", "export")),
    "model's ticket": ("super_ticket/ticket.json", "tickets/winning-0.5-s?-*/ticket.json", ("predict", "export")),
    "model's mask": ("super_ticket/ticket.safetensors", f"{RUN}/arrays.safetensors", ("show super_ticket", "export")),
    "tokenizer": ("super_ticket/tokenizer.json", "data.json", ("predict", "export")),
    "model's task": ("super_ticket/ticket_task.json", "data.json", ("predict", "export")),
    "model's checksums": ("super_ticket/checksums.json", "data.json", ("predict", "export")),
}


def one(folder: Path, pattern: str) -> Path:
    """The file or folder of a pattern; of several the last."""
    return sorted(folder.glob(pattern))[-1] if "*" in pattern else folder / pattern


def command(words: str, sweep: Path, finished: Path) -> list[str]:
    """A command on the sweep's folder."""
    verb, _, place = words.partition(" ")
    out = ["--out", str(sweep.parent / "out")]
    more = {"predict": [str(finished.parent / "films" / "test.csv"), *out], "export": out}.get(verb, [])
    return [verb, str(one(sweep, place) if place else sweep), *more]


def again(sweep: Path, finished: Path, encoder: Path) -> list[str]:
    """The command that made the sweep, for its copy."""
    line = ["find", *flags_of(finished.parent / "films", encoder), "--workers", "1", "--out", str(sweep)]
    return [*line, *settings_of_flags(TWO_SEEDS)]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", READ)
def test_a_damaged_file_is_refused(
    kind: str, damage: str, sweep: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reads it says in one sentence which file it is, and writes nothing."""
    pattern, other, commands = READ[kind]
    path = one(sweep, pattern)
    DAMAGES[damage](path, one(sweep, other))
    before = snapshot(sweep.parent)
    for words in commands:
        assert main(command(words, sweep, finished)) == 2, words
        out, err = capsys.readouterr()
        told = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(told) == 1 and out == "" and "Traceback" not in err, err
        assert path.parent.name in told[0] and len(told[0]) < 500
        assert snapshot(sweep.parent) == before


@pytest.mark.parametrize("kind", ["ticket", "record", "data"])
def test_no_single_bit_goes_unseen(kind: str, finished: Path, tmp_path: Path) -> None:
    """Each of a hundred bits of a file, flipped alone, is told."""
    from supertickets.experiments.origins import read_data

    pattern, load = {
        "ticket": (f"{TICKET}/ticket.json", Ticket.load),
        "record": (f"{RUN}/record.json", Record.load),
        "data": ("data.json", read_data),
    }[kind]
    source = one(finished, pattern)
    folder = Path(shutil.copytree(source.parent, tmp_path / "copy", ignore=shutil.ignore_patterns("cache", "super*")))
    path, body, rng = folder / source.name, source.read_bytes(), random.Random(0)
    load(folder)
    for _ in range(100):
        place, bit = rng.randrange(len(body.rstrip())), 1 << rng.randrange(8)
        path.write_bytes(body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :])
        with pytest.raises(UserError):
            load(folder)


CACHE = {
    "tokens": "cache/train/data-00000-of-00001.arrow",
    "table": "cache/report/state.json",
    "key": "cache/train/key.json",
}


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(("kind", "damage"), [("tokens", "flipped"), ("table", "emptied"), ("key", "torn")])
def test_a_damaged_cache_is_made_anew(
    kind: str, damage: str, sweep: Path, finished: Path, tiny_bert_folder: Path
) -> None:
    """The texts are tokenised again, and nothing else is done."""
    path = sweep / CACHE[kind]
    DAMAGES[damage](path, sweep / "data.json")
    assert path.read_bytes() != (finished / CACHE[kind]).read_bytes()
    assert main(again(sweep, finished, tiny_bert_folder)) == 0
    ours, theirs = ({name: file[1] for name, file in snapshot(one).items()} for one in (sweep, finished))
    assert {name for name in theirs if name.endswith(".arrow") and ours[name] != theirs[name]} == set()
    assert_same(load_all(sweep), load_all(finished))


# What a resumed sweep does about each kind.
RESUMED = dict.fromkeys(READ, "made again") | {"facts of the data": "refused"}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", RESUMED)
def test_a_resumed_sweep_mends_or_refuses(
    kind: str, damage: str, sweep: Path, finished: Path, tiny_bert_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records, tickets and the model are those of the undamaged sweep again, bit for bit; else one sentence."""
    pattern, other, _ = READ[kind]
    path = one(sweep, pattern)
    DAMAGES[damage](path, one(sweep, other))
    code = main(again(sweep, finished, tiny_bert_folder))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    if RESUMED[kind] == "refused":
        assert code == 2 and len(told) == 1 and path.name in told[0]
        return
    assert (code, told) == (0, [])
    assert_same(load_all(sweep), load_all(finished))
    ours, theirs = snapshot(sweep), snapshot(finished)
    same = ("ticket.safetensors", "arrays.safetensors", "model.safetensors", ".arrow", "ticket_task.json")
    assert [name for name in theirs if name.endswith(same) and ours[name][1] != theirs[name][1]] == []
    assert main(["show", str(one(sweep, TICKET))]) == main(["show", str(sweep)]) == 0
    assert "damaged" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_damaged_encoder_does_not_go_on(sweep: Path, finished: Path, tiny_bert_folder: Path, tmp_path: Path) -> None:
    """One bit of the pretrained weights is another: the sweep knows that it is another encoder."""
    encoder = Path(shutil.copytree(tiny_bert_folder, tmp_path / "encoder"))
    flip(encoder / "model.safetensors", encoder)
    before = {name: file for name, file in snapshot(sweep).items() if not name.startswith(".lock")}
    assert main(again(sweep, finished, encoder)) == 2
    assert {name: file for name, file in snapshot(sweep).items() if not name.startswith(".lock")} == before
