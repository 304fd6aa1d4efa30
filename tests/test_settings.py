"""Settings: one validator behind three doors, and every fault told at once with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from supertickets import conflicts, schema, settings
from supertickets.cli.app import main
from supertickets.config import BUDGETS, Budget, Config, parse_target
from supertickets.errors import UserError

SCHEMA = TypeAdapter(Config).json_schema()
TASKS = ", ".join(conflicts.KNOWN_TASKS)
WRONG_TYPE: dict[str, Any] = {"string": 3, "integer": 1.5, "number": "much", "array": 3, "object": 3}


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """A schema node with its reference followed and without the `or null`."""
    node = SCHEMA["$defs"][node["$ref"].split("/")[-1]] if "$ref" in node else node
    return next((one for one in node["anyOf"] if one.get("type") != "null"), node) if "anyOf" in node else node


def leaves(node: dict[str, Any] = SCHEMA, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Dotted name and schema of every setting."""
    for key, child in node["properties"].items():
        child = resolved(child)
        if "properties" in child:
            yield from leaves(child, f"{key}.")
        else:
            yield f"{name}{key}", child


def outside(node: dict[str, Any]) -> Iterator[Any]:
    """Values that the bounds and the type of a setting forbid, one for each bound."""
    step = 1 if node.get("type") == "integer" else 0.25
    yield from (["unheard-of"] if "enum" in node or "const" in node else [WRONG_TYPE[node["type"]]])
    if node.get("type") in ("integer", "number"):
        yield True
    yield from ([node["minimum"] - step] if "minimum" in node else [])
    yield from ([node["exclusiveMinimum"]] if "exclusiveMinimum" in node else [])
    yield from ([node["maximum"] + step] if "maximum" in node else [])
    yield from ([node["exclusiveMaximum"]] if "exclusiveMaximum" in node else [])
    yield from ([[]] if "minItems" in node else [])
    yield from ([bad] for bad in (outside(resolved(node["items"])) if "items" in node else ()))


BAD = [(name, value) for name, node in leaves() for value in outside(node)]


def written(folder: Path, text: str) -> Path:
    """A config file of this text."""
    file = folder / "sweep.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def faults(*arguments: Any, **keywords: Any) -> list[str]:
    """The lines of the UserError that loading raises."""
    with pytest.raises(UserError) as caught:
        settings.load(*arguments, **keywords)
    return str(caught.value).splitlines()


def test_the_bad_values_reach_every_bound() -> None:
    """The generator below finds a bad value for each setting, and knows all bounds that the schema uses."""
    assert {name for name, _ in BAD} == {name for name, _ in leaves()}
    bounds = {key for _, node in leaves() for key in [*node, *resolved(node.get("items", {}))]}
    assert bounds <= {
        *("type", "description", "title", "default", "items", "enum", "const"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems"),
    }
    assert ("tickets.levels", [1]) in BAD and ("training.epochs", 0) in BAD and ("seeds", []) in BAD


@pytest.mark.parametrize(("name", "value"), BAD, ids=str)
def test_each_bad_value_is_one_sentence_and_exit_2(
    name: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every value that a bound or type forbids gives one line that names setting, place and value, and exit 2."""
    file = written(tmp_path, "budget: laptop\n")
    override = f"{name}={json.dumps(value)}"
    assert main(["check", str(file), "--set", override]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"error: --set {override}: {name}") and " must be " in err and "not" in err


def test_all_faults_are_told_at_once_with_their_places(tmp_path: Path) -> None:
    """Unknown keys, wrong types, broken bounds and settings that contradict each other come together, by line."""
    text = """\
budget: smok
seed: [1]
training:
  epoch: 3
  learning_rate: -1
  learning_rate: fast
tickets:
  levels: [0.1, 1.5]
data: {task: rt, label: 3}
selection: {min_share: 0.5}
"""
    assert faults(written(tmp_path, text), ["tickets.kinds=[losin]", "levels=[0.1]"]) == [
        f'{tmp_path}/sweep.yaml:1:9: budget: must be smoke or laptop or paper, not "smok"; did you mean smoke?',
        f"{tmp_path}/sweep.yaml:2:1: seed: unknown; did you mean seeds?",
        f"{tmp_path}/sweep.yaml:4:3: training.epoch: unknown; did you mean training.epochs?",
        f"{tmp_path}/sweep.yaml:6:3: training.learning_rate: given twice, first in line 5",
        f'{tmp_path}/sweep.yaml:6:18: training.learning_rate: must be a number, not "fast"',
        f"{tmp_path}/sweep.yaml:8:17: tickets.levels.1: must be less than 1, not 1.5",
        f"{tmp_path}/sweep.yaml:9:14: data.task: unknown task rt; did you mean rte?",
        f"{tmp_path}/sweep.yaml:9:25: data.label: must be text (in quotes), not 3",
        f"{tmp_path}/sweep.yaml:10:24: selection.min_share: must be selection.max_share (0.2) or less, not 0.5",
        "--set tickets.kinds=[losin]: tickets.kinds.0: must be winning or random or losing, "
        'not "losin"; did you mean losing?',
        "--set levels=[0.1]: levels: unknown; did you mean tickets.levels?",
    ]


@pytest.mark.parametrize(
    ("override", "end"),
    [
        (
            "sparsites=1",
            "known here: data, encoder, units, training, scoring, tickets, selection, strategy, race, cluster, "
            "delivery, baselines, seeds, budget, recipe",
        ),
        ("tickets.level=[0.1]", "did you mean tickets.levels?"),
        ("epochs=2", "did you mean training.epochs?"),
        ("data.max_length=2", "did you mean encoder.max_length?"),
        ("trainings.epochs=2", "did you mean training?"),
        ("scoring.zzz=2", "known here: scoring.scorer, scoring.rounds, scoring.examples, scoring.resamples"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(override: str, end: str) -> None:
    """A misspelt or misplaced setting is answered with the one it may have meant, or with those there are."""
    name = override.partition("=")[0].partition(".")[0] if override.startswith("trainings") else override.split("=")[0]
    assert faults(None, [override]) == [f"--set {override}: {name}: unknown; {end}"]


def test_an_unknown_name_in_two_halves(tmp_path: Path) -> None:
    """JSON writes a character beyond the first 65,536 as two halves, which are one name."""
    file = tmp_path / "sweep.yaml"
    file.write_text('{"seeds": [0], "\\ud83d\\ude42": null}', encoding="utf-8")
    (fault,) = faults(file, [])
    assert "unknown; known here: data, encoder, " in fault


def test_later_origins_win(tmp_path: Path) -> None:
    """Defaults < budget < base < file < flags < --set, setting by setting."""
    base = {"training": {"epochs": 11.0, "batch_size": 11, "warmup": 0.11}, "encoder": {"name": "base"}}
    file = written(tmp_path, "training: {batch_size: 22, warmup: 0.22}\nencoder: {name: file}\n")
    flags = {"encoder": {"name": "flag", "max_length": None}, "training": {"warmup": 0.33}}
    config = settings.load(file, ["training.warmup=0.44"], base=base, flags=flags)
    assert config.data.train_examples == BUDGETS["laptop"]["data"]["train_examples"]
    assert (config.training.epochs, config.training.batch_size, config.training.warmup) == (11.0, 22, 0.44)
    assert (config.encoder.name, config.encoder.max_length) == ("flag", 128)


def test_a_budget_that_was_asked_for_wins_over_base() -> None:
    """`base` replaces defaults, so it gives way to the budget that a file, a flag or --set names."""
    base = {"training": {"epochs": 11.0}, "data": {"train_examples": 800}}
    assert settings.load(base=base).data.train_examples == 800
    smoke = settings.load(base=base, flags={"budget": "smoke"})
    assert (smoke.training.epochs, smoke.data.train_examples, smoke.seeds) == (1.0, 96, (0, 1))
    assert settings.load(overrides=["budget=smoke"], base=base) == smoke


@pytest.mark.parametrize("budget", get_args(Budget))
def test_the_budget_sets_its_values_unless_set_by_hand(budget: Budget) -> None:
    """Each budget fills in its values, and a value set by hand wins over it."""
    flat = schema.fields(settings.load(overrides=[f"budget={budget}"]))
    values = {loc: value for loc, value, _ in flat}
    for section, preset in BUDGETS[budget].items():
        for name, value in preset.items() if isinstance(preset, dict) else [("", preset)]:
            assert values[(section, name) if name else (section,)] == value
    by_hand = settings.load(overrides=["training.epochs=77", f"budget={budget}", "data.train_examples=null"])
    assert (by_hand.training.epochs, by_hand.data.train_examples) == (77, None)


def test_control_levels_that_nobody_set_follow_the_levels() -> None:
    """New levels keep those control levels that are still levels, or else all levels become control levels."""
    assert settings.load(overrides=["tickets.levels=[0.2, 0.3]"]).tickets.control_levels == (0.2,)
    assert settings.load(overrides=["tickets.levels=[0.3, 0.5]"]).tickets.control_levels == (0.3, 0.5)
    assert settings.load(overrides=["tickets.control_levels=[]"]).tickets.control_levels == ()
    assert faults(None, ["tickets.levels=[0.3]", "tickets.control_levels=[0.4]"]) == [
        "--set tickets.control_levels=[0.4]: tickets.control_levels: must be among the levels (0.3), which 0.4 is not"
    ]


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["data.task=rte"], "data.task: rte needs data.folder beside it: the folder that holds its files"),
        (["data.task=SST-2"], "data.task: SST-2 needs data.folder beside it: the folder that holds its files"),
        (["data.train=a.csv"], "data.train: needs data.test beside it: the examples to report on"),
        (["data.test=a.csv"], "data.test: needs data.train beside it: the examples to train on"),
        (["data.task=sentiment", "data.folder=x"], f"data.task: unknown task sentiment; choose from {TASKS}"),
        (["data.folder=x"], f"data.folder: needs data.task beside it: one of {TASKS}"),
        (
            ["data.train=a", "data.test=b", "data.folder=c"],
            "data.folder: does not go with data.train and data.test; give one or the other",
        ),
        (["tickets.levels=[0.2, 0.1, 0.2]"], "tickets.levels: holds 0.2 twice"),
        (["seeds=[3, 3]"], "seeds: holds 3 twice"),
        (["tickets.levels=[]"], "tickets.levels: must be a list of 1 or more, not []"),
        (
            ["tickets.target=params=0.8", "tickets.levels=[0.2, 0.3]"],
            "tickets.levels: is set by tickets.target (params=0.8); leave one of them out",
        ),
        (
            ["tickets.target=params=0.8", "tickets.control_levels=[0.2]"],
            "tickets.control_levels: is set by tickets.target (params=0.8); leave one of them out",
        ),
        (
            ["tickets.target=params=0.8", "tickets.ranking=joint"],
            "tickets.target: needs tickets.ranking apart, whose tickets of a level all cost the same",
        ),
        (["tickets.kinds=[random, random]"], "tickets.kinds: holds random twice"),
        (
            ["tickets.ranking=joint", "scoring.rounds=2"],
            "tickets.ranking: joint ranks by scores per weight, but scoring.rounds 2 gives an order; rank apart",
        ),
        (
            ["scoring.resamples=20", "scoring.scorer=magnitude"],
            "scoring.resamples: needs scoring.scorer as_described or taylor, a mean over examples, not magnitude",
        ),
        (["scoring.resamples=20", "scoring.rounds=2"], "scoring.resamples: needs scoring.rounds 1, not 2"),
        (
            ["tickets.importance=consensus", "selection.split=per_seed"],
            "selection.split: must be common with tickets.importance consensus",
        ),
        (
            ["delivery.soup=greedy", "tickets.importance=seed"],
            "tickets.importance: must be consensus with delivery.soup greedy",
        ),
        (["delivery.soup=greedy", "encoder.head=per_seed"], "encoder.head: must be common with delivery.soup greedy"),
        (
            ["delivery.soup=uniform", "seeds=[4]"],
            "delivery.soup: needs two seeds at least, whose weights are averaged",
        ),
    ],
)
def test_settings_that_contradict_each_other(overrides: list[str], fault: str) -> None:
    """What no single setting can know is checked too, and placed at the setting to change."""
    culprit = next(override for override in overrides if override.startswith(fault.split(":")[0]))
    assert faults(None, overrides) == [f"--set {culprit}: {fault}"]


def test_a_recipe_is_a_bundle_of_settings() -> None:
    """It sets what nobody set by hand, goes with any budget, and brings what a soup needs."""
    best = settings.load(overrides=["recipe=best", "budget=smoke"])
    assert (best.scoring.scorer, best.tickets.importance, best.delivery.soup) == ("taylor", "consensus", "uniform")
    assert (best.selection.split, best.encoder.head, best.training.epochs) == ("common", "common", 1.0)
    own = settings.load(overrides=["recipe=best", "scoring.scorer=magnitude", "delivery.soup=none"])
    assert (own.scoring.scorer, own.delivery.soup, own.tickets.importance) == ("magnitude", "none", "consensus")
    assert settings.load(overrides=["recipe=paper"]) == settings.load()


def test_what_joins_seeds_brings_what_it_needs() -> None:
    """A consensus has a selection split common to all seeds; a soup one mask, one head and that split."""
    consensus = settings.load(overrides=["tickets.importance=consensus"])
    assert (consensus.selection.split, consensus.encoder.head) == ("common", "per_seed")
    soup = settings.load(overrides=["delivery.soup=uniform"])
    assert (soup.tickets.importance, soup.selection.split, soup.encoder.head) == ("consensus", "common", "common")
    alone = settings.load()
    assert (alone.tickets.importance, alone.selection.split, alone.encoder.head) == ("seed", "per_seed", "per_seed")


def test_the_known_tasks_are_those_of_the_data() -> None:
    """The names that settings know are those that the data layer has rows for, in the order shown in the help."""
    from supertickets.data.demo import TASK
    from supertickets.data.tasks import KNOWN

    assert tuple(KNOWN) == conflicts.KNOWN_TASKS
    assert TASK.name == conflicts.EMBEDDED_TASK
    (about,) = (about for loc, _, about in schema.fields(Config()) if loc == ("data", "task"))
    assert f"({', '.join(KNOWN)})" in about


def test_yaml_words_mean_what_they_say(tmp_path: Path) -> None:
    """`no` is text, `5e-5` is a number, a date is text, and dump quotes what would be read as anything else."""
    data = "{label: no, text: 2024-01-01, text_pair: '1e3', train: 'null', test: b}"
    config = settings.load(written(tmp_path, f"training: {{learning_rate: 5e-5}}\ndata: {data}\n"))
    assert config.training.learning_rate == 5e-5
    assert (config.data.label, config.data.text, config.data.text_pair) == ("no", "2024-01-01", "1e3")
    assert config.data.train == "null"
    assert settings.load(written(tmp_path, settings.dump(config))) == config


@pytest.mark.parametrize("budget", get_args(Budget))
def test_the_resolved_config_is_itself_a_valid_input(budget: Budget, tmp_path: Path) -> None:
    """What dump writes loads to the same Config, whatever the budget, with awkward texts and no control levels."""
    config = settings.load(overrides=[f"budget={budget}", "tickets.control_levels=[]"])
    config = replace(config, data=replace(config.data, task="stars: [1-5] # of 'mine'", train="ä.csv", test="~"))
    again = settings.load(written(tmp_path, settings.dump(config)))
    assert again == config and asdict(again) == asdict(config)


@pytest.mark.parametrize("budget", get_args(Budget))
def test_the_commented_config_has_all_settings_and_a_working_dial(budget: Budget, tmp_path: Path) -> None:
    """Each setting stands under its help, the file gives the same Config, and changing its budget changes the rest."""
    config = settings.load(overrides=[f"budget={budget}", "training.batch_size=7", "data.report_examples=5"])
    text = settings.commented(config)
    assert settings.load(written(tmp_path, text)) == config
    lines = [line.strip() for line in text.splitlines()]
    for loc, _, about in schema.fields(config):
        assert about, f"{loc} has no help"
        line = next(line for line in lines if line.removeprefix("# ").startswith(f"{loc[-1]}:"))
        assert lines[lines.index(line) - 1].startswith(f"# {about}")
    turned = settings.load(written(tmp_path, text.replace(f"budget: {budget}", "budget: smoke")))
    assert (turned.seeds, turned.training.epochs, turned.tickets.levels) == ((0, 1), 1.0, (0.2, 0.5))
    assert (turned.training.batch_size, turned.data.report_examples) == (7, 5)


def test_a_section_of_comments_only_is_empty(tmp_path: Path) -> None:
    """`tickets:` with nothing below it, and a file with nothing in it, mean the defaults."""
    assert settings.load(written(tmp_path, "tickets:\n  # levels: [0.5]\n")) == settings.load()
    assert settings.load(written(tmp_path, "# nothing yet\n")) == settings.load()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"a: [1, 2\nb: 3\n", ":2:2: not valid YAML: expected ',' or ']', but got ':'"),
        (b"budget: laptop\n\xff\n", ":2: not UTF-8 text; save the file as UTF-8"),
        (b"- 1\n- 2\n", ":1:1: holds no settings; write lines such as `budget: laptop`"),
        (b"seeds: &a [*a]\n", ": a setting contains itself"),
        (b"data: {1: {2: 3}}\n", ":1:8: data.1: unknown; known here: data.task"),
        (b"seeds: !!int x\n", ": not valid YAML: invalid literal"),
        (b"--- {}\n--- {}\n", ":2:1: not valid YAML: but found another document"),
    ],
)
def test_a_file_that_is_no_config(content: bytes, fault: str, tmp_path: Path) -> None:
    """Broken YAML, other encodings and other content give one sentence with the place where it is known."""
    file = tmp_path / "sweep.yaml"
    file.write_bytes(content)
    (line,) = faults(file)
    assert fault.removeprefix(": ") in line and (line.startswith(f"{file}{fault[:2]}") or "itself" in fault)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file and a folder in a file's place are one sentence each."""
    missing = tmp_path / "none.yaml"
    assert faults(missing) == [f"{missing}: no such file; `supertickets init` writes a config to start from"]
    assert faults(tmp_path) == [f"{tmp_path}: cannot be read (Is a directory)"]


@pytest.mark.parametrize("override", ["epochs", "=3", "training.=3", ".epochs=3", "a=[1"])
def test_an_override_that_is_none(override: str) -> None:
    """An override without a name or with broken YAML is quoted in one sentence."""
    (line,) = faults(None, [override])
    assert line.startswith(f"--set {override}:") and ("name=value" in line or "not valid YAML" in line)


def test_python_paths_and_tuples_are_taken_as_given() -> None:
    """Flags come from Python: tuples are lists, paths are texts, and the fault then names the setting alone."""
    config = settings.load(flags={"seeds": (4,), "data": {"task": "rte", "folder": Path("glue")}})
    assert (config.seeds, config.data.folder) == ((4,), "glue")
    assert faults(flags={"seeds": (-1,)}) == ["seeds.0: must be 0 or more, not -1"]


@pytest.mark.parametrize("target", ["speed=3", "params", "params=", "params=1", "params=0", "flops=nan", "latency=-1"])
def test_a_target_is_a_measure_and_a_share(target: str) -> None:
    """Any other text gets one sentence that shows how to write it."""
    assert faults(flags={"tickets": {"target": target}}) == [
        "tickets.target: must be params=, flops= or latency= with a share between 0 and 1, such as params=0.8, "
        f'not "{target}"'
    ]
    with pytest.raises(ValueError):
        parse_target(target)
    assert parse_target("flops=.70") == ("flops", 0.7)


def test_a_target_leaves_no_levels_but_its_own(tmp_path: Path) -> None:
    """Levels of defaults, budget and base give way; one level, found for the target, may stand beside it in a file."""
    base = {"tickets": {"levels": (0.15, 0.3), "control_levels": (0.3,)}}
    flags = {"tickets": {"target": "latency=0.7"}, "budget": "smoke"}
    config = settings.load(base=base, flags=flags)
    assert (config.tickets.levels, config.tickets.control_levels) == ((), ())
    assert settings.load(written(tmp_path, settings.dump(config))) == config
    found = replace(config, tickets=replace(config.tickets, levels=(0.1234,), control_levels=(0.1234,)))
    assert settings.load(written(tmp_path, settings.dump(found))) == found


@pytest.mark.parametrize("setting", ["text", "text_pair", "label"])
def test_a_column_without_own_files_is_refused(setting: str) -> None:
    """A known task's columns are known: naming one is a fault, where silence would ignore it."""
    flags = {"data": {"task": "rte", "folder": "glue", setting: "stars"}}
    with pytest.raises(UserError, match=rf"data\.{setting}.*is for your own files"):
        settings.load(flags=flags)
    own = {"data": {"train": "a.csv", "test": "b.csv", setting: "stars"}}
    assert getattr(settings.load(flags=own).data, setting) == "stars"


def test_a_number_of_too_many_digits() -> None:
    """From Python, where no YAML refuses it first: it is told from a setting that contains itself."""
    with pytest.raises(UserError, match="a number has too many digits"):
        settings.load(flags={"training": {"batch_size": 10**5000}})
