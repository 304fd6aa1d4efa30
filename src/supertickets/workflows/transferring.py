"""transfer: the encoders that tasks have shared, taken to a new task with little or much data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from supertickets import locking, settings, storage
from supertickets.config import TransferConfig
from supertickets.errors import UserError
from supertickets.experiments.progress import Progress, Silent
from supertickets.learning.processes import check_alone

if TYPE_CHECKING:
    from supertickets.experiments.gathering import Gathering
    from supertickets.experiments.plans import Starts
    from supertickets.experiments.transfer_folder import TransferFolder
    from supertickets.experiments.workspace import Inputs


@dataclass(frozen=True)
class Transfer:
    """What a transfer leaves: the sentence, and where the report is."""

    sentence: str
    report: Path


def transfer(
    folder: Path | str,
    task: str | None = None,
    *,
    data: Path | str | None = None,
    train: str | None = None,
    test: str | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    out: Path | str | None = None,
    workers: int | Literal["ray"] | None = None,
    config: Path | str | None = None,
    set: Sequence[str] = (),
    progress: Progress | None = None,
) -> Transfer:
    """Fine-tune the encoders that a finished `share` has trained on shares of a new task's training examples.

    Beside the pretrained encoder: that of plain multi-task learning, that of ticket sharing, tickets of it
    that are drawn for the new task, and random ones of their sizes. Where nothing else is said, settings and
    seeds are those of the sharing experiment, and tickets have the mean level of its tasks' tickets. `out`
    (default runs/<folder's name>-<task>) keeps everything; calling again resumes. Raises UserError for bad
    input, a task that the encoders were trained on included.
    """
    from supertickets.experiments.executors import check_workers, default_workers, executor
    from supertickets.experiments.sources import open_source
    from supertickets.experiments.transfers import transfer_missing
    from supertickets.workflows.reporting import conclude_and_report_transfer

    check_alone("transfer")
    if isinstance(workers, str):
        raise UserError("a transfer runs on this machine only", f"--workers {workers}", "give a number")
    progress = progress or Silent()
    workers = default_workers() if workers is None else check_workers(workers)
    progress.say("checking the sharing experiment and the task")
    source = open_source(Path(folder))
    new = {"task": task, "folder": None if data is None else str(data), "train": train, "test": test}
    flags = {"data": {**new, "text": text, "text_pair": text_pair, "label": label}, "source": str(folder)}
    file = None if config is None else Path(config)
    chosen = settings.load_transfer(file, set, base=_base(source), flags=flags)
    if chosen.data.task is None and chosen.data.train is None:
        raise UserError(
            "no new task is named", "transfer", "name one, such as snli with --data, or give --train, --test"
        )
    home = Path(out or Path("runs") / f"{Path(folder).resolve().name}-{chosen.data.task or 'own'}")
    storage.check_no_address(home)
    inputs, starts = _read(source, chosen, home)  # before the lock, which makes the folder
    with locking.sweep_lock(home):
        place = _put(inputs, starts, home, progress)
        with executor(workers) as pool:
            transfer_missing(place, pool, workers, progress)
        sentence, page = conclude_and_report_transfer(home)
    return Transfer(sentence, page)


def _base(source: Gathering) -> dict[str, Any]:
    """Defaults: the sharing experiment's own settings, all training examples, and one level of tickets.

    The level is the mean of those of its tasks' super tickets: stated before anything of the new task is seen.
    """
    config, levels = source.config, source.levels.values()
    sections = ("encoder", "units", "training", "scoring", "selection")
    own: dict[str, Any] = {name: asdict(getattr(config, name)) for name in sections}
    tickets = {name: getattr(config.tickets, name) for name in ("min_heads", "ranking")}
    tickets |= {"levels": (round(sum(levels) / len(levels), 2),), "kinds": ("winning",)}
    return own | {"seeds": config.seeds, "tickets": tickets, "data": {"train_examples": None}}


def _read(source: Gathering, config: TransferConfig, home: Path) -> tuple[Inputs, Starts]:
    """The task's data and the runs to start from, checked; nothing is written."""
    from supertickets.experiments.sources import check_new_task, starts_of
    from supertickets.experiments.transfer_folder import check_transfer_owner
    from supertickets.experiments.workspace import Inputs, check_not_a_strangers

    check_not_a_strangers(home)
    starts = starts_of(source, config)
    inputs = Inputs.read(config)
    check_new_task(source, inputs)
    check_transfer_owner(home, config, inputs.origin, starts)
    return inputs, starts


def _put(inputs: Inputs, starts: Starts, home: Path, progress: Progress) -> TransferFolder:
    from supertickets.experiments.transfer_folder import TransferFolder

    inputs.lay_out(home, {"starts": {arm: dict(by) for arm, by in starts.items()}})
    place = TransferFolder.open(home)
    sizes = ", ".join(f"{examples} at {share:g}" for share, examples in place.shares.items())
    progress.say(f"training examples by share: {sizes}; {len(inputs.examples['report'])} to report on")
    for share in sorted({*place.config.shares} - {*place.shares}):
        progress.say(f"share {share:g} is left out: it comes to as many examples as a larger one")
    return place
