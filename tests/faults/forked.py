"""A script: one sweep in forked processes that are killed, crowded or starved of space, and then runs to its end.

`forked.py kill FOLDER COUNT SEED COMMAND...` runs the command uninterrupted once, then COUNT times into a
new folder, killed (kill -9) at a random moment, and once more to its end. `two` starts it twice at once, COUNT
times; `space` gives it files of few bytes only (RLIMIT_FSIZE), then more and more. One JSON line tells of
each try; `--out` is added to the command. All are forks of a process that has loaded the libraries.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import conftest  # noqa: F401  (one thread, no network)
from supertickets.cli.app import main
from supertickets.experiments import delivery, sweeps, workspace  # noqa: F401  (loaded before forking)
from supertickets.experiments.records import RECORD_FILE, load_all
from supertickets.reports import page, paper_figures  # noqa: F401
from tiny_sweeps import assert_same, snapshot

LIMITS = (300, 2_000, 8_000, 40_000, 150_000, 1_000_000)  # bytes of the largest file that may be written


def start(command: Sequence[str], out: Path, most: int | None = None, told_as: Path | None = None) -> int:
    """The command in a child, which tells into `<out>.log`, or that of another path; its process id."""
    child = os.fork()
    if child == 0:
        log = os.open(f"{told_as or out}.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        if most is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        read, write = os.pipe()  # a pipe has no size, so what is told is told whole
        if os.fork():
            os.close(read)
            os.dup2(write, 1)
            os.dup2(write, 2)
            os._exit(main([*command, "--out", str(out)]))
        os.close(write)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2)
        while part := os.read(read, 65536):
            os.write(log, part)
        os._exit(0)
    return child


def ended(child: int) -> int | None:
    """The exit code of a child, or None when it was killed."""
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


def told(out: Path) -> list[str]:
    """The lines of its log, once nobody writes to it any more."""
    time.sleep(0.05)
    return Path(f"{out}.log").read_text(encoding="utf-8").splitlines()


def equal(out: Path, whole: Path) -> str:
    """Empty where both sweeps have the same records, tickets and model, bit for bit; else what differs."""
    try:
        assert_same(load_all(out), load_all(whole))
    except AssertionError as fault:
        return f"records: {fault}"
    ours, theirs = snapshot(out), snapshot(whole)
    kinds = ("ticket.safetensors", "super_ticket/model.safetensors", "arrays.safetensors")
    differing = [name for name in theirs if name.endswith(kinds) and ours.get(name, ("", ""))[1] != theirs[name][1]]
    differing += [name for name in ours if name.endswith(".partial")]
    return ", ".join(differing)


def kill(folder: Path, count: int, rng: random.Random, command: Sequence[str], seconds: float) -> None:
    """Kill and resume, at `count` moments spread over the time that an uninterrupted sweep takes."""
    for number in range(count):
        out, share = folder / f"killed{number}", (number + rng.random()) / count
        while not strike(command, out, share * seconds):  # the load of the machine has changed, and it came too late
            shutil.rmtree(out)
            share *= 0.8
        done = len(list(out.glob(f"runs/*/{RECORD_FILE}")))
        code = ended(start(command, out))
        differs = equal(out, folder / "whole") if code == 0 else "\n".join(told(out))
        tell(moment=share * seconds, records=done, code=code, differs=differs)


def strike(command: Sequence[str], out: Path, moment: float) -> bool:
    """Start the command and kill it so many seconds later; whether it was still running."""
    child = start(command, out)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    return ended(child) is None


def two(folder: Path, count: int, rng: random.Random, command: Sequence[str], seconds: float) -> None:
    """Two at once on one folder: one does it all, the other is told so."""
    for number in range(count):
        out = folder / f"two{number}"
        first = start(command, out)
        time.sleep(0.5 * rng.random() * seconds)
        second = start(command, out, told_as=folder / "other" / f"two{number}")
        codes = sorted([ended(first) or 0, ended(second) or 0])
        lines = [line for log in (out, folder / "other" / f"two{number}") for line in told(log)]
        tell(codes=codes, told=[line for line in lines if "error" in line], differs=equal(out, folder / "whole"))


def space(folder: Path, count: int, rng: random.Random, command: Sequence[str], seconds: float) -> None:
    """Files of few bytes only, then of more and more; at last of any size."""
    out = folder / "space"
    for most in [int(limit * (1 + rng.random())) for limit in LIMITS] * count:
        code = ended(start(command, out, most))
        lines = told(out)
        left = [name for name in snapshot(out) if name.endswith(".partial")] if out.exists() else []
        errors = [line for line in lines if line.startswith("error: ")]
        tell(most=most, code=code, told=errors, trace=any("Traceback" in line for line in lines), left=left)
    code = ended(start(command, out))
    tell(most=None, code=code, differs=equal(out, folder / "whole") if code == 0 else "\n".join(told(out)))


def tell(**facts: object) -> None:
    """A JSON line."""
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    kind, place, times, seed, *words = sys.argv[1:]
    home = Path(place)
    (home / "other").mkdir(parents=True)
    begin = time.monotonic()
    assert ended(start(words, home / "whole")) == 0, told(home / "whole")
    took = time.monotonic() - begin
    {"kill": kill, "two": two, "space": space}[kind](home, int(times), random.Random(int(seed)), words, took)
