"""export: a trained model, most often a ticket's, as a folder for others, for transformers or for ONNX Runtime."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from supertickets import settings, storage
from supertickets.checked import checked
from supertickets.errors import UserError
from supertickets.experiments.delivered import Delivered
from supertickets.experiments.layout import (
    CONFIG_FILE,
    MODEL,
    OUTCOME_FILE,
    SHARED_FILE,
    SUPER_TICKET,
    TASK_FILE,
)
from supertickets.experiments.origins import task_of
from supertickets.experiments.plans import plan
from supertickets.experiments.reading import Reading
from supertickets.experiments.records import load_all
from supertickets.experiments.transfer_folder import check_no_transfer
from supertickets.reports.card import Facts, Sweep, model_card
from supertickets.tickets.ticket import TICKET_FILE, Ticket

OUTCOME_REMEDY = "run report again"

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MODULES_FILE = "modules.json"  # of a sentence-transformers model: its modules, and the folders of those with settings
SENTENCE_FILES = ("config_sentence_transformers.json", "sentence_bert_config.json", MODULES_FILE)


def export(ticket: Path | str, *, task: str | None = None, to: Literal["hf", "onnx"] = "hf", out: Path | str) -> Path:
    """Write the model of a sweep's super ticket, or a model's folder, for others to load; returns `out`.

    Of what `share` left, `task` names the task whose model is written. `hf` loads with transformers'
    Auto classes (and with SentenceTransformer if the model was one), a pruned model with this package
    or with `trust_remote_code=True`; `onnx` runs in ONNX Runtime. A model that is not pruned must be a
    tuned classifier or regressor. The ticket travels along only where the model is still the one that
    it describes. Raises UserError when `ticket` holds no trained model, or `out` holds files already.
    """
    source, out = _model_folder(Path(ticket), task), Path(out)
    if to not in ("hf", "onnx"):
        raise UserError(f"'{to}' is not a format known here (hf, onnx)", "to")
    with storage.atomic_folder(out) as target:
        # Torch takes seconds to load: an `out` that cannot be is refused before.
        from supertickets.encoders.export import CARD_FILE, write_checksums, write_model
        from supertickets.experiments.delivery import cutting

        model, tokenizer = _load(source, task)
        reading = Reading.beside(source) if task is None else Reading.of_shared(source, task)
        if reading is not None:
            tokenizer = cutting(tokenizer, model, reading)
            storage.write_json(target / TASK_FILE, reading.to_dict())
        if to == "onnx":
            from supertickets.encoders.onnx import write_onnx

            write_onnx(target, model.float(), tokenizer)
        else:
            write_model(target, model, tokenizer)
            _copy_sentence_modules(source, target)
        drawn = Ticket.load(source) if (source / TICKET_FILE).is_file() else None
        current = drawn is not None and _describes(drawn, model)
        if drawn is not None and current:
            drawn.save(target)
        facts = _facts(source, model, drawn, current)
        card = model_card(facts, _sweep(source) if current else None, onnx=to == "onnx")
        storage.write_text(target / CARD_FILE, card)
        write_checksums(target)
    return out


def _load(source: Path, task: str | None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from supertickets.encoders.checkpoints import config_of, resolve
    from supertickets.encoders.families import PRUNED_KEY
    from supertickets.encoders.loading import load_pruned
    from supertickets.encoders.shared import load_task
    from supertickets.encoders.trained import load_trained

    if task is not None:
        return load_task(source, task)
    pruned = getattr(config_of(resolve(str(source))), PRUNED_KEY, None) is not None
    return load_pruned(source) if pruned else load_trained(source)


def _describes(ticket: Ticket, model: PreTrainedModel) -> bool:
    """Whether the model has just the units that the ticket keeps: it may have been pruned further since."""
    from supertickets.encoders.families import neuron_count
    from supertickets.encoders.pruning import kept_units

    heads, ffn = ([row.nonzero()[0].tolist() for row in array] for array in (ticket.mask.heads, ticket.mask.ffn))
    if ticket.mask.structures.ffn_units == "sublayer":
        ffn = [[*range(neuron_count(model))] if kept else None for kept in ffn]
    return kept_units(model) == (heads, ffn)


def _model_folder(ticket: Path, task: str | None) -> Path:
    if not ticket.is_dir():
        raise UserError("no such folder", str(ticket), "give the folder of a sweep or of a pruned model")
    if task is not None or any((ticket / one / SHARED_FILE).is_file() for one in (".", MODEL)):
        from supertickets.encoders.shared import described_task, locate

        folder = locate(ticket) or ticket
        described_task(folder, task)
        return folder
    check_no_transfer(ticket)
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
        if links := [path for path in (folder, *folder.rglob("*")) if path.is_symlink() and path.is_dir()]:
            raise UserError("a link to another folder, which is not copied", str(links[0]), "put the folder there")
        shutil.copytree(folder, target / folder.name)


def _facts(source: Path, model: PreTrainedModel, drawn: Ticket | None, current: bool) -> Facts:
    from torch import nn

    from supertickets.encoders.families import head_count, neuron_count, structures_of, weight_count
    from supertickets.encoders.loading import head_of
    from supertickets.encoders.pruning import left_units
    from supertickets.encoders.vocabulary import FULL_VOCABULARY

    heads, ffn = left_units(model)
    structures = structures_of(model)
    embedding = model.get_input_embeddings()
    assert isinstance(embedding, nn.Embedding)
    rows, width = embedding.weight.shape
    tokens = getattr(model.config, FULL_VOCABULARY, rows)
    return Facts(
        architecture=structures.architecture,
        head=head_of(model.config),
        encoder=None if drawn is None else drawn.encoder,
        heads=(sum(map(len, heads)), len(heads) * head_count(model)),
        neurons=(sum(len(row or ()) for row in ffn), len(ffn) * neuron_count(model)),
        tokens=(rows, tokens),
        # The structures of a model with fewer tokens count its small embedding as the whole one.
        weights=(weight_count(model.base_model), structures.total_weights + (tokens - rows) * width),
        outdated_ticket=drawn is not None and not current,
        sentences=(source / MODULES_FILE).is_file(),
    )


@dataclass(frozen=True)
class _Outcome:
    """What a card says of `outcome.json`."""

    sparsity: float
    sentence: str


def _sweep(source: Path) -> Sweep | None:
    """The finished sweep whose super ticket lies in `source`; None for any other folder."""
    folder = source.parent
    path = folder / OUTCOME_FILE
    if source.name != SUPER_TICKET or not path.is_file():
        return None
    task = task_of(folder)
    plain = storage.read_sealed(path, OUTCOME_REMEDY)
    outcome = checked(_Outcome, plain, "the outcome of a sweep", str(path), OUTCOME_REMEDY)
    if not 0 <= outcome.sparsity < 1:
        raise UserError(f"not the outcome of a sweep (sparsity: {outcome.sparsity})", str(path), OUTCOME_REMEDY)
    level = Ticket.load(source).sparsity
    if level != outcome.sparsity:
        what = f"its super ticket is of level {level:g}, and its result, which is newer, of {outcome.sparsity:g}"
        raise UserError(what, str(folder), "run the sweep to its end: it delivers the new one")
    planned = {run.name for run in plan(settings.load(folder / CONFIG_FILE))}
    records = [record for record in load_all(folder) if record.name in planned]
    return Sweep(task, records, outcome.sparsity, outcome.sentence, Delivered.load(folder))
