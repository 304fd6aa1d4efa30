"""The page in a real browser: the figures draw, the table sorts, nothing is logged as an error."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from fake_sharing import experiment
from supertickets.experiments.sharing_outcome import conclude_sharing
from supertickets.reports.findings import Findings, gather
from supertickets.reports.page import render
from supertickets.reports.sharing_page import render_sharing

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
