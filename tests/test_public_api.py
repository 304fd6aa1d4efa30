"""The public names and their signatures, kept in public_api.txt: its diff is what a release changes.

`python tests/test_public_api.py` writes the file anew (`make docs` does it too).
"""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import supertickets

KEPT = Path(__file__).with_name("public_api.txt")


def signature(name: str, value: Any) -> str:
    """`name(parameters) -> result` as written in the source; a name alone where there is nothing to call."""
    try:
        bare = inspect.signature(value)
    except (TypeError, ValueError):
        return name
    parameters = [p.replace(annotation=as_written(p.annotation)) for p in bare.parameters.values()]
    result = bare.return_annotation
    return f"{name}{bare.replace(parameters=parameters, return_annotation=as_written(result))}"


class Written(str):
    """An annotation that prints without quotes."""

    def __repr__(self) -> str:
        return str(self)


def as_written(annotation: Any) -> Any:
    """An annotation as it stands in the source."""
    return Written(annotation) if isinstance(annotation, str) else annotation


def members(name: str, value: type) -> list[str]:
    """One line for each public attribute that a class defines itself."""
    lines = []
    for attribute, member in sorted(vars(value).items()):
        plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if attribute.startswith("_") or (dataclasses.is_dataclass(value) and attribute in value.__dataclass_fields__):
            continue
        kind = "classmethod " if isinstance(member, classmethod) else ""
        lines.append(f"    {kind}{name}.{signature(attribute, plain) if callable(plain) else attribute}")
    return lines


def public_api() -> str:
    """The whole public surface, one line for each name, in alphabetical order."""
    lines: list[str] = []
    for name in supertickets.__all__:
        value = getattr(supertickets, name)
        lines.append(signature(name, value))
        if inspect.isclass(value):
            lines.extend(members(name, value))
    return "\n".join(lines) + "\n"


def test_the_public_api_is_the_kept_one() -> None:
    """Every public name has the signature in public_api.txt; a change of it is meant, and shows in the diff."""
    assert public_api() == KEPT.read_text(encoding="utf-8"), "meant? then run: python tests/test_public_api.py"


if __name__ == "__main__":
    KEPT.write_text(public_api(), encoding="utf-8")
