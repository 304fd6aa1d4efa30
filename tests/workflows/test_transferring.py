"""transfer: from a finished sharing experiment to a new task, with little and with all of its data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from supertickets import UserError, export, predict, report, settings, show, transfer
from supertickets.cli.app import main
from supertickets.config import TransferConfig
from supertickets.conflicts import task_config
from supertickets.encoders.rewinding import RewindPoint
from supertickets.experiments import sources
from supertickets.experiments.executors import InProcess
from supertickets.experiments.gathering import Gathering
from supertickets.experiments.landing import Landing
from supertickets.experiments.progress import Silent
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.shares import chosen_run, deliver_shared, share_missing
from supertickets.experiments.transfer_folder import TransferFolder
from supertickets.experiments.transfers import transfer_missing
from supertickets.tickets.ticket import Ticket
from supertickets.workflows.transferring import Transfer
from tiny_sweeps import SHORTEST, assert_same, config_of, run_all, snapshot, write_films

SHARES = "shares=[0.01, 0.5]"  # of 48: 4 (two of each class), and 24
ARMS = ("pretrained", "multitask", "sharing-full", "sharing", "random")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path) -> Path:
    """The folder of a finished sharing experiment of two tasks and one seed."""
    root = tmp_path_factory.mktemp("source")
    films = {name: write_films(root / name, train=rows) for name, rows in (("a", 40), ("b", 32))}
    lines = [f"  {name}: {{train: {folder}/train.csv, test: {folder}/test.csv}}" for name, folder in films.items()]
    text = ["data: {text: review, label: stars}", f"encoder: {{name: {tiny_bert_folder}, max_length: 16}}", "tasks:"]
    (root / "share.yaml").write_text("\n".join([*text, *lines]) + "\n", encoding="utf-8")
    config = settings.load_shared(root / "share.yaml", [*SHORTEST, "arms=[multitask, sharing]"])
    for task in config.tasks:
        run_all(root / "out" / "tasks" / task, task_config(config, task))
    tasks = Gathering.put(root / "out", config)
    deliver_shared(tasks.folder, chosen_run(tasks, share_missing(tasks, InProcess(), 1, Silent())))
    return tasks.folder


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The new task's files: 48 examples to train on."""
    return write_films(tmp_path_factory.mktemp("new"), train=48)


def files_of(films: Path) -> dict[str, str]:
    """The options that name a task's own files."""
    return {"train": f"{films}/train.csv", "test": f"{films}/test.csv", "text": "review", "label": "stars"}


@pytest.fixture(scope="module")
def moved(source: Path, new: Path, tmp_path_factory: pytest.TempPathFactory) -> Transfer:
    """A finished transfer, at two shares."""
    out = tmp_path_factory.mktemp("moved") / "out"
    return transfer(source, "c", **files_of(new), out=out, workers=1, set=[SHARES])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def place(moved: Transfer) -> TransferFolder:
    """Its folder."""
    return TransferFolder.open(moved.report.parent)


def records_of(place: TransferFolder) -> list[Record]:
    """Its records; computes none."""
    return [Record.load(place.run_folder(run)) for run in place.runs()]


def test_every_arm_share_and_seed_has_a_record(place: TransferFolder) -> None:
    """Five arms, two shares, one seed; tickets at the mean level of the shared tasks' tickets, which is 0.5."""
    assert place.shares == {0.01: 4, 0.5: 24}
    assert place.config.tickets.levels == (0.5,) and place.config.seeds == (0,)
    assert (place.config.encoder.max_length, place.config.training.epochs) == (16, 1)
    found = [(run.arm, run.share, run.seed) for run in place.runs()]
    assert sorted(found) == sorted((arm, share, seed) for arm in ARMS for share in place.shares for seed in (0,))
    for run, record in zip(place.runs(), records_of(place), strict=True):
        assert (record.kind, record.seed, record.name) == (run.arm, run.seed, run.name)
        assert record.selection.n + record.cost.trained_examples == place.shares[run.share]
        assert record.report.n == 12
        assert record.size.weights_all == 1.0 or run.arm in ("sharing", "random")


def test_a_ticket_and_its_control_are_of_one_size(place: TransferFolder) -> None:
    """The random ticket keeps as many heads and sublayers as the winning one of its share and seed, here half."""
    masks = {(run.arm, run.share): r.arrays for run, r in zip(place.runs(), records_of(place), strict=True)}
    for part in place.shares:
        ticket, random = masks["sharing", part], masks["random", part]
        assert ticket["heads"].sum() == random["heads"].sum() == 4
        assert ticket["ffn"].sum() == random["ffn"].sum() == 1
    assert any(not np.array_equal(masks["sharing", s]["heads"], masks["random", s]["heads"]) for s in place.shares)


def test_arms_of_a_seed_have_the_same_examples_and_shares_nest(place: TransferFolder) -> None:
    """A seed's smaller share lies in its larger one, has every class, and is no other seed's; arms do not matter."""
    texts: dict[tuple[float, int], set[tuple[int, ...]]] = {}
    for run in place.runs():
        for seed in (0, 1):
            parts = Landing.of(run, place.folder).splits(seed)
            assert {*parts.train["labels"]} == {*parts.selection["labels"]} == {0, 1}
            drawn = {tuple(ids) for part in (parts.train, parts.selection) for ids in part["input_ids"]}
            assert texts.setdefault((run.share, seed), drawn) == drawn
            assert len(drawn) == place.shares[run.share]
    assert texts[0.01, 0] < texts[0.5, 0] and texts[0.01, 1] < texts[0.5, 1]
    assert texts[0.5, 0] != texts[0.5, 1]


def test_the_encoder_is_the_one_that_share_delivers(place: TransferFolder, source: Path) -> None:
    """The kept encoder of the delivered run has the weights in share's model folder, bit for bit."""
    about = json.loads((source / "model" / "shared.json").read_text(encoding="utf-8"))["tasks"]["a"]
    kept = load_file(place.encoder_folder(about["run"]) / "model.safetensors")
    stored = load_file(source / "model" / "shared.safetensors")
    ours = {name.removeprefix("encoder/"): value for name, value in stored.items() if name.startswith("encoder/")}
    shared = {*kept} & {*ours}
    assert len(shared) > 30 and all(torch.equal(kept[name], ours[name]) for name in shared)


def test_tickets_rewind_to_the_shared_encoder(place: TransferFolder) -> None:
    """A ticket's rewind point is its seed's shared encoder: not the pretrained one, nor the multi-task one."""
    found = {}
    for run in place.runs():
        landing = Landing.of(run, place.folder)
        found[run.arm, run.seed] = landing.rewind_point(run.seed).sha256
        if run.whole is not None:
            ticket = Ticket.load(landing.ticket_folder(run))
            assert ticket.rewind_sha256 == found["sharing-full", run.seed]
            assert ticket.kind == ("winning" if run.arm == "sharing" else "random")
            assert run.start in ticket.encoder
    assert len({found[arm, 0] for arm in ("pretrained", "multitask", "sharing")}) == 3
    pretrained = Landing.of(place.runs()[0], place.folder)
    assert found["pretrained", 0] == RewindPoint(pretrained.rewind_point(1).model()).sha256


def test_transfer_again_trains_nothing(
    place: TransferFolder, source: Path, new: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line: no step, also where the cached encoders are gone; sentence and page are printed."""
    before = snapshot(place.folder / "runs")
    monkeypatch.setattr("transformers.Trainer.training_step", None)
    cache = place.folder / "cache" / "encoders"
    cache.rename(place.folder / "cache" / ".away")
    options = [word for name, value in files_of(new).items() for word in (f"--{name}", value)]
    line = ["transfer", str(source), "c", *options, "--out", str(place.folder), "--workers", "1", "--set", SHARES]
    assert main(line) == 0
    (place.folder / "cache" / ".away").rename(cache)
    printed, told = capsys.readouterr()
    assert printed.startswith("On c, a ticket of the ticket-sharing encoder ")
    assert printed.endswith(f"\n{place.folder / 'report.html'}\n")
    assert "10 of 10 runs are there already" in told
    assert snapshot(place.folder / "runs") == before


def test_a_damaged_record_is_computed_again(place: TransferFolder) -> None:
    """It alone, with equal predictions."""
    run = next(run for run in place.runs() if run.arm == "sharing")
    whole, others = Record.load(place.run_folder(run)), snapshot(place.folder / "runs")
    path = place.run_folder(run) / RECORD_FILE
    path.write_text(path.read_text(encoding="utf-8")[:200], encoding="utf-8")
    transfer_missing(place, InProcess(), 1, Silent())
    again, after = Record.load(path.parent), snapshot(place.folder / "runs")
    assert np.array_equal(again.arrays["report_predictions"], whole.arrays["report_predictions"])
    assert {name.split("/")[0] for name in after if after[name] != others[name]} == {run.name}


@pytest.mark.parametrize("damage", ["bit", "missing", "without checksums"])
def test_a_damaged_encoder_in_the_cache_is_trained_again(
    damage: str, place: TransferFolder, source: Path, new: Path, tmp_path: Path
) -> None:
    """Nothing starts from it: the runs that are computed again have the numbers that they had."""
    copy = TransferFolder.open(Path(shutil.copytree(place.folder, tmp_path / "copy")))
    run = next(run for run in copy.runs() if run.arm == "sharing-full")
    encoder = copy.encoder_folder(run.start)
    before, expected = (encoder / "model.safetensors").read_bytes(), Record.load(copy.run_folder(run))
    if damage == "bit":
        (encoder / "model.safetensors").write_bytes(before[:-2] + bytes([before[-2] ^ 1]) + before[-1:])
    else:
        (encoder / ("tokenizer.json" if damage == "missing" else "checksums.json")).unlink()
    (copy.run_folder(run) / RECORD_FILE).unlink()
    heard: list[str] = []
    listening = type("Listening", (Silent,), {"say": lambda self, line: heard.append(line)})()
    transfer_missing(copy, InProcess(), 1, listening)
    assert any(line.startswith(f"training the shared encoder again: {encoder}") for line in heard)
    assert (encoder / "model.safetensors").read_bytes() == before
    assert_same([Record.load(copy.run_folder(run))], [expected])


def test_report_and_show(place: TransferFolder, moved: Transfer) -> None:
    """Page, figure and outcome are written anew and agree; show counts runs, and names what is missing."""
    (place.folder / "figures" / "transfer.svg").unlink()
    assert report(place.folder) == moved.report
    outcome = json.loads((place.folder / "outcome.json").read_text(encoding="utf-8"))
    assert outcome["sentence"] == moved.sentence and moved.sentence in moved.report.read_text(encoding="utf-8")
    assert [point["examples"] for point in outcome["points"]] == [4, 24]
    assert [point["trained"] for point in outcome["points"]] == [2, 20]
    assert (place.folder / "figures" / "transfer.svg").read_text(encoding="utf-8").startswith("<?xml")
    shown = show(place.folder)
    assert shown.kind == "transfer" and shown.missing == ()
    assert "10 of 10 runs" in str(shown) and "4 (1 %), 24 (50 %)" in str(shown)
    assert "full model, from ticket sharing" in str(show(next((place.folder / "runs").glob("sharing-full-x0.5-s0*"))))


def test_an_unfinished_transfer(place: TransferFolder, tmp_path: Path) -> None:
    """Without one ticket: the page says so, `show` names the runs, and what is there is compared."""
    folder = shutil.copytree(place.folder, tmp_path / "half", ignore=shutil.ignore_patterns("cache"))
    for run in (folder / "runs").glob("sharing-0.5-x0.5-*"):
        shutil.rmtree(run)
    text = report(folder).read_text(encoding="utf-8")
    assert "9 of 10 runs are done" in text and "sharing encoder, its ticket: 1 of 2 runs are done." in text
    outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    assert len(outcome["missing"]) == 1
    few, many = (point["differences"] for point in outcome["points"])
    assert {*few} - {*many} == {"sharing-multitask", "sharing-pretrained", "sharing-sharing-full", "sharing-random"}
    shown = show(folder)
    assert "9 of 10 runs" in str(shown) and shown.missing == ("sharing 24 examples seed 0",)
    shutil.rmtree(folder / "runs")
    assert dict(show(folder).rows)["done"] == "0 of 10 runs"


def test_levels_are_added_without_recomputing(place: TransferFolder, source: Path, new: Path, tmp_path: Path) -> None:
    """A second level adds tickets at it; the level of each share is then chosen by selection scores."""
    folder = shutil.copytree(place.folder, tmp_path / "more")
    before = snapshot(folder / "runs")
    more = ["shares=[0.5]", "tickets.levels=[0.25, 0.5]"]
    transfer(source, "c", **files_of(new), out=folder, workers=1, set=more)  # type: ignore[arg-type]
    after = snapshot(folder / "runs")
    assert {name: after[name] for name in before} == before
    added = {name.split("/")[0] for name in after} - {name.split("/")[0] for name in before}
    assert len(added) == 2 and all("-0.25-x0.5-" in name for name in added)
    (point,) = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))["points"]
    means = {}
    for level in (0.25, 0.5):
        runs = [Record.load(path) for path in (folder / "runs").glob(f"sharing-{level}-x0.5-*")]
        means[level] = np.mean([record.selection.main for record in runs])
    assert point["level"] == max(means, key=lambda level: (means[level], level))


# ---- refusals


def refused(folder: Path, *arguments: str, out: Path, **options: object) -> str:
    """The one sentence; nothing is written."""
    with pytest.raises(UserError) as fault:
        transfer(folder, *arguments, out=out, workers=1, **options)  # type: ignore[arg-type]
    assert not out.exists() and "\n" not in str(fault.value)
    return str(fault.value)


def test_transfer_stays_on_this_machine(source: Path, tmp_path: Path) -> None:
    """Ray is refused in one sentence."""
    with pytest.raises(UserError, match="this machine only"):
        transfer(source, "snli", out=tmp_path / "out", workers="ray")


def test_folders_that_no_finished_share_left(
    source: Path, new: Path, place: TransferFolder, tmp_path: Path, tiny_bert_folder: Path
) -> None:
    """None, another's, a sweep's, its own model's, a transfer's, and one that is not finished: each is told apart."""
    out, files = tmp_path / "out", files_of(new)
    assert "config.yaml is missing" in refused(tmp_path / "absent", "c", out=out, **files)
    for folder in (source / "tasks" / "a", source / "model"):
        sentence = refused(folder, "c", out=out, **files)
        assert sentence.startswith(f"{folder}: this is not the folder of a sharing experiment")
    assert "this is the folder of a transfer" in refused(place.folder, "c", out=out, **files)
    half = shutil.copytree(source, tmp_path / "half")
    (record,) = (half / "runs").glob("sharing-s0-*/b/record.json")
    record.unlink()
    assert "not finished: 1 of 2 runs are missing; run its `share` to the end" in refused(half, "c", out=out, **files)
    (half / "config.yaml").unlink()
    assert "its tasks' own sweeps are not done" in refused(half, "c", out=out, **files)


def test_a_task_that_they_were_trained_on(source: Path, tmp_path: Path) -> None:
    """Under its own name, and under another one."""
    films = source.parent / "a"
    for name in ("a", "something else"):
        sentence = refused(source, name, out=tmp_path / "out", **files_of(films))
        assert f"{name} is one of the tasks that the shared encoders were trained on (a)" in sentence


FAULTS: dict[str, tuple[str, str]] = {
    "a share of zero": ("shares=[0, 0.5]", "--set shares=[0, 0.5]: shares.0: must be more than 0, not 0"),
    "a share above one": ("shares=[0.5, 2]", "shares.1: must be 1 or less, not 2"),
    "a share twice": ("shares=[0.5, 0.5]", "shares: holds 0.5 twice"),
    "no share": ("shares=[]", "shares: must be a list of 1 or more, not []"),
    "an unknown arm": ("arms=[shared]", "arms.0: must be pretrained or multitask or sharing-full or sharing or random"),
    "a stranger's seed": ("seeds=[0, 7]", "this sharing experiment has the seeds 0; seed 7 is wanted too"),
    "a teacher": ("training.teacher=full", "training.teacher: must be none here"),
    "a target": ("tickets.target=params=0.8", "tickets.target: is for one task's sweep; give tickets.levels here"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_settings(fault: str, source: Path, new: Path, tmp_path: Path) -> None:
    """The setting, and what it must be."""
    override, words = FAULTS[fault]
    assert words in refused(source, "c", out=tmp_path / "out", set=[override], **files_of(new))


def test_no_task_another_encoder_and_a_missing_arm(source: Path, new: Path, tmp_path: Path) -> None:
    """Each in one sentence that says what to do."""
    out = tmp_path / "out"
    assert "no new task is named; name one, such as snli with --data" in refused(source, out=out)
    other = tmp_path / "other"
    from small_models import build

    shutil.copytree(settings.load_shared(source / "config.yaml").encoder.name, other)
    build("bert", vocab_size=200).base_model.save_pretrained(other)
    sentence = refused(source, "c", out=out, set=[f"encoder.name={other}"], **files_of(new))
    assert sentence.startswith(f"encoder.name {other}: the shared encoders are made of another encoder")
    plain = shutil.copytree(source, tmp_path / "plain")
    config = (plain / "config.yaml").read_text(encoding="utf-8")
    (plain / "config.yaml").write_text(config.replace("multitask, ", ""), encoding="utf-8")
    assert "this sharing experiment has no arm multitask" in refused(plain, "c", out=out, **files_of(new))


def test_folders_of_others(source: Path, new: Path, place: TransferFolder, tmp_path: Path) -> None:
    """--out may not be a sharing experiment's, hold other files, or be of a transfer with other settings."""
    for out, words in (
        (source, "this folder is not of a transfer; choose a new or empty --out folder"),
        (new, "this folder holds other files"),
    ):
        with pytest.raises(UserError, match=words):
            transfer(source, "c", **files_of(new), out=out, workers=1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"training\.epochs is 1\.0 there, 2\.0 here"):
        transfer(source, "c", **files_of(new), out=place.folder, workers=1, set=["training.epochs=2"])  # type: ignore[arg-type]


def test_a_changed_sharing_experiment(
    source: Path, new: Path, place: TransferFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other runs than those that the folder began with are not mixed in."""
    starts = sources.starts_of

    def others(*arguments: object) -> object:
        found = starts(*arguments)  # type: ignore[arg-type]
        return {arm: {seed: f"{name}0" for seed, name in by.items()} for arm, by in found.items()}

    monkeypatch.setattr(sources, "starts_of", others)
    with pytest.raises(UserError, match="the sharing experiment has changed since this transfer began"):
        transfer(source, "c", **files_of(new), out=place.folder, workers=1, set=[SHARES])  # type: ignore[arg-type]


def test_an_encoder_that_comes_out_otherwise(place: TransferFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retraining that gives other scores under equal circumstances is an error; the encoder is not kept."""
    start = place.starts["multitask"][0]
    away = place.encoder_folder(start).rename(place.folder / "away")
    kept = sources.records_of

    def changed(*arguments: object) -> list[Record]:
        from dataclasses import replace

        records = kept(*arguments)  # type: ignore[arg-type]
        return [replace(r, report=replace(r.report, main=r.report.main + 0.5)) for r in records]

    monkeypatch.setattr(sources, "records_of", changed)
    with pytest.raises(UserError, match="retraining gave"):
        sources.keep_encoder(start, place.folder)
    assert not place.encoder_folder(start).exists()
    away.rename(place.encoder_folder(start))


def test_a_config_file_is_the_third_door(tmp_path: Path) -> None:
    """What `--set` can say a file can, and the kept config is a valid one."""
    (tmp_path / "t.yaml").write_text("shares: [0.5]\narms: [sharing]\ndata: {task: movie-reviews}\n", encoding="utf-8")
    config = settings.load_transfer(tmp_path / "t.yaml", ["shares=[0.1, 1.0]"])
    assert (config.shares, config.arms, config.data.task) == ((0.1, 1.0), ("sharing",), "movie-reviews")
    (tmp_path / "kept.yaml").write_text(settings.dump(config), encoding="utf-8")
    assert settings.load_transfer(tmp_path / "kept.yaml") == config
    assert TransferConfig().shares == (0.001, 0.01, 0.1, 1.0) and TransferConfig().arms == ARMS


def test_a_transfers_folder_is_for_nothing_else(place: TransferFolder, new: Path, tmp_path: Path) -> None:
    """predict and export find no model there; find does not write into it, nor into a sharing experiment's."""
    with pytest.raises(UserError, match="this is the folder of a transfer, which keeps no models"):
        predict(place.folder, new / "test.csv", out=tmp_path / "p.csv")
    with pytest.raises(UserError, match="this is the folder of a transfer, which keeps no models"):
        export(place.folder, out=tmp_path / "e")
    with pytest.raises(UserError, match="this is not the folder of one task's sweep"):
        run_all(place.folder, config_of(new, place.config.encoder.name, short=SHORTEST))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_workers_give_the_same_records(place: TransferFolder, source: Path, new: Path, tmp_path: Path) -> None:
    """Two worker processes: the same records, bit for bit."""
    from supertickets.experiments.executors import cores

    if cores() < 2:
        pytest.skip("needs two cores")
    transfer(source, "c", **files_of(new), out=tmp_path / "out", workers=2, set=[SHARES])  # type: ignore[arg-type]
    assert_same(records_of(TransferFolder.open(tmp_path / "out")), records_of(place))
