"""report: from the folder of a sweep, a sharing experiment or a transfer, finished or not, to its page and outcome.

Of a sweep or a transfer it loads no torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supertickets import settings, storage
from supertickets.errors import UserError
from supertickets.experiments.delivered import Delivered
from supertickets.experiments.layout import CONFIG_FILE, OUTCOME_FILE, RUNS, SUPER_TICKET, TASKS
from supertickets.experiments.origins import read_data, task_of
from supertickets.experiments.targets import Achieved
from supertickets.experiments.transfer_folder import is_transfer
from supertickets.learning.speed import Speedup
from supertickets.tickets.ticket import Ticket

if TYPE_CHECKING:
    from supertickets.experiments.outcome import Outcome
    from supertickets.experiments.transfer_outcome import TransferOutcome
    from supertickets.reports.findings import Findings


def report(folder: Path | str) -> Path:
    """Write report.html, outcome.json and figures/*.svg from the records; returns the page's path.

    The folder is a sweep's, a sharing experiment's or a transfer's. What is not finished gets a page that
    says what is missing. Raises UserError when the folder is none of these, a record in it is damaged, or
    a link lies in it.
    """
    folder = Path(folder)
    storage.check_no_links(folder)
    check_swept(folder)
    if is_transfer(folder):
        return _report_transfer(folder)[1]
    return _report_sharing(folder)[1] if is_sharing(folder) else _report(folder)[1]


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


def conclude_and_report_transfer(folder: Path) -> tuple[str, Path]:
    """As `report`, for a transfer: its one sentence and the page's path; raises UserError while no run is finished."""
    from supertickets.experiments.transfer_outcome import sentence

    outcome, page = _report_transfer(folder)
    return sentence(outcome), page


def check_swept(folder: Path) -> None:
    """Raise UserError for a sharing experiment whose tasks are still swept: it has no settings of its own yet."""
    begun = sorted((folder / TASKS).glob(f"*/{CONFIG_FILE}"))
    if begun and not (folder / CONFIG_FILE).is_file():
        do = f"look at a task's sweep, such as {begun[-1].parent}"
        raise UserError("this experiment still sweeps its tasks", str(folder), do)


def is_sharing(folder: Path) -> bool:
    """Whether the folder's config is that of a sharing experiment, which names tasks."""
    return settings.names(folder / CONFIG_FILE, "tasks")


def _report_sharing(folder: Path) -> tuple[str | None, Path]:
    from supertickets.experiments.sharing_outcome import conclude_sharing, whole_sentence
    from supertickets.experiments.sharing_reading import read_sharing
    from supertickets.reports.sharing_page import write_sharing_page
    from supertickets.reports.sharing_paper_figures import write_sharing_figures

    sharing = read_sharing(folder)
    outcome = conclude_sharing(sharing)
    write_sharing_figures(folder, outcome)
    text = whole_sentence(sharing, outcome) if sharing.finished else None
    _keep(folder, None if text is None else outcome.to_dict() | {"sentence": text, "missing": sharing.missing})
    return text, write_sharing_page(folder, sharing, outcome)


def _report_transfer(folder: Path) -> tuple[TransferOutcome, Path]:
    from supertickets.experiments.transfer_folder import TransferFolder
    from supertickets.experiments.transfer_outcome import conclude_transfer, read_transfer, sentence
    from supertickets.reports.sharing_paper_figures import write_transfer_figures
    from supertickets.reports.transfer_page import write_transfer_page

    found = read_transfer(TransferFolder.open(folder))
    outcome = conclude_transfer(found)
    write_transfer_figures(folder, outcome)
    result = outcome.to_dict() | {"sentence": sentence(outcome), "missing": found.missing} if outcome.points else None
    _keep(folder, result)
    return outcome, write_transfer_page(folder, found, outcome)


def _report(folder: Path) -> tuple[Findings, Path]:
    # pandas, plotly and matplotlib take a second to load: only who reports waits for them.
    from supertickets.experiments.failures import all_failures
    from supertickets.experiments.records import RECORD_FILE, load_all
    from supertickets.reports.findings import gather
    from supertickets.reports.page import write_page
    from supertickets.reports.paper_figures import write_figures

    if not (folder / CONFIG_FILE).is_file():
        raise UserError(
            "this is not a sweep's folder: config.yaml is missing", str(folder), "give the --out folder of find"
        )
    config, data = settings.load(folder / CONFIG_FILE), read_data(folder)
    records = load_all(folder)
    failed = {name: one.error for name, one in all_failures(folder).items()}
    findings = gather(config, task_of(folder), data, records, *_measured(folder), failed=failed)
    if findings.outcome is not None and _delivered_level(folder) not in (None, findings.outcome.sparsity):
        # What was measured is of an earlier choice.
        findings = replace(findings, outcome=replace(findings.outcome, speedup=None, target=None))
    write_figures(folder, findings)
    if {path.parent.name for path in (folder / RUNS).glob(f"*/{RECORD_FILE}")} != {record.name for record in records}:
        return _report(folder)  # a sweep goes on beside: what it has said since must not be written over
    result = None
    if findings.outcome is not None:
        result = findings.outcome.to_dict() | {"sentence": findings.sentence, "missing": findings.missing}
    _keep(folder, result)
    return findings, write_page(folder, findings)


def _keep(folder: Path, outcome: dict[str, Any] | None) -> None:
    """Write outcome.json; where there is nothing to conclude, none may stay that the page does not agree with."""
    if outcome is None:
        (folder / OUTCOME_FILE).unlink(missing_ok=True)
    else:
        storage.write_sealed(folder / OUTCOME_FILE, outcome)


def _delivered_level(folder: Path) -> float | None:
    """The level of the super ticket that lies in a sweep's folder; None where there is none that can be read."""
    try:
        return Ticket.load(folder / SUPER_TICKET).sparsity
    except UserError:
        return None


def _measured(folder: Path) -> tuple[Speedup | None, Achieved | None]:
    """What was measured of the delivered super ticket: its speed-up and, with a target, the share that it costs."""
    found = Delivered.load(folder)
    return (None, None) if found is None else (found.speedup, found.achieved)
