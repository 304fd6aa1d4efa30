"""A sweep's folder: prepared once, whole or not at all, and of one config."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import BertConfig, BertModel

from supertickets import storage
from supertickets.config import Config
from supertickets.errors import UserError
from supertickets.experiments import workspace
from supertickets.experiments.runs import TicketRun, TuneRun
from supertickets.experiments.workspace import Inputs, Workspace
from tiny_sweeps import config_of, snapshot, write_films


def test_a_prepared_folder_opens(tmp_path: Path, config: Config) -> None:
    """What was prepared is what is opened: the same config and task, its data's sizes and checksum beside them."""
    prepared = Workspace.prepare(tmp_path, config)
    opened = Workspace.open(tmp_path)
    assert opened == prepared and opened.config == config
    assert (opened.task.kind, opened.task.labels, opened.task.name) == ("classification", ("no", "yes"), "train")
    assert (opened.data["sizes"]["train"]["rows"], opened.data["sizes"]["report"]["rows"]) == (40, 12)
    tune = TuneRun(config, 1)
    ticket = TicketRun(tune, "winning", 0.5)
    assert opened.run_folder(tune) == tmp_path / "runs" / tune.name
    assert opened.ticket_folder(ticket) == tmp_path / "tickets" / ticket.name


def test_preparing_again_keeps_the_tokens(tmp_path: Path, config: Config) -> None:
    """A second time the same data and config change no byte, and the tokenised files are not even touched."""
    Workspace.prepare(tmp_path, config)
    before = snapshot(tmp_path)
    Workspace.prepare(tmp_path, config)
    after = snapshot(tmp_path)
    assert {name: file[1] for name, file in before.items()} == {name: file[1] for name, file in after.items()}
    cached = [name for name in before if name.startswith("cache/")]
    assert cached and all(before[name] == after[name] for name in cached)


def test_no_other_folder_opens(tmp_path: Path) -> None:
    """A folder without a config is no sweep's."""
    with pytest.raises(UserError, match=r"not a sweep's folder: config\.yaml is missing"):
        Workspace.open(tmp_path)


def test_the_splits_of_a_seed(swept: Workspace) -> None:
    """Train and selection share no example and are all together; another seed holds out others; one report for all."""
    sweep, seeds = swept, {}
    for seed in (0, 1):
        found = sweep.splits(seed)
        assert len(found.train) + len(found.selection) == 40 and len(found.report) == 12
        train, selection = ({tuple(ids) for ids in part["input_ids"]} for part in (found.train, found.selection))
        assert not train & selection and len(train | selection) == 40
        assert sorted(np.bincount(found.selection["labels"])) == [4, 4]  # a fifth, in the classes' shares
        seeds[seed] = selection, found.report["input_ids"][:]
    assert not seeds[0][0] & seeds[1][0]
    assert seeds[0][1] == seeds[1][1]


def test_limits_on_examples(tmp_path: Path, films: Path, tiny_bert_folder: Path) -> None:
    """With limits, that many examples are used, in the classes' shares; the whole data still names the folder."""
    config = config_of(films, tiny_bert_folder, "data.train_examples=10", "data.report_examples=4")
    sweep = Workspace.prepare(tmp_path, config)
    found = sweep.splits(0)
    assert (len(found.train), len(found.selection), len(found.report)) == (8, 2, 4)
    assert np.bincount(found.report["labels"]).tolist() == [2, 2]
    assert sweep.data["sizes"]["train"]["rows"] == 40


def test_a_seed_has_one_rewind_point(swept: Workspace) -> None:
    """The same seed gives the same weights, head included; another seed another head on the same encoder."""
    one, again, other = (swept.rewind_point(seed).model().state_dict() for seed in (0, 0, 1))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert {name for name in one if not np.array_equal(one[name], other[name])} == {"classifier.weight"}
    assert swept.rewind_point(0).sha256 == swept.rewind_point(1).sha256


def test_the_folder_of_another_config(copied: Callable[[], Path], films: Path, tiny_bert_folder: Path) -> None:
    """It is refused in one sentence that lists what differs, and only that, and no byte of it changes."""
    folder = copied()
    before = snapshot(folder)
    other = config_of(films, tiny_bert_folder, "training.epochs=2", "encoder.max_length=32", "tickets.levels=[0.5]")
    with pytest.raises(UserError) as caught:
        Workspace.prepare(folder, other)
    assert str(caught.value) == (
        f"{folder}: this folder belongs to another config (encoder.max_length is 128 there, 32 here; "
        "training.epochs is 1.0 there, 2.0 here); choose another --out folder"
    )
    assert snapshot(folder) == before


def test_a_sweep_does_not_grow_in_seeds(copied: Callable[[], Path], films: Path, tiny_bert_folder: Path) -> None:
    """Their number sets how many examples each holds out, which the sentence says."""
    with pytest.raises(UserError, match=r"the number of seeds is 2 there, 3 here.*grows in levels, not in seeds"):
        Workspace.prepare(copied(), config_of(films, tiny_bert_folder, "seeds=[0, 1, 2]"))


def test_a_delivered_ticket_is_not_replaced_by_one_chosen_from_less(
    copied: Callable[[], Path], films: Path, tiny_bert_folder: Path
) -> None:
    """Fewer levels, other seeds, or a race after a grid are refused; more levels are welcome, and may be left again."""
    folder = copied()
    timed = {name: 1.0 for name in ("median", "p10", "p90")} | {
        name: 1 for name in ("pairs", "threads", "batch_size", "length")
    }
    extent = {"strategy": "grid", "levels": [0.25, 0.5], "seeds": [0, 1]}
    about = timed | {"device": "cpu", "seed": 0, "report": 0.5, "chosen_from": extent}
    storage.write_sealed(folder / "speedup.json", about)
    before = snapshot(folder)
    for change, words in (
        ("tickets.levels=[0.5]", "tickets.levels 0.25, too, which this config leaves out; add what is left"),
        ("seeds=[0, 2]", "seeds 1, too, which this config leaves out; choose another --out folder"),
        ("strategy=race", "a whole grid, and a race would choose from less; set strategy=grid, or choose another"),
    ):
        with pytest.raises(UserError, match=f"the super ticket in this folder was chosen from {words}"):
            Workspace.prepare(folder, config_of(films, tiny_bert_folder, change))
        assert snapshot(folder) == before
    for levels in ((0.25, 0.5, 0.75), (0.25, 0.5)):
        config = config_of(films, tiny_bert_folder, f"tickets.levels={[*levels]}")
        assert Workspace.prepare(folder, config).config.tickets.levels == levels


def test_data_that_has_changed(tmp_path: Path, tiny_bert_folder: Path) -> None:
    """One changed word in the user's files: refused in one sentence, as old and new records would not compare."""
    films = write_films(tmp_path / "films")
    Workspace.prepare(tmp_path / "out", config_of(films, tiny_bert_folder))
    before = snapshot(tmp_path / "out")
    text = (films / "test.csv").read_text(encoding="utf-8")
    (films / "test.csv").write_text(text.replace("movie 3", "film 3"), encoding="utf-8")
    with pytest.raises(UserError, match=r"out: the data has changed since this sweep began; choose another --out"):
        Workspace.prepare(tmp_path / "out", config_of(films, tiny_bert_folder))
    assert snapshot(tmp_path / "out") == before


def test_an_encoder_that_has_changed(tmp_path: Path, films: Path, tiny_bert_folder: Path) -> None:
    """The same for other weights in the encoder's folder: tickets must rewind to what their model was tuned from."""
    encoder = Path(shutil.copytree(tiny_bert_folder, tmp_path / "bert"))
    Workspace.prepare(tmp_path / "out", config_of(films, encoder))
    BertModel(BertConfig.from_pretrained(encoder)).save_pretrained(encoder)
    with pytest.raises(UserError, match=r"out: the encoder has changed since this sweep began; choose another --out"):
        Workspace.prepare(tmp_path / "out", config_of(films, encoder))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("tickets.min_heads=5", "min_heads: must be between 0 and the 4 heads of a layer, not 5"),
        ("scoring.rounds=11", "rounds: must be between 1 and the 10 units of the encoder, not 11"),
        ("data.label=mark", "column mark is missing"),
        ("encoder.name=./absent", "there is no such folder"),
        ("data.train_examples=1", "1 examples cannot hold one of each of 2 classes"),
        ("data.train_examples=2", "none of 2 training examples can be held out"),
    ],
)
def test_what_is_refused_leaves_nothing(
    override: str, words: str, tmp_path: Path, films: Path, tiny_bert_folder: Path
) -> None:
    """Whatever a run would trip over is found before the folder is made, and before anything is trained."""
    with pytest.raises(UserError, match=words):
        Workspace.prepare(tmp_path / "out", config_of(films, tiny_bert_folder, override))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("last", ["data.json", "config.yaml"])
def test_a_half_made_folder_claims_no_config(
    last: str, tmp_path: Path, films: Path, tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preparation that fails while writing belongs to no config: other settings and other data may follow."""
    full = UserError("no space left on the disk")

    def failing(path: Path, *_: object) -> None:
        if path.name == last:
            raise full
        storage_json(path, *_)

    storage_json, storage_text = storage.write_json, storage.write_text
    monkeypatch.setattr(workspace.storage, "write_json", failing)
    monkeypatch.setattr(
        workspace.storage, "write_text", lambda p, t: failing(p) if p.name == last else storage_text(p, t)
    )
    with pytest.raises(UserError, match="no space left"):
        Workspace.prepare(tmp_path / "out", config_of(films, tiny_bert_folder))
    monkeypatch.undo()
    others = write_films(tmp_path / "films", train=20)
    sweep = Workspace.prepare(tmp_path / "out", config_of(others, tiny_bert_folder, "encoder.max_length=16"))
    assert len(sweep.splits(0).train) + len(sweep.splits(0).selection) == 20
    assert max(sweep.splits(0).train["length"]) <= 16


def test_inputs_know_the_units_of_the_settings(films: Path, tiny_bert_folder: Path) -> None:
    """Sublayers, or the 64 neurons of each."""
    for units, expected in (("sublayer", (2, 1)), ("neuron", (2, 64))):
        inputs = Inputs.read(config_of(films, tiny_bert_folder, f"units.ffn={units}"))
        assert inputs.structures.ffn.shape == expected and inputs.structures.ffn_units == units


def test_inputs_are_read_without_a_folder(config: Config) -> None:
    """Reading says what there is: examples, checksums of data and encoder."""
    inputs = Inputs.read(config)
    assert {split: len(examples) for split, examples in inputs.examples.items()} == {"train": 40, "report": 12}
    assert inputs.origin["data"] == inputs.loaded.sha256 and len(inputs.origin["encoder"]) == 64


def test_a_strangers_folder_is_refused(config: Config, tmp_path: Path) -> None:
    """A folder with files that are not a sweep's is named with its files, which stay what they were."""
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").write_text("precious", encoding="utf-8")
    with pytest.raises(UserError, match=r"holds other files \(chapter1\.tex\).*choose a new or empty --out folder"):
        Workspace.prepare(folder, config)
    assert [path.name for path in folder.iterdir()] == ["chapter1.tex"]
