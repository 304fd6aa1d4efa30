"""One encoder, several tasks, in one folder: weights once, a head and a mask for each task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError as HubError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from supertickets import storage
from supertickets.config import FfnUnit
from supertickets.encoders.bounds import check_config, check_inside, check_size
from supertickets.encoders.checkpoints import load_tokenizer
from supertickets.encoders.families import structures_of
from supertickets.encoders.pruning import prune
from supertickets.errors import UserError
from supertickets.tickets.masks import Mask

SHARED_FILE = "shared.json"
WEIGHTS_FILE = "shared.safetensors"
MASKS_FILE = "masks.safetensors"
MODEL_FOLDER = "model"  # in the folder of a sharing experiment
FORMAT = "supertickets shared encoder 1"


def save_shared(
    folder: Path,
    models: Mapping[str, PreTrainedModel],
    masks: Mapping[str, Mask],
    tokenizer: PreTrainedTokenizerBase,
    about: Mapping[str, Any],
) -> None:
    """Write tasks' full models, which share one encoder, whole or not at all; `about` is kept with each task's config.

    The encoder's weights are stored once: the folder is hardly larger than one model.
    """
    first = next(iter(models.values()))
    weights = {f"encoder/{name}": value for name, value in first.base_model.state_dict().items()}
    for task, model in models.items():
        weights |= {f"heads/{task}/{name}": value for name, value in _head(model).items()}
    arrays = {f"{task}/{unit}": getattr(mask, unit) for task, mask in masks.items() for unit in ("heads", "ffn")}
    with storage.atomic_folder(folder, if_exists="replace") as target:
        save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, target / WEIGHTS_FILE)
        body = {
            "format": FORMAT,
            "tasks": {
                task: {"config": model.config.to_dict(), **about.get(task, {})} for task, model in models.items()
            },
            "weights_sha256": storage.sha256_file(target / WEIGHTS_FILE),
            "masks_sha256": storage.write_arrays(target / MASKS_FILE, arrays),
        }
        tokenizer.save_pretrained(target)
        body["files"] = storage.sha256_tree(target, without=(WEIGHTS_FILE, MASKS_FILE))
        storage.write_sealed(target / SHARED_FILE, body)


def is_shared(folder: Path) -> bool:
    """Whether the folder holds an encoder shared by several tasks."""
    return (folder / SHARED_FILE).is_file()


def locate(path: Path | str) -> Path | None:
    """The shared encoder's folder that a path means: itself, or the model in an experiment's; None for any other."""
    folder = Path(path).expanduser()
    return next((one for one in (folder, folder / MODEL_FOLDER) if is_shared(one)), None)


def load_task(folder: Path, task: str | None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """One task's physically pruned model, and the tokenizer; its logits equal those of the shared model under its mask.

    Raises UserError for an unknown task or none, and for a folder that is torn or was tampered with.
    """
    body = described_task(folder, task)
    _check_files(folder, body)
    try:
        arrays = storage.read_arrays(folder / MASKS_FILE, sha256=body["masks_sha256"])
        config = AutoConfig.for_model(**body["tasks"][task]["config"])
        check_config(config, str(folder))
        check_size(config, (folder / WEIGHTS_FILE,), str(folder))
        with torch.random.fork_rng():  # the random start, which the weights replace, is the caller's generator's
            model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
        stored = load_file(folder / WEIGHTS_FILE)
        model.base_model.load_state_dict(_under(stored, "encoder/"))
        heads = _under(stored, f"heads/{task}/")
        if set(heads) != set(_head(model)):
            raise ValueError(f"its head has {', '.join(heads) or 'no weights'}")
        model.load_state_dict(heads, strict=False)
        masks = arrays[f"{task}/heads"], arrays[f"{task}/ffn"]
        units: FfnUnit = "sublayer" if masks[1].shape[-1] == 1 else "neuron"
        pruned = prune(model, Mask(structures_of(model, units), *masks))
    # What someone edited fails as a look-up, or as a value, type or shape that cannot be.
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError, HubError) as fault:
        reason = " ".join(str(fault).split())[:200]
        raise UserError(f"weights, masks and configs do not fit ({reason})", str(folder), "run share again") from fault
    pruned.eval()
    return pruned, load_tokenizer(str(folder))


def is_whole(folder: Path) -> bool:
    """Whether weights, masks and tokenizer are there as they were written."""
    try:
        _check_files(folder, described(folder))
    except UserError:
        return False
    return True


def described(folder: Path) -> dict[str, Any]:
    """What the folder says of itself: format, tasks with their configs; raises UserError when it is no such folder."""
    body: dict[str, Any] = storage.read_sealed(folder / SHARED_FILE, "run share again")
    if body.get("format") != FORMAT:
        what = f"not a shared encoder: its format is {body.get('format')!r}, expected {FORMAT!r}"
        raise UserError(what, str(folder / SHARED_FILE))
    lacking = [key for key in ("tasks", "weights_sha256", "masks_sha256") if not body.get(key)]
    if lacking or not isinstance(body["tasks"], dict) or not isinstance(body.get("files", {}), dict):
        raise UserError(f"not whole: {', '.join(lacking) or 'tasks'} cannot be read", str(folder / SHARED_FILE))
    return body


def described_task(folder: Path, task: str | None) -> dict[str, Any]:
    """As `described`, for a folder that has the task; raises UserError where it has not, or none is named."""
    if not is_shared(folder):
        what = f"there are no tasks in this folder, so none is {task}"
        raise UserError(what, str(folder), "leave the task out, or give what share left")
    body = described(folder)
    choice = f"choose one of {', '.join(body['tasks'])}"
    if task is None:
        raise UserError("this encoder is shared by several tasks, and none is named", str(folder), choice)
    if task not in body["tasks"]:
        raise UserError(f"there is no task {task} here", str(folder), choice)
    return body


def _head(model: PreTrainedModel) -> dict[str, Tensor]:
    inside = f"{model.base_model_prefix}."
    return {name: value for name, value in model.state_dict().items() if not name.startswith(inside)}


def _under(stored: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def _check_files(folder: Path, body: Mapping[str, Any]) -> None:
    """Raise UserError where a file is missing or damaged; folders of before list weights and masks only."""
    files = body.get("files", {})
    check_inside(files, folder / SHARED_FILE)
    for name, sha256 in {WEIGHTS_FILE: body["weights_sha256"], MASKS_FILE: body["masks_sha256"], **files}.items():
        if storage.sha256_file(folder / name) != sha256:
            raise UserError("damaged: its content is not that of its checksum", str(folder / name), "run share again")
