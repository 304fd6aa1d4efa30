"""Checked: plain values of a JSON file, which may be a stranger's, as the dataclass that they must be."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from supertickets.errors import UserError

T = TypeVar("T")


def checked(kind: type[T], plain: Mapping[str, Any], what: str, where: str, remedy: str) -> T:
    """The values as a `kind`, every one of its own type: no text for a number, no number that is not finite.

    Values that `kind` has no field for are left alone. Raises UserError: not `what` (the first value that is
    wrong, and why), at `where`, with `remedy`.
    """
    try:
        if not _is_finite(plain):
            raise UserError(f"not {what} (a number in it is not finite)", where, remedy)
        found: T = adapter(kind).validate_json(json.dumps(plain), strict=True)  # type: ignore[arg-type]
    except RecursionError:
        raise UserError(f"not {what} (nested too deeply)", where, remedy) from None
    except ValidationError as faults:
        first = faults.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or "all of it"
        raise UserError(f"not {what} ({name}: {first['msg']})", where, remedy) from faults
    return found


def _is_finite(value: object) -> bool:
    """Whether no number in it is NaN, infinite or beyond what a float holds."""
    if isinstance(value, Mapping | list | tuple):
        return all(map(_is_finite, value.values() if isinstance(value, Mapping) else value))
    return not isinstance(value, int | float) or abs(value) <= sys.float_info.max


@cache
def adapter(kind: type) -> TypeAdapter:  # type: ignore[type-arg]  # beartype knows no subscript of it
    """What checks and reads values of a kind, made once."""
    return TypeAdapter(kind)
