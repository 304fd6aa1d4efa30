"""Runs on Ray: equal records, nodes that are lost, and no Ray for whoever does not ask for it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from supertickets.cli.app import main
from supertickets.config import ClusterConfig, Config
from supertickets.errors import UserError
from supertickets.experiments import ray_workers, staff
from supertickets.experiments.executors import check_workers
from supertickets.experiments.failures import DistantError
from supertickets.experiments.progress import Silent
from supertickets.experiments.ray_workers import RayExecutor
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.staff import OnRay, chosen, opened
from supertickets.experiments.sweeps import run_missing
from supertickets.experiments.workspace import Workspace
from tiny_sweeps import SHORT, assert_same, config_of, flags_of, settings_of_flags


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Ray were not installed."""
    monkeypatch.setattr(ray_workers, "find_spec", lambda _: None)


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("words", [["--workers", "ray"], ["--ray-address", "auto"]])
def test_ray_missing_is_one_sentence(
    words: list[str], films: Path, tiny_bert_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked for and not installed: the pip command, exit code 2, nothing written."""
    line = ["find", *flags_of(films, tiny_bert_folder), "--out", str(tmp_path / "out"), *words]
    assert main(line) == 2
    err = capsys.readouterr().err
    assert err == f"error: {' '.join(words)}: ray is not installed; pip install 'supertickets[ray]'\n"
    assert not (tmp_path / "out").exists()


def test_who_does_not_ask_for_ray_does_not_load_it(films: Path, tiny_bert_folder: Path, tmp_path: Path) -> None:
    """The modules of sweeps, and choosing two processes, import no Ray."""
    code = (
        "import sys\n"
        "from supertickets.experiments import sweeps, shares, staff\n"
        "from supertickets.workflows import finding, sharing\n"
        "staff.chosen(1)\n"
        "print('ray' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "False", done.stderr


def test_what_executes_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number is processes, ray or an address is Ray; an address with a number, or another word, is one sentence."""
    monkeypatch.setattr(staff, "cores", lambda: 2)
    monkeypatch.setattr(ray_workers, "find_spec", lambda _: object())
    assert chosen(1) == 1 and chosen("ray") == OnRay() and chosen(None, "auto") == OnRay("auto")
    assert chosen("ray", "ray://head:10001") == OnRay("ray://head:10001")
    with pytest.raises(UserError, match="--ray-address auto: a cluster's nodes decide"):
        chosen(2, "auto")
    with pytest.raises(UserError, match="--workers: neither a number nor ray: 'rya'; choose 1 to 2, or ray"):
        chosen("rya")


STRANGE = """
class Strange(Exception):
    def __init__(self, one, other):
        super().__init__(f"{one} {other}")

raise Strange(1, 2)
"""
GONE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"  # as the kernel does for lack of memory


@pytest.mark.slow
def test_records_equal_those_of_this_process(
    films: Path, tiny_bert_folder: Path, tmp_path: Path, records: list[Record], config: Config
) -> None:
    """On two Ray workers with one thread each: the same records and tickets to the bit; errors come back readable."""
    with opened(OnRay(), ClusterConfig()) as (pool, size):
        assert size == staff.cores()
        assert pool.submit(pow, 2, 5).result() == 32
        with pytest.raises(UserError, match="--workers: 0 workers on"):
            pool.submit(check_workers, 0).result()
        with pytest.raises(DistantError) as strange:
            pool.submit(exec, STRANGE).result()
        assert strange.value.line.endswith("Strange: 1 2") and "Traceback" in strange.value.printed
        with pytest.raises(DistantError, match=r"its worker or its node was lost \(WorkerCrashedError\)"):
            pool.submit(exec, GONE).result()
        found = run_missing(Workspace.prepare(tmp_path, config), pool, size, Silent())
        token = pool._token
    assert_same(found, records)
    assert [record.provenance["threads"] for record in found] == [1] * len(found)
    assert len(list((tmp_path / "tickets").iterdir())) == 8 and not list(tmp_path.rglob("*.partial"))
    assert not list(Path("/tmp").glob(f"supertickets-*/{token}*"))  # the node's copy is gone


@pytest.mark.slow
def test_a_share_that_no_node_has_is_one_sentence() -> None:
    """More cores, GPUs or memory than any node has is refused before anything runs."""
    for share, words in (
        (ClusterConfig(cores_per_run=1000), r"cluster: no node has 1000 cores for a run; lower cluster\.cores_per_run"),
        (ClusterConfig(gpus_per_run=0.5), "no node has 1 cores, 0.5 GPUs for a run"),
        (ClusterConfig(memory_per_run=1e6), r"no node has 1 cores, 1e\+06 GiB of memory for a run"),
    ):
        with pytest.raises(UserError, match=words), opened(OnRay(), share):
            pass


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes on this machine, one core each; the head alone takes no run."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        yield made
    finally:
        made.shutdown()


@pytest.mark.slow
def test_a_node_that_is_killed_changes_no_record(
    cluster: Any, tmp_path: Path, records: list[Record], config: Config
) -> None:
    """One of two nodes loses its processes while it trains: its runs go to the other, and the records are the same."""
    first, _ = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    lost: list[str] = []

    class Heard(Silent):
        def say(self, line: str) -> None:
            lost.append(line)

    def busy() -> list[psutil.Process]:
        """The first node's processes that are in a run: a node that dies between two loses none."""
        raylet = psutil.Process(first.all_processes["raylet"][0].process.pid)
        return [one for one in raylet.children(recursive=True) if one.name().startswith("ray::perform")]

    def kill() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if len(list(tmp_path.glob(f"runs/*/{RECORD_FILE}"))) >= 3 and (working := busy()):
                working[0].kill()
                break
            time.sleep(0.02)
        first.kill_raylet()

    sweep = Workspace.prepare(tmp_path, config)
    with RayExecutor(ClusterConfig(), cluster.address) as pool:
        assert pool.size == 2
        killer = threading.Thread(target=kill)
        killer.start()
        found = run_missing(sweep, pool, pool.size, Heard())
        killer.join()
    assert any("trying again after its worker or its node was lost" in line for line in lost), lost
    assert_same(found, records)


@pytest.mark.slow
def test_the_command_on_a_cluster_and_ctrl_c(cluster: Any, films: Path, tiny_bert_folder: Path, tmp_path: Path) -> None:
    """Ctrl-C ends the command with 130 and keeps what is finished; the same command again ends with a report."""
    cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    out = tmp_path / "out"
    options = [*flags_of(films, tiny_bert_folder), "--out", str(out), *settings_of_flags(SHORT)]
    # A job in the background ignores Ctrl-C, and so would whatever it starts.
    heeding = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    heeding += "from supertickets.cli.app import main; sys.exit(main())"
    command = [sys.executable, "-c", heeding, "find", *options, "--ray-address", cluster.address]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as sweep:
        deadline = time.monotonic() + 120
        while not list(out.glob(f"runs/*/{RECORD_FILE}")) and time.monotonic() < deadline and sweep.poll() is None:
            time.sleep(0.05)
        sweep.send_signal(signal.SIGINT)
        _, err = sweep.communicate(timeout=60)
    assert sweep.returncode == 130 and "Traceback" not in err, err
    assert err.splitlines()[-1] == "interrupted; run the same command again, it resumes"
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert "runs are there already" in done.stderr and (out / "report.html").is_file()
    assert (out / "super_ticket" / "model.safetensors").is_file() and (out / "speedup.json").is_file()


@pytest.mark.slow
def test_no_cluster_is_one_sentence(tmp_path: Path) -> None:
    """An address where none is says so, and how to start one."""
    with pytest.raises(UserError, match=r"no Ray cluster can be joined .*ray start --head"):
        RayExecutor(ClusterConfig(), "auto")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "not the address of a Ray cluster"),
        ("localhost:x", "not the address of a Ray cluster"),
        ("localhost:1", "no Ray cluster can be joined .*refused"),
        ("localhost:99999", "no Ray cluster can be joined"),
    ],
)
def test_where_nobody_listens_is_told_at_once(address: str, words: str) -> None:
    """Ray would try for a quarter of an hour."""
    begun = time.monotonic()
    with pytest.raises(UserError, match=words):
        ray_workers._check_reachable(address)
    assert time.monotonic() - begun < 30


def test_config_of_a_cluster_renames_no_run(films: Path, tiny_bert_folder: Path, config: Config) -> None:
    """What a run takes of a node is not part of its name; a share above one GPU must be whole."""
    from supertickets.experiments.plans import plan

    more = config_of(films, tiny_bert_folder, "cluster.cores_per_run=2", "cluster.gpus_per_run=0.25")
    assert [run.name for run in plan(more)] == [run.name for run in plan(config)]
    with pytest.raises(UserError, match=r"cluster\.gpus_per_run.*a share of one GPU, or a whole number"):
        config_of(films, tiny_bert_folder, "cluster.gpus_per_run=1.5")
