"""The command line: one verb for each public function of the same name, with the same parameters.

Every verb imports inside its body, so that `--help` answers at once and loads no torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from supertickets.cli import console
from supertickets.errors import UserError
from supertickets.learning.processes import rank

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Budget = Literal["smoke", "laptop", "paper"]
Recipe = Literal["paper", "best"]

TaskName = Annotated[
    str | None,
    typer.Argument(
        help="A known task (cola, sst2, mrpc, stsb, rte, wnli, qnli, qqp, mnli, snli, scitail), "
        "or a name for your own data."
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="Folder that holds the known task's files, in the layout they are published in.")
]
Train = Annotated[
    str | None,
    typer.Option(
        help="Your training examples: a CSV, TSV, JSONL or Parquet file, a dataset folder, "
        "or a hub dataset as name:split."
    ),
]
Test = Annotated[str | None, typer.Option(help="Your report examples, same formats; never looked at by any choice.")]
Text = Annotated[str | None, typer.Option(help="Column that holds the text.")]
TextPair = Annotated[
    str | None, typer.Option(help="Column that holds the second text, for tasks on pairs of sentences.")
]
Label = Annotated[
    str | None, typer.Option(help="Column that holds the label (words or whole numbers) or the number to predict.")
]
AsConfig = Annotated[
    Path | None, typer.Option(help="A config, such as `supertickets init` writes; options win over it.")
]
Out = Annotated[Path | None, typer.Option(help="Folder that keeps everything; the same command on it resumes.")]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="MEASURE=SHARE",
        help="A budget instead of levels: params=0.8, flops=0.7 or latency=0.7 (on this machine) of the full model's.",
    ),
]


def _workers(text: str) -> int | str:
    if text == "ray":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise UserError(f"{text[:40]!r} is no number of workers", "--workers", "give a whole number, or ray") from error


Workers = Annotated[
    Any,
    typer.Option(
        parser=_workers,
        metavar="N|ray",
        help="Processes to train in, each with its share of the cores; or ray, a Ray cluster of this machine.",
    ),
]
RayAddress = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="A running Ray cluster: auto, or ray://HOST:10001.")
]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as training.epochs=5; repeatable.")
]
NO_OVERRIDES: list[str] = []  # Typer takes lists only
ConfigFile = Annotated[Path, typer.Argument(metavar="FILE", help="A config, such as `supertickets init` writes.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0, 2 for bad input, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if rank() > 0:  # of several processes that train together, the first speaks, and alone does what trains nothing
        return console.silently(app, arguments) if {*arguments} & {"find", "sweep", "share"} else 0
    return console.run(app, arguments or ["--help"])


def _version(wanted: bool) -> bool:
    if wanted:
        from supertickets import __version__

        print(f"supertickets {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def verbs(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Find the part of a pretrained encoder that, trained alone, does best on a task: its super ticket."""


@app.command()
def find(
    task: TaskName = None,
    *,
    data: Data = None,
    train: Train = None,
    test: Test = None,
    text: Text = None,
    text_pair: TextPair = None,
    label: Label = None,
    encoder: Annotated[str | None, typer.Option(help="A local folder, a hub id, or an alias: minilm, mpnet.")] = None,
    target: Target = None,
    out: Out = None,
    budget: Annotated[
        Budget | None,
        typer.Option(help="One dial for levels, seeds, epochs and training size; anything set by hand wins over it."),
    ] = None,
    recipe: Annotated[
        Recipe | None, typer.Option(help="How tickets are found: paper (as published) or best (docs/better.md).")
    ] = None,
    workers: Workers = None,
    ray_address: RayAddress = None,
    config: AsConfig = None,
    set: Overrides = NO_OVERRIDES,
) -> None:
    """Find the super ticket of a task: sweep, choose, report. With no task, a demo on embedded data."""
    from supertickets.workflows import finding

    with console.progress() as progress:
        found = finding.find(
            task, data=data, train=train, test=test, text=text, text_pair=text_pair, label=label, encoder=encoder,
            target=target, out=out, budget=budget, recipe=recipe, workers=workers,
            ray_address=ray_address, config=config, set=set,
            progress=progress,
        )  # fmt: skip
    print(f"{found.sentence}\n{found.report}")


@app.command()
def sweep(
    file: ConfigFile,
    *,
    target: Target = None,
    out: Out = None,
    workers: Workers = None,
    ray_address: RayAddress = None,
    set: Overrides = NO_OVERRIDES,
) -> None:
    """Find the super ticket of the task that a config file describes."""
    from supertickets.workflows import finding

    with console.progress() as progress:
        found = finding.sweep(
            file, target=target, out=out, workers=workers, ray_address=ray_address, set=set, progress=progress
        )
    print(f"{found.sentence}\n{found.report}")


@app.command()
def share(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A config that names tasks, as configs/glue.yaml does.")],
    *,
    out: Out = None,
    workers: Workers = None,
    ray_address: RayAddress = None,
    set: Overrides = NO_OVERRIDES,
) -> None:
    """Train one encoder on several tasks, each on its own super ticket, beside plain multi-task learning."""
    from supertickets.workflows import sharing

    with console.progress() as progress:
        shared = sharing.share(file, out=out, workers=workers, ray_address=ray_address, set=set, progress=progress)
    print(f"{shared.sentence}\n{shared.report}")


@app.command()
def transfer(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished `share`.")],
    task: TaskName = None,
    *,
    data: Data = None,
    train: Train = None,
    test: Test = None,
    text: Text = None,
    text_pair: TextPair = None,
    label: Label = None,
    out: Out = None,
    workers: Workers = None,
    config: AsConfig = None,
    set: Overrides = NO_OVERRIDES,
) -> None:
    """Take the encoders that share has trained to a new task, with 0.1 % to 100 % of its training data."""
    from supertickets.workflows import transferring

    with console.progress() as progress:
        moved = transferring.transfer(
            folder, task, data=data, train=train, test=test, text=text, text_pair=text_pair, label=label, out=out,
            workers=workers, config=config, set=set, progress=progress,
        )  # fmt: skip
    print(f"{moved.sentence}\n{moved.report}")


@app.command()
def predict(
    model_dir: Annotated[
        Path, typer.Argument(metavar="DIR", help="What find or share left, an exported folder, or any tuned model's.")
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The texts: CSV, TSV, JSONL or Parquet.")],
    *,
    out: Annotated[Path, typer.Option(help="The file to write, one line for each row.")],
    text: Annotated[str | None, typer.Option(help="Column that holds the text; default: as in training.")] = None,
    text_pair: Annotated[
        str | None, typer.Option(help="Column that holds the second text; default: as in training.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="One of a shared encoder's tasks; else a known one, whose files are read as published."),
    ] = None,
    format: Annotated[
        Literal["csv", "glue"], typer.Option(help="csv: label and probabilities; glue: what GLUE's server takes.")
    ] = "csv",
    backend: Annotated[
        Literal["torch", "onnx"] | None, typer.Option(help="Default: torch, or onnx for an ONNX folder.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts in one forward pass.")] = 32,
) -> None:
    """Predict the label (with probabilities) or the number of every row of a file."""
    from supertickets.workflows import predicting

    with console.progress() as progress:
        written = predicting.predict(
            model_dir, file, out=out, text=text, text_pair=text_pair, task=task, format=format,
            backend=backend, batch_size=batch_size, progress=progress,
        )  # fmt: skip
    print(written)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="What find, sweep, share or transfer left, finished or not.")],
) -> None:
    """Write report.html, outcome.json and figures anew from the records."""
    from supertickets.workflows import reporting

    print(reporting.report(folder))


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="The folder of one of these.")],
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Redraw every few seconds while it is worked on.")] = False,
) -> None:
    """Say what a ticket, a run, a sweep, an experiment or a transfer is, what is missing and what it cost."""
    from supertickets.workflows import showing

    with console.watching() as progress:
        shown = showing.show(path, watch=watch, progress=progress)
    print(shown)


@app.command()
def check(file: ConfigFile, set: Overrides = NO_OVERRIDES) -> None:
    """Check a config, its data and its encoder, and say what sweep or share would do; trains nothing."""
    from supertickets.workflows import checking

    print(checking.check(file, set))


@app.command()
def init(out: Annotated[Path, typer.Argument(help="The file to write.")] = Path("supertickets.yaml")) -> None:
    """Write a commented config to make your own."""
    from supertickets.workflows import starting

    print(f"wrote {starting.init(out)}")


@app.command()
def export(
    ticket: Annotated[Path, typer.Argument(help="A sweep's folder (its super ticket), or a pruned model's folder.")],
    *,
    task: Annotated[str | None, typer.Option(help="The task whose model to write, of those that share found.")] = None,
    to: Annotated[Literal["hf", "onnx"], typer.Option(help="For transformers, or for ONNX Runtime.")] = "hf",
    out: Annotated[Path, typer.Option(help="The folder to write; it must not hold files yet.")],
) -> None:
    """Write a ticket's trained model as a folder that others can load."""
    from supertickets.workflows import exporting

    print(exporting.export(ticket, task=task, to=to, out=out))
