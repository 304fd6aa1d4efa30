"""Name or folder -> encoder with a task head, and its tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from supertickets import seeding
from supertickets.encoders.checkpoints import check_unchanged, check_vocabulary, config_of, load_tokenizer, resolve
from supertickets.encoders.families import PRUNED_KEY, head_in
from supertickets.encoders.modeling_supertickets import HEADS, ChangedFileError
from supertickets.encoders.shared import load_task, locate
from supertickets.errors import UserError

CLASSIFIER = "ForSequenceClassification"
# What configs call the dropout of embeddings, hidden states and attention, in one family or another.
DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "mlp_dropout",
    "embedding_dropout",
)


def load(
    name: str | Path,
    *,
    classes: int | None = None,
    labels: Sequence[str] = (),
    seed: int = 0,
    head_dropout: float = 0.1,
    encoder_dropout: float | None = None,
    task: str | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """An encoder with a sequence-classification head, and its tokenizer.

    `name` is an alias, a model folder or a hub id. A pruned model comes back as small as it was saved,
    and a pruned classifier (a super ticket) with its trained head; `classes` and `labels` must then be
    its own or left out. A fresh head has two classes unless `classes` says otherwise: 1 means
    regression. `labels` names the classes in the model's config. The fresh head depends on `seed`
    alone, so every run of a seed starts from the same weights. `head_dropout` applies before the task
    head, `encoder_dropout` (None: the checkpoint's own) to a full model's embeddings, hidden states and
    attention. `task` names one task of what `share` left: its own pruned model comes back, with its trained
    head. Raises UserError when there is no such encoder or task, its family is unknown, an exported
    folder was changed, or a trained head has other classes.
    """
    shared = locate(name)
    if shared is not None or task is not None:
        model, tokenizer = load_task(shared or Path(name), task)
    else:
        model, tokenizer = _of_one_task(resolve(str(name)), classes, labels, seed, encoder_dropout)
    check_vocabulary(model, tokenizer, str(name))
    for module in head_modules(model):
        if isinstance(module, nn.Dropout):
            module.p = head_dropout
    return model, tokenizer


def _of_one_task(
    source: str, classes: int | None, labels: Sequence[str], seed: int, dropout: float | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    config = config_of(source)
    for name in DROPOUTS if dropout is not None else ():
        if hasattr(config, name):
            setattr(config, name, dropout)
    pruned = getattr(config, PRUNED_KEY, None) is not None
    if not pruned:
        check_unchanged(source)  # the classes of pruned models do so by themselves
    if pruned and head_of(config) == CLASSIFIER:
        _check_classes(source, config, classes, labels)
        model = _as_saved(source, config, torch.float32)
    else:
        model = _fresh(source, config, 2 if classes is None else classes, labels, seed)
    return model, load_tokenizer(source)


def load_pruned(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A pruned model's folder, with the head that it was saved with, and its tokenizer.

    Raises UserError when the folder holds no pruned model, or not the files that were exported.
    """
    source = resolve(str(folder))
    config = config_of(source)
    if getattr(config, PRUNED_KEY, None) is None:
        raise UserError("the model in this folder is not pruned", source, "give a ticket's model folder")
    return _as_saved(source, config, "auto"), load_tokenizer(source)


def head_of(config: PreTrainedConfig) -> str:
    """The head that a model was saved with, as the end of a transformers class name: `Model` is none at all."""
    return head_in((getattr(config, "architectures", None) or ["Model"])[0])


def head_modules(model: PreTrainedModel) -> list[nn.Module]:
    """The modules outside the encoder: the task head."""
    inside = set(model.base_model.modules())
    return [module for module in model.modules() if module not in inside and module is not model]


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Torch's generators seeded by (seed, purpose) inside the block, and as they were after it."""
    with torch.random.fork_rng():
        torch.manual_seed(seeding.derive(seed, purpose))
        yield


def _fresh(source: str, config: PreTrainedConfig, classes: int, labels: Sequence[str], seed: int) -> PreTrainedModel:
    config.num_labels = classes
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
    config.problem_type = "regression" if classes == 1 else "single_label_classification"
    try:
        with seeded(seed, "head"), quiet():
            model, found = AutoModelForSequenceClassification.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
    except ChangedFileError as fault:
        raise UserError(str(fault)) from fault
    except (OSError, SafetensorError) as fault:
        reason = str(fault).strip().splitlines()[0]
        raise UserError(f"its weights cannot be read ({reason})", source, "save or download the model again") from fault
    assert isinstance(model, PreTrainedModel)
    _check_encoder_is_whole(model, found, source)
    inside = f"{model.base_model_prefix}."
    head = {name for name in model.state_dict() if not name.startswith(inside)}
    if not head <= set(found["missing_keys"]):  # the folder is of a tuned model, which brought its own head
        with seeded(seed, "head"):
            fresh = AutoModelForSequenceClassification.from_config(config).state_dict()
        model.load_state_dict({name: fresh[name] for name in head}, strict=False)
    return model


def _check_classes(source: str, config: PreTrainedConfig, classes: int | None, labels: Sequence[str]) -> None:
    """Raise UserError when other classes are asked for than a trained head has."""
    names = [str(name) for _, name in sorted((config.id2label or {}).items())]
    if classes not in (None, len(names)) or list(labels or names) != names:
        asked = ", ".join(labels) or f"{classes} classes"
        raise UserError(
            f"this ticket's trained head has {len(names)} classes ({', '.join(names)}), not those asked for ({asked})",
            source,
            "leave classes and labels out",
        )


def _check_encoder_is_whole(model: PreTrainedModel, found: dict[str, Any], source: str) -> None:
    """Raise UserError where transformers would go on with random values in the encoder (a pooler may be fresh)."""
    inside = f"{model.base_model_prefix}."
    unfit = [f"{name} is {tuple(a)} there, {tuple(b)} by config.json" for name, a, b in found["mismatched_keys"]]
    unfit = sorted(text for text in unfit if text.startswith(inside))
    missing = sorted(name for name in found["missing_keys"] if name.startswith(inside))
    unfit += [f"{name} is missing" for name in missing if not name.startswith(f"{inside}pooler.")]
    if unfit:
        raise UserError(
            f"its weights are not those of its config.json ({unfit[0]}; {len(unfit)} in all)",
            source,
            "save or download the model again",
        )


def _as_saved(source: str, config: PreTrainedConfig, dtype: torch.dtype | str) -> PreTrainedModel:
    """A pruned model with its own head; nothing in it may be filled up with random values."""
    if (head := head_of(config)) not in HEADS:
        raise UserError(
            f"a pruned model with another head than {', '.join(HEADS)}: {head}", source, "take one of these"
        )
    auto = getattr(transformers, f"AutoModel{head.removeprefix('Model')}")
    found: dict[str, Any]
    try:
        with torch.random.fork_rng(), quiet():  # what is drawn for weights that are then replaced
            model, found = auto.from_pretrained(
                source,
                config=config,
                dtype=dtype,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
        unfit = sorted(str(name) for kind in ("missing_keys", "mismatched_keys") for name in found[kind])
        if unfit:
            raise ValueError(f"{unfit[0]}; {len(unfit)} in all")
    except ChangedFileError as fault:
        raise UserError(str(fault)) from fault
    # Units that someone edited fail as a look-up, or as a value or shape that cannot be.
    except (LookupError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as fault:
        raise UserError(
            "the weights do not fit the units that config.json lists", source, "export the ticket again"
        ) from fault
    assert isinstance(model, PreTrainedModel)
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' table of missing weights: a fresh head is meant, not a fault."""
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
