"""Bad input: one sentence each (config faults: one line each), exit 2, and nothing written or lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from small_models import build
from supertickets import RewindPoint, Ticket, UserError, gate, locking, prune
from supertickets.cli.app import main
from supertickets.encoders.families import structures_of
from supertickets.experiments.records import load_all
from tiny_sweeps import SHORTEST, assert_same, config_of, flags_of, run_all, settings_of_flags, snapshot

Refused = Callable[..., str]

HOLD = """
import sys
from pathlib import Path
from supertickets.locking import sweep_lock

with sweep_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command that must fail: exit 2, nothing on stdout, one line of error and no more; returns that line."""

    def run(*line: str | Path, lines: int = 1) -> str:
        assert main([str(word) for word in line]) == 2
        out, err = capsys.readouterr()
        said = [text for text in err.splitlines() if text != "preparing the data"]
        assert out == "" and len(said) == lines, err
        assert all(text.startswith("error: ") for text in said) and "Traceback" not in err
        return "\n".join(text.removeprefix("error: ") for text in said)

    return run


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """An out folder that must not be there afterwards."""
    folder = tmp_path / "out"
    yield folder
    assert not folder.exists()


def sweep_file(films: Path, encoder: Path | str, *more: str) -> Path:
    """A config file for the films; `more` are lines below it."""
    file = films / "sweep.yaml"
    lines = [
        f"data: {{train: {films}/train.csv, test: {films}/test.csv, text: review, label: stars}}",
        f"encoder: {{name: {encoder}}}",
        *more,
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def refused_by_all(refused: Refused, films: Path, encoder: Path | str, out: Path) -> str:
    """The sentence of `find`, which must be that of `sweep` and of `check`, too."""
    sentence = refused("find", *flags_of(films, encoder), "--out", out)
    file = sweep_file(films, encoder)
    assert refused("sweep", file, "--out", out) == refused("check", file) == sentence
    return sentence


# ---- data


def test_unknown_task(refused: Refused, tmp_path: Path, out: Path) -> None:
    """With a did-you-mean where something is near, with the known ones where nothing is."""
    assert "unknown task sst-3; did you mean sst2?" in refused("find", "sst-3", "--data", tmp_path, "--out", out)
    assert "cola, sst2, mrpc" in refused("find", "weather", "--data", tmp_path, "--out", out)


def test_missing_folder_and_files(refused: Refused, films: Path, tiny_bert_folder: Path, out: Path) -> None:
    """A task's folder, a task's file, a training file and a test file that are not there are named."""
    encoder = ("--encoder", tiny_bert_folder, "--out", out)
    assert "absent: no such folder" in refused("find", "rte", "--data", films / "absent", *encoder)
    assert "no training file of rte" in refused("find", "rte", "--data", made(films / "RTE"), *encoder).replace(
        "neither a folder of rte nor its training file", "no training file of rte"
    )
    (films / "RTE" / "train.tsv").write_text("sentence1\tsentence2\tlabel\na\tb\tentailment\n", encoding="utf-8")
    assert "dev.tsv: no such file" in refused("find", "rte", "--data", films, *encoder)
    for name in ("train.csv", "test.csv"):
        text = (films / name).read_text(encoding="utf-8")
        (films / name).unlink()
        assert refused_by_all(refused, films, tiny_bert_folder, out).startswith(f"{films / name}: no such file")
        (films / name).write_text(text, encoding="utf-8")


def made(folder: Path) -> Path:
    """The folder, made."""
    folder.mkdir()
    return folder


def test_missing_columns(refused: Refused, films: Path, tiny_bert_folder: Path, out: Path) -> None:
    """Text, second text and label: the one that lacks is named, and those that are there are listed."""
    line = ("find", "--train", films / "train.csv", "--test", films / "test.csv", "--encoder", tiny_bert_folder)
    columns = {"--text": "review", "--label": "stars"}
    for option in ("--text", "--text-pair", "--label"):
        words = [word for pair in (columns | {option: "nope"}).items() for word in pair]
        sentence = refused(*line, *words, "--out", out)
        assert f"{films / 'train.csv'}:1: column nope is missing (the columns are review, stars)" in sentence


Edit = Callable[[list[str]], list[str]]
# What to do to the lines of a file, and what the sentence must say of it: {f} is the file.
FAULTS: dict[str, tuple[str, Edit | bytes, str]] = {
    "empty file": ("train.csv", b"", "{f}: the file is empty"),
    "blank file": ("test.csv", b"\n \n", "{f}: the file is empty"),
    "header only": ("test.csv", b"review,stars\n", "{f}: the file is empty: it has a header and no examples"),
    "too few fields": ("train.csv", lambda rows: [*rows[:6], "short", *rows[6:]], "{f}:7:2: too few fields"),
    "too many fields": ("test.csv", lambda rows: [*rows[:3], "a,b,yes", *rows[3:]], "{f}:4:3: too many fields"),
    "missing label": (
        "train.csv",
        lambda rows: [*rows[:4], "a film,", *rows[4:]],
        "{f}:5:2: the label in column",
    ),
    "unknown label": ("test.csv", lambda rows: [*rows, "a film,maybe"], '{f}:14:2: unknown label "maybe" in column'),
    "missing text": ("train.csv", lambda rows: [*rows, ",yes"], "{f}:42:1: the text in column review is missing"),
    "one class": ("train.csv", lambda rows: [rows[0], *rows[1::2]], "there is one class only"),
    "fewer examples than classes": (
        "train.csv",
        lambda rows: [rows[0], "a,x", "b,y", "c,z"],
        "{f}: 3 training examples are too few for the 3 classes of column stars",
    ),
    "not UTF-8": ("train.csv", "review,stars\na,yes\ncaf\u00e9,no\n".encode("latin-1"), "{f}:3: not UTF-8 (byte 0xE9)"),
    "quotes": ("train.csv", lambda rows: [*rows, '"open,yes'], "{f}:42: the quotes of the row that starts here"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_files(fault: str, refused: Refused, films: Path, tiny_bert_folder: Path, out: Path) -> None:
    """File, line and column of each; find, sweep and check say the same sentence."""
    name, change, words = FAULTS[fault]
    file = films / name
    if isinstance(change, bytes):
        file.write_bytes(change)
    else:
        rows = change(file.read_text(encoding="utf-8").splitlines())
        file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    assert words.format(f=file) in refused_by_all(refused, films, tiny_bert_folder, out)


STSB = "genre\tsentence1\tsentence2\tscore"
GLUE_FAULTS = {
    "rte short": ("rte", "RTE", ["index\tsentence1\tsentence2\tlabel", "0\ta\tb\tentailment", "1\ta"], ":3:3: too few"),
    "rte unknown label": ("rte", "RTE", ["sentence1\tsentence2\tlabel", "a\tb\tyes"], ':2:3: unknown label "yes"'),
    "stsb no number": ("stsb", "STS-B", [STSB, "x\ta\tb\t2.5", "x\ta\tb\tmuch"], ':3:4: "much" in column score is not'),
    "stsb missing": (
        "stsb",
        "STS-B",
        [STSB, "x\ta\tb\t2.5", "x\ta\tb\t"],
        ":3:4: the label in column score is",
    ),
    "stsb column": ("stsb", "STS-B", ["genre\tsentence1\tsentence2", "x\ta\tb"], ":1: column score is missing"),
}


@pytest.mark.parametrize("fault", GLUE_FAULTS)
def test_faults_in_known_tasks(fault: str, refused: Refused, tmp_path: Path, tiny_bert_folder: Path, out: Path) -> None:
    """In published layouts the same, with the place in the file."""
    task, folder, rows, words = GLUE_FAULTS[fault]
    home = made(tmp_path / folder)
    for name in ("train.tsv", "dev.tsv"):
        (home / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    sentence = refused("find", task, "--data", tmp_path, "--encoder", tiny_bert_folder, "--out", out)
    assert f"{home / 'train.tsv'}{words}" in sentence


def test_a_word_among_numbers(refused: Refused, films: Path, tiny_bert_folder: Path, out: Path) -> None:
    """Own regression data with a label that is no number."""
    (films / "train.csv").write_text("review,stars\na,0.5\nb,1.5\nc,high\n", encoding="utf-8")
    sentence = refused_by_all(refused, films, tiny_bert_folder, out)
    assert f'{films / "train.csv"}:4:2: "high" in column stars is not a number' in sentence


# ---- encoder


def broken(encoder: Path, target: Path, *without: str, **config: Any) -> Path:
    """A copy of a model folder that lacks files, or with other values in its config."""
    shutil.copytree(encoder, target, ignore=shutil.ignore_patterns(*without))
    body = json.loads((target / "config.json").read_text(encoding="utf-8"))
    (target / "config.json").write_text(json.dumps(body | config), encoding="utf-8")
    return target


def test_not_an_encoder(refused: Refused, films: Path, tiny_bert_folder: Path, tmp_path: Path, out: Path) -> None:
    """A decoder, an unknown family and another kind of model: which families there are and where to add one."""
    for model_type in ("gpt2", "t5", "roformer", "frobnicator"):
        folder = broken(tiny_bert_folder, tmp_path / model_type, model_type=model_type, architectures=None)
        sentence = refused_by_all(refused, films, folder, out)
        assert f"'{model_type}' is not an encoder family known here (albert, bert, camembert, deberta-v2" in sentence
        assert "add yours: docs/add-a-family.md says how" in sentence
    folder = broken(tiny_bert_folder, tmp_path / "causal", is_decoder=True)
    assert "this is a decoder" in refused_by_all(refused, films, folder, out)
    folder = broken(tiny_bert_folder, tmp_path / "typed", hidden_size="wide")
    assert "no encoder could be loaded" in refused_by_all(refused, films, folder, out)


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (("*.safetensors",), "this model folder holds no weights"),
        (("tokenizer.json", "vocab.txt"), "this model folder holds no tokenizer"),
    ],
)
def test_half_a_model_folder(
    without: tuple[str, ...],
    words: str,
    refused: Refused,
    films: Path,
    tiny_bert_folder: Path,
    tmp_path: Path,
    out: Path,
) -> None:
    """A model folder without weights or without a tokenizer."""
    folder = broken(tiny_bert_folder, tmp_path / "half", *without)
    assert f"{folder}: {words}" in refused_by_all(refused, films, folder, out)


def test_damaged_weights(refused: Refused, films: Path, tiny_bert_folder: Path, tmp_path: Path, out: Path) -> None:
    """A torn weights file, and a config of another size, are found before anything is trained."""
    folder = broken(tiny_bert_folder, tmp_path / "torn")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert str(folder) in refused_by_all(refused, films, folder, out)
    folder = broken(tiny_bert_folder, tmp_path / "wide", hidden_size=64)
    assert str(folder) in refused_by_all(refused, films, folder, out)


def test_missing_model_folder(refused: Refused, films: Path, out: Path) -> None:
    """A path that is no folder, and a folder that holds no model."""
    assert "there is no such folder" in refused_by_all(refused, films, films / "absent", out)
    assert "this folder holds no model: config.json is missing" in refused_by_all(refused, films, films, out)


# ---- settings


@pytest.mark.parametrize("level", ["1", "-0.1", "1.5", ".nan"])
def test_sparsity_outside_its_range(
    level: str, refused: Refused, films: Path, tiny_bert_folder: Path, out: Path
) -> None:
    """A level must be in [0, 1): told with the setting's name, from the command line and from a file."""
    line = ("find", *flags_of(films, tiny_bert_folder), "--out", out, "--set", f"tickets.levels=[0.5, {level}]")
    sentence = refused(*line)
    assert "tickets.levels.1" in sentence
    file = sweep_file(films, tiny_bert_folder, f"tickets: {{levels: [0.5, {level}]}}")
    for line in (("sweep", file, "--out", out), ("check", file)):
        assert f"{file}:3:25: tickets.levels.1" in refused(*line)


def test_min_heads_above_the_head_count(refused: Refused, films: Path, tiny_bert_folder: Path, out: Path) -> None:
    """Told with the encoder's number of heads, before anything is trained or written."""
    line = ("find", *flags_of(films, tiny_bert_folder), "--out", out, "--set", "tickets.min_heads=5")
    assert "min_heads: must be between 0 and the 4 heads of a layer, not 5" in refused(*line)
    assert "tickets.min_heads" in refused(*line[:-1], "tickets.min_heads=-1")


def test_all_faults_of_a_config_at_once(refused: Refused, films: Path, out: Path) -> None:
    """Unknown keys and wrong types: a line for each, with file, line and column."""
    file = films / "bad.yaml"
    file.write_text(
        "data: {train: a.csv}\ntraining:\n  epoch: 3\n  batch_size: many\ntickets: {levels: 3}\nseedz: [1]\n",
        encoding="utf-8",
    )
    for line in (("sweep", file, "--out", out), ("check", file), ("find", "--config", file, "--out", out)):
        told = refused(*line, lines=5).splitlines()
        assert [fault.removeprefix(f"{file}:").split(":")[0] for fault in told] == ["1", "3", "4", "5", "6"]
        assert "did you mean training.epochs?" in told[1] and "did you mean seeds?" in told[4]


# ---- folders


@pytest.fixture
def swept(films: Path, tiny_bert_folder: Path) -> Path:
    """A finished sweep's folder, of the shortest kind."""
    folder = films.parent / "swept"
    run_all(folder, config_of(films, tiny_bert_folder, short=SHORTEST))
    return folder


def kept(folder: Path) -> dict[str, tuple[int, str]]:
    """The files of a folder but for its lock."""
    return {name: file for name, file in snapshot(folder).items() if name != locking.LOCK_FILE}


def test_the_folder_of_another_config(refused: Refused, swept: Path, films: Path, tiny_bert_folder: Path) -> None:
    """What differs is listed; no byte of the folder changes."""
    before = kept(swept)
    line = ("find", *flags_of(films, tiny_bert_folder), "--out", swept, *settings_of_flags(SHORTEST))
    sentence = refused(*line, "--set", "training.epochs=2", "--set", "tickets.min_heads=0")
    assert "belongs to another config (training.epochs is 1.0 there, 2.0 here; tickets.min_heads is 1" in sentence
    assert kept(swept) == before


def test_bad_data_later_loses_nothing(refused: Refused, swept: Path, films: Path, tiny_bert_folder: Path) -> None:
    """Data that became bad, or other data, leaves a sweep's folder as it is."""
    before = kept(swept)
    line = ("find", *flags_of(films, tiny_bert_folder), "--out", swept, *settings_of_flags(SHORTEST))
    text = (films / "train.csv").read_text(encoding="utf-8")
    for other, words in ((text + "short\n", "too few fields"), (text + "more,yes\n", "the data has changed since")):
        (films / "train.csv").write_text(other, encoding="utf-8")
        assert words in refused(*line)
        assert kept(swept) == before


def test_a_locked_folder(refused: Refused, swept: Path, films: Path, tiny_bert_folder: Path) -> None:
    """While another process works in the folder, a second one is told which, and ends."""
    before = kept(swept)
    command = [sys.executable, "-c", HOLD, str(swept)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        line = ("find", *flags_of(films, tiny_bert_folder), "--out", swept, *settings_of_flags(SHORTEST))
        sentence = refused(*line)
        assert f"{swept}: in use by process {holder.pid} on " in sentence
        assert "wait for it to end, or choose another folder" in sentence
        holder.communicate()
    assert kept(swept) == before


def test_an_out_that_is_a_file(refused: Refused, films: Path, tiny_bert_folder: Path) -> None:
    """It is not written over."""
    line = ("find", *flags_of(films, tiny_bert_folder), "--out", films / "test.csv", *settings_of_flags(SHORTEST))
    before = snapshot(films)
    assert "test.csv" in refused(*line)
    assert snapshot(films) == before


# ---- tickets


def test_a_ticket_for_another_architecture(refused: Refused, swept: Path, films: Path, tiny_bert_folder: Path) -> None:
    """Wherever a ticket meets a model of another shape, both sizes are told; a sweep's encoder may not be swapped."""
    ticket = Ticket.load(next((swept / "tickets").iterdir()))
    for family in ("bert", "distilbert"):  # three layers, not two
        model = build(family)
        for use in (prune, gate):
            with pytest.raises(UserError, match=r"2 layers.*3 layers"):
                use(model, ticket.mask)
        with pytest.raises(UserError, match=r"this ticket was made for bert: 2 layers.*3 layers"):
            ticket.check_fits(structures_of(model))
    encoder = broken(tiny_bert_folder, films / "encoder")
    config = config_of(films, encoder, short=SHORTEST)
    run_all(films.parent / "other", config)
    build("bert", vocab_size=256).base_model.save_pretrained(encoder)
    before = kept(films.parent / "other")
    line = ("find", *flags_of(films, encoder), "--out", films.parent / "other", *settings_of_flags(SHORTEST))
    assert "the encoder has changed since this sweep began" in refused(*line)
    assert kept(films.parent / "other") == before


def test_a_pruned_model_is_no_start(refused: Refused, swept: Path, films: Path, tiny_bert_folder: Path) -> None:
    """A super ticket's folder as the encoder of a sweep is refused, as its dropped units are gone."""
    from supertickets.encoders.export import save_ticket_model
    from supertickets.encoders.loading import load

    ticket = Ticket.load(next((swept / "tickets").iterdir()))
    model, tokenizer = load(tiny_bert_folder)
    folder = films / "pruned"
    save_ticket_model(folder, prune(RewindPoint.of(model).model(), ticket.mask), tokenizer, ticket)
    assert "pruned already" in refused("find", *flags_of(films, folder), "--out", films / "out")
    assert not (films / "out").exists()


@pytest.mark.parametrize("name", ["ticket.json", "ticket.safetensors"])
def test_showing_a_damaged_ticket(name: str, refused: Refused, swept: Path) -> None:
    """A torn ticket is named."""
    folder = next((swept / "tickets").iterdir())
    (folder / name).write_bytes((folder / name).read_bytes()[:-5])
    assert str(folder / name) in refused("show", folder)


def test_showing_and_reporting_a_damaged_record(refused: Refused, swept: Path) -> None:
    """A torn record is named by `show` and `report`, which then writes no report."""
    folder = next((swept / "runs").iterdir())
    (folder / "arrays.safetensors").write_bytes(b"")
    assert "arrays.safetensors: damaged" in refused("show", folder)
    assert "arrays.safetensors: damaged" in refused("report", swept)
    assert not (swept / "report.html").exists()


# ---- the disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 KiB; skips where this user may not mount one."""
    disk = made(tmp_path / "disk")
    mounted = shutil.which("mount") and os.geteuid() == 0
    command = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)]
    if not mounted or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small disk: no right to")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(
    refused: Refused, small_disk: Path, films: Path, tiny_bert_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Full at the first run, then at the super ticket, then at the report: one sentence each time, and it goes on."""
    out = small_disk / "out"
    line = ("find", *flags_of(films, tiny_bert_folder), "--out", out, "--workers", "1", *settings_of_flags(SHORTEST))
    finished = []
    for size in ("96k", "160k", "800k"):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(small_disk)], check=True)
        assert main([str(word) for word in line]) == 2
        out_, err = capsys.readouterr()
        *_, last = err.splitlines()
        assert out_ == "" and err.count("error:") == 1 and "Traceback" not in err
        assert last.startswith("error: ") and "no space left on the disk" in last
        assert not list(out.rglob("*.partial"))
        records = {record.name: record for record in load_all(out)}
        assert set(finished) <= set(records)
        finished = [*records]
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    assert main([str(word) for word in line]) == 0
    expected = run_all(films.parent / "whole", config_of(films, tiny_bert_folder, short=SHORTEST))
    assert_same(load_all(out), expected)


@pytest.mark.parametrize("full", ["cache/train", "data.json", "config.yaml", "arrays.safetensors", "ticket.json"])
def test_no_space_for_a_file(
    full: str, refused: Refused, films: Path, tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever file it is that finds the disk full: one sentence, no torn file, nothing that claims to be done."""
    rename, replace = Path.rename, Path.replace

    def or_full(method: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def renamed(self: Path, target: Path) -> Path:
            if str(target).endswith(full):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return method(self, target)

        return renamed

    monkeypatch.setattr(Path, "rename", or_full(rename))
    monkeypatch.setattr(Path, "replace", or_full(replace))
    out = films.parent / "out"
    line = ("find", *flags_of(films, tiny_bert_folder), "--out", out, "--workers", "1", *settings_of_flags(SHORTEST))
    monkeypatch.setattr("supertickets.cli.console._tell", told := Lines())
    assert main([str(word) for word in line]) == 2
    assert [text for text in told if text.startswith("error:")] == [told[-1]]
    assert "no space left on the disk; free some and start again: what is finished is kept" in told[-1]
    assert not list(out.rglob("*.partial")) and not list(out.rglob(full))
    assert (out / "config.yaml").exists() == (full in ("arrays.safetensors", "ticket.json"))
    done = load_all(out)
    assert [record.kind for record in done] == (["full"] if full == "ticket.json" else [])


class Lines(list[str]):
    """What was told, line by line."""

    def __call__(self, line: str) -> None:
        """Note the line."""
        self.append(line)
