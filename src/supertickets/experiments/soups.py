"""Soups of a finished sweep: the seeds' models of the chosen ticket, and of the full model, averaged.

Members that the sweep has not kept (`members.is_wanted`) are trained once more; on a CPU they are the recorded ones.
Each waits in `members/` until the soups are delivered: a killed run resumes there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from supertickets.encoders.pruning import prune
from supertickets.errors import UserError
from supertickets.experiments import members
from supertickets.experiments.attempts import completed, insisting
from supertickets.experiments.bench import Bench, Result
from supertickets.experiments.interrupts import in_flight
from supertickets.experiments.progress import Progress
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.runs import Run, SoupRun, TicketRun
from supertickets.experiments.sweeps import perform
from supertickets.experiments.workspace import Splits, Workspace
from supertickets.learning import metrics
from supertickets.learning.evaluation import predict
from supertickets.learning.souping import RECIPES, State, mean_weights
from supertickets.tickets.masks import Mask
from supertickets.tickets.ticket import Ticket


def soup_runs(sweep: Workspace, sparsity: float) -> tuple[SoupRun, SoupRun]:
    """The soup of a level's winning tickets, and that of the full models beside it."""
    recipe = sweep.config.delivery.soup
    assert recipe != "none"
    return SoupRun(sweep.config, recipe, sparsity), SoupRun(sweep.config, recipe, 0.0)


def make_soups(sweep: Workspace, runs: Sequence[SoupRun], pool: Executor, progress: Progress) -> list[Record]:
    """Train the members of the soups that have no record yet, or no members any more, average them, evaluate them.

    Members are trained in the pool; averaging is a few evaluations, and done here, where all members lie.
    """
    gone = [run for soup in runs for run in soup.members if not _is_kept(sweep, run)]
    if gone:
        progress.say(f"training {len(gone)} models once more, to average their weights")
    for run in completed(pool, keep_member, gone, sweep.folder, insisting()):
        progress.say(f"{run.name} is ready")
    for one in runs:
        if not _is_recorded(sweep, one):
            with in_flight():
                soup(one, sweep).record.save(sweep.run_folder(one))
            progress.say(f"{one.name} is ready")
    return [Record.load(sweep.run_folder(run), run.name) for run in runs]


def are_recorded(sweep: Workspace, runs: Sequence[SoupRun]) -> bool:
    """Whether every soup has its record; true for none."""
    return all(_is_recorded(sweep, run) for run in runs)


def keep_member(run: Run, folder: Path) -> None:
    """Train one member once more and keep its weights, its checksum last: a torn file never counts.

    Raises UserError when it is not the recorded model although all circumstances are the same.
    """
    sweep = Workspace.open(folder)
    result = perform(run, sweep)
    check_as_recorded(result, Record.load(sweep.run_folder(run), run.name), sweep.run_folder(run))
    members.keep(folder, run, result.model)


def soup(run: SoupRun, sweep: Workspace) -> Result:
    """Average the members' weights, and evaluate the soup; for its interval, also the soups without each seed.

    A greedy soup is made anew without each seed, too. The record's arrays `members` and `mixed` are the seeds
    that were there and that are in the soup, `without_predictions` (S, n, ...) the predictions on the report
    split of the soups without the first member, the second, and so on.
    """
    bench = Bench(run, sweep)
    mask = _mask(run, sweep, bench)
    model = bench.rewind_point.model()
    model = prune(model, mask) if run.sparsity else model
    pot = _Pot(
        model, {member.seed: members.weights(sweep.folder, member) for member in run.members}, sweep, bench.splits
    )
    recipe, seeds = RECIPES[run.recipe], tuple(member.seed for member in run.members)
    with bench.timed("averaging"):
        without = [recipe([s for s in seeds if s != left_out], pot.score) for left_out in seeds]
        predictions = np.stack([pot.report(mixed) for mixed in without])
        mixed = recipe(seeds, pot.score)
        pot.pour(mixed)
    more = {"members": np.array(seeds), "mixed": np.array(mixed), "without_predictions": predictions}
    return bench.result(model, mask, ticket=_ticket(run, bench, mask, mixed), more=more)


def check_as_recorded(result: Result, recorded: Record, where: Path) -> None:
    """Raise UserError when a model that was trained again on a CPU, all else equal, does not score as recorded.

    Elsewhere rounding differs.
    """
    found = result.record.report.main
    alike = result.model.device.type == "cpu" and circumstances(result.record) == circumstances(recorded)
    if alike and found != recorded.report.main:
        what = f"retraining gave {found:.4f}, the record says {recorded.report.main:.4f}"
        raise UserError(what, str(where), "delete the sweep's runs and run it anew")


class _Pot:
    """One model whose weights are set to the mean of some seeds', and what it then gives; nothing is done twice."""

    def __init__(self, model: PreTrainedModel, states: dict[int, State], sweep: Workspace, splits: Splits) -> None:
        self._model, self._states, self._sweep, self._splits = model, states, sweep, splits
        self._scores: dict[tuple[int, ...], float] = {}

    def pour(self, seeds: tuple[int, ...]) -> None:
        """Set the model's weights to the mean of these seeds'."""
        self._model.load_state_dict(mean_weights([self._states[seed] for seed in seeds]))

    def score(self, seeds: tuple[int, ...]) -> float:
        """The soup's score on the selection examples, which no seed trained on."""
        if seeds not in self._scores:
            self.pour(seeds)
            examples = self._splits.selection
            found = predict(self._model, examples, self._sweep.tokenizer)
            self._scores[seeds] = metrics.score(self._sweep.task, found, np.asarray(examples["labels"])).main
        return self._scores[seeds]

    def report(self, seeds: tuple[int, ...]) -> np.ndarray:
        """The soup's predictions for the report examples."""
        self.pour(seeds)
        return predict(self._model, self._splits.report, self._sweep.tokenizer)


def _mask(run: SoupRun, sweep: Workspace, bench: Bench) -> Mask:
    structures = bench.rewind_point.structures(run.config.units.ffn)
    if not run.sparsity:
        return Mask.full(structures)
    found = [Record.load(sweep.run_folder(member), member.name).arrays for member in run.members]
    masks = {Mask(structures, np.asarray(a["heads"], np.bool_), np.asarray(a["ffn"], np.bool_)) for a in found}
    if len(masks) > 1:
        raise UserError(f"the seeds have {len(masks)} different tickets", run.name, "set tickets.importance=consensus")
    return masks.pop()


def _ticket(run: SoupRun, bench: Bench, mask: Mask, mixed: tuple[int, ...]) -> Ticket | None:
    """The ticket of the soup is that of any member, which need not be there any more."""
    if not run.sparsity:
        return None
    first = run.members[0]
    assert isinstance(first, TicketRun)
    ticket = bench.ticket(first.kind, mask, bench.importance_for(first))
    about = {**ticket.provenance, "soup": {"recipe": run.recipe, "seeds": list(mixed)}}
    return replace(ticket, seed=first.seed, provenance=about)


def _is_kept(sweep: Workspace, run: Run) -> bool:
    """Whether the member's weights are there and whole; damaged ones are removed."""
    return _is_whole(members.seal(sweep.folder, run), lambda: members.weights(sweep.folder, run))


def _is_recorded(sweep: Workspace, run: SoupRun) -> bool:
    """The same of a soup's record."""
    folder = sweep.run_folder(run)
    return _is_whole(folder / RECORD_FILE, lambda: Record.load(folder, run.name))


def _is_whole(path: Path, read: Callable[[], object]) -> bool:
    if not path.is_file():
        return False
    try:
        read()
    except UserError:  # it is made once more
        path.unlink()
        return False
    return True


def circumstances(record: Record) -> list[object]:
    """What equal seeds give equal weights under."""
    return [record.provenance.get(name) for name in ("machine", "versions", "commit", "threads", "device", "processes")]
