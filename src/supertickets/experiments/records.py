"""Record: what one finished run leaves behind, as one JSON and one safetensors file. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from supertickets import storage
from supertickets.checked import checked
from supertickets.errors import UserError
from supertickets.experiments.layout import RUNS
from supertickets.learning.metrics import Scores

RECORD_FILE = "record.json"
ARRAYS_FILE = "arrays.safetensors"
RESAMPLED = ("resampled_importance_heads", "resampled_importance_ffn")  # (R, L, H) and (R, L, U)
_REMEDY = "run the sweep again: it recomputes this run"


@dataclass(frozen=True)
class Size:
    """How much of the model a run kept: shares of 1, biases included, and units kept per layer."""

    weights_all: float
    weights_encoder: float
    heads: tuple[int, ...]
    ffn: tuple[int, ...]


@dataclass(frozen=True)
class Cost:
    """What a run cost: wall seconds by stage (`training`, `evaluation`, `scoring`) and examples trained on."""

    seconds: Mapping[str, float]
    trained_examples: int


@dataclass(frozen=True)
class _Numbers:
    """A Record without its arrays."""

    name: str
    kind: str
    sparsity: float
    seed: int
    selection: Scores
    report: Scores
    size: Size
    cost: Cost
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]
    stopped: Annotated[float, Field(gt=0, le=1)] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class _Stored(_Numbers):
    """What `record.json` holds."""

    arrays_sha256: str


@dataclass(frozen=True)
class Record(_Numbers):
    """One finished run.

    `kind` is `full` for the tuned full model (which is also what its seed's tickets are compared
    with), else the ticket's kind. `arrays` holds, per split (`selection`, `report`),
    `<split>_predictions` (n, classes) or (n,) and `<split>_labels` (n,); tickets add `heads` (L, H)
    and `ffn` (L, U) masks, tuned models add `importance_heads` and `importance_ffn` of the same shapes
    (and RESAMPLED, where the scored examples were resampled), and `train_predictions` of the seed's training
    examples where tickets learn from them; runs that a race watches add `curve_shares` (k,) of the training
    and `curve_predictions` (k, n, ...) of the selection examples there. `stopped` is the share of the
    training after which it was ended as hopeless: such a record's scores are not those of a finished run, and
    no table or choice counts it.
    """

    arrays: Mapping[str, np.ndarray] = field(repr=False, default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write arrays first and `record.json`, which carries their checksum, last: a torn record never counts."""
        checksum = storage.write_arrays(folder / ARRAYS_FILE, dict(self.arrays))
        body = {k: v for k, v in self.__dict__.items() if k != "arrays"}
        plain = {k: asdict(v) if hasattr(v, "__dataclass_fields__") else v for k, v in body.items()}
        plain |= {"arrays_sha256": checksum}
        storage.write_json(folder / RECORD_FILE, plain | {"sha256": storage.checksum(plain)})

    @classmethod
    def load(cls, folder: Path, name: str | None = None) -> Record:
        """Read a record back; raises UserError when a file is torn, tampered with or of another format.

        With a `name`, also when the record is another run's.
        """
        body = storage.read_json(folder / RECORD_FILE)
        if body.pop("sha256", None) != storage.checksum(body):
            raise UserError("damaged: its numbers are not those of its checksum", str(folder / RECORD_FILE), _REMEDY)
        if name is not None and body.get("name") != name:
            raise UserError(f"this is the record of another run ({body.get('name')})", str(folder), _REMEDY)
        if strange := sorted(body.keys() - {one.name for one in fields(_Stored)}):
            raise UserError(f"not a record ({strange[0]}: unknown)", str(folder), _REMEDY)
        stored = checked(_Stored, body, "a record", str(folder), _REMEDY)
        arrays = storage.read_arrays(folder / ARRAYS_FILE, sha256=stored.arrays_sha256)
        _check_examples(arrays, folder)
        return cls(**{name: value for name, value in vars(stored).items() if name != "arrays_sha256"}, arrays=arrays)


def _check_examples(arrays: Mapping[str, np.ndarray], folder: Path) -> None:
    """Raise UserError where a split's predictions are not as many as its labels."""
    for split in ("selection", "report"):
        labels, predictions = (arrays.get(f"{split}_{name}") for name in ("labels", "predictions"))
        if labels is not None and predictions is not None and predictions.shape[:1] != labels.shape:
            what = f"its {split} split has predictions of shape {predictions.shape} and labels of {labels.shape}"
            raise UserError(f"not a record ({what})", str(folder), _REMEDY)


def load_all(sweep_folder: Path) -> list[Record]:
    """Every finished record under `<sweep>/runs`, in the order of their names; raises UserError on a damaged one."""
    paths = sorted((sweep_folder / RUNS).glob(f"*/{RECORD_FILE}"))
    return [Record.load(path.parent, path.parent.name) for path in paths]
