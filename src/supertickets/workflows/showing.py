"""show: what a ticket, a run, a sweep, a sharing experiment or a transfer is, what is missing and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool

from supertickets import settings, storage
from supertickets.config import Config
from supertickets.encoders.checkpoints import CHECKSUMS_FILE, check_whole
from supertickets.errors import UserError
from supertickets.experiments.layout import (
    CONFIG_FILE,
    MODEL,
    OUTCOME_FILE,
    REPORT_FILE,
    SPEED_FILE,
    SUPER_TICKET,
    TASKS,
)
from supertickets.experiments.racing import reason
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.runs import Run
from supertickets.experiments.transfer_folder import TransferFolder, is_transfer
from supertickets.tickets.structures import FFN_WORDS
from supertickets.tickets.ticket import TICKET_FILE, Ticket
from supertickets.workflows.facts import aligned, duration, listed
from supertickets.workflows.reporting import check_swept, is_sharing
from supertickets.workflows.standing import standing
from supertickets.workflows.watching import now_and_left, watched


@dataclass(frozen=True)
class Shown:
    """What lies in a folder: rows of a label and a text, what is missing, and the seconds it took to make."""

    kind: Literal["ticket", "run", "sweep", "experiment", "transfer"]
    path: Path
    rows: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    seconds: float | None

    def __str__(self) -> str:
        missing = listed(self.missing) or "nothing"
        return aligned(f"{self.kind} {self.path}", [*self.rows, ("missing", missing)])


def show(path: Path | str, *, watch: bool = False, progress: Callable[[Shown], object] | None = None) -> Shown:
    """Say what lies at `path`: the folder of a ticket, run, sweep, experiment or transfer, or its main file.

    With `watch` it looks again every few seconds, for as long as a process works on it, hands each state to
    `progress`, and returns the last; Ctrl-C ends the watching and nothing else. Of a ticket's model and a
    sweep's records it tells what is damaged. Raises UserError when it is none of these, or its main file is damaged.
    """
    look = partial(_look, Path(path))
    return watched(look, Path(path), progress or (lambda shown: None)) if watch else look()


def _look(path: Path) -> Shown:
    if not path.exists():
        raise UserError("no such file or folder", str(path))
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path.name not in _KINDS:
        raise UserError("nothing to show here", str(path), f"give a folder with {' or '.join(_KINDS)}")
    for name, show_kind in _KINDS.items():
        if (folder / name).is_file() and path.name in (name, folder.name):
            return show_kind(folder)
    check_swept(folder)
    raise UserError("not a ticket, a run or a sweep", str(path), f"give a folder with {' or '.join(_KINDS)}")


def show_ticket(folder: Path) -> Shown:
    """A ticket: the units it keeps, layer by layer, and where it was drawn."""
    ticket = Ticket.load(folder)
    mask, remaining = ticket.mask, ticket.mask.weights_remaining
    record = folder.parent.parent / "runs" / folder.name
    seconds = _seconds([Record.load(record)]) if (record / RECORD_FILE).is_file() else {}
    layers = [
        (f"layer {n}", f"heads {_bits(heads)}, FFN {_ffn(ffn)}")
        for n, (heads, ffn) in enumerate(zip(mask.heads, mask.ffn, strict=True), start=1)
    ]
    units = f"{FFN_WORDS[mask.structures.ffn_units]}s"
    model = (folder / "model.safetensors").is_file()
    rows = (
        ("what", f"{ticket.kind} ticket at sparsity {ticket.sparsity:g}, seed {ticket.seed}, of {ticket.encoder}"),
        ("keeps", f"{mask.heads.sum()} of {mask.heads.size} heads, {mask.ffn.sum()} of {mask.ffn.size} {units}"),
        ("weights", f"{remaining.all:.1%} of all, {remaining.encoder:.1%} of the encoder's layers"),
        *layers,
        ("scored", "importance is kept with it" if ticket.importance else ""),
        ("model", "its trained weights lie beside it" if model else ""),
        ("damaged", _damage(folder)),
        ("made", _origin(ticket.provenance)),
        ("cost", _cost(seconds)),
    )
    alone = not model and not (folder / CHECKSUMS_FILE).is_file()  # which a delivered model has
    missing = ("trained weights (tickets are kept as masks; super_ticket/ holds a model)",) if alone else ()
    return Shown("ticket", folder, rows, missing, sum(seconds.values(), 0.0) if seconds else None)


def show_run(folder: Path) -> Shown:
    """A finished run: its scores on both splits and its size."""
    record = Record.load(folder)
    seconds = _seconds([record])
    ticket = f"{record.kind} ticket at sparsity {record.sparsity:g}"
    what = _WHOLE.get(record.kind, ticket)
    rows = (
        ("what", f"{what}, seed {record.seed}"),
        ("stopped", f"hopeless after {record.stopped:.0%} of its training; not comparable" if record.stopped else ""),
        *((split, _scores(getattr(record, split))) for split in ("selection", "report")),
        ("weights", f"{record.size.weights_all:.1%} of all, {record.size.weights_encoder:.1%} of the encoder's layers"),
        ("heads", f"{listed(record.size.heads, 99)} by layer"),
        ("ffn", f"{listed(record.size.ffn, 99)} by layer"),
        ("made", _origin(record.provenance)),
        ("cost", f"{_cost(seconds)}; {record.cost.trained_examples} examples trained on"),
    )
    return Shown("run", folder, rows, (), sum(seconds.values(), 0.0))


def show_sweep(folder: Path) -> Shown:
    """A sweep: how many of its runs are done, what is missing, and its result when it has one."""
    if is_transfer(folder):
        return show_transfer(folder)
    if is_sharing(folder):
        return show_sharing(folder)
    config = settings.load(folder / CONFIG_FILE)
    stands = standing(folder, config)
    runs, records = stands.wanted.runs, stands.records
    missing = [_title(run) for run in stands.missing]
    seconds = _seconds(list(records.values()))
    lacks = _unwritten(folder, SUPER_TICKET, SPEED_FILE, REPORT_FILE)
    trained = sum(record.cost.trained_examples for record in records.values())
    rows = (
        ("what", _describe(config)),
        ("done", f"{len(records)} of {stands.wanted.size} runs: {_progress(runs, records)}"),
        ("later", f"at most {stands.wanted.further} runs more, as the race decides" if stands.wanted.further else ""),
        ("stopped", "; ".join(f"level {stop.sparsity:g}: {reason(stop)}" for stop in stands.wanted.stops)),
        ("damaged", "; ".join(stands.damaged.values())),
        ("failed", "; ".join(f"{name}: {one.error}" for name, one in stands.failed.items())),
        *now_and_left(folder, {run.name: _title(run) for run in runs}, *stands.pace(), bool(lacks)),
        _result(folder, len(missing)),
        ("lacks", lacks),
        ("cost", f"{_cost(seconds)}; {trained} examples trained on" if records else ""),
    )
    return Shown("sweep", folder, rows, tuple(missing), sum(seconds.values(), 0.0))


def show_sharing(folder: Path) -> Shown:
    """A sharing experiment: how many of its multi-task runs are done, each task's ticket, and its result."""
    from supertickets.experiments.sharing_reading import read_sharing

    sharing = read_sharing(folder)
    config, arms = sharing.config, sharing.config.arms
    records = [record for task in sharing.tasks for arm in arms for record in task.records[arm]]
    seconds, before = _seconds(records), _seconds([record for task in sharing.tasks for record in task.sweep])
    unfinished = [name for name in sharing.missing if name not in sharing.failed]
    each = ", ".join(f"{len(sharing.tasks[0].records[arm])} of {len(config.seeds)} {arm}" for arm in arms)
    names = listed([task.name for task in sharing.tasks])
    places = {name: one.ticket or f"{TASKS}/{name}" for name, one in config.tasks.items()}
    tickets = [
        (task.name, f"super ticket at sparsity {task.sparsity:g}, from {places[task.name]}") for task in sharing.tasks
    ]
    rows = (
        ("what", f"{names} sharing {config.encoder.name}: seeds {listed(config.seeds)}"),
        ("done", f"{sharing.finished} of {sharing.planned} multi-task runs: {each}"),
        ("failed", "; ".join(f"{name}: {error}" for name, error in sharing.failed.items())),
        *tickets,
        *now_and_left(folder, {}, sum(seconds.values()) / max(1, sharing.finished), dict.fromkeys(unfinished, 1.0)),
        _result(folder, len(sharing.missing)),
        ("lacks", _unwritten(folder, MODEL, REPORT_FILE)),
        ("cost", f"{_cost(seconds)}; the tasks' own sweeps {_cost(before)}"),
    )
    total = sum(seconds.values(), 0.0) + sum(before.values(), 0.0)
    return Shown("experiment", folder, rows, tuple(sharing.missing), total)


def show_transfer(folder: Path) -> Shown:
    """A transfer: how many of its runs are done, with how many examples, and its result."""
    from supertickets.experiments.transfer_outcome import read_transfer

    place = TransferFolder.open(folder)
    found, runs = read_transfer(place), place.runs()
    config, records = found.config, [record for group in found.records.values() for record in group]
    seconds, by_arm = _seconds(records), [f"{n} {arm}" for arm, n in Counter(r.kind for r in records).items()]
    titles = {run.name: f"{run.arm} {place.shares[run.share]} examples seed {run.seed}" for run in runs}
    missing = tuple(titles.get(name, name) for name in found.missing)
    costs = {run.name: float(place.shares[run.share]) for run in runs}
    left = {name: costs[name] for name in found.missing}
    rate = sum(seconds.values()) / (sum(costs.values()) - sum(left.values())) if records else 0.0
    rows = (
        ("what", f"{found.task.name} with what {config.source} has made of {config.encoder.name}"),
        ("examples", listed([f"{size} ({100 * share:g} %)" for share, size in found.shares.items()])),
        ("seeds", listed(config.seeds)),
        ("done", ": ".join(filter(None, (f"{found.finished} of {found.planned} runs", listed(by_arm))))),
        *now_and_left(folder, titles, rate, left),
        _result(folder, len(found.missing)),
        ("lacks", _unwritten(folder, REPORT_FILE)),
        ("cost", _cost(seconds)),
    )
    return Shown("transfer", folder, rows, missing, sum(seconds.values(), 0.0))


_WHOLE = {
    "full": "full model",
    "multitask": "full model, shared",
    "pretrained": "full model",
    "sharing-full": "full model, from ticket sharing",
    "full-soup": "soup of full models",
}
_KINDS = {TICKET_FILE: show_ticket, RECORD_FILE: show_run, CONFIG_FILE: show_sweep}


def _damage(folder: Path) -> str:
    """What is wrong with the files of a delivered model; empty where they have their checksums, or there are none."""
    try:
        check_whole(folder)
    except UserError as fault:
        return str(fault)
    return ""


def _result(folder: Path, missing: int) -> tuple[str, str]:
    """What outcome.json says; while runs are missing it is no verdict, and it may have been written before others came.

    Whoever wrote it counted the runs that were missing then.
    """
    path = folder / OUTCOME_FILE
    if not path.is_file():
        return ("result", "")
    outcome = storage.read_sealed(path, "run report again")
    sentence, then = str(outcome.get("sentence", "")), outcome.get("missing")
    older = isinstance(then, list) and len(then) != missing
    return ("so far" if missing else "result", f"{sentence} (`report` writes it anew)" if older else sentence)


def _unwritten(folder: Path, *names: str) -> str:
    return listed([name for name in names if not (folder / name).exists()])


def _describe(config: Config) -> str:
    task = config.data.task or "own data"
    levels = f"levels {listed(config.tickets.levels)}"
    neurons = ", FFN neurons" if config.units.ffn == "neuron" else ""
    return f"{task} with {config.encoder.name}, budget {config.budget}: seeds {listed(config.seeds)}, {levels}{neurons}"


def _progress(runs: Sequence[Run], records: Mapping[str, Record]) -> str:
    planned = Counter(run.kind for run in runs)
    done = Counter(run.kind for run in runs if run.name in records)
    return ", ".join(f"{done[kind]} of {count} {kind}" for kind, count in planned.items())


def _title(run: Run) -> str:
    return f"full seed {run.seed}" if run.kind == "full" else f"{run.kind} {run.sparsity:g} seed {run.seed}"


def _scores(scores: object) -> str:
    main, metrics, n = (getattr(scores, name) for name in ("main", "metrics", "n"))
    return f"{100 * main:.1f} ({', '.join(f'{name} {100 * value:.1f}' for name, value in metrics.items())}; n = {n})"


def _seconds(records: Sequence[Record]) -> dict[str, float]:
    """Wall seconds by stage, over all records."""
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.cost.seconds)
    return dict(total)


def _cost(seconds: Mapping[str, float]) -> str:
    stages = ", ".join(f"{stage} {duration(value)}" for stage, value in seconds.items())
    return f"{duration(sum(seconds.values()))} ({stages})" if seconds else ""


def _origin(provenance: Mapping[str, object]) -> str:
    texts = {key: value for key, value in provenance.items() if isinstance(value, str) and value}
    return ", ".join(f"{key} {value if len(value) < 40 else value[:12]}" for key, value in texts.items())


def _ffn(kept: Bool[np.ndarray, " U"]) -> str:
    """A sublayer as its bit; neurons, which are too many, as their count."""
    return _bits(kept) if len(kept) == 1 else f"{kept.sum()} of {len(kept)} neurons"


def _bits(kept: Bool[np.ndarray, " N"]) -> str:
    return "".join("1" if keep else "0" for keep in kept)
