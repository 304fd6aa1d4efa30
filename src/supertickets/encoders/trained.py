"""A model folder -> the model with the task head that it was trained with."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from supertickets.encoders.checkpoints import check_vocabulary, config_of, load_tokenizer, resolve
from supertickets.encoders.families import PRUNED_KEY
from supertickets.encoders.loading import CLASSIFIER, head_of, load, quiet
from supertickets.encoders.shared import load_task
from supertickets.errors import UserError


def load_trained(name: str | Path, task: str | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A tuned classifier or regressor, pruned or not, with its own head, and its tokenizer; in evaluation mode.

    `task` names one of those that share the folder's encoder.
    Raises UserError when there is none, or its head (or any other weight) is missing: nothing random
    may stand in for what was trained.
    """
    if task is not None:
        shared, tokenizer = load_task(Path(name), task)
        check_vocabulary(shared, tokenizer, str(name))
        return shared, tokenizer
    source = resolve(str(name))
    config = config_of(source)
    kinds = config.architectures or []
    if kinds and head_of(config) != CLASSIFIER:  # ModernBERT's heads have the same weights
        raise _no_head(source, f"it is a {kinds[0]}")
    if getattr(config, PRUNED_KEY, None) is not None:
        if not kinds:
            raise _no_head(source, "its config.json names no architecture")
        model, tokenizer = load(source)
        return model.eval(), tokenizer
    try:
        with torch.random.fork_rng(), quiet():
            model, found = AutoModelForSequenceClassification.from_pretrained(
                source,
                dtype=torch.float32,
                output_loading_info=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
    except (OSError, RuntimeError, SafetensorError) as fault:
        reason = str(fault).strip().splitlines()[0]
        raise UserError(f"its weights cannot be read ({reason})", source, "save or download the model again") from fault
    if missing := sorted(found["missing_keys"]):
        raise _no_head(source, f"{missing[0]} is missing")
    assert isinstance(model, PreTrainedModel)
    tokenizer = load_tokenizer(source)
    check_vocabulary(model, tokenizer, source)
    return model.eval(), tokenizer


def _no_head(source: str, why: str) -> UserError:
    what = f"this model has no trained head to classify texts with ({why})"
    return UserError(what, source, "give a tuned model, such as find leaves")
