"""Faults that a sweep survives: kill -9, two at once, no space, damaged files of every kind; by the tests of faults."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.figures import Figure
from benchmarks.measuring import Say
from benchmarks.outcomes import Outcome, run_tests

TASK = None
# What is counted, and the test that does it. Of some a test is one try; others note how many they made.
COUNTED = {
    "killed (kill -9) at random moments, resumed to equal records": "test_kills_at_random_moments",
    "two sweeps started on one folder": "test_two_sweeps_on_one_folder",
    "files cut off by the system at a size": "test_files_of_few_bytes_only",
    "a full disk at a dozen sizes in turn": "test_a_disk_that_is_full_at_many_sizes",
    "a read-only folder, six commands": "test_a_read_only_folder",
    "a clock that goes back": "test_a_clock_that_goes_back",
    "damaged files, read: refused": "test_a_damaged_file_is_refused",
    "damaged files, sweep resumed: made again or refused": "test_a_resumed_sweep_mends_or_refuses",
    "damaged caches: made anew": "test_a_damaged_cache_is_made_anew",
}


@dataclass(frozen=True)
class Settings:
    """Kills, the seed of their moments, and which tests (pytest's -k; empty: all)."""

    kills: int = 30
    seed: int = 0
    only: str = ""


QUICK = Settings(kills=1, only="kills or clock or cache")


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Counts survived, each with the number of tries as its goal; what was skipped (no right to mount) is left out."""
    options = ["--deselect", "tests/faults/test_fuzz.py", *(["-k", settings.only] if settings.only else [])]
    environment = {"SUPERTICKETS_KILLS": str(settings.kills), "SUPERTICKETS_KILL_SEED": str(settings.seed)}
    outcomes = run_tests(["tests/faults"], options, environment, say)
    figures = {}
    for label, name in COUNTED.items():
        ours = [one for one in outcomes if one.name == name and one.state != "skipped"]
        if ours:
            tries, survived = sum(map(_tries, ours)), sum(map(_survived, ours))
            say(f"{label}: {survived} of {tries}")
            figures[label] = Figure.exact(survived, goal=tries)
    failed = sum(one.state == "failed" for one in outcomes)
    return figures | {"tests of faults that failed": Figure.exact(failed, goal=0, better="lower")}


def _tries(one: Outcome) -> int:
    return one.noted.get("tries", 1)


def _survived(one: Outcome) -> int:
    return one.noted.get("survived", int(one.state == "passed"))
