"""share: several tasks on one encoder, each training and running only its own super ticket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from supertickets import locking, settings, storage
from supertickets.config import ShareConfig
from supertickets.conflicts import task_config
from supertickets.experiments.layout import CONFIG_FILE, MODEL
from supertickets.experiments.progress import Progress, Silent
from supertickets.learning.processes import check_alone
from supertickets.workflows.finding import sweep_task


@dataclass(frozen=True)
class Shared:
    """What a sharing experiment leaves: the sentence, and where report and model are."""

    sentence: str
    report: Path
    model: Path


def share(
    file: Path | str,
    *,
    out: Path | str | None = None,
    workers: int | Literal["ray"] | None = None,
    ray_address: str | None = None,
    set: Sequence[str] = (),
    progress: Progress | None = None,
) -> Shared:
    """Multi-task learning with ticket sharing, beside plain multi-task learning with the same budget.

    Tasks without tickets are swept first, each in `<out>/tasks/<task>`. `out` (default runs/<file's
    name>) keeps everything; calling again resumes. `workers` and `ray_address` as in `find`. Raises
    UserError for bad input.
    """
    from supertickets.experiments.attempts import insist
    from supertickets.experiments.failures import check_enough, failures
    from supertickets.experiments.gathering import Gathering, check_owner, sweep_folder
    from supertickets.experiments.shares import chosen_run, deliver_shared, is_shared_delivered, share_missing
    from supertickets.experiments.staff import chosen, opened
    from supertickets.workflows.reporting import conclude_and_report_sharing

    check_alone("share")
    config = settings.load_shared(Path(file), set)
    folder, progress = Path(out or Path("runs") / Path(file).stem), progress or Silent()
    storage.check_no_address(folder)
    staff = chosen(workers, ray_address)
    progress.say("checking the tasks")
    check_owner(folder, config)
    _check_tasks(folder, config)  # before the lock, which makes the folder: bad input leaves none behind
    with locking.sweep_lock(folder):
        for task in config.tasks:
            if config.tasks[task].ticket is None:
                progress.say(f"task {task}: its own sweep, for its tickets")
                home = sweep_folder(folder, config, task)
                sweep_task(task_config(config, task), home, workers, progress, ray_address)
        storage.remove_leftovers(folder)
        tasks = Gathering.put(folder, config)
        with opened(staff, config.cluster) as (pool, size):
            records = share_missing(tasks, pool, size, progress)
            check_enough(folder, failures(folder, [run.name for run in tasks.runs()]), bool(records))
            if any(record.kind == "sharing" for record in records):
                run = chosen_run(tasks, records)
                if not is_shared_delivered(folder, run):
                    progress.say("training the shared model once more, to keep it")
                    insist(pool, deliver_shared, folder, run)
        sentence, page = conclude_and_report_sharing(folder)
    return Shared(sentence, page, folder / MODEL)


def _check_tasks(folder: Path, config: ShareConfig) -> None:
    """Raise UserError, naming the task, for whatever its sweep or its given tickets would fail by later."""
    from supertickets.experiments.gathering import check_names, check_tickets, naming, sweep_folder
    from supertickets.experiments.workspace import Inputs, encoder_sha256

    check_names(config)
    encoder = encoder_sha256(config.encoder.name) if any(about.ticket for about in config.tasks.values()) else ""
    for task, about in config.tasks.items():
        given, home = about.ticket is not None, sweep_folder(folder, config, task)
        if not given and (home / CONFIG_FILE).is_file():
            continue  # begun already: its sweep compares all that it depends on
        with naming(task):
            if given:
                check_tickets(home, task, config, encoder)
            else:
                Inputs.read(task_config(config, task))
