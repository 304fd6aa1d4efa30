"""Where runs execute: the same records in this process and in workers, and no worker outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor
from pathlib import Path

import pytest
import torch

from supertickets.config import Config
from supertickets.errors import UserError
from supertickets.experiments import executors
from supertickets.experiments.executors import (
    InProcess,
    check_workers,
    default_workers,
    executor,
    limit_threads,
)
from supertickets.experiments.progress import Silent
from supertickets.experiments.records import Record
from supertickets.experiments.sweeps import run_missing
from supertickets.experiments.workspace import Workspace
from tiny_sweeps import assert_same, config_of

ORPHANS = """
import time
from supertickets.experiments.executors import executor

if __name__ == "__main__":
    pool = executor(2)
    futures = [pool.submit(time.sleep, 60) for _ in range(2)]
    print(*pool._processes, flush=True)
    futures[0].result()
"""


def test_in_process_runs_at_once() -> None:
    """A call is finished when its future is handed out, with its result or with its error."""
    with InProcess() as pool:
        done, failed = pool.submit(pow, 2, 5), pool.submit(int, "x")
        assert done.done() and done.result() == 32
        assert failed.done() and isinstance(failed.exception(), ValueError)
        assert list(pool.map(abs, [-1, 2])) == [1, 2]


def test_an_interrupt_is_not_a_result() -> None:
    """Ctrl-C in a call goes through, and does not hide in a future."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InProcess().submit(interrupted)


def test_one_worker_is_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker takes all cores as threads, in this process; both executors are concurrent.futures' kind."""
    monkeypatch.setattr(executors, "cores", lambda: 3)
    monkeypatch.delenv("OMP_NUM_THREADS")
    with executor(1) as pool:
        assert isinstance(pool, InProcess) and isinstance(pool, Executor)
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("wanted", "threads"), [("1", 1), ("2", 2), ("8", 3), ("", 3), ("0", 3), ("4,2", 3)])
def test_omp_num_threads_is_obeyed(wanted: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for fewer threads than a worker's share gets fewer; who asks for more gets the share."""
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    limit_threads(3)
    assert torch.get_num_threads() == threads


def test_how_many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """From one to as many as there are cores, which is the default; more is one sentence."""
    monkeypatch.setattr(executors, "cores", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_workers() == 2 and check_workers(1) == 1 and check_workers(2) == 2
    for workers in (0, 3, -1):
        with pytest.raises(UserError, match=rf"--workers: {workers} workers on 2 cores; choose 1 to 2"):
            check_workers(workers)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert default_workers() == 1


def test_two_workers_give_the_records_of_one(
    films: Path, tiny_bert_folder: Path, tmp_path: Path, records: list[Record], config: Config
) -> None:
    """Two processes with a thread each leave, bit for bit, the records of this process with one thread."""
    fewer = config_of(films, tiny_bert_folder, "tickets.levels=[0.5]", "tickets.kinds=[winning]")
    with executor(2) as pool:
        assert pool.submit(torch.get_num_threads).result() == 1
        found = run_missing(Workspace.prepare(tmp_path, fewer), pool, 2, Silent())
    expected = [r for r in records if r.kind == "full" or (r.kind == "winning" and r.sparsity == 0.5)]
    assert_same(found, expected)
    assert [record.provenance["threads"] for record in found] == [1] * 4


def test_no_worker_outlives_its_parent(tmp_path: Path) -> None:
    """After `kill -9` of the parent its workers end too, instead of holding memory and a core for ever."""
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS, encoding="utf-8")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2 and all(map(alive, workers))
        time.sleep(1)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers))


def alive(process: int) -> bool:
    """Whether a process runs; one that ended and waits to be collected does not."""
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    """Two workers of a plain script do their work without running the script again."""
    script = tmp_path / "plain.py"
    script.write_text(
        "from supertickets.experiments.executors import executor\n"
        "print('started', flush=True)\n"
        "with executor(2) as pool:\n"
        "    print(sum(pool.map(abs, [-1, -2, -3])), __file__.endswith('plain.py'))\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["started", "6 True"]), done.stderr


def test_a_fault_ends_the_workers_at_once() -> None:
    """Nobody waits for what else is worked on: not for the sixty seconds that the other worker would take."""
    begun = time.monotonic()
    with pytest.raises(ValueError, match="x"), executor(2) as pool:
        pool.submit(time.sleep, 60)
        pool.submit(int, "x").result()
    assert time.monotonic() - begun < 50
