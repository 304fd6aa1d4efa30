"""check: all that a sweep needs is there, and what it would do, without training."""

from __future__ import annotations

from pathlib import Path

import pytest

from supertickets.cli.app import main
from supertickets.errors import UserError
from supertickets.experiments.plans import plan
from supertickets.workflows import checking
from supertickets.workflows.checking import Checked, CheckedSharing


def check(*arguments: object) -> Checked:
    """What check says of one task's config."""
    checked = checking.check(*arguments)  # type: ignore[arg-type]
    assert isinstance(checked, Checked)
    return checked


@pytest.fixture
def config(tmp_path: Path, tiny_bert_folder: Path) -> Path:
    """A config for 40 own examples, 10 to report on, and the tiny encoder (2 layers, 4 heads)."""
    for name, rows in (("train", 40), ("test", 10)):
        lines = [f"a {'good' if row % 2 else 'bad'} film {row},{'yes' if row % 2 else 'no'}" for row in range(rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["review,stars", *lines]) + "\n", encoding="utf-8")
    file = tmp_path / "sweep.yaml"
    file.write_text(
        f"data: {{train: {tmp_path}/train.csv, test: {tmp_path}/test.csv, text: review, label: stars, task: films}}\n"
        f"encoder: {{name: {tiny_bert_folder}}}\n"
        "tickets: {levels: [0.25, 0.5], control_levels: [0.5]}\n"
        "seeds: [0, 1]\n"
        "strategy: grid\n",
        encoding="utf-8",
    )
    return file


def test_check_says_what_a_sweep_would_do(config: Path) -> None:
    """Examples per split, labels, units, and as many trainings as the plan has runs: 2 full and 8 tickets."""
    checked = check(config)
    assert (checked.task, checked.labels) == ("films", ("no", "yes"))
    assert checked.train + checked.selection == 40 and checked.report == 10
    assert 0 < checked.selection <= 8  # at most a fifth is held out
    assert (checked.structures.layers, checked.structures.heads_per_layer) == (2, 4)
    assert checked.trainings == len(plan(checked.config)) == 2 + 2 * (2 + 1 + 1)
    text = str(checked)
    assert text.startswith(f"{config} is sound\n") and "no, yes" in text and "2 layers, 4 heads" in text


def test_check_says_what_neurons_do(config: Path) -> None:
    """With units.ffn=neuron: how many, and the blocks they are dropped in, as far as these divide a layer's 64."""
    checked = check(config, ["units.ffn=neuron", "units.multiple=48"])
    assert "4 heads and 64 FFN neurons in each" in str(checked) and "dropped in blocks of 16" in str(checked)
    assert "blocks" not in str(check(config))


def test_check_finds_the_level_of_a_target(config: Path) -> None:
    """With a target instead of levels: its one level for all kinds, and a target out of reach is refused."""
    with pytest.raises(UserError, match=r"tickets\.levels: is set by tickets\.target"):
        check(config, ["tickets.target=flops=0.7"])
    text = config.read_text(encoding="utf-8").replace("tickets: {levels: [0.25, 0.5], control_levels: [0.5]}\n", "")
    config.write_text(text, encoding="utf-8")
    checked = check(config, ["tickets.target=flops=0.7"])
    (level,) = checked.config.tickets.levels
    assert level == 0.5 and checked.trainings == 2 + 2 * 3  # whole FFNs go: of two, one
    assert f"winning at {level}; random and losing at {level}, for flops=0.7" in str(checked)
    with pytest.raises(UserError, match=r"no ticket keeps only 0\.05 of the weights"):
        check(config, ["tickets.target=params=0.05"])


def test_check_of_a_race_says_at_most(config: Path) -> None:
    """2 full models, 4 winning tickets, random ones of the chosen level with both seeds, one losing ticket."""
    checked = check(config, ["strategy=race"])
    assert checked.trainings == 2 + 4 + 2 + 1
    assert "at most 9, for seeds 0, 1" in str(checked)
    config.write_text(config.read_text(encoding="utf-8").replace("strategy: grid\n", ""), encoding="utf-8")
    assert check(config).config.strategy == "race"


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ("[0.5]", "losing at the chosen level"),
        ("[0.25, 0.5]", "losing at the chosen level and one of 0.25, 0.5"),
        ("[0.1, 0.25, 0.5]", "losing at the chosen level and two of 0.1, 0.25, 0.5"),
    ],
)
def test_check_of_a_race_says_where_controls_are(config: Path, levels: str, words: str) -> None:
    """With the chosen level no more than the control levels are, and no more than three."""
    checked = check(config, ["strategy=race", "tickets.levels=[0.1, 0.25, 0.5]", f"tickets.control_levels={levels}"])
    (line,) = [line for line in str(checked).splitlines() if "winning at" in line]
    assert line.endswith(words)


def test_check_counts_what_is_used(config: Path) -> None:
    """Limits on the examples count, and --set changes what is checked."""
    checked = check(config, ["data.train_examples=20", "data.report_examples=4", "seeds=[5]"])
    assert (checked.train + checked.selection, checked.report) == (20, 4)
    assert checked.trainings == 5


def test_check_writes_and_trains_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the summary, exits with 0 and leaves no file behind."""
    before = sorted(path.name for path in config.parent.iterdir())
    assert main(["check", str(config)]) == 0
    out, err = capsys.readouterr()
    assert "trainings" in out and err == ""
    assert sorted(path.name for path in config.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("tickets.min_heads=5", "must be between 0 and the 4 heads of a layer, not 5"),
        ("scoring.rounds=11", "must be between 1 and the 10 units of the encoder, not 11"),
        ("data.label=mark", "mark"),
        ("data.train=absent.csv", "absent.csv"),
        ("encoder.name=./absent", "no such folder"),
        ("tickets.levels=[1]", "tickets.levels.0: must be less than 1, not 1"),
    ],
)
def test_check_refuses_what_a_sweep_would(
    override: str, words: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Faults in settings, data and encoder are one sentence each, before anything is trained."""
    with pytest.raises(UserError) as caught:
        check(config, [override])
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert main(["check", str(config), "--set", override]) == 2
    assert capsys.readouterr() == ("", f"error: {caught.value}\n")


@pytest.mark.parametrize(
    ("override", "missing"), [("model.safetensors", "no weights"), ("tokenizer.json", "no tokenizer")]
)
def test_check_needs_weights_and_tokenizer(
    override: str, missing: str, config: Path, tiny_bert_folder: Path, tmp_path: Path
) -> None:
    """A model folder without weights or without a tokenizer is refused by name."""
    folder = tmp_path / "broken"
    folder.mkdir()
    for path in tiny_bert_folder.iterdir():
        if path.name != override and not (missing == "no tokenizer" and path.name == "vocab.txt"):
            (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=missing):
        check(config, [f"encoder.name={folder}"])


def test_check_reads_a_sharing_config(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each task's examples, all sweeps' trainings, and the multi-task runs after them; a fault names its task."""
    films = f"train: {config.parent}/train.csv, test: {config.parent}/test.csv, text: review, label: stars"
    head = config.read_text(encoding="utf-8").splitlines()[1:]
    file = config.parent / "share.yaml"
    lines = [*head, "arms: [multitask, sharing]", "tasks:", f"  one: {{{films}}}", f"  two: {{{films}}}"]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    checked = checking.check(file, ["tasks.two.train_examples=20"])
    assert isinstance(checked, CheckedSharing)
    assert (checked.trainings, checked.runs, checked.given) == (2 * (2 + 2 * (2 + 1 + 1)), 4, {})
    assert [one.train + one.selection for one in checked.tasks.values()] == [40, 20]
    assert main(["check", str(file)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{file} is sound\n") and "4 of all tasks together: multitask, sharing" in text
    with pytest.raises(UserError, match="task two: this is not a sweep's folder"):
        checking.check(file, [f"tasks.two.ticket={config.parent}"])
    (config.parent / "test.csv").unlink()
    with pytest.raises(UserError, match="task one: no such file"):
        checking.check(file)
