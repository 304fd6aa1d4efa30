"""Ticket: a mask with everything needed to know where it came from and to train it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from jaxtyping import Bool

from supertickets import storage
from supertickets.config import Kind
from supertickets.errors import UserError
from supertickets.tickets.importance import Importance, Scale
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import FFN_WORDS, Structures

TICKET_FILE = "ticket.json"
ARRAYS_FILE = "ticket.safetensors"
PRESENT = ("present_heads", "present_ffn")  # of an importance that a pruned model gave
FORMAT = "supertickets ticket 1"
MOST_UNITS = 2**24  # heads or FFN units of one encoder: several times those of the largest there is
HEADER = 2**16  # bytes; that of six arrays takes less than one kilobyte
UNIT = 24  # bytes: a unit has a bit in the mask, a score, and a bit for its presence


@dataclass(frozen=True)
class Ticket:
    """A mask, how it was drawn, and the rewind point (by checksum) whose weights it is trained from.

    `importance` holds the scores it was drawn by, None where unknown. Raises UserError when the kind
    or the sparsity cannot be, or importance and mask are of different structures.
    """

    mask: Mask
    kind: Kind
    sparsity: float
    seed: int
    encoder: str
    rewind_sha256: str
    importance: Importance | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_kind(self.kind)
        if not 0 <= self.sparsity < 1:
            raise UserError(f"sparsity must be at least 0 and below 1, not {self.sparsity:g}", "Ticket")
        if self.importance is not None and self.importance.structures != self.mask.structures:
            ours, theirs = self.mask.structures.size, self.importance.structures.size
            raise UserError(f"the mask is of {ours}, the importance of {theirs}", "Ticket")

    def save(self, folder: Path) -> None:
        """Write `ticket.safetensors` and then `ticket.json`, which a person can read and which carries its checksum."""
        arrays = {"heads": self.mask.heads, "ffn": self.mask.ffn}
        if self.importance is not None:
            arrays |= {"importance_heads": self.importance.heads, "importance_ffn": self.importance.ffn}
            if self.importance.present is not None:
                arrays |= dict(zip(PRESENT, self.importance.present, strict=True))
        checksum = storage.write_arrays(folder / ARRAYS_FILE, arrays)
        storage.write_sealed(folder / TICKET_FILE, _body(self) | {"arrays": ARRAYS_FILE, "arrays_sha256": checksum})

    @classmethod
    def load(cls, folder: Path) -> Ticket:
        """Read a ticket back; raises UserError when a file is missing, torn, edited by hand or of another format.

        A ticket may be a stranger's: nothing larger than the encoder that it describes is read or made.
        """
        path = folder / TICKET_FILE
        body = storage.read_sealed(path)
        if body.get("format") != FORMAT:
            raise UserError(f"not a ticket: its format is {body.get('format')!r}, expected {FORMAT!r}", str(path))
        _check_kind(body.get("kind"))
        try:
            _check_types(body)
            units = _units(body["structures"])
            arrays = storage.read_arrays(folder / ARRAYS_FILE, body["arrays_sha256"], HEADER + UNIT * units)
            if units > arrays["heads"].size + arrays["ffn"].size:  # before anything of that size is made
                raise UserError(f"its structures have {units:,} units, more than its mask", str(path))
            structures = Structures.from_dict(body["structures"])
            ticket = cls(
                mask=Mask(structures, arrays["heads"], arrays["ffn"]),
                importance=_importance(structures, arrays, body.get("importance_scale", "raw")),
                sparsity=float(body["sparsity"]),
                **{name: body[name] for name in ("kind", "seed", "encoder", "rewind_sha256", "provenance")},
            )
        except (KeyError, TypeError, ValueError, OverflowError) as fault:
            raise UserError(f"not a whole ticket ({fault})", str(path)) from fault
        if body.get("layers") != _layers(ticket.mask):
            raise UserError("its layers differ from the stored mask", str(path), f"edit neither it nor {ARRAYS_FILE}")
        return ticket

    def check_fits(self, structures: Structures) -> None:
        """Raise UserError, with both sizes, unless the ticket was made for units like these.

        Embeddings may differ in size (another vocabulary): no unit holds their weights.
        """
        ours = self.mask.structures
        if ours.size != structures.size:
            raise UserError(f"this ticket was made for {ours.size}; the encoder is {structures.size}", "ticket")
        unit = FFN_WORDS[ours.ffn_units]
        for name, a, b in (("head", ours.heads, structures.heads), (unit, ours.ffn, structures.ffn)):
            if not np.array_equal(a, b):
                numbers = f"{a.mean():,.0f} weights in a {name}; the encoder has {b.mean():,.0f}"
                raise UserError(f"this ticket was made for {ours.architecture} with {numbers}", "ticket")


def _units(plain: Mapping[str, Any]) -> int:
    """Heads and FFN units that a description of structures speaks of; raises UserError for more than there can be."""
    layers, heads, units = (plain.get(name) for name in ("layers", "heads_per_layer", "units_per_layer"))
    if not (isinstance(layers, int) and isinstance(heads, int) and isinstance(units, int)):
        return 0  # what is wrong with it, `Structures` says
    if not all(0 < layers * width <= MOST_UNITS for width in (heads, units)):
        what = f"{layers} layers of {heads} heads and {units} FFN units cannot be; at most {MOST_UNITS:,} can"
        raise UserError(what, "structures")
    return layers * (heads + units)


def _check_types(body: Mapping[str, Any]) -> None:
    """Raise TypeError for a value of another type than `save` writes."""
    kinds = {"sparsity": (int, float), "seed": (int,), "encoder": (str,), "rewind_sha256": (str,)}
    for name, kind in (kinds | {"provenance": (dict,), "arrays_sha256": (str,), "structures": (dict,)}).items():
        if not isinstance(body[name], kind):
            raise TypeError(f"{name} is a {type(body[name]).__name__}")


def _check_kind(kind: object) -> None:
    if kind not in get_args(Kind):
        raise UserError(f"kind must be one of {', '.join(get_args(Kind))}, not {kind!r}", "ticket")


def _body(ticket: Ticket) -> dict[str, Any]:
    mask, remaining = ticket.mask, ticket.mask.weights_remaining
    return {
        "format": FORMAT,
        "kind": ticket.kind,
        "sparsity": ticket.sparsity,
        "seed": ticket.seed,
        "encoder": ticket.encoder,
        "rewind_sha256": ticket.rewind_sha256,
        "heads": {"kept": int(mask.heads.sum()), "of": mask.heads.size},
        "ffn": {"kept": int(mask.ffn.sum()), "of": mask.ffn.size},
        "weights_remaining": {"all": remaining.all, "encoder": remaining.encoder},
        "layers": _layers(mask),
        "structures": mask.structures.to_dict(),
        "provenance": dict(ticket.provenance),
    } | ({} if ticket.importance is None else {"importance_scale": ticket.importance.scale})


def _importance(structures: Structures, arrays: Mapping[str, np.ndarray], scale: Any) -> Importance | None:
    if scale not in get_args(Scale):
        raise UserError(f"importance_scale must be one of {', '.join(get_args(Scale))}, not {scale!r}", "ticket")
    if "importance_heads" not in arrays:
        return None
    present = (arrays[PRESENT[0]], arrays[PRESENT[1]]) if PRESENT[0] in arrays else None
    return Importance(structures, arrays["importance_heads"], arrays["importance_ffn"], scale, present)


def _layers(mask: Mask) -> list[dict[str, Any]]:
    """One row per layer, first layer first; 1 is a kept unit, 0 a dropped one. Neurons: how many, and their bits."""
    ffn = _bits if mask.structures.ffn_units == "sublayer" else _packed
    return [{"heads": _bits(heads), "ffn": ffn(units)} for heads, units in zip(mask.heads, mask.ffn, strict=True)]


def _packed(row: Bool[np.ndarray, " U"]) -> dict[str, Any]:
    return {"kept": int(row.sum()), "hex": np.packbits(row).tobytes().hex()}


def _bits(row: Bool[np.ndarray, " N"]) -> str:
    return "".join("1" if kept else "0" for kept in row)
