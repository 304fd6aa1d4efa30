"""export: a ticket's trained model as a folder for others, for transformers or for ONNX Runtime."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from supertickets import storage
from supertickets.data.tasks import Task
from supertickets.errors import UserError
from supertickets.experiments.layout import CONFIG_FILE, DATA_FILE, MODEL, OUTCOME_FILE, SHARED_FILE, SUPER_TICKET
from supertickets.experiments.records import load_all
from supertickets.reports.card import Facts, Sweep, model_card
from supertickets.tickets.ticket import TICKET_FILE, Ticket

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MODULES_FILE = "modules.json"  # of a sentence-transformers model: its modules, and the folders of those with settings
SENTENCE_FILES = ("config_sentence_transformers.json", "sentence_bert_config.json", MODULES_FILE)


def export(ticket: Path | str, *, task: str | None = None, to: Literal["hf", "onnx"] = "hf", out: Path | str) -> Path:
    """Write the model of a sweep's super ticket, or a pruned model's folder, for others to load; returns `out`.

    Of what `share` left, `task` names the task whose model is written. `hf` loads with transformers'
    Auto classes (and with SentenceTransformer if the model was one), with this package or with
    `trust_remote_code=True`; `onnx` runs in ONNX Runtime. Raises UserError when `ticket` holds no
    trained pruned model, or `out` holds files already.
    """
    source, out = _model_folder(Path(ticket), task), Path(out)
    if to not in ("hf", "onnx"):
        raise UserError(f"'{to}' is not a format known here (hf, onnx)", "to")
    with storage.atomic_folder(out) as target:
        # Torch takes seconds to load: an `out` that cannot be is refused before.
        from supertickets.encoders.export import CARD_FILE, write_checksums, write_model
        from supertickets.encoders.loading import load_pruned
        from supertickets.encoders.shared import load_task

        model, tokenizer = load_pruned(source) if task is None else load_task(source, task)
        if to == "onnx":
            from supertickets.encoders.onnx import export_onnx

            export_onnx(model.float(), tokenizer, target)
        else:
            write_model(target, model, tokenizer)
            _copy_sentence_modules(source, target)
        if (source / TICKET_FILE).is_file():
            Ticket.load(source).save(target)
        card = model_card(_facts(model), _sweep(source), onnx=to == "onnx", sentences=(target / MODULES_FILE).is_file())
        storage.write_text(target / CARD_FILE, card)
        write_checksums(target)
    return out


def _model_folder(ticket: Path, task: str | None) -> Path:
    if not ticket.is_dir():
        raise UserError("no such folder", str(ticket), "give the folder of a sweep or of a pruned model")
    if task is not None or any((ticket / one / SHARED_FILE).is_file() for one in (".", MODEL)):
        from supertickets.encoders.shared import described_task, locate

        folder = locate(ticket) or ticket
        described_task(folder, task)
        return folder
    if (ticket / CONFIG_FILE).is_file():
        if not (ticket / SUPER_TICKET).is_dir():
            raise UserError("this sweep has no super ticket yet", str(ticket), "run it to its end: it resumes")
        return ticket / SUPER_TICKET
    if (ticket / TICKET_FILE).is_file() and not (ticket / "config.json").is_file():
        raise UserError(
            "this ticket is a mask without trained weights",
            str(ticket),
            f"export the sweep's folder, whose {SUPER_TICKET} is trained, or train a model pruned by this mask",
        )
    return ticket


def _copy_sentence_modules(source: Path, target: Path) -> None:
    """Copy what makes a model a sentence-transformers one: the list of its modules, and their settings."""
    if not (source / MODULES_FILE).is_file():
        return
    for name in SENTENCE_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    for folder in source.glob("[0-9]*_*"):  # such as 1_Pooling
        shutil.copytree(folder, target / folder.name)


def _facts(model: PreTrainedModel) -> Facts:
    from supertickets.encoders.families import head_count, neuron_count, structures_of
    from supertickets.encoders.loading import head_of
    from supertickets.encoders.pruning import kept_units

    kept, structures = kept_units(model), structures_of(model)
    assert kept is not None
    heads, ffn = kept
    size = sum(weight.numel() for weight in model.base_model.parameters())
    return Facts(
        architecture=structures.architecture,
        head=head_of(model.config),
        heads=(sum(map(len, heads)), len(heads) * head_count(model)),
        neurons=(sum(len(row or ()) for row in ffn), len(ffn) * neuron_count(model)),
        weights=size / structures.total_weights,
        size=size,
    )


def _sweep(source: Path) -> Sweep | None:
    """The finished sweep whose super ticket lies in `source`; None for any other folder."""
    folder = source.parent
    if source.name != SUPER_TICKET or not (folder / OUTCOME_FILE).is_file():
        return None
    task = Task.from_dict(storage.read_json(folder / DATA_FILE)["task"])
    return Sweep(task, load_all(folder), storage.read_json(folder / OUTCOME_FILE))
