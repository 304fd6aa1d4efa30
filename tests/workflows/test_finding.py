"""find and sweep: the main job from Python, in five lines."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
from datasets import load_from_disk
from transformers import BertConfig, BertModel

import supertickets
from supertickets import UserError, find, settings, storage, sweep
from supertickets.config import Config
from supertickets.experiments.records import load_all
from supertickets.experiments.targets import Target
from supertickets.workflows import finding
from supertickets.workflows.reporting import OUTCOME_FILE
from tiny_sweeps import SHORTEST, snapshot, write_films

OPINIONS = ("good", "bad", "great", "poor", "best", "worst", "bright", "dull")


def write(path: Path, lines: list[str]) -> str:
    """A CSV file."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_classification_in_five_lines(tmp_path: Path, tiny_bert_folder: Path) -> None:
    """Own CSV files with words for labels: a sentence, an outcome, a report, and a model that loads."""
    films = write_films(tmp_path / "films")
    out = tmp_path / "out"
    files = {"train": f"{films}/train.csv", "test": f"{films}/test.csv", "text": "review", "label": "stars"}
    found = find(**files, encoder=str(tiny_bert_folder), out=out, workers=1, set=SHORTEST)

    assert found.sentence.endswith(".") and " % of the weights, scores " in found.sentence
    assert found.report == out / "report.html" and found.report.stat().st_size > 10_000
    assert found.model == out / "super_ticket" and (out / OUTCOME_FILE).is_file()
    assert 0 <= found.outcome.ticket.mean <= 1 and found.outcome.ticket.n == 1
    assert found.outcome.sparsity == 0.5 and 0 < found.outcome.weights_all < 1
    model, tokenizer = supertickets.load(found.model)
    assert model(**tokenizer(["a good film"], return_tensors="pt")).logits.shape == (1, 2)
    assert [record.kind for record in load_all(out)] == ["full", "winning"]

    before = snapshot(out)
    again = find(**files, encoder=str(tiny_bert_folder), out=out, workers=1, set=SHORTEST)
    assert again == found
    after = snapshot(out)
    assert {name for name in before if before[name] != after.get(name)} <= {
        "config.yaml", "data.json", "report.html", "outcome.json", "figures/curve.svg", "figures/agreement.svg"
    }  # fmt: skip


def test_regression(tmp_path: Path, tiny_bert_folder: Path) -> None:
    """Numbers with a fraction as labels: one output, correlations as metrics."""
    rows = [f"a {OPINIONS[row % 8]} movie {row},{row % 8 / 4 + 0.5}" for row in range(40)]
    train, test = (write(tmp_path / f"{n}.csv", ["text,label", *rows[s]]) for n, s in PARTS.items())
    found = find(train=train, test=test, encoder=str(tiny_bert_folder), out=tmp_path / "out", workers=1, set=SHORTEST)
    record = load_all(tmp_path / "out")[0]
    assert set(record.report.metrics) == {"pearson", "spearman"}
    assert record.arrays["report_predictions"].shape == (10,) and record.arrays["report_labels"].dtype.kind == "f"
    model, tokenizer = supertickets.load(found.model)
    assert model(**tokenizer(["a good film"], return_tensors="pt")).logits.shape == (1, 1)


PARTS = {"train": slice(0, 30), "test": slice(30, 40)}


def test_pairs_of_texts_from_a_config_file(tmp_path: Path, tiny_bert_folder: Path) -> None:
    """`sweep` with two text columns and whole numbers as labels; the second text reaches the encoder."""
    rows = [f"the {OPINIONS[row % 8]} film,it was {OPINIONS[row // 2 % 8]},{1 + row % 3}" for row in range(40)]
    for name, part in PARTS.items():
        write(tmp_path / f"{name}.csv", ["one,two,same", *rows[part]])
    file = tmp_path / "pairs.yaml"
    file.write_text(
        f"data: {{train: {tmp_path}/train.csv, test: {tmp_path}/test.csv, text: one, text_pair: two, label: same}}\n"
        f"encoder: {{name: {tiny_bert_folder}}}\n",
        encoding="utf-8",
    )
    found = sweep(file, out=tmp_path / "out", workers=1, set=SHORTEST)
    record = load_all(tmp_path / "out")[0]
    assert record.arrays["report_predictions"].shape == (10, 3)
    tokens = load_from_disk(str(tmp_path / "out" / "cache" / "report"))[0]
    assert 1 in tokens["token_type_ids"] and found.sentence.endswith(".")


TARGETED = (*SHORTEST[:3], "tickets.kinds=[winning]", "seeds=[0]", "units.ffn=neuron")


def test_a_budget_instead_of_levels(tmp_path: Path, tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One level meets the budget, the model has that share, and a resume neither counts nor runs again."""
    films = write_films(tmp_path / "films")
    out = tmp_path / "out"
    files = {"train": f"{films}/train.csv", "test": f"{films}/test.csv", "text": "review", "label": "stars"}
    run = partial(find, **files, encoder=str(tiny_bert_folder), out=out, workers=1, set=TARGETED)
    found = run(target="params=0.9")

    target = found.outcome.target
    assert target is not None and (target.measure, target.asked) == ("params", 0.9)
    assert 0.8 < target.found <= 0.9 and target.found == pytest.approx(found.outcome.weights_all)
    assert found.sentence.endswith(f"; asked for 0.900 of the weights, measured {target.found:.3f}.")
    kept = Target.load(out)
    assert kept is not None and found.outcome.sparsity == kept.level
    assert [(record.kind, record.sparsity) for record in load_all(out)] == [("full", 0), ("winning", kept.level)]
    model, _ = supertickets.load(found.model)
    full, _ = supertickets.load(tiny_bert_folder)
    weights = [sum(w.numel() for w in one.base_model.parameters()) for one in (model, full)]
    assert weights[0] / weights[1] == pytest.approx(target.found)
    assert "asked for 90.0 %" in found.report.read_text(encoding="utf-8")

    monkeypatch.setattr("supertickets.experiments.aiming.find_target", lambda _: pytest.fail("counted again"))
    before = snapshot(out)
    assert run(target="params=0.90") == found
    after = snapshot(out)
    assert all(before[name] == after[name] for name in before if name.startswith(("target.json", "runs", "super_t")))
    assert sweep(out / "config.yaml", out=out, workers=1).outcome == found.outcome  # its own config is a valid input

    for other in ("params=0.8", None):
        with pytest.raises(UserError, match=rf"tickets\.target is params=0\.90? there, {other} here"):
            run(target=other)
    with pytest.raises(UserError, match=r"tickets\.levels: is set by tickets\.target"):
        find(**files, out=out, target="params=0.9", set=["tickets.levels=[0.1, 0.2]"])


def test_a_latency_by_the_real_clock(tmp_path: Path, tiny_bert_folder: Path) -> None:
    """From timing the encoder to timing the ticket: what was asked for, measured, and missed is told alike everywhere.

    The encoder is wide enough for its FFN to take most of the time, so that no clock refuses the share asked for.
    """
    encoder = Path(shutil.copytree(tiny_bert_folder, tmp_path / "encoder"))
    sizes = {"hidden_size": 192, "intermediate_size": 1536, "num_hidden_layers": 1}
    BertModel(BertConfig.from_pretrained(tiny_bert_folder, **sizes)).save_pretrained(encoder)
    films = write_films(tmp_path / "films")
    out = tmp_path / "out"
    files = {"train": f"{films}/train.csv", "test": f"{films}/test.csv", "text": "review", "label": "stars"}
    found = find(**files, encoder=str(encoder), out=out, workers=1, set=TARGETED, target="latency=0.8")
    kept = Target.load(out)
    assert kept is not None and kept.timings is not None and kept.expected <= 0.8
    assert (kept.timings.rounds, kept.timings.batch_size, kept.timings.threads) == (15, 32, 1)
    assert all(0 < one.share < 1.5 for one in kept.timings.models) and len(kept.timings.models) == 4
    assert found.outcome.sparsity == kept.level and found.outcome.speedup is not None
    target = found.outcome.target
    assert target is not None and (target.measure, target.asked) == ("latency", 0.8)
    assert target.found == pytest.approx(1 / found.outcome.speedup.median)
    missed = f" (missed by {target.missed:.3f})" if target.missed else ""
    assert found.sentence.endswith(f"; asked for 0.800 of the latency, measured {target.found:.3f}{missed}.")


def test_bad_targets_leave_no_folder(tmp_path: Path, tiny_bert_folder: Path) -> None:
    """A target that is none, or that no ticket meets, is one sentence before anything is written."""
    films = write_films(tmp_path / "films")
    files = {"train": f"{films}/train.csv", "test": f"{films}/test.csv", "text": "review", "label": "stars"}
    for target, fault in (
        ("speed=3", 'tickets.target: must be params=, flops= or latency= .*, such as params=0.8, not "speed=3"$'),
        ("params=1", "tickets.target: must be params="),
        ("params=0.05", "tickets.target: no ticket keeps only 0.05 of the weights: the smallest one keeps 0"),
    ):
        with pytest.raises(UserError, match=fault):
            find(**files, encoder=str(tiny_bert_folder), out=tmp_path / "out", workers=1, set=TARGETED, target=target)
        assert not (tmp_path / "out").exists()


def test_where_results_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `out`, runs/<task>, runs/own, or runs/<the config's name>; the demo's settings only for the demo."""

    class Stop(Exception):
        """Instead of a sweep."""

    def stop(config: Config, folder: Path, *_: object) -> None:
        raise Stop(folder, config.encoder.max_length)

    monkeypatch.setattr(finding, "sweep_task", stop)
    file = tmp_path / "mine.yaml"
    file.write_text("data: {train: a.csv, test: b.csv}\n", encoding="utf-8")
    for call, folder, length in (
        (partial(find, "rte", data=tmp_path), Path("runs/rte"), 128),
        (partial(find, train="a.csv", test="b.csv"), Path("runs/own"), 128),
        (find, Path("runs/movie-reviews"), 64),
        (partial(sweep, file), Path("runs/mine"), 128),
        (partial(find, "films", train="a.csv", test="b.csv", out=tmp_path), tmp_path, 128),
    ):
        with pytest.raises(Stop) as stopped:
            call()
        assert stopped.value.args == (folder, length)


def test_workers_are_checked_first(tmp_path: Path) -> None:
    """More workers than cores is refused before anything else is looked at."""
    with pytest.raises(UserError, match="10000 workers on"):
        find(train="absent.csv", test="absent.csv", out=tmp_path / "out", workers=10_000)
    assert not (tmp_path / "out").exists()


def test_new_folders_race_and_others_go_on_as_they_were_begun(
    tmp_path: Path, tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no strategy is set, a new folder races; one begun as a grid, or before there were races, is a grid."""
    asked: list[Config] = []

    def note(config: Config, *_: object) -> None:
        asked.append(config)
        raise UserError("that is enough")

    monkeypatch.setattr(finding, "sweep_task", note)
    films = write_films(tmp_path / "films")
    files = {"train": f"{films}/train.csv", "test": f"{films}/test.csv", "text": "review", "label": "stars"}
    begun, old, new = (tmp_path / name for name in ("begun", "old", "new"))
    storage.write_text(begun / "config.yaml", settings.dump(Config()))
    storage.write_text(old / "config.yaml", "budget: laptop\n")
    for out, more in ((new, ()), (begun, ()), (old, ()), (begun, ("strategy=race",)), (new, ("strategy=grid",))):
        with pytest.raises(UserError, match="enough"):
            find(**files, encoder=str(tiny_bert_folder), out=out, set=more)
    assert [config.strategy for config in asked] == ["race", "grid", "grid", "race", "grid"]
    file = tmp_path / "mine.yaml"
    file.write_text("data: {task: movie-reviews}\n", encoding="utf-8")
    for out in (new, begun):
        with pytest.raises(UserError, match="enough"):
            sweep(file, out=out)
    assert [config.strategy for config in asked[5:]] == ["race", "grid"]


def test_a_config_of_several_tasks_is_for_share(tmp_path: Path) -> None:
    """It says so instead of naming settings that are wrong here."""
    file = tmp_path / "share.yaml"
    file.write_text("tasks: {rte: {}}\n", encoding="utf-8")
    with pytest.raises(UserError, match="names several tasks for one encoder; use `supertickets share`"):
        sweep(file, out=tmp_path / "out")
