"""share from the command line: bad input is one sentence, a killed one resumes, and one process at a time works."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from small_models import build
from supertickets import locking, settings
from supertickets.cli.app import main
from supertickets.experiments import shares
from supertickets.experiments.executors import InProcess
from supertickets.experiments.gathering import Gathering
from supertickets.experiments.progress import Silent
from supertickets.experiments.records import Record
from supertickets.experiments.shares import share_missing
from tiny_sweeps import SHORTEST, assert_same, config_of, run_all, settings_of_flags, snapshot, write_films

ARMS = "arms=[multitask, sharing]"
HOLD = """
import sys
from pathlib import Path
from supertickets.locking import sweep_lock

with sweep_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class Case:
    """A config of two tasks in a folder of its own, and an out folder that a refusal must not make."""

    def __init__(self, root: Path, encoder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.encoder, self.out, self._capsys = root, encoder, root / "out", capsys
        self.films = {name: write_films(root / name) for name in ("a", "b")}
        self.tasks = {name: f"{{train: {f}/train.csv, test: {f}/test.csv}}" for name, f in self.films.items()}

    def write(self, *more: str, tasks: dict[str, str] | None = None, encoder: Path | None = None) -> Path:
        """The config's file, with more lines below."""
        lines = [f"  {name}: {task}" for name, task in (self.tasks if tasks is None else tasks).items()]
        head = ["data: {text: review, label: stars}", f"encoder: {{name: {encoder or self.encoder}}}"]
        file = self.root / "share.yaml"
        file.write_text("\n".join([*head, *more, *(["tasks:", *lines] if lines else [])]) + "\n", encoding="utf-8")
        return file

    def command(self, *more: str) -> list[str]:
        """The command on the config's file."""
        line = ["share", str(self.root / "share.yaml"), "--out", str(self.out), "--workers", "1"]
        return [*line, *settings_of_flags((*SHORTEST, ARMS)), *more]

    def refused(self, *more: str, lines: int = 1) -> str:
        """The sentence: exit 2, nothing on stdout."""
        assert main(self.command(*more)) == 2
        printed, told = self._capsys.readouterr()
        faults = [line for line in told.splitlines() if line not in ("checking the tasks", "preparing the data")]
        assert printed == "" and len(faults) == lines and all(line.startswith("error: ") for line in faults), told
        return "\n".join(line.removeprefix("error: ") for line in faults)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path) -> dict[str, str]:
    """The tasks' finished sweeps, as tickets in a config."""
    root = tmp_path_factory.mktemp("found")
    for name in ("a", "b"):
        run_all(root / name, config_of(write_films(root / "films" / name), tiny_bert_folder, short=SHORTEST))
    return {name: f"{{ticket: {root / name}}}" for name in ("a", "b")}


@pytest.fixture
def case(tmp_path: Path, tiny_bert_folder: Path, capsys: pytest.CaptureFixture[str]) -> Case:
    """Two tasks of made-up films."""
    return Case(tmp_path, tiny_bert_folder, capsys)


@pytest.fixture
def unmade(case: Case) -> Iterator[Case]:
    """The same, where nothing may be written."""
    yield case
    assert not case.out.exists()


# ---- the config


def test_a_task_given_twice(unmade: Case) -> None:
    """The second place, and the line of the first."""
    file = unmade.write()
    rows = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([*rows, rows[-2]]) + "\n", encoding="utf-8")
    assert unmade.refused() == f"{file}:{len(rows) + 1}:3: tasks.a: given twice, first in line {len(rows) - 1}"


CONFIGS: dict[str, tuple[list[str], str]] = {
    "weights that do not add up": (
        ["sampling: {weights: {a: 0.5, b: 0.4}}"],
        ":3:21: sampling.weights: must add up to 1, not to 0.9",
    ),
    "weights of other tasks": (
        ["sampling: {weights: {a: 0.5, c: 0.5}}"],
        "sampling.weights: are for a, c; the tasks are a, b",
    ),
    "an unknown mixture": (
        ["sampling: {mixture: proportinal}"],
        ":3:21: sampling.mixture: must be proportional or temperature or annealed or uniform, not "
        '"proportinal"; did you mean proportional?',
    ),
    "an unknown arm": (
        ["arms: [sharing, alone]"],
        ':3:17: arms.1: must be multitask or sharing or random, not "alone"',
    ),
    "an arm twice": (["arms: [sharing, sharing]"], ":3:7: arms: holds sharing twice"),
    "no arm": (["arms: []"], ":3:7: arms: must be a list of 1 or more, not []"),
    "accumulated gradients": (
        ["training: {gradient_accumulation: 2}"],
        "training.gradient_accumulation: must be 1 here: a step belongs to one task",
    ),
    "a teacher": (["training: {teacher: full}"], "training.teacher: must be none here"),
    "another section": (["task: {a: {}}"], "task: unknown; did you mean tasks?"),
}


@pytest.mark.parametrize("fault", CONFIGS)
def test_faults_of_a_config(fault: str, unmade: Case) -> None:
    """File, line and column, the setting, and what it must be."""
    lines, words = CONFIGS[fault]
    file = unmade.write(*lines)
    sentence = refused_with_the_files_arms(unmade) if "arm" in fault else unmade.refused()
    assert sentence.startswith(str(file)) and words in sentence


def refused_with_the_files_arms(case: Case) -> str:
    """The sentence for the arms that stand in the file: the command's own would win."""
    command = case.command
    case.command = lambda *more: [word for word in command(*more) if word != ARMS][:-1]  # type: ignore[method-assign]
    return case.refused()


TASKS: dict[str, tuple[dict[str, str], str]] = {
    "no tasks": ({}, "tasks: must name at least one task, such as `rte: {}`"),
    "no data": ({"a": "{}"}, "tasks.a.task: unknown task a; choose from cola, sst2"),
    "no folder": ({"rte": "{}"}, "tasks.rte.task: rte needs data.folder beside it: the folder that holds its files"),
    "no test": ({"a": "{train: x.csv}"}, "tasks.a.train: needs data.test beside it: the examples to report on"),
    "a misspelt setting": ({"a": "{trian: x.csv}"}, "tasks.a.trian: unknown; did you mean tasks.a.train?"),
    "a misspelt known task": ({"rtee": "{folder: x}"}, "tasks.rtee.task: unknown task rtee; did you mean rte?"),
}


@pytest.mark.parametrize("fault", TASKS)
def test_faults_of_tasks(fault: str, unmade: Case) -> None:
    """No task, a task without data, or with half of it."""
    tasks, words = TASKS[fault]
    unmade.write(tasks=tasks)
    assert words in unmade.refused()


# ---- data


def test_faults_in_a_tasks_files(unmade: Case) -> None:
    """The last task's as well as the first's, before anything is trained: the task, the file, the place."""
    unmade.write()
    file = unmade.films["b"] / "test.csv"
    text = file.read_text(encoding="utf-8")
    file.write_text(f"{text}a film,maybe\n", encoding="utf-8")
    assert f'{file}:14:2: task b: unknown label "maybe" in column stars' in unmade.refused()
    file.write_text("review,stars\n", encoding="utf-8")
    assert f"{file}: task b: the file is empty: it has a header and no examples" in unmade.refused()
    file.unlink()
    assert f"{file}: task b: no such file" in unmade.refused()


def test_a_known_tasks_folder_that_is_not_there(unmade: Case) -> None:
    """Its name, and the task's."""
    unmade.write(tasks={"rte": f"{{folder: {unmade.root / 'absent'}}}"})
    sentence = unmade.refused()
    assert f"{unmade.root / 'absent'}: task rte: no such folder" in sentence


# ---- tickets


@pytest.fixture
def ticket(case: Case, found: dict[str, str]) -> Path:
    """A copy of a finished sweep of task a's films."""
    return shutil.copytree(folder_of(found["a"]), case.root / "found")


def folder_of(task: str) -> Path:
    """The folder that a task's line in a config names as its ticket."""
    return Path(task.removeprefix("{ticket: ").removesuffix("}"))


def test_tickets_that_do_not_fit(case: Case, ticket: Path) -> None:
    """No folder, no sweep, an unfinished one, one of other seeds, units or another encoder: each names its task."""
    given = {"a": f"{{ticket: {ticket}}}", "b": case.tasks["b"]}
    case.write(tasks=given | {"a": f"{{ticket: {case.root / 'absent'}}}"})
    assert f"{case.root / 'absent'}: task a: this is not a sweep's folder" in case.refused()
    case.write(tasks=given | {"a": f"{{ticket: {case.films['a']}}}"})
    assert f"{case.films['a']}: task a: this is not a sweep's folder" in case.refused()

    case.write(tasks=given)
    assert "task a: this sweep has the seeds 0; seed 1 is wanted too" in case.refused("--set", "seeds=[0, 1]")
    sentence = case.refused("--set", "units.ffn=neuron")
    assert "task a: its tickets were drawn with units.ffn sublayer; the config says neuron" in sentence
    assert "set units.ffn=sublayer" in sentence
    assert "units.multiple 8; the config says 4" in case.refused("--set", "units.multiple=4")

    other = shutil.copytree(case.encoder, case.root / "other")
    build("bert", vocab_size=200).base_model.save_pretrained(other)
    case.write(tasks=given, encoder=other)
    assert f"task a: its tickets are of another encoder ({case.encoder}) than {other}" in case.refused()
    case.write(tasks={"a": given["a"]}, encoder=other)  # with no sweep to compare with, too
    assert "task a: its tickets are of another encoder" in case.refused()

    case.write(tasks=given)
    (run,) = (ticket / "runs").glob("winning*")
    (run / "record.json").unlink()
    assert f"{ticket}: task a: this sweep is not finished: 1 of 2 runs are missing" in case.refused()
    assert not case.out.exists()


def test_folders_of_others(case: Case, ticket: Path) -> None:
    """A folder with other files, a sweep's, a file: nothing in them changes."""
    case.write()
    for folder, words in (
        (case.films["a"], "this folder holds other files (test.csv, train.csv); choose a new or empty --out folder"),
        (ticket, "this is the folder of one task's sweep"),
        (case.films["a"] / "test.csv", "this is no folder"),
    ):
        case.out = folder
        before = snapshot(ticket), snapshot(case.films["a"])
        assert case.refused().startswith(f"{folder}: {words}")
        assert (snapshot(ticket), snapshot(case.films["a"])) == before


# ---- interruptions


def records_of(folder: Path) -> list[Record]:
    """Every record of a finished experiment; computes none."""
    tasks = Gathering.open(folder)
    runs = [run for run in tasks.runs() if all((folder / "runs" / run.name / t / "record.json").exists() for t in "ab")]
    assert len(runs) == len(tasks.config.arms) * len(tasks.config.seeds)
    return share_missing(tasks, InProcess(), 1, Silent())


def test_interrupted_anywhere_it_resumes(case: Case, found: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped while sweeping, training, between the records of two tasks, delivering: the same as never stopped."""
    case.write(tasks={"a": case.tasks["a"], "b": found["b"]})
    whole = case.root / "whole"
    assert main([*case.command()[:2], "--out", str(whole), *case.command()[4:]]) == 0
    expected = records_of(whole)

    import transformers

    save, step, deliver = Record.save, transformers.Trainer.training_step, shares.save_shared
    seen: list[Path] = []

    def save_until(folders: int) -> Any:
        def saved(self: Record, folder: Path) -> None:
            if len(seen) == folders:
                raise KeyboardInterrupt
            seen.append(folder)
            save(self, folder)

        return saved

    def step_until(steps: int) -> Any:
        left = [steps]

        def stepped(*arguments: Any, **keywords: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return step(*arguments, **keywords)

        return stepped

    def no_delivery(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    kept: dict[str, tuple[int, str]] = {}
    for owner, name, value in (
        (transformers.Trainer, "training_step", step_until(3)),  # sweeping a
        (Record, "save", save_until(1)),  # before its ticket's record
        (transformers.Trainer, "training_step", step_until(4 + 4 + 3)),  # its ticket, delivered; a multi-task run
        (Record, "save", save_until(2)),  # between its two records
        (shares, "save_shared", no_delivery),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, value)
            assert main(case.command()) == 130, (owner, name)
        assert not (case.out / "model").exists()
        now = {path: file for path, file in snapshot(case.out).items() if "/runs/" in f"/{path}"}
        finished = {path: file for path, file in kept.items() if not path.startswith("runs/")}
        assert all(now[path] == file for path, file in finished.items()), "a finished record was touched"
        kept = now
    assert main(case.command()) == 0
    monkeypatch.undo()
    assert shares.save_shared is deliver
    assert_same(records_of(case.out), expected)
    for name in ("shared.safetensors", "masks.safetensors", "shared.json"):
        assert (case.out / "model" / name).read_bytes() == (whole / "model" / name).read_bytes()
    assert not list(case.out.rglob("*.partial"))


def test_what_a_killed_process_left_is_removed(case: Case, found: dict[str, str]) -> None:
    """Half-written files and folders, in a run as beside the model."""
    case.write(tasks=found)
    (case.out / "tasks").mkdir(parents=True)
    (case.out / ".model.1-0.partial").mkdir()
    (case.out / ".model.1-0.partial" / "shared.safetensors").write_bytes(b"half")
    assert main(case.command()) == 0
    assert not list(case.out.rglob("*.partial"))


def test_a_second_process_is_refused(case: Case) -> None:
    """While one works on the folder, another is told which, at once, and writes nothing."""
    case.write()
    command = [sys.executable, "-c", HOLD, str(case.out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        before = snapshot(case.out)
        sentence = case.refused()
        assert f"{case.out}: in use by process {holder.pid} on " in sentence
        assert "wait for it to end, or choose another folder" in sentence
        assert snapshot(case.out) == before
        holder.communicate()
    with locking.sweep_lock(case.out / "tasks" / "b"):  # a task's own sweep, run by somebody else
        assert main(case.command()) == 2


@pytest.mark.slow
def test_a_real_kill(case: Case, found: dict[str, str]) -> None:
    """The command itself, killed from outside once a multi-task run has a record, then run again."""
    case.write(tasks=found)
    whole = case.root / "whole"
    assert main([*case.command()[:2], "--out", str(whole), *case.command()[4:]]) == 0
    command = [sys.executable, "-m", "supertickets", *case.command()]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as running:
        deadline = time.monotonic() + 120
        while not list(case.out.glob("runs/*/a/record.json")) and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(running.pid, signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert_same(records_of(case.out), records_of(whole))


def test_another_config_on_the_folder(case: Case, found: dict[str, str]) -> None:
    """What differs is listed, before anything is swept or trained; no record changes."""
    case.write(tasks=found)
    assert main(case.command()) == 0
    before = {path: file for path, file in snapshot(case.out).items() if path != locking.LOCK_FILE}
    case._capsys.readouterr()
    sentence = case.refused("--set", "sampling.mixture=uniform", "--set", "training.epochs=2")
    assert "belongs to another config (" in sentence
    assert "sampling.mixture is proportional there, uniform here" in sentence
    assert "a.training.epochs is" in sentence
    assert {path: file for path, file in snapshot(case.out).items() if path != locking.LOCK_FILE} == before
    body = json.loads((case.out / "model" / "shared.json").read_text(encoding="utf-8"))
    assert list(body["tasks"]) == ["a", "b"]
    assert settings.load_shared(case.out / "config.yaml").arms == ("multitask", "sharing")
