"""What a run of some tests came to: how many passed, and the numbers that they noted of themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree  # of a file that pytest has just written

from benchmarks.measuring import Say
from supertickets.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Outcome:
    """One test: its name without parameters, whether it passed, was skipped or failed, and what it noted."""

    name: str
    state: str
    noted: Mapping[str, int]


def run_tests(paths: Sequence[str], options: Sequence[str], environment: Mapping[str, str], say: Say) -> list[Outcome]:
    """Run tests of this checkout, slow ones included, and return what became of each; raises UserError for none."""
    with TemporaryDirectory() as scratch:
        told = Path(scratch) / "told.xml"
        command = [sys.executable, "-m", "pytest", *paths, "-m", "slow or not slow", *options]
        command += [f"--junitxml={told}", "-o", "junit_family=xunit1"]  # which has room for what tests note
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
        if not told.is_file():
            raise UserError(f"the tests did not run ({done.stdout[-200:]})", ", ".join(paths), "run make faults")
        found = [_outcome(case) for case in ElementTree.parse(told).iter("testcase")]
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR", "SKIPPED", "E  ")):  # E: what pytest says of a failure
            say(line)
    if not found:
        raise UserError("no test was found", ", ".join(paths), "run them from the repository")
    return found


def _outcome(case: ElementTree.Element) -> Outcome:
    parts = {part.tag for part in case}
    state = "failed" if parts & {"failure", "error"} else "skipped" if "skipped" in parts else "passed"
    noted = {str(one.get("name")): int(str(one.get("value"))) for one in case.iter("property")}
    return Outcome(str(case.get("name")).partition("[")[0], state, noted)
