"""The command line: verbs are their public functions, help is quick, and bad usage is one sentence."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest

import supertickets
from supertickets import config, schema
from supertickets.cli import app as module
from supertickets.cli.app import app, main
from supertickets.config import Config

VERBS: dict[str, Any] = {f.__name__: f for f in (command.callback for command in app.registered_commands) if f}
SETTINGS = {
    "task": ("data", "task"),
    "data": ("data", "folder"),
    **{name: ("data", name) for name in ("train", "test", "text", "text_pair", "label")},
    "encoder": ("encoder", "name"),
    "budget": ("budget",),
}


def bodies() -> dict[str, ast.FunctionDef]:
    """The source of each verb."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in VERBS}


def parameters(function: Any) -> list[tuple[str, str, Any]]:
    """Name, kind and default of each parameter; lists are compared as tuples."""
    return [
        (p.name, p.kind.name, tuple(p.default) if isinstance(p.default, list) else p.default)
        for p in inspect.signature(function).parameters.values()
        if p.name != "progress"  # drawing it is what a command line adds
    ]


def test_there_are_these_verbs() -> None:
    """The verbs of this release, and each of them is a public name."""
    assert (
        set(VERBS)
        == {"find", "sweep", "share", "transfer", "report", "show", "check", "init", "export", "predict"}
        <= set(supertickets.__all__)
    )


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_has_the_parameters_of_its_function(name: str) -> None:
    """Verb and public function have the same parameters: names, order, kinds and defaults."""
    assert parameters(VERBS[name]) == parameters(getattr(supertickets, name))


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_is_short_and_calls_one_function_of_its_name(name: str) -> None:
    """At most 15 lines, the import of one workflow inside, and one call of the function of the same name."""
    _, *statements = bodies()[name].body
    assert statements[-1].end_lineno is not None
    assert statements[-1].end_lineno - statements[0].lineno < 15
    assert isinstance(statements[0], ast.ImportFrom) and statements[0].module == "supertickets.workflows"
    (workflow,) = (alias.name for alias in statements[0].names)
    calls = [node.func for statement in statements for node in ast.walk(statement) if isinstance(node, ast.Call)]
    assert [ast.unparse(call) for call in calls if ast.unparse(call).startswith(f"{workflow}.")] == [
        f"{workflow}.{name}"
    ]


def test_the_help_of_an_option_is_that_of_its_setting() -> None:
    """Options of `find` that are settings say what the settings' own help says, and budgets are the same."""
    hints = get_type_hints(VERBS["find"], include_extras=True)
    abouts = {loc: about for loc, _, about in schema.fields(Config())}
    for name, loc in SETTINGS.items():
        assert get_origin(hints[name]) is Annotated
        assert get_args(hints[name])[1].help == abouts[loc], name
    assert get_args(module.Budget) == get_args(config.Budget)


def test_find_hands_every_option_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each option reaches the function under its own name; sentence and report path are all that stdout gets."""
    from supertickets.workflows import finding

    got: dict[str, Any] = {}

    def recorder(*arguments: Any, **keywords: Any) -> Any:
        got.update(keywords, task=arguments[0])
        keywords["progress"].say("working")
        return SimpleNamespace(sentence="It does.", report=Path("runs/x/report.html"))

    monkeypatch.setattr(finding, "find", recorder)
    words = "--data d --train a --test b --text t --text-pair p --label l --encoder e --out o --budget smoke".split()
    more = "--workers 2 --ray-address auto --config c.yaml --set x.y=1 --set z=[2]".split()
    assert main(["find", "rte", *words, *more]) == 0
    out, err = capsys.readouterr()
    assert out == "It does.\nruns/x/report.html\n" and err == "working\n"
    assert set(got) == set(inspect.signature(VERBS["find"]).parameters) | {"progress"}
    assert (got["task"], got["data"], got["out"], got["config"]) == ("rte", Path("d"), Path("o"), Path("c.yaml"))
    assert [got[name] for name in ("train", "test", "text", "text_pair", "label", "encoder")] == [*"abtple"]
    assert (got["budget"], got["workers"], list(got["set"])) == ("smoke", 2, ["x.y=1", "z=[2]"])
    assert got["ray_address"] == "auto"


def test_the_other_verbs_hand_on_what_they_got(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """sweep, report, show, check and init call their functions with what was typed and print what these return."""
    from supertickets.workflows import checking, finding, reporting, sharing, showing, starting, transferring

    found = SimpleNamespace(sentence="It does.", report="page")
    asked = ("flops=0.7", Path("o"))
    monkeypatch.setattr(finding, "sweep", lambda file, target, out, **_: found if (target, out) == asked else None)
    monkeypatch.setattr(
        sharing,
        "share",
        lambda file, out, workers, ray_address, set, progress: SimpleNamespace(
            sentence=f"{file} {out} {workers} {list(set)}", report="page"
        ),
    )
    monkeypatch.setattr(
        transferring,
        "transfer",
        lambda folder, task, data, out, set, **_: SimpleNamespace(
            sentence=f"{folder} {task} {data} {out} {list(set)}", report="page"
        ),
    )
    monkeypatch.setattr(reporting, "report", lambda folder: f"report {folder}")
    monkeypatch.setattr(showing, "show", lambda path, watch, progress: f"show {path}{' watched' * watch}")
    monkeypatch.setattr(checking, "check", lambda file, set: f"check {file} {list(set)}")
    monkeypatch.setattr(starting, "init", lambda out: out)
    for line, printed in (
        ("sweep c.yaml --target flops=0.7 --out o --workers 1 --set a=1", "It does.\npage\n"),
        ("share c.yaml --out o --workers 1 --set a=1", "c.yaml o 1 ['a=1']\npage\n"),
        ("transfer f snli --data d --out o --set a=1", "f snli d o ['a=1']\npage\n"),
        ("report f", "report f\n"),
        ("show p", "show p\n"),
        ("show p --watch", "show p watched\n"),
        ("check c.yaml --set a=1", "check c.yaml ['a=1']\n"),
        ("init", "wrote supertickets.yaml\n"),
        ("init mine.yaml", "wrote mine.yaml\n"),
    ):
        assert main(line.split()) == 0
        assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("fnd rte", "No such command 'fnd'. Did you mean 'find'?"),
        ("frobnicate", "No such command 'frobnicate'"),
        ("find --dat x", "No such option: --dat"),
        ("find --budget smok", "Invalid value for '--budget': 'smok' is not one of 'smoke', 'laptop', 'paper'"),
        ("find --workers 0", "--workers: 0 workers on "),
        ("sweep c.yaml --workers --help", "--workers: '--help' is no number of workers; give a whole number, or ray"),
        ("find --workers 1.5", "--workers: '1.5' is no number of workers"),
        ("find rte more", "Got unexpected extra argument"),
        ("find --out", "Option '--out' requires an argument"),
        ("sweep", "Missing argument 'FILE'"),
        ("show", "Missing argument 'path'"),
    ],
)
def test_bad_usage_is_one_sentence(line: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown verb or option, a bad or missing value: one line on stderr, nothing on stdout, exit 2."""
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: {sentence}") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("find rt --data d", "data.task: unknown task rt; did you mean rte?"),
        ("find rte", "data.task: rte needs data.folder beside it"),
        ("find rte --data absent", "absent"),
        ("find --train a.csv", "data.train: needs data.test beside it"),
        ("find --train absent.csv --test absent.csv", "absent.csv"),
        ("find --config absent.yaml", "absent.yaml: no such file"),
        ("find --set trainings.epochs=3", "--set trainings.epochs=3: trainings: unknown; did you mean training?"),
        ("sweep absent.yaml", "absent.yaml: no such file"),
        ("report absent", "absent"),
        ("show absent", "absent: no such file or folder"),
        ("check absent.yaml", "absent.yaml: no such file"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    line: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each verb answers bad input with one sentence and exit 2, and leaves no result behind."""
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    *_, last = err.splitlines()
    assert out == "" and last.startswith("error: ") and sentence in last and err.count("error:") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]


def test_no_verb_means_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`supertickets` alone says what there is, and that is no error."""
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(f" {name} " in out for name in VERBS)


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` says which version this is."""
    monkeypatch.setitem(supertickets.__dict__, "__version__", "1.2.3")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "supertickets 1.2.3\n"


def test_help_is_quick_and_loads_no_library_of_models() -> None:
    """`supertickets --help` takes less than half a second (best of three) and loads none of the large libraries."""
    code = """
import sys
from supertickets.cli.app import main
assert main(["--help"]) == 0
print(sorted({"torch", "transformers", "datasets", "pandas", "pydantic", "numpy"} & set(sys.modules)))
"""
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        seconds.append(time.monotonic() - start)
        assert done.stdout.splitlines()[-1] == "[]"
    assert min(seconds) < 0.5


def test_the_package_runs_as_a_command(tmp_path: Path) -> None:
    """`python -m supertickets` is the same command: its exit code is main's, and there is no traceback."""
    command = [sys.executable, "-m", "supertickets", "check", str(tmp_path / "none.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")
