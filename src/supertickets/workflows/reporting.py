"""report: from a sweep's or a sharing experiment's folder, finished or not, to its page and outcome.

Of a sweep it loads no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from supertickets import settings, storage, yaml_places
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.layout import CONFIG_FILE, DATA_FILE, OUTCOME_FILE, SPEED_FILE
from supertickets.experiments.targets import Achieved
from supertickets.learning.speed import Speedup

if TYPE_CHECKING:
    from supertickets.experiments.outcome import Outcome
    from supertickets.reports.findings import Findings


def report(folder: Path | str) -> Path:
    """Write report.html and outcome.json, and a sweep's figures/*.svg, from the records; returns the page's path.

    The folder is a sweep's or a sharing experiment's. What is not finished gets a page that says what is
    missing. Raises UserError when the folder is neither, or a record in it is damaged.
    """
    folder = Path(folder)
    _, page = _report_sharing(folder) if is_sharing(folder) else _report(folder)
    return page


def conclude_and_report(folder: Path) -> tuple[Outcome, str, Path]:
    """As `report`, for a finished sweep: its outcome, the one sentence, and the page's path.

    Raises UserError while no seed has both its full model and a winning ticket.
    """
    findings, page = _report(folder)
    if findings.outcome is None:
        raise UserError("no seed has both its full model and a winning ticket yet", str(folder), "run the sweep on")
    return findings.outcome, findings.sentence, page


def conclude_and_report_sharing(folder: Path) -> tuple[str, Path]:
    """As `report`, for a sharing experiment: its one sentence and the page's path.

    Raises UserError while no multi-task run is finished.
    """
    text, page = _report_sharing(folder)
    if text is None:
        raise UserError("no run of this experiment is finished yet", str(folder), "run `share` on")
    return text, page


def is_sharing(folder: Path) -> bool:
    """Whether the folder's config is that of a sharing experiment, which names tasks."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        return False
    plain = yaml_places.parse(path.read_text(encoding="utf-8"), str(path)).value
    return isinstance(plain, dict) and "tasks" in plain


def _report_sharing(folder: Path) -> tuple[str | None, Path]:
    from supertickets.experiments.sharing_outcome import conclude_sharing, whole_sentence
    from supertickets.experiments.sharing_reading import read_sharing
    from supertickets.reports.sharing_page import write_sharing_page

    sharing = read_sharing(folder)
    outcome = conclude_sharing(sharing)
    text = whole_sentence(sharing, outcome) if sharing.finished else None
    (folder / OUTCOME_FILE).unlink(missing_ok=True)  # none may stay that the page does not agree with
    if text is not None:
        storage.write_json(folder / OUTCOME_FILE, outcome.to_dict() | {"sentence": text, "missing": sharing.missing})
    return text, write_sharing_page(folder, sharing, outcome)


def _report(folder: Path) -> tuple[Findings, Path]:
    # pandas, plotly and matplotlib take a second to load: only who reports waits for them.
    from supertickets.experiments.failures import failures
    from supertickets.experiments.plans import plan
    from supertickets.experiments.records import load_all
    from supertickets.reports.findings import gather
    from supertickets.reports.page import write_page
    from supertickets.reports.paper_figures import write_figures

    if not (folder / CONFIG_FILE).is_file():
        raise UserError(
            "this is not a sweep's folder: config.yaml is missing", str(folder), "give the --out folder of find"
        )
    config, data = settings.load(folder / CONFIG_FILE), storage.read_json(folder / DATA_FILE)
    failed = {name: one.error for name, one in failures(folder, [run.name for run in plan(config)]).items()}
    findings = gather(config, Task.from_dict(data["task"]), data, load_all(folder), *_delivered(folder), failed=failed)
    write_figures(folder, findings)
    (folder / OUTCOME_FILE).unlink(missing_ok=True)  # none may stay that the page does not agree with
    if findings.outcome is not None:
        result = findings.outcome.to_dict() | {"sentence": findings.sentence, "missing": findings.missing}
        storage.write_json(folder / OUTCOME_FILE, result)
    return findings, write_page(folder, findings)


def _delivered(folder: Path) -> tuple[Speedup | None, Achieved | None]:
    """What was measured of the delivered super ticket: its speed-up and, with a target, the share that it costs."""
    path = folder / SPEED_FILE
    if not path.is_file():
        return None, None
    plain = storage.read_json(path)
    return Speedup.from_dict(plain), Achieved(**plain["achieved"]) if "achieved" in plain else None
