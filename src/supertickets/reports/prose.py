"""The page's words: figures of merit, what is missing, terms, and where the numbers come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from supertickets.config import AcrossSeeds, Config, Scored, Strategy, Teacher
from supertickets.data.tasks import Task
from supertickets.experiments.outcome import DEV_SELECTED, Outcome, signed, spread
from supertickets.experiments.racing import reason
from supertickets.experiments.records import Record
from supertickets.experiments.statistics import INTERVAL_METHOD, Interval
from supertickets.learning.speed import Speedup
from supertickets.reports.findings import Findings
from supertickets.reports.style import FFN_NAMES, KINDS
from supertickets.tickets.costs import MEASURES
from supertickets.tickets.phases import PHASE_DEFINITIONS


def tiles(outcome: Outcome) -> list[dict[str, Any]]:
    """The numbers that matter, with what a reader needs beside each."""
    control, speedup = outcome.control, outcome.speedup
    made = [
        tile(
            "Weights kept",
            f"{100 * outcome.weights_all:.1f} %",
            f"{100 * outcome.weights_encoder:.1f} % of the encoder’s layers",
            f"level {outcome.sparsity:g}",
        ),
        tile(
            "Super ticket’s score",
            spread(outcome.ticket),
            f"full model: {spread(outcome.full)}",
            seeds(outcome.ticket.n),
        ),
        tile("Ticket minus full model", signed(outcome.difference.value), *interval_lines(outcome.difference)),
    ]
    if outcome.soup is not None:
        soup = outcome.soup
        own = f"{signed(soup.ticket_gain.value)} to the mean of its {seeds(len(soup.seeds))}"
        theirs = f"full models’ soup: {100 * soup.full.value:.1f}"
        made.append(tile(f"Ticket’s {soup.recipe} soup", f"{100 * soup.ticket.value:.1f}", theirs, own))
        made.append(tile("Ticket soup minus full soup", signed(soup.difference.value), interval(soup.difference)))
    if control is not None:
        where = f"both at level {control.sparsity:g}"
        made.append(tile("Winning minus random", signed(control.difference.value), interval(control.difference), where))
    if outcome.target is not None:
        target = outcome.target
        share = f"{100 * target.found:.1f} %"
        missed = (f"missed by {100 * target.missed:.1f} %",) if target.missed else ()
        asked = f"asked for {100 * target.asked:.1f} %"
        made.append(tile(f"Budget, {MEASURES[target.measure]}", share, asked, *missed))
    if speedup is not None:
        made.append(tile("Speed", f"× {speedup.median:.2f}", *_speed_lines(speedup)))
    return made


def unfinished(findings: Findings) -> list[str]:
    """What of the plan is missing, a line per kind of ticket and per failed run; empty for a finished sweep."""
    missing = Counter(name.split("-")[0] for name in findings.missing)
    done = Counter(record.kind for record in findings.records)
    order = [kind for kind in KINDS if missing[kind]]
    lines = [f"{KINDS[kind].label}: {done[kind]} of {done[kind] + missing[kind]} runs are done." for kind in order]
    return [*lines, *failed_lines(findings.failed)]


def failed_lines(failed: Mapping[str, str]) -> list[str]:
    """Each failed run with the last line of its error."""
    return [f"{name} failed: {error}" for name, error in failed.items()]


def race(findings: Findings) -> tuple[str, list[str]] | None:
    """What a race is and promises, and a line for each level that it has stopped; None for a grid."""
    wanted, settings = findings.schedule, findings.config.race
    if findings.config.strategy == "grid":
        return None
    text = (
        "This sweep was a race: a level was stopped once the runs so far, of all levels and seeds, said that the whole "
        "grid would not choose it. Levels with fewer seeds stand in figures and tables with what they have, beside the "
        "full models of these seeds, and only levels with every seed could be chosen."
    )
    if wanted.confidence is not None:
        text += (
            f" By its model the chance is {100 * wanted.confidence:.0f} % (asked for: {100 * settings.confidence:g} %) "
            "that the whole grid would choose this level, or one whose mean selection score is higher by no more than "
            f"{100 * settings.tolerance:g} points."
        )
    return text, [f"Level {stop.sparsity:g} was stopped: {reason(stop)}." for stop in wanted.stops]


def phases(findings: Findings) -> list[tuple[str, str]]:
    """The definition of each phase, with the levels that are in it; empty before the choice."""
    if findings.choice is None:
        return []
    labels = findings.choice.phases.labels
    made: list[tuple[str, str]] = []
    for phase, definition in PHASE_DEFINITIONS.items():
        levels = [f"{sparsity:g}" for sparsity in sorted(labels) if labels[sparsity] == phase]
        made.append((phase, f"{definition} Here: {'level ' + ', '.join(levels) if levels else 'none'}."))
    if findings.choice.tied:
        tied = " and ".join(f"{sparsity:g}" for sparsity in findings.choice.tied)
        made[0] = ("I", f"{made[0][1]} Level {tied} has exactly the same selection score.")
    return made


def protocol(outcome: Outcome) -> str:
    """What the paper's protocol would have claimed, and how far that is from ours."""
    dev = outcome.dev_selected
    if dev.sparsity == outcome.sparsity:
        return (
            f"{DEV_SELECTED}: choosing on the report split itself, as published, picks the same level, "
            f"{dev.sparsity:g}. As the best of several noisy scores it would still be too high on average."
        )
    return (
        f"{DEV_SELECTED}: choosing on the report split itself, as published, picks level {dev.sparsity:g} and claims "
        f"{spread(dev.score)}, {signed(dev.gap)} against the ticket chosen without looking. Part of that gap is "
        "optimism: the best of several noisy scores is too high on average."
    )


def metrics(task: Task) -> str:
    """What a score is."""
    names = {"f1": "F1 of class 1", "matthews": "Matthews correlation", "pearson": "Pearson correlation"}
    named = [names.get(name, {"spearman": "Spearman correlation"}.get(name, name)) for name in task.metrics]
    return f"mean of {' and '.join(named)}" if len(named) > 1 else named[0]


def data_notes(findings: Findings) -> list[str]:
    """What a reader has to know about the data: limits set, contamination, what reading it found."""
    data = findings.config.data
    notes = [
        f"The settings limit the {split} examples to {limit}, a seeded draw."
        for split, limit in (("training", data.train_examples), ("report", data.report_examples))
        if limit is not None
    ]
    found = [findings.task.note, *map(str, findings.data.get("notes", ()))]
    return [*notes, *(f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in dict.fromkeys(found) if note)]


def terms(findings: Findings) -> list[tuple[str, str]]:
    """The words and numbers of this page, defined."""
    return [
        ("Score", f"× 100, {metrics(findings.task)}; mean ± standard deviation over seeds (n − 1 in the denominator)."),
        ("Interval", INTERVAL_METHOD),
        (
            "Super ticket",
            f"{_COMPETING[findings.config.strategy]} with the highest mean score on the "
            f"{_SPLITS[findings.config.selection.split]}. "
            "The report split plays no part in the choice.",
        ),
        (
            DEV_SELECTED,
            "The level with the highest score on the report split, reported on that same split: how the paper’s recipe "
            "picks. Of several noisy levels the best looks better than it is.",
        ),
        ("Winning, random, losing", _kinds(findings.config)),
        ("Level", _level(findings)),
        *([("Soup", _SOUP_TEXT)] if findings.config.delivery.soup != "none" else []),
        (
            "Weights",
            "Counted from the shapes, biases included; “all” adds the embeddings, and leaves out the task head.",
        ),
    ]


_COMPETING: dict[Strategy, str] = {"grid": "The winning level", "race": "Of the winning levels with every seed, that"}
_SPLITS: dict[AcrossSeeds, str] = {
    "per_seed": "selection splits, which are held out of the training examples, another one for each seed",
    "common": "selection split, which is held out of the training examples, the same for all seeds",
}
_DRAWN: dict[Scored, str] = {
    "seed": "to the tuned model",
    "consensus": "to the seeds’ tuned models together (their normalised importance, averaged: one ticket a level)",
}
_KINDS_TEXT = (
    "Winning tickets keep the units that matter most {drawn}, losing tickets those that matter least; "
    "random tickets are drawn without replacement and have exactly the winning ticket’s numbers of heads and FFN "
    "units. Each is rewound to the pretrained weights and trained anew"
)
_TEACHERS: dict[Teacher, str] = {
    "none": ".",
    "full": ", on the labels and on the outputs of its seed’s tuned full model for the training examples.",
}


_SOUP_TEXT = (
    "One model whose weights are the mean of the seeds’: they share mask, pretrained weights and task head. A greedy "
    "soup takes seeds by their selection score, as long as the soup’s does not fall. Its interval counts the "
    "examples, and the seeds by leaving out each of them in turn (jackknife)."
)


def _kinds(config: Config) -> str:
    return _KINDS_TEXT.format(drawn=_DRAWN[config.tickets.importance]) + _TEACHERS[config.training.teacher]


def _level(findings: Findings) -> str:
    units = findings.config.units
    text = f"Share of the attention heads, and of the {FFN_NAMES[units.ffn]}, that the ticket drops"
    if units.ffn == "neuron" and units.multiple > 1:
        text += f"; neurons in blocks of {units.multiple}, as far as these divide a layer"
    return f"{text}."


def importance_name(findings: Findings) -> str:
    """What the colours of the heat map are."""
    rounds = findings.config.scoring.rounds
    return "importance, normalised" if rounds == 1 else f"rounds of scoring outlived, of {rounds}"


def units_caption(findings: Findings) -> str:
    """How to read the heat map."""
    scored = "importance, mean over seeds; heads relative to their layer, FFNs to all layers"
    if findings.config.scoring.rounds > 1:
        scored = (
            f"how many of the {findings.config.scoring.rounds} rounds of scoring the unit outlived, plus half its "
            "normalised importance in the last of them; mean over seeds"
        )
    elif findings.config.units.ffn == "neuron":
        scored = "importance of heads relative to their layer, mean over seeds"
    text = f"Colour: {scored}. Size of a square: share of the seeds whose ticket keeps the unit; a dot: none does."
    if findings.config.units.ffn == "neuron":
        text += " Grey squares: share of the layer’s FFN neurons that is kept, mean over seeds."
    return text


def bias_caption(findings: Findings) -> str:
    """How to read the figure of bias and variance."""
    what = "the squared error" if findings.task.kind == "regression" else "the squared error of the probabilities"
    return (
        f"On the report split {what} of one seed’s model is, on average, the squared bias (that of the mean prediction "
        "over seeds) plus the variance (of predictions about that mean). Both are corrected for the number of seeds; "
        "noise in the labels counts as bias. Bars and band: 95 % intervals over examples, and over seeds from three on."
    )


def origin(findings: Findings) -> list[tuple[str, str]]:
    """How many runs, of which encoder, and where the records come from."""
    facts = [
        ("Runs", f"{len(findings.records)} in this report, {len(findings.missing)} missing"),
        ("Encoder", findings.config.encoder.name),
    ]
    if findings.unplanned:
        facts.append(("Not counted", f"{len(findings.unplanned)} runs in the folder that these settings do not plan"))
    return [*facts, *provenance(findings.records)]


def provenance(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Versions, commit, machine and time of the records; where they differ, every value."""
    found: dict[str, list[str]] = {}
    for record in records:
        for name, value in _facts(record.provenance):
            values = found.setdefault(name, [])
            values += [value] if value not in values else []
    times = sorted(found.pop("Time", []))
    facts = [(name, "; ".join(values)) for name, values in found.items()]
    return [*facts, ("Time", " to ".join(dict.fromkeys((times[0], times[-1]))))] if times else facts


def version(records: Sequence[Record]) -> str | None:
    """The version of supertickets that made the last of the records, where it is recorded."""
    versions: Mapping[str, str] = records[-1].provenance.get("versions", {}) if records else {}
    return versions.get("supertickets")


def _facts(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """One run's provenance as lines; a group, such as the versions, is one line."""
    facts = []
    for name, value in provenance.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key.replace('_', ' ')} {one}" for key, one in value.items() if one is not None)
        facts.append((name.capitalize(), "not recorded" if value is None else str(value)))
    return facts


def tile(name: str, value: str, *details: str) -> dict[str, Any]:
    """A number that matters, its name and what a reader needs beside it."""
    return {"name": name, "value": value, "details": details}


def _speed_lines(speedup: Speedup) -> tuple[str, ...]:
    threads = "1 thread" if speedup.threads == 1 else f"{speedup.threads} threads"
    return (
        f"10th to 90th percentile: {speedup.p10:.2f} to {speedup.p90:.2f}{', a wide spread' if speedup.wide else ''}",
        f"{speedup.batch_size} texts of {speedup.length} tokens, fp32, {speedup.device}, {threads}",
    )


def seeds(count: int) -> str:
    """3 seeds, 1 seed."""
    return f"{count} seed{'s' if count != 1 else ''}"


def interval(value: Interval) -> str:
    """95 %: low to high."""
    return f"95 %: {signed(value.low)} to {signed(value.high)}"


def interval_lines(value: Interval) -> tuple[str, ...]:
    """The interval, and what it leaves out with one seed."""
    return (interval(value), value.note) if value.note else (interval(value),)
