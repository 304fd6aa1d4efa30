"""What docs/security.md promises: no code from files, nothing outside a folder, nothing larger than its file."""

from __future__ import annotations

import ast
import json
import shutil
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from small_models import build
from supertickets import Mask, UserError, load, settings, storage
from supertickets.cli.app import main
from supertickets.data.tasks import Task
from supertickets.encoders.checkpoints import config_of, load_tokenizer
from supertickets.encoders.families import structures_of
from supertickets.encoders.shared import load_task, save_shared
from supertickets.experiments import ray_nodes
from supertickets.experiments.reading import Reading
from supertickets.experiments.statistics import example_counts
from supertickets.experiments.transfer_folder import TransferFolder
from supertickets.tickets.structures import Structures
from supertickets.tickets.ticket import ARRAYS_FILE, TICKET_FILE, Ticket
from tiny_sweeps import write_films

PACKAGE = Path(storage.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
CODE_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code", "pty"}
# Calls that run what a file or a text says.
RUNS_CODE = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "torch.load",
    "np.load",
    "numpy.load",
    "pd.read_pickle",
    "os.system",
}
RUNS_CODE |= {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.popen", "shutil.unpack_archive", "torch.hub.load"}


# ---- no code from files


def called(node: ast.Call) -> str:
    """The dotted name of what is called."""
    return ast.unparse(node.func)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_file_is_run(source: Path) -> None:
    """No module imports pickle or its like, evaluates text, uses a shell, or lets transformers run a folder's code."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert not CODE_MODULES & {name.partition(".")[0] for name in names}
        if isinstance(node, ast.Call):
            assert called(node) not in RUNS_CODE
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert given.get("shell", "False") == given.get("allow_pickle", "False") == "False"
            assert given.get("trust_remote_code", "False") == "False" and given.get("use_safetensors", "True") == "True"
            if called(node).endswith(".from_pretrained") and source.name not in (
                "families.py",
                "modeling_supertickets.py",
            ):
                assert given.get("trust_remote_code") == "False", f"{source}:{node.lineno}"
                model = "Model" in called(node) or called(node).startswith("auto.")
                assert not model or given.get("use_safetensors") == "True", f"{source}:{node.lineno}"


@pytest.fixture
def encoder(tiny_bert_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny encoder, the test's own."""
    return Path(shutil.copytree(tiny_bert_folder, tmp_path / "encoder"))


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A JSON file with a change, and with a seal that fits it where it had one."""
    body = storage.read_json(path)
    sealed = body.pop(storage.SEAL, None) is not None
    change(body)
    (storage.write_sealed if sealed else storage.write_json)(path, body)


@pytest.mark.parametrize("kind", ["config.json", "tokenizer_config.json"])
def test_code_in_a_model_folder_is_not_run(
    kind: str, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that brings its own classes is refused or read without them; nobody is asked, and nothing of it runs."""
    mark = tmp_path / "it ran"
    (encoder / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Evil: pass\n")
    names = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"}
    names |= {"AutoTokenizer": ["evil.Evil", "evil.Evil"]} if kind.startswith("tokenizer") else {}
    changed(encoder / kind, lambda body: body.update(auto_map=names))
    if kind == "config.json":
        changed(encoder / kind, lambda body: body.update(model_type="evil"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked at the terminal"))
    try:
        load(encoder)
    except UserError as fault:
        assert "\n" not in str(fault)
    assert not mark.exists()


def test_attention_from_the_hub_is_refused(encoder: Path) -> None:
    """A config that names a kernel on the hub, which is code, is refused or read without it."""
    changed(encoder / "config.json", lambda body: body.update(attn_implementation="someone/evil-kernel"))
    with pytest.raises(UserError, match=r"its attention is code of the hub \(someone/evil-kernel\), which is not run"):
        load(encoder)


def test_pickled_weights_are_refused(encoder: Path, tmp_path: Path) -> None:
    """Weights that only a pickle holds are not read, whatever is in it."""
    (encoder / "model.safetensors").unlink()
    mark = tmp_path / "it ran"
    (encoder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR.")
    with pytest.raises(UserError, match="its weights are pickled, and reading them could run code; save them as safe"):
        load(encoder)
    assert not mark.exists()


# ---- nothing outside a folder

OUTSIDE = ("../secret", "/etc/passwd", "a/../../secret", "..\\secret", "C:\\secret", "\ud800", "a\0b")


@pytest.mark.parametrize("name", OUTSIDE)
def test_lists_of_files_stay_in_their_folder(name: str, encoder: Path) -> None:
    """A shard, or a file with a checksum, that lies elsewhere is refused."""
    storage.write_json(encoder / "checksums.json", {name: "0" * 64})
    with pytest.raises(UserError, match="which is not in this folder"):
        load(encoder)
    (encoder / "checksums.json").unlink()
    (encoder / "model.safetensors").unlink()
    storage.write_json(encoder / "model.safetensors.index.json", {"weight_map": {"a": name}})
    with pytest.raises(UserError, match="which is not in this folder"):
        load(encoder)


@pytest.mark.parametrize("name", ["../up", "a/b", "/etc", "..", ".hidden", "", "a\\b", "tab\there", "x" * 300])
def test_tasks_names_are_no_paths(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task's name is a folder's, so one that leads elsewhere is a fault of the config, for find and for share."""
    films = write_films(tmp_path / "films")
    own = {"train": f"{films}/train.csv", "test": f"{films}/test.csv"}
    with pytest.raises(UserError, match="a task's name "):
        settings.load(flags={"data": {**own, "task": name}})
    file = tmp_path / "share.yaml"
    file.write_text(json.dumps({"tasks": {name: own}, "data": {"text": "review", "label": "stars"}}))
    assert main(["share", str(file), "--out", str(tmp_path / "out")]) == 2
    assert "a task's name" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["films", "share.yaml"]


def test_a_saved_dataset_stays_in_its_folder(tmp_path: Path) -> None:
    """The files and splits that a dataset's folder names are its own."""
    from datasets import Dataset, DatasetDict

    from supertickets.data.arrow import read_dataset
    from supertickets.data.tasks import Columns

    columns = Columns(("text",))
    DatasetDict({"train": Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})}).save_to_disk(tmp_path / "data")
    assert len(read_dataset(str(tmp_path / "data"), columns)) == 2
    state = next((tmp_path / "data").rglob("state.json"))
    kept = state.read_bytes()
    changed(state, lambda body: body.update(_data_files=[{"filename": "../../secret.arrow"}]))
    with pytest.raises(UserError, match="it names data files that are not in this folder"):
        read_dataset(str(tmp_path / "data"), columns)
    state.write_bytes(kept)
    changed(tmp_path / "data" / "dataset_dict.json", lambda body: body.update(splits=["../train"]))
    with pytest.raises(UserError, match="it names splits that are not in this folder"):
        read_dataset(str(tmp_path / "data"), columns)


# ---- nothing larger than its file


@contextmanager
def small() -> Iterator[None]:
    """The block takes no more than 50 MB and ten seconds of the processor."""
    tracemalloc.start()
    begin = time.process_time()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 50e6
        assert time.process_time() - begin < 10
    finally:
        tracemalloc.stop()


def saved(folder: Path) -> Ticket:
    """A ticket of two layers in a folder."""
    structures = Structures("bert", np.full((2, 4), 10), np.full((2, 1), 50), 200, 400)
    ticket = Ticket(Mask.full(structures), "winning", 0.0, 0, "minilm", "0" * 64)
    ticket.save(folder)
    return ticket


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"layers": 10**9}, "cannot be; at most 16,777,216 can"),
        ({"layers": 2**20, "units_per_layer": 16}, "units, more than its mask"),
        ({"layers": 10**40}, "cannot be"),
        ({"layers": -5}, "cannot be"),
        ({"weights_per_head": [[10] * 4] * 3}, "structures"),
    ],
)
def test_a_tickets_sizes_are_its_masks(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    """A description of structures that asks for gigabytes is refused before any of them is there."""
    saved(tmp_path)
    changed(tmp_path / TICKET_FILE, lambda body: body["structures"].update(change))
    with small(), pytest.raises(UserError, match=sentence):
        Ticket.load(tmp_path)


def test_files_of_gigabytes_are_not_read(tmp_path: Path) -> None:
    """A mask or a JSON file that is far larger than it can be is refused by its size."""
    saved(tmp_path)
    for name in (ARRAYS_FILE, TICKET_FILE):
        with (tmp_path / name).open("r+b") as stream:
            stream.truncate(20 * 2**30)  # with a hole: it takes no space
        with small(), pytest.raises(UserError, match=rf"{name}: too large: 21,474,836,480 bytes, where at most"):
            Ticket.load(tmp_path)


@pytest.mark.parametrize("length", [2**63, 2**40, 100])
def test_a_safetensors_header_is_not_believed(length: int, tmp_path: Path) -> None:
    """A header that says it is longer than the file, or holds tensors of more bytes than it, is refused."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(length.to_bytes(8, "little") + header.ljust(100))
    with small(), pytest.raises(UserError, match="torn or not safetensors"):
        storage.read_arrays(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"hidden_size": 2**40}, "where only 1 to 16,777,216 can be"),
        ({"num_hidden_layers": 10**6}, "where only 1 to 512 can be"),
        ({"vocab_size": 10**7}, "its weights cannot be read (its config asks for 320,"),
        ({"intermediate_size": 10**7}, "its weights cannot be read (its config asks for 1,"),
        ({"num_hidden_layers": -3}, "has num_hidden_layers -3, where only 1 to"),
        ({"num_attention_heads": 0}, "has num_attention_heads 0, where only 1 to"),
        ({"hidden_size": -32}, "has hidden_size -32, where only 1 to"),
    ],
)
def test_a_config_asks_for_no_more_than_the_weights_there_are(
    change: dict[str, Any], sentence: str, encoder: Path, tmp_path: Path
) -> None:
    """Sizes that no encoder has, or more weights than the files have bytes: refused before there is a model."""
    changed(encoder / "config.json", lambda body: body.update(change))
    with small(), pytest.raises(UserError) as caught:
        load(encoder)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_shared_models_config_asks_for_no_more_either(tiny_bert_folder: Path, tmp_path: Path) -> None:
    """Of what share left, or a stranger: the same."""
    folder, model = tmp_path / "shared", build("bert")
    reading = Reading(Task("one", "classification", ("no", "yes"), ("accuracy",)), False, "text", None, 32)
    tokenizer = load_tokenizer(str(tiny_bert_folder))
    masks = {"one": Mask.full(structures_of(model))}
    save_shared(folder, {"one": model}, masks, tokenizer, {"one": {"reading": reading.to_dict()}})
    load_task(folder, "one")
    for change in ({"vocab_size": 10**7}, {"num_hidden_layers": 10**6}, {"attn_implementation": "someone/kernel"}):
        kept = (folder / "shared.json").read_bytes()
        changed(folder / "shared.json", lambda body, change=change: body["tasks"]["one"]["config"].update(change))
        with small(), pytest.raises(UserError):
            load_task(folder, "one")
        (folder / "shared.json").write_bytes(kept)
    kept = (folder / "shared.json").read_bytes()
    for name in OUTSIDE:
        changed(folder / "shared.json", lambda body, name=name: body["files"].update({name: "0" * 64}))
        with pytest.raises(UserError, match="which is not in this folder"):
            load_task(folder, "one")
        (folder / "shared.json").write_bytes(kept)


def aliased(first: str, form: str) -> str:
    """Twelve lines, each of which stands for nine of the one before."""
    lines = [form.format(n=n, names=", ".join([f"*a{n - 1}"] * 9)) for n in range(1, 12)]
    return "\n".join([f"a0: &a0 {first}", *lines])


BOMB = aliased("[x, x, x]", "a{n}: &a{n} [{names}]")
MERGES = aliased("{x: 1}", "a{n}: &a{n} {{<<: [{names}]}}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BOMB, "too large: it has more than 20,000 parts"),
        (MERGES, "too large: it has more than 20,000 parts"),
        ("a: " + "[" * 5000, "not valid YAML"),
        ("{a: " * 3000, "not valid YAML"),
        ("seeds: [" + "1, " * 21_000 + "1]", "too large: it has more than 20,000 parts"),
        ("#" * 2**21, "too large for a config: 2,097,152 bytes"),
        ("a: &a [*a]", "a setting contains itself"),
        ("seeds: [" + "9" * 5000 + "]", "not valid YAML"),
    ],
)
def test_yaml_bombs(text: str, sentence: str, tmp_path: Path) -> None:
    """A few lines that stand for billions, depths without end, or megabytes are refused at once."""
    (tmp_path / "a.yaml").write_text(text)
    with small(), pytest.raises(UserError, match=sentence):
        settings.load(tmp_path / "a.yaml")


def test_an_index_of_arrays_is_bounded_by_them(tmp_path: Path) -> None:
    """A ticket whose mask holds far more than its structures have units is not read."""
    saved(tmp_path)
    arrays = load_file(tmp_path / ARRAYS_FILE) | {"more": np.zeros(10**6)}
    save_file(arrays, tmp_path / ARRAYS_FILE)
    with pytest.raises(UserError, match="too large: 8,000,"):
        Ticket.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_labels": 200_000_000}, "config.json has num_labels 200,000,000, where only"),  # gigabytes of names
        ({"vocab_size": 2**40}, "config.json has vocab_size 1,099,511,627,776, where only 1 to 16,777,216 can be"),
        ({"pad_token_id": 5000}, "the sizes in config.json cannot be read"),
    ],
)
def test_numbers_in_a_models_config(change: dict[str, int], words: str, tiny_bert_folder: Path, tmp_path: Path) -> None:
    """They are bounded before anything is made of them."""
    folder = Path(shutil.copytree(tiny_bert_folder, tmp_path / "encoder"))
    body = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(body | change), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        config_of(str(folder))
    assert words in str(caught.value)


def test_a_plan_is_bounded(tmp_path: Path) -> None:
    """A config of a few kilobytes cannot ask for a million runs, nor a large one be parsed only to tell its kind."""
    levels = [round(n / 1001, 6) for n in range(1, 1001)]
    with pytest.raises(
        UserError, match="seeds and levels come to 3,001,000 runs, where at most 100,000 can be planned"
    ):
        settings.load(
            overrides=[f"seeds={[*range(1000)]}", f"tickets.levels={levels}", f"tickets.control_levels={levels}"]
        )
    large = tmp_path / "config.yaml"
    large.write_text("tasks: {}\n" + "#" * 2_000_000, encoding="utf-8")
    assert not settings.names(large, "tasks")


def test_intervals_are_bounded() -> None:
    """Records of very many examples cannot ask for more memory than there is."""
    with pytest.raises(UserError, match="intervals over 3,000,000 examples need 6,000,000,000 bytes, where at most"):
        example_counts(3_000_000, 2000, 0)


def test_a_nodes_folder_is_the_users_own(tmp_path: Path) -> None:
    """Data and encoder lie there unread by others; one that others can write into, or a link, is refused."""
    (tmp_path / "older").mkdir(mode=0o755)
    for name in ("mine", "mine", "older"):
        ray_nodes._own(tmp_path / name)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name in ("open", "link"):
        with pytest.raises(
            UserError, match=f"{name}: on node .* another user made this, or can write into it; remove it"
        ):
            ray_nodes._own(tmp_path / name)


def test_a_node_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what all runs share, nor what a killed run or a killed unpacking left; another sweep's stays."""
    monkeypatch.setattr(ray_nodes, "_place", lambda token: tmp_path / token)
    for name in ("abc", "abc-x1y2", ".abc.17-00.partial", "abd"):
        (tmp_path / name / "cache").mkdir(parents=True)
    ray_nodes.drop("abc")
    assert [path.name for path in tmp_path.iterdir()] == ["abd"]


@pytest.mark.parametrize("start", ["../../victim", "a/b", "", ".hidden"])
def test_a_transfers_starts_are_no_paths(start: str, tmp_path: Path) -> None:
    """Its data.json names folders: a name that leads elsewhere is refused before any is looked for."""
    about = {"task": {}, "sizes": {"train": {"rows": 3}}, "starts": {"sharing": {"0": start}}}
    storage.write_json(tmp_path / "data.json", about)
    storage.write_text(tmp_path / "config.yaml", "shares: [1.0]")
    with pytest.raises(UserError, match=r"not the data of a transfer \(starts\.sharing\.0: String should match"):
        TransferFolder.open(tmp_path)
