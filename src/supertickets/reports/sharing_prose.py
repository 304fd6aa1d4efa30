"""The words of a sharing experiment's page: what is missing, the numbers that matter, and what the terms mean."""

from __future__ import annotations

from typing import Any

from supertickets.experiments.outcome import signed, spread
from supertickets.experiments.records import Record
from supertickets.experiments.sharing_outcome import METHODS, Method, Sharing, SharingOutcome
from supertickets.experiments.statistics import INTERVAL_METHOD
from supertickets.reports.prose import failed_lines, interval, interval_lines, provenance, seeds, tile
from supertickets.reports.sharing_rows import LABELS
from supertickets.reports.style import FFN_NAMES

_RIVALS: tuple[tuple[Method, str], ...] = (
    ("multitask", "plain multi-task"),
    ("random", "random tickets"),
    ("full", "single task"),
)


def unfinished(sharing: Sharing) -> list[str]:
    """What of the plan is missing, a line for each arm and failed run; empty for a finished experiment."""
    planned = len(sharing.config.seeds)
    missing = {arm: sum(name.startswith(f"{arm}-") for name in sharing.missing) for arm in sharing.config.arms}
    counts = [(LABELS[arm], count) for arm, count in missing.items() if count]
    lines = [f"{label}: {planned - count} of {planned} runs are done." for label, count in counts]
    return [*lines, *failed_lines(sharing.failed)]


def tiles(outcome: SharingOutcome) -> list[dict[str, Any]]:
    """The numbers that matter, with what a reader needs beside each."""
    scores, gaps, kept = outcome.average.scores, outcome.average.differences, outcome.kept
    made = []
    if "sharing" in scores:
        plain = [f"plain multi-task: {spread(scores['multitask'])}"] if "multitask" in scores else []
        made.append(tile("Ticket sharing, average", spread(scores["sharing"]), *plain, seeds(scores["sharing"].n)))
    for rival, name in _RIVALS:
        gap = gaps.get(("sharing", rival))
        if gap is not None:
            lines = interval_lines(gap) if rival == "multitask" else (interval(gap),)
            made.append(tile(f"Sharing minus {name}", signed(gap.value), *lines))
    union = f"all tasks together (union): {100 * kept.union.all:.1f} %"
    made.append(tile("Weights kept by a task", f"{100 * kept.mean.all:.1f} %", "mean over tasks and seeds", union))
    return made


def weights(outcome: SharingOutcome) -> list[tuple[str, str]]:
    """What each share of the weights means."""
    kept = outcome.kept
    unions = sorted({f"{100 * parts['union'].all:.1f}" for parts in kept.by_seed.values()})
    return [
        (
            "A task’s share",
            "What a task’s super ticket keeps: the weights that the task trains, and all that running it alone needs.",
        ),
        (
            "Mean",
            f"{100 * kept.mean.all:.1f} % of all weights ({100 * kept.mean.encoder:.1f} % of the encoder’s layers): "
            "what running one of the tasks takes on average. The paper’s tables print this number.",
        ),
        (
            "Union",
            f"{100 * kept.union.all:.1f} % of all weights ({100 * kept.union.encoder:.1f} % of the encoder’s layers; "
            f"by seed: {', '.join(unions)}): what some task keeps, and so what must be stored to run them all.",
        ),
    ]


def overlap(outcome: SharingOutcome) -> str:
    """What the tasks' tickets have in common, in one sentence."""
    found, chance = outcome.overlap.pairs
    return (
        f"Two tasks’ tickets have {found:.2f} of their units in common on average; random tickets of the same sizes "
        f"would have {chance:.2f}."
    )


def terms(sharing: Sharing) -> list[tuple[str, str]]:
    """The words and numbers of the page, defined."""
    return [
        (
            "Score",
            "× 100, on the report split, which no choice has looked at; the mean of a task’s metrics, ± standard "
            "deviation over seeds (n − 1 in the denominator).",
        ),
        ("Average", "GLUE’s: the mean over tasks of each task’s score, within a seed; then over seeds."),
        (
            "Interval",
            f"{INTERVAL_METHOD} For an average, a seed is one repetition of all tasks, and each task’s examples are "
            "drawn on their own.",
        ),
        (
            "▲ ▼",
            "The interval lies above, or below, zero. About 1 in 20 such marks would stand there by chance if nothing "
            "differed; with many tasks, read them together.",
        ),
        (_title("full"), "Fine-tuned on this task alone, as the task’s own sweep left it."),
        (
            _title("winning"),
            "The winning ticket at the level that the selection splits chose, rewound and trained on this task alone.",
        ),
        (
            _title("multitask"),
            "One encoder for all tasks, one head each; every task trains and runs all weights.",
        ),
        (
            _title("sharing"),
            "The same, with the same seeds and steps, but each task trains and runs only the weights of its own super "
            "ticket; a task’s step moves nothing outside it.",
        ),
        (
            _title("random"),
            f"As ticket sharing, with random tickets of exactly the same numbers of heads and "
            f"{FFN_NAMES[sharing.config.units.ffn]}.",
        ),
    ]


def _title(method: Method) -> str:
    return LABELS[method][0].upper() + LABELS[method][1:]


def origin(sharing: Sharing) -> list[tuple[str, str]]:
    """How many runs, of which encoder, and where the records come from."""
    facts = [
        ("Runs", f"{sharing.finished} multi-task runs in this report, {len(sharing.missing)} missing"),
        ("Encoder", sharing.config.encoder.name),
    ]
    if sharing.unplanned:
        names = ", ".join(sharing.unplanned)
        facts.append(("Not counted", f"in the folder, but not planned by these settings: {names}"))
    kept = ("Origin",)  # checksums of every task's data: config and data.json of the sweeps have them
    return [*facts, *(fact for fact in provenance(records(sharing)) if fact[0] not in kept)]


def records(sharing: Sharing) -> list[Record]:
    """Every record that the page shows: those of the tasks' own sweeps, then those of the arms."""
    arms = [method for method in METHODS if method in sharing.config.arms]
    own = [record for task in sharing.tasks for record in task.sweep]
    return own + [record for task in sharing.tasks for arm in arms for record in task.records[arm]]


def notes(sharing: Sharing) -> list[str]:
    """What a reader has to know about the tasks' data."""
    found = []
    for task in sharing.tasks:
        for note in dict.fromkeys((task.task.note, *map(str, task.data.get("notes", ())))):
            if note:
                found.append(f"{task.name}: {note.rstrip('.')}.")
    return found
