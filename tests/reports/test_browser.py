"""The page in a real browser: the figures draw, the table sorts, nothing is logged as an error."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import asdict, replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from fake_sharing import experiment
from fake_transfer import transferred
from supertickets.config import Config
from supertickets.data.tasks import Task
from supertickets.experiments.delivered import Delivered
from supertickets.experiments.sharing_outcome import conclude_sharing
from supertickets.experiments.transfer_outcome import conclude_transfer
from supertickets.learning.speed import Speedup
from supertickets.reports.card import Facts, Sweep, model_card
from supertickets.reports.findings import Findings, gather
from supertickets.reports.page import render
from supertickets.reports.sharing_page import render_sharing
from supertickets.reports.transfer_page import render_transfer

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --virtual-time-budget=10000"
).split()

# Runs before every script of the page: what goes wrong is kept.
WATCH = """<script>
window.faults = [];
addEventListener("error", (e) => faults.push("error: " + (e.message || e.target.outerHTML)), true);
addEventListener("unhandledrejection", (e) => faults.push("rejected: " + e.reason));
document.addEventListener("securitypolicyviolation", (e) => faults.push("blocked: " + e.blockedURI));
for (const level of ["error", "warn"]) console[level] = (...words) => faults.push(level + ": " + words.join(" "));
</script>"""

# Runs after the page has drawn: looks, clicks, and writes what it saw into the document.
PROBE = """<script>addEventListener("load", () => setTimeout(() => {
  const table = document.querySelector("table.sortable");
  const column = (n) => [...table.tBodies[0].rows].map((row) => row.cells[n].dataset.sort);
  const seen = { width: document.documentElement.scrollWidth, window: innerWidth, drawn: {} };
  for (const plot of document.querySelectorAll(".plot")) {
    const svg = plot.querySelector("svg.main-svg");
    seen.drawn[plot.id] = svg ? plot.querySelectorAll(".scatterlayer path, .scatterlayer .point").length : 0;
  }
  const fill = (path) => getComputedStyle(path).fill;
  seen.fills = [...document.querySelectorAll("#units .scatterlayer .point")].map(fill);
  const shown = () => document.getElementById("units")?.data.map((trace) => trace.visible);
  seen.before = shown();
  document.querySelector("fieldset.levels input")?.click();
  seen.after = shown();
  seen.caption = document.getElementById("units-kept")?.textContent;
  if (table) {
    const head = table.tHead.rows[0].cells[2];
    head.querySelector("button").click();
    seen.falling = column(2);
    seen.sorted = head.getAttribute("aria-sort");
    head.querySelector("button").click();
    seen.rising = column(2);
    table.tHead.rows[0].cells[4].querySelector("button").click();
    seen.gaps = column(4);
  }
  seen.ran = [window.ran, frames.length, [...document.querySelectorAll(".evil")].map((one) => one.outerHTML)];
  seen.text = document.body.textContent;
  seen.faults = faults;
  const out = document.body.appendChild(document.createElement("output"));
  out.id = "seen";
  out.textContent = JSON.stringify(seen);
}, 1500));</script>"""


def opened(html: str, folder: Path, width: int = 1200) -> dict[str, Any]:
    """What the probe saw in the page, opened from a file at this width (in a frame, as Chromium has a least width)."""
    if BROWSER is None:
        pytest.skip("needs Chromium on the PATH (Debian: apt-get install chromium)")
    watched = html.replace("<style>", f"{WATCH}<style>", 1).replace("</body>", f"{PROBE}</body>")
    (folder / "page.html").write_text(watched, encoding="utf-8")
    frame = f'<iframe style="border:0;width:{width}px;height:9000px" src="page.html"></iframe>'
    read = "document.body.append(frames[0].document.getElementById('seen'))"
    frame += f"<script>onload = () => setTimeout(() => {read}, 4000)</script>"
    (folder / "frame.html").write_text(f"<!doctype html><body>{frame}", encoding="utf-8")
    command = [BROWSER, *FLAGS, "--allow-file-access-from-files", f"--user-data-dir={folder / 'profile'}"]
    command += ["--window-size=1300,9000", "--dump-dom", (folder / "frame.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r'<output id="seen">(.*?)</output>', dom, re.DOTALL)
    assert found is not None, dom[-2000:]
    result: dict[str, Any] = json.loads(unescape(found.group(1)))
    return result


@pytest.mark.parametrize("width", [1200, 375])
def test_figures_draw_and_nothing_fails(tmp_path: Path, findings: Findings, width: int) -> None:
    """On a desk and on a phone every figure has marks, the page is no wider than the window, and no error is logged."""
    seen = opened(render(findings), tmp_path, width)
    assert seen["faults"] == []
    assert set(seen["drawn"]) == {"curve", "units", "bias", "agreement"}
    assert all(marks >= 2 for marks in seen["drawn"].values()), seen["drawn"]
    assert seen["window"] == width
    assert seen["width"] <= width


def test_neurons_are_drawn_grey(tmp_path: Path, findings: Findings, fine_findings: Findings) -> None:
    """Of a sweep over neurons, each layer's square is grey and heads are blue; of sublayers, nothing is grey."""
    grey = "rgb(91, 104, 117)"  # style.FAINT
    seen = opened(render(fine_findings), tmp_path)
    assert seen["faults"] == [] and len(seen["fills"]) == 6 * 13
    assert seen["fills"].count(grey) == 6
    assert seen["caption"] == "Level 0.1: 65 of 72 heads and 90.0 % of the FFN neurons are kept."
    assert grey not in opened(render(findings), tmp_path)["fills"]


def test_level_picker_and_sorting_work(tmp_path: Path, findings: Findings) -> None:
    """Picking level 0.1 shows its trace and text; a click sorts by score, another turns the order; gaps stay last."""
    seen = opened(render(findings), tmp_path)
    assert findings.choice is not None
    levels = sorted(findings.units["sparsity"].unique())
    assert seen["before"] == [level == findings.choice.sparsity for level in levels]
    assert seen["after"] == [True] + [False] * 6
    assert seen["caption"] == "Level 0.1: 65 of 72 heads and 6 of 6 FFNs are kept."
    falling, rising = ([float(value) for value in seen[name]] for name in ("falling", "rising"))
    assert seen["sorted"] == "descending"
    assert falling == sorted(falling, reverse=True)
    assert rising == sorted(rising)
    assert len(rising) == 15
    filled = [value for value in seen["gaps"] if value != ""]
    assert seen["gaps"] == filled + [""] * (15 - len(filled))
    assert 0 < len(filled) < 15


def test_a_page_without_results_opens_cleanly(tmp_path: Path, findings: Findings) -> None:
    """A sweep with a single run done has no figure, and no error."""
    seen = opened(render(gather(findings.config, findings.task, {}, findings.records[:1], resamples=10)), tmp_path)
    assert seen["faults"] == []
    assert seen["drawn"] == {}


@pytest.mark.parametrize("width", [1200, 375])
def test_the_page_of_a_sharing_experiment(tmp_path: Path, width: int) -> None:
    """Both figures are drawn (the heat map as an image), the page fits, and no error is logged."""
    sharing = experiment({f"task number {n}": 0.05 * (n - 3) for n in range(8)})
    seen = opened(render_sharing(sharing, conclude_sharing(sharing, resamples=50)), tmp_path, width)
    assert seen["faults"] == []
    assert set(seen["drawn"]) == {"effects", "overlap"}
    assert seen["drawn"]["effects"] >= 2 * 9
    assert seen["width"] <= width == seen["window"]


@pytest.mark.parametrize("width", [1200, 375])
def test_the_page_of_a_transfer(tmp_path: Path, width: int) -> None:
    """The learning curve is drawn, five lines and their marks, the page fits, and no error is logged."""
    found = transferred()
    seen = opened(render_transfer(found, conclude_transfer(found, resamples=50)), tmp_path, width)
    assert seen["faults"] == []
    assert set(seen["drawn"]) == {"curve"} and seen["drawn"]["curve"] >= 5 * 4
    assert seen["width"] <= width == seen["window"]


# What a label, a file's name or a task's may be: it ends scripts, styles and attributes, and starts its own.
EVIL = (
    """</script></style></pre>"'><img class=evil src=x onerror="ran=1"><script class=evil>ran=1</script>"""
    """<a class=evil href="javascript:ran=1">`|x|`</a>{{7*7}}&lt;i class=evil&gt;"""
)
NOTHING_RAN = [None, 0, []]


def evil(config: Config, task: Task) -> tuple[Config, Task, dict[str, Any]]:
    """A sweep's settings, task and facts of the data, in which every text of the user's is markup."""
    task = replace(task, name=EVIL, labels=(EVIL, f"other {EVIL}"), note=EVIL)
    own = replace(config.data, task=None, folder=None, train=EVIL, test=EVIL, text=EVIL, label=EVIL)
    size = {"file": EVIL, "rows": 9, "official": None, "partial": False, "left_out": 1}
    data = {"task": asdict(task), "sizes": {"train": size, "report": size}, "notes": [EVIL], "sha256": EVIL}
    return replace(config, data=own, encoder=replace(config.encoder, name=EVIL)), task, data


def test_texts_of_users_are_only_shown(tmp_path: Path, config: Config, task: Task, synthetic_records: Any) -> None:
    """Markup in names, labels, notes and settings is shown as it is written: no element of it, no script, no fault."""
    config, task, data = evil(config, task)
    seen = opened(render(gather(config, task, data, synthetic_records(config, task), resamples=20)), tmp_path)
    assert seen["ran"] == NOTHING_RAN and seen["faults"] == []
    assert seen["text"].count(EVIL) >= 4 and "49" not in seen["text"].split(EVIL)[1][:3]
    assert set(seen["drawn"]) == {"curve", "units", "bias", "agreement"}


def test_names_of_tasks_are_only_shown(tmp_path: Path) -> None:
    """The same on the page of a sharing experiment, whose figures have tasks' names, too."""
    names = {
        name: 0.1 for name in (EVIL, EVIL[21:], "<b class=evil>bold", "<img class=evil src=x onerror=ran=1>", "&lt;i")
    }
    sharing = experiment(names)
    seen = opened(render_sharing(sharing, conclude_sharing(sharing, resamples=20)), tmp_path)
    assert seen["ran"] == NOTHING_RAN and seen["faults"] == []
    assert all(name in seen["text"] for name in names)


def test_a_model_card_shows_texts_only(tmp_path: Path, config: Config, task: Task, synthetic_records: Any) -> None:
    """The card is rendered by a reader of Markdown that lets HTML through: no element, link or cell of the texts'."""
    config, task, _ = evil(config, task)
    task = replace(task, name=f"{EVIL}\n\n<script class=evil>ran=1</script>\n\n| a | b |\n|---|---|")
    speed = Speedup(1.5, 1.4, 1.6, 15, 1, 32, 24, f"{EVIL}\n\n# Hi [x](javascript:ran=1)")
    evil_model = Delivered(speed, 0, 0.5)
    sweep = Sweep(task, synthetic_records(config, task), 0.4, f"{EVIL}[x](javascript:ran=1)", evil_model)
    facts = Facts("bert", "ForSequenceClassification", EVIL.replace("/", ""), (1, 2), (1, 2), (9, 9), (1, 2))
    card = model_card(facts, sweep, onnx=False).split("---\n", 2)[2]
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(card)
    assert body.count("<table>") == 2 and "<a " not in body
    page = f"<!doctype html><html><head><style></style></head><body>{body}</body></html>"
    seen = opened(page, tmp_path)
    assert seen["ran"] == NOTHING_RAN and seen["faults"] == []
    assert seen["text"].count(EVIL) >= 3
