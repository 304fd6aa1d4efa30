"""The tables and the words of a transfer's page."""

from __future__ import annotations

from typing import Any

from supertickets.experiments.outcome import signed, spread
from supertickets.experiments.records import Record
from supertickets.experiments.runs import TICKET_ARMS
from supertickets.experiments.statistics import INTERVAL_METHOD
from supertickets.experiments.transfer_outcome import AGAINST, Pair, PointFound, TransferOutcome, Transferred
from supertickets.reports import prose
from supertickets.reports.rows import Cell, Row, drawn, duration, number, whole
from supertickets.reports.transfer_figures import ARMS
from supertickets.tickets.structures import FFN_WORDS


def score_rows(outcome: TransferOutcome) -> list[Row]:
    """A row for each arm, a column for each share, and the weights that its models have at the largest."""
    return [
        Row(
            (
                Cell(ARMS[arm].label, text=True),
                *(_score(point, arm) for point in outcome.points),
                number(100 * next(p.weights[arm] for p in reversed(outcome.points) if arm in p.weights), 1),
            ),
            "chosen" if arm == "sharing" else "",
        )
        for arm in outcome.arms
        if any(arm in point.scores for point in outcome.points)
    ]


def difference_rows(outcome: TransferOutcome) -> list[Row]:
    """Differences, paired by seed, with their intervals; a cell is marked only where the interval excludes zero."""
    return [
        Row((Cell(f"{ARMS[a].label} − {ARMS[b].label}", text=True), *(_gap(point, (a, b)) for point in outcome.points)))
        for a, b in AGAINST
        if any((a, b) in point.differences for point in outcome.points)
    ]


def level_row(outcome: TransferOutcome) -> Row:
    """The level of each share's tickets."""
    return Row(
        (
            Cell("level of the tickets", text=True),
            *(Cell("" if point.level is None else f"{point.level:g}") for point in outcome.points),
        )
    )


def cost_rows(found: Transferred, outcome: TransferOutcome) -> list[list[str]]:
    """Seconds by arm and share, summed over seeds and levels."""
    totals, lines = [0.0] * len(outcome.points), []
    for arm in outcome.arms:
        own = [
            sum(sum(r.cost.seconds.values()) for r in found.records[point.share] if r.kind == arm)
            for point in outcome.points
        ]
        totals = [a + b for a, b in zip(totals, own, strict=True)]
        lines.append([ARMS[arm].label, *(duration(value) if value else "" for value in own)])
    return [*lines, ["together", *map(duration, totals)]]


def size_rows(found: Transferred, outcome: TransferOutcome) -> list[dict[str, Any]]:
    """Examples of each share: drawn, trained on and held out by a seed, and reported on."""
    report = drawn(found.data.get("sizes", {}).get("report", {}), found.config.data.report_examples)
    return [
        {
            "share": f"{100 * point.share:g} %",
            "examples": whole(point.examples),
            "train": whole(point.trained),
            "selection": whole(point.examples - point.trained),
            "report": whole(report),
        }
        for point in outcome.points
    ]


def tiles(outcome: TransferOutcome) -> list[dict[str, Any]]:
    """The numbers that matter: the sharing ticket against the multi-task encoder at each share."""
    pair: Pair = ("sharing", "multitask")
    return [
        prose.tile(
            f"With {whole(point.examples)} examples",
            signed(point.differences[pair].value),
            "sharing ticket minus multi-task",
            *prose.interval_lines(point.differences[pair]),
        )
        for point in outcome.points
        if pair in point.differences
    ]


def unfinished(found: Transferred) -> list[str]:
    """What of the plan is missing, a line for each arm; empty for a finished transfer."""
    done = [record.name for records in found.records.values() for record in records]
    lines = []
    for arm, look in ARMS.items():
        missing = sum(_is_of(name, arm) for name in found.missing)
        planned = missing + sum(_is_of(name, arm) for name in done)
        lines += [f"{look.label}: {planned - missing} of {planned} runs are done."] if missing else []
    return lines


def terms(found: Transferred) -> list[tuple[str, str]]:
    """The words and numbers of the page, defined."""
    units = f"{FFN_WORDS[found.config.units.ffn]}s"
    levels = found.config.tickets.levels
    chosen = "stated beforehand" if len(levels) == 1 else "the one with the best mean score on the examples held out"
    return [
        (
            "Score",
            f"× 100, {prose.metrics(found.task)}, on the report split, which no choice has looked at; mean ± standard "
            "deviation over seeds (n − 1 in the denominator).",
        ),
        (
            "Examples",
            "Each seed draws its own, in the classes’ shares and two of a class at the least; a smaller draw lies "
            "inside a larger one. All arms of a seed have the same. A part of them is held out to choose by, and is "
            "not trained on.",
        ),
        ("Interval", INTERVAL_METHOD),
        (
            "▲ ▼",
            "The interval lies above, or below, zero. About 1 in 20 such marks would stand there by chance if nothing "
            "differed; with many cells, read them together.",
        ),
        (ARMS["pretrained"].label.capitalize(), "Fine-tuned on the new task alone: no other task has touched it."),
        (
            ARMS["multitask"].label.capitalize(),
            "First trained on all tasks of the sharing experiment together (MT-DNN), then fine-tuned on the new one.",
        ),
        (
            ARMS["sharing-full"].label.capitalize(),
            "First trained on these tasks by ticket sharing, then fine-tuned on the new one with all its weights.",
        ),
        (
            ARMS["sharing"].label.capitalize(),
            "The same encoder, cut to a ticket: the units that matter most to the fine-tuned whole on the same "
            "examples, rewound to what sharing made of them, and fine-tuned anew.",
        ),
        (ARMS["random"].label.capitalize(), f"As many heads and {units}, drawn at random."),
        (
            "Level",
            f"Share of the heads, and of the {units}, that tickets drop: {', '.join(f'{one:g}' for one in levels)}; "
            f"{chosen}.",
        ),
    ]


def origin(found: Transferred) -> list[tuple[str, str]]:
    """How many runs, what they start from, and where the records come from."""
    starts = found.data.get("starts", {})
    runs = [", ".join(f"{name}" for name in by.values()) for by in starts.values()]
    facts = [
        ("Runs", f"{found.finished} in this report, {len(found.missing)} missing"),
        ("Encoder", found.config.encoder.name),
        ("Sharing runs", "; ".join(runs)),
    ]
    if found.unplanned:
        facts.append(("Not counted", f"in the folder, but not planned by these settings: {', '.join(found.unplanned)}"))
    return [*facts, *(fact for fact in prose.provenance(records(found)) if fact[0] != "Origin")]


def records(found: Transferred) -> list[Record]:
    """Every record that the page shows."""
    return [record for group in found.records.values() for record in group]


def notes(found: Transferred) -> list[str]:
    """What a reader has to know about the data."""
    limit = found.config.data.train_examples
    lines = [f"The settings limit the training examples to {limit}: shares are of these."] if limit else []
    for share in sorted({*found.config.shares} - {*found.shares}):
        lines.append(f"Share {share:g} is left out: it comes to as many examples as a larger one.")
    told = [found.task.note, *map(str, found.data.get("notes", ()))]
    return [*lines, *(f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in dict.fromkeys(told) if note)]


def _is_of(name: str, arm: str) -> bool:
    """Whether a run's name is of an arm; tickets have their level behind it."""
    rest = name.removeprefix(f"{arm}-")
    return rest != name and (rest[0].isdigit() if arm in TICKET_ARMS else rest.startswith("x"))


def _score(point: PointFound, arm: Any) -> Cell:
    if arm not in point.scores:
        return Cell("")
    text, _, deviation = spread(point.scores[arm]).partition(" ± ")
    return Cell(text, point.scores[arm].mean, f"± {deviation}" if deviation else "")


def _gap(point: PointFound, pair: Pair) -> Cell:
    if pair not in point.differences:
        return Cell("")
    gap = point.differences[pair]
    mark = " ▲" if pair in point.wins else " ▼" if pair in point.losses else ""
    return Cell(signed(gap.value) + mark, gap.value, f"{signed(gap.low)} to {signed(gap.high)}", interval=True)
