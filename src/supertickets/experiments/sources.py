"""The finished sharing experiment that a transfer starts from: whether it serves, and its runs' encoders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from transformers import PreTrainedModel

from supertickets import storage
from supertickets.config import Arm, TransferConfig
from supertickets.data.tasks import KNOWN, normalised
from supertickets.encoders.checkpoints import CHECKSUMS_FILE, check_whole
from supertickets.encoders.export import write_checksums, write_model
from supertickets.errors import UserError
from supertickets.experiments import lottery
from supertickets.experiments.gathering import Gathering
from supertickets.experiments.layout import CONFIG_FILE, DATA_FILE, MODEL, TASKS
from supertickets.experiments.plans import START, Starts, trained_arms
from supertickets.experiments.records import RECORD_FILE
from supertickets.experiments.runs import SharingRun
from supertickets.experiments.shares import record_folder, records_of
from supertickets.experiments.soups import circumstances
from supertickets.experiments.transfer_folder import TransferFolder, check_no_transfer, is_transfer
from supertickets.experiments.workspace import Inputs

TAKEN: tuple[Arm, ...] = ("multitask", "sharing")  # arms of a sharing experiment whose encoders a transfer takes


def open_source(folder: Path) -> Gathering:
    """The sharing experiment in a folder; raises UserError for any other folder."""
    other = (folder / DATA_FILE).is_file() and not is_transfer(folder)
    other |= folder.name == MODEL and (folder.parent / CONFIG_FILE).is_file()
    if other:
        what = "this is not the folder of a sharing experiment"
        raise UserError(what, str(folder), "give the --out folder of share, in which its config.yaml lies")
    if (folder / TASKS).is_dir() and not (folder / CONFIG_FILE).is_file():
        what = "this sharing experiment is not finished: its tasks' own sweeps are not done"
        raise UserError(what, str(folder), "run its `share` to the end")
    check_no_transfer(folder)
    return Gathering.open(folder)


def starts_of(tasks: Gathering, config: TransferConfig) -> Starts:
    """The runs that the transfer's seeds start from; raises UserError where one is not there, or not finished."""
    where, needed = str(tasks.folder), {START[arm] for arm in trained_arms(config)} - {""}
    lacking = [arm for arm in sorted(needed) if arm not in tasks.config.arms]
    if lacking:
        do = "add it to the arms of share, or leave out the arms of the transfer that start from it"
        raise UserError(f"this sharing experiment has no arm {lacking[0]}", where, do)
    strangers = sorted({*config.seeds} - {*tasks.config.seeds})
    if strangers:
        seeds = ", ".join(map(str, tasks.config.seeds))
        what = f"this sharing experiment has the seeds {seeds}; seed {strangers[0]} is wanted too"
        raise UserError(what, where, "set seeds to some of its own")
    runs = [run for run in tasks.runs() if run.arm in TAKEN and run.seed in config.seeds]
    missing = [run for run in runs if not _is_finished(tasks, run)]
    if missing:
        what = f"this sharing experiment is not finished: {len(missing)} of {len(runs)} runs are missing"
        raise UserError(what, where, "run its `share` to the end")
    return {arm: {run.seed: run.name for run in runs if run.arm == arm} for arm in TAKEN if arm in tasks.config.arms}


def check_new_task(tasks: Gathering, inputs: Inputs) -> None:
    """Raise UserError where encoder or precision are not the experiment's, or the task is one that it trained on.

    A task is the same under its known name, or when its examples are, whatever it is called.
    """
    task, encoder = inputs.loaded.task, inputs.origin["encoder"]
    for name, sweep in tasks.sweeps.items():
        if sweep.data["origin"]["encoder"] != encoder:
            what = f"the shared encoders are made of another encoder ({sweep.config.encoder.name})"
            raise UserError(what, f"encoder.name {inputs.config.encoder.name}", "leave encoder.name out")
        both = normalised(task.name) == normalised(sweep.task.name) in KNOWN
        if both or inputs.loaded.is_known_as(sweep.task.name, sweep.data["origin"]["data"]):
            what = f"{task.name} is one of the tasks that the shared encoders were trained on ({name})"
            raise UserError(what, str(tasks.folder), "transfer to a task that they have not seen")


def keep_encoder(start: str, folder: Path) -> None:
    """Train a sharing run once more and keep its encoder's weights in the transfer's cache.

    On a CPU the same seed, machine, versions, code and threads give the same model: raises UserError when
    its report scores are then not the recorded ones.
    """
    place = TransferFolder.open(folder)
    tasks = open_source(Path(str(place.config.source)))
    run = next(run for run in tasks.runs() if run.name == start)
    shared, results = lottery.share(run.unlogged, tasks)
    for old, new in zip(records_of(tasks, run), results.values(), strict=True):
        alike = new.model.device.type == "cpu" and circumstances(old) == circumstances(new.record)
        if alike and old.report != new.record.report:
            what = f"retraining gave {new.record.report.main:.4f}, the record says {old.report.main:.4f}"
            raise UserError(what, old.name, "delete the runs of the sharing experiment and run it anew")
    encoder = next(iter(shared.models_by_task().values())).base_model
    assert isinstance(encoder, PreTrainedModel)
    with storage.atomic_folder(place.encoder_folder(start), if_exists="keep") as target:
        write_model(target, encoder, next(iter(tasks.sweeps.values())).tokenizer)
        write_checksums(target)


def is_kept(start: str, place: TransferFolder, say: Callable[[str], object]) -> bool:
    """Whether the cache has this run's encoder, undamaged; one that is damaged, or has no checksums, is removed."""
    folder = place.encoder_folder(start)
    if not folder.is_dir():
        return False
    try:
        if not (folder / CHECKSUMS_FILE).is_file():
            raise UserError("it has no checksums", str(folder))
        check_whole(folder)
    except UserError as fault:
        say(f"training the shared encoder again: {fault}")
        shutil.rmtree(folder)
        return False
    return True


def _is_finished(tasks: Gathering, run: SharingRun) -> bool:
    return all((record_folder(tasks.folder, run, task) / RECORD_FILE).is_file() for task in tasks.sweeps)
