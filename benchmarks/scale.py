"""Bookkeeping of large sweeps: plan, resume, `show` and `report` of made-up records, and what a sweep adds to a run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.figures import Figure
from benchmarks.measuring import Say, seconds
from supertickets.experiments.records import load_all

TASK = None
DEMO = Path(__file__).resolve().parents[1] / "results" / "movie-reviews"
WORK = ("plan", "resume", "show", "report")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split()
# How long the page took from the first byte until everything was drawn and, by a click, sorted.
PROBE = """<script>addEventListener("load", () => setTimeout(() => {
  const loaded = performance.now();
  const table = document.querySelector("table.sortable");
  table.tHead.rows[0].cells[2].querySelector("button").click();
  const scores = [...table.tBodies[0].rows].map((row) => Number(row.cells[2].dataset.sort));
  const click = performance.now() - loaded;
  const marks = (plot) => plot.querySelectorAll(".scatterlayer .point, .scatterlayer path").length;
  const out = document.body.appendChild(document.createElement("output"));
  out.id = "seen";
  out.textContent = JSON.stringify({
    loaded, click, rows: scores.length, drawn: [...document.querySelectorAll(".plot")].map(marks),
    falling: scores.every((score, row) => row === 0 || scores[row - 1] >= score),
  });
}, 0));</script>"""


@dataclass(frozen=True)
class Settings:
    """How many records: few, to warm up; many; and ten times as many. Runs of the sweep whose overhead is timed."""

    few: int = 10
    many: int = 1000
    most: int = 10_000
    runs: int = 100


QUICK = Settings(many=10, most=30, runs=10)


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Times, their growth, peak memory, the page in a browser, and the overhead of a run."""
    from benchmarks.records import made_up

    figures: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folders = {n: Path(scratch) / str(n) for n in (settings.few, settings.many, settings.most)}
        for records, folder in folders.items():
            made_up(folder, records)
            say(f"made up {records} records")
        for work in WORK:
            taken = {n: _alone(work, folders[settings.few], folders[n]) for n in (settings.many, settings.most)}
            say(f"{work}: " + ", ".join(f"{n} records {one[0]:.2f} s, {one[1]:.0f} MiB" for n, one in taken.items()))
            figures |= _of(work, {n: one[0] for n, one in taken.items()}, taken[settings.most][1])
        figures |= _page(folders[settings.most], say)
    return figures | _overhead(settings.runs, say)


def _of(work: str, taken: Mapping[int, float], peak: float) -> dict[str, Figure]:
    (many, first), (most, second) = taken.items()
    grown = (second / most) / (first / many)
    return {
        f"{work}, {most} records, seconds": Figure.exact(second, goal=10.0, better="lower"),
        f"{work}, a record of {most} / a record of {many}": Figure.exact(grown, goal=1.2, better="lower"),
        f"{work}, {most} records, peak memory, MiB": Figure.exact(peak, goal=1024.0, better="lower"),
    }


def _alone(work: str, warm: Path, folder: Path) -> tuple[float, float]:
    """Wall seconds and peak memory in MiB of one piece of work, in a process that has done it on few records before."""
    command = [sys.executable, "-m", "benchmarks.scale", work, str(warm), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    took, peak = json.loads(done.stdout.splitlines()[-1])
    return float(took), float(peak)


def main() -> None:
    """`python -m benchmarks.scale WORK FEW FOLDER`: print seconds and MiB."""
    import resource

    work, warm, folder = sys.argv[1:]
    _work(work, Path(warm))()
    took = seconds(_work(work, Path(folder)))
    print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def _work(name: str, folder: Path) -> Callable[[], object]:
    if name == "plan":
        from supertickets import settings as reading
        from supertickets.experiments.plans import plan

        return lambda: [run.name for run in plan(reading.load(folder / "config.yaml"))]
    if name == "resume":
        from supertickets.experiments.executors import InProcess
        from supertickets.experiments.progress import Silent
        from supertickets.experiments.sweeps import run_missing
        from supertickets.experiments.workspace import Workspace

        return lambda: run_missing(Workspace.open(folder), InProcess(), 1, Silent())
    from supertickets.workflows import reporting, showing

    return (lambda: showing.show(folder)) if name == "show" else (lambda: reporting.report(folder))


def _page(folder: Path, say: Say) -> dict[str, Figure]:
    """The size of the report's page and, where there is a browser, how soon it is drawn and how soon sorted."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    figures = {"report page, MB": Figure.exact(len(page.encode()) / 1e6, goal=15.0, better="lower")}
    if BROWSER is None:
        say("no Chromium here: the page is not opened")
        return figures
    probed = folder / "probed.html"
    probed.write_text(page.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--timeout=60000", "--dump-dom"]
    dom = subprocess.run([*command, probed.as_uri()], capture_output=True, text=True, check=True).stdout
    found = re.search(r'<output id="seen">(.*?)</output>', dom, re.DOTALL)
    if found is None:
        raise RuntimeError(f"the page did not draw: {dom[-500:]}")
    seen = json.loads(unescape(found.group(1)))
    say(f"the page in Chromium: {seen}")
    usable = seen["falling"] and seen["rows"] > 1 and all(marks > 1 for marks in seen["drawn"])
    return figures | {
        "report page drawn and sorted (1: yes)": Figure.exact(float(usable), goal=1.0),
        "report page, seconds until it is drawn": Figure.exact(seen["loaded"] / 1000, goal=5.0, better="lower"),
        "report page, seconds to sort its table": Figure.exact(seen["click"] / 1000, goal=1.0, better="lower"),
    }


def _overhead(runs: int, say: Say) -> dict[str, Figure]:
    """Seconds of everything around the paper's steps of a run, and their share of a run of the demo."""
    from benchmarks.records import SHAPES, finished, made_up
    from supertickets.experiments import lottery
    from supertickets.experiments.bench import Result
    from supertickets.experiments.executors import InProcess
    from supertickets.experiments.plans import plan
    from supertickets.experiments.progress import Silent
    from supertickets.experiments.sweeps import run_missing

    with tempfile.TemporaryDirectory() as scratch:
        sweep = made_up(Path(scratch), min(SHAPES, key=lambda n: (n < runs, n)))
        made = {run.name: finished(run) for run in plan(sweep.config)[:runs]}
        for name in ("runs", "tickets"):
            shutil.rmtree(sweep.folder / name)

        def result(run: object, _: object) -> Result:
            record, ticket = made[run.name]  # type: ignore[attr-defined]
            return Result(record, None, ticket)  # type: ignore[arg-type]

        wanted = [run for run in plan(sweep.config) if run.name in made]
        few = mock.patch("supertickets.experiments.schedules.plan", lambda config: wanted)
        instant = [mock.patch.object(lottery, name, result) for name in ("tune_and_score", "retrain")]
        with few, instant[0], instant[1]:
            taken = seconds(lambda: run_missing(sweep, InProcess(), 1, Silent())) / len(wanted)
    demo = [sum(record.cost.seconds.values()) for record in load_all(DEMO)]
    share = taken / float(np.mean(demo))
    say(f"around a run: {1000 * taken:.1f} ms; a run of the demo took {np.mean(demo):.1f} s")
    return {
        "around a run, milliseconds": Figure.exact(1000 * taken, better="lower"),
        "around a run / a run of the demo": Figure.exact(share, goal=0.03, better="lower"),
    }


if __name__ == "__main__":
    main()
