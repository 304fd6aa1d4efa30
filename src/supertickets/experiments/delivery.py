"""The super ticket as something to use: its model folder, and how much faster it runs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from supertickets import storage
from supertickets.data.batching import EvaluationBatches, collator, usable_length
from supertickets.encoders.checkpoints import check_whole
from supertickets.encoders.export import save_ticket_model
from supertickets.encoders.families import longest_input
from supertickets.errors import UserError
from supertickets.experiments.aiming import achieved
from supertickets.experiments.delivered import ChosenFrom, Delivered
from supertickets.experiments.layout import SPEED_FILE, SUPER_TICKET, TASK_FILE
from supertickets.experiments.reading import Reading
from supertickets.experiments.records import Record
from supertickets.experiments.runs import SoupRun, TicketRun, TuneRun
from supertickets.experiments.soups import check_as_recorded, soup, soup_runs
from supertickets.experiments.sweeps import perform
from supertickets.experiments.targets import Target
from supertickets.experiments.workspace import Workspace
from supertickets.learning.timing import speedup
from supertickets.tickets.ticket import TICKET_FILE, Ticket

TIMED_BATCH = 32


def super_run(sweep: Workspace, records: Iterable[Record], sparsity: float) -> TicketRun:
    """The run whose model is delivered: of the chosen level's seeds, the one that gains most on its full model.

    On the selection split, of which each seed has its own: raw scores would pick the easiest split.
    """
    records = list(records)
    full = {record.seed: record.selection.main for record in records if record.kind == "full"}
    level = [r for r in records if (r.kind, r.sparsity) == ("winning", sparsity) and r.seed in full]
    best = max(level, key=lambda record: (record.selection.main - full[record.seed], -record.seed))
    return TicketRun(TuneRun(sweep.config, best.seed), "winning", sparsity)


def delivered_run(
    sweep: Workspace, records: Sequence[Record], sparsity: float
) -> tuple[TicketRun | SoupRun, tuple[SoupRun, ...]]:
    """What is delivered of the chosen level: a seed's ticket, or the soup; and the soups that are made, if any.

    Where a member's run has failed there is no soup.
    """
    names = {record.name for record in records}
    soups = () if sweep.config.delivery.soup == "none" else soup_runs(sweep, sparsity)
    if soups and all(member.name in names for one in soups for member in one.members):
        return soups[0], soups
    return super_run(sweep, records, sparsity), ()


def is_delivered(sweep: Workspace, run: TicketRun | SoupRun) -> bool:
    """Whether the super ticket's folder holds this run's ticket and model, or this soup, undamaged."""
    folder = sweep.folder / SUPER_TICKET
    if not (folder / TICKET_FILE).is_file():
        return False
    try:
        delivered = Delivered.load(sweep.folder)
        check_whole(folder)
        ticket = Ticket.load(folder)
    except UserError:  # it is made once more
        return False
    if delivered is None:
        return False
    if isinstance(run, SoupRun):
        return delivered.soup is not None and delivered.soup.run == run.name
    return delivered.soup is None and ticket.seed == run.seed and ticket.sparsity == run.sparsity


def deliver(folder: Path, run: TicketRun | SoupRun) -> None:
    """Train the super ticket once more (weights are not kept during a sweep), or average it; save its model, time it.

    On a CPU the same seed, machine, versions, code and threads give the same model: raises UserError
    when its report score is then not the recorded one. Elsewhere rounding differs, so the delivered
    model's own seed and report score are written beside its speed. So is what it costs of the full
    model, where the sweep has a target.
    """
    sweep = Workspace.open(folder)
    if isinstance(run, SoupRun):
        result = soup(run, sweep)
    else:
        result = perform(run, sweep)
        check_as_recorded(result, Record.load(sweep.run_folder(run), run.name), sweep.run_folder(run))
    assert result.ticket is not None
    (folder / SPEED_FILE).unlink(missing_ok=True)  # an older super ticket's, should this be interrupted
    reading = Reading.of(sweep.config, sweep.task)
    tokenizer = cutting(sweep.tokenizer, result.model, reading)
    about_texts = {TASK_FILE: reading.to_dict()}
    save_ticket_model(folder / SUPER_TICKET, result.model, tokenizer, result.ticket, about_texts)
    report = sweep.splits(run.seed).report
    batches = [batch for _, batch in EvaluationBatches(report, collator(sweep.tokenizer), TIMED_BATCH)]
    full = sweep.rewind_point(run.seed).model()
    timed, target = speedup(full, result.model, batches), Target.load(folder)
    config = sweep.config
    about: dict[str, Any] = asdict(timed) | {"seed": run.seed, "report": result.record.report.main}
    about["chosen_from"] = asdict(ChosenFrom(config.strategy, config.tickets.levels, config.seeds))
    if isinstance(run, SoupRun):
        about["soup"] = {"run": run.name, "recipe": run.recipe, "seeds": result.record.arrays["mixed"].tolist()}
    if target is not None:
        about["achieved"] = asdict(achieved(target, full, result.model, timed))
    storage.write_sealed(folder / SPEED_FILE, about)


def cutting(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, reading: Reading) -> PreTrainedTokenizerBase:
    """A copy of the tokenizer that, asked to truncate, cuts texts where the sweep cut them."""
    own = copy.deepcopy(tokenizer)
    own.model_max_length = usable_length(min(reading.max_length, longest_input(model)), tokenizer)
    return own
