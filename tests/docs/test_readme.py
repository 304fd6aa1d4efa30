"""The README's examples run as they stand, and its numbers are those of the kept results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

import make_results
from small_examples import tokenizer
from small_models import batch, build
from supertickets.cli.app import app
from supertickets.encoders.families import FAMILIES
from supertickets.tickets.masks import Mask

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def example(name: str) -> str:
    """The code block below a marker."""
    found = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", README, re.DOTALL)
    assert found, name
    return found[1]


def test_numbers_quote_the_kept_results() -> None:
    """Making the table and the sentence anew from results/ changes nothing."""
    assert make_results.filled(README, make_results.kept_results()) == README


def test_every_picture_and_link_is_there() -> None:
    """Each relative link of the README names a file or folder of the repository."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_pieces_example_runs() -> None:
    """The low-level example trains nothing by itself, prunes the model and gives it its pretrained weights."""
    model = build("bert")
    pretrained = model.classifier.weight.clone()

    class Trainer:
        evaluated = 0

        def train(self) -> None:
            with torch.no_grad():
                model.classifier.weight.add_(1)

        def evaluate(self) -> None:
            self.evaluated += 1

    names: dict[str, Any] = {"model": model, "trainer": Trainer(), "dataloader": [batch()]}
    exec(example("pieces"), names)
    mask, ticket = names["mask"], names["ticket"]
    assert isinstance(mask, Mask) and names["trainer"].evaluated == 1
    assert sum(mask.heads_per_layer) == 12 - 3
    assert torch.equal(ticket.classifier.weight, pretrained)
    assert ticket.bert.encoder.layer[0].attention.self.query.out_features == 8 * mask.heads_per_layer[0]


def test_find_example_runs(tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five lines of Python give the sentence and a model; the budget is turned down for the test."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{text},{label}" for text, label in 40 * [("a good film", "like"), ("the plot is dull", "hate")]]
    for name in ("train.csv", "test.csv"):
        Path(name).write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    Path("my-bert").symlink_to(tiny_bert_folder)
    code = example("find").replace('out="runs/mine")', 'out="runs/mine", budget="smoke", workers=1)')
    names: dict[str, Any] = {}
    exec(code, names)
    assert "% of the weights" in names["found"].sentence
    assert names["model"].config.num_labels == 2
    assert (Path("runs/mine") / "report.html").is_file()


def test_prune_and_doors_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three lines halve a model; the saved folder comes back through transformers' own class, as small and equal."""
    monkeypatch.chdir(tmp_path)
    model = build("bert", "sdpa")
    full = model.num_parameters()
    exec(example("prune"), {"model": model, "tokenizer": tokenizer(), "dataloader": [batch()]})
    names: dict[str, Any] = {}
    exec(example("doors"), names)
    assert names["model"].num_parameters() == model.num_parameters() < full
    with torch.no_grad():
        assert torch.equal(names["model"](**batch()).logits, model(**batch()).logits)


def test_vocabulary_example_runs(tmp_path: Path) -> None:
    """One line, and a smaller embedding and tokenizer."""
    names: dict[str, Any] = {"model": build("bert"), "tokenizer": tokenizer(), "texts": ["word7 word8"]}
    names["model"].resize_token_embeddings(len(names["tokenizer"]))
    before = len(names["tokenizer"])
    exec(example("vocabulary"), names)
    assert names["model"].config.vocab_size == len(names["tokenizer"]) < before


def test_check_example_runs() -> None:
    """The battery passes on a family that is known."""
    exec(example("check"), {"model": build("bert", "sdpa")})


def test_commands_are_the_command_lines() -> None:
    """Every `supertickets ...` line names a verb, and options that this verb has."""
    lines = [line.split("#")[0] for line in re.findall(r"^supertickets .*$", README, re.MULTILINE)]
    assert len(lines) >= 6
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for line in lines:
        verb, *words = line.split()[1:]
        known = {option for parameter in verbs[verb].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_families_are_those_of_the_code() -> None:
    """The list of families names each model type that has a row, and no other."""
    listed = re.search(r"\*\*Families\*\*: (.*?), under", README, re.DOTALL)
    assert listed
    named = listed[1].lower().replace("deberta v2 and v3", "deberta-v2").split(", ")
    assert sorted(named) == sorted(FAMILIES)
