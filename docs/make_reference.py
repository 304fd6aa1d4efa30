"""Write reference.md: every public name and every setting, from their docstrings."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter

import supertickets
from supertickets import schema

HERE = Path(__file__).resolve().parent
GROUPS = {
    "The main job": ("find", "sweep", "share", "transfer", "report", "show", "check", "init", "export", "predict"),
    "Tickets": ("Mask", "Importance", "Structures", "Ticket"),
    "Encoders": ("load", "structures_of", "RewindPoint", "score", "gate", "prune", "prune_vocabulary"),
    "Settings and errors": ("Config", "ShareConfig", "TransferConfig", "UserError"),
}
HEAD = """# Reference

Made by `make docs` from the docstrings: edit those. Everything is imported as `from supertickets import Mask`.
L layers, H heads in a layer, U feed-forward units in a layer, B batch, T tokens.
"""


def api_listing() -> ModuleType:
    """The module that lists signatures for public_api.txt, so that both pages write them in one way."""
    spec = importlib.util.spec_from_file_location("public_api", HERE.parent / "tests" / "test_public_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry(name: str, listing: ModuleType) -> str:
    """One public name: signature, docstring, and a class's own methods with theirs."""
    value = getattr(supertickets, name)
    parts = [f"### `{name}`", f"```python\n{listing.signature(name, value)}\n```", inspect.getdoc(value) or ""]
    if inspect.isclass(value):
        parts.extend(method(line, value) for line in listing.members(name, value))
    return "\n\n".join(part for part in parts if part)


def method(line: str, owner: type) -> str:
    """One method or property of a class, as a list item."""
    signature = line.strip()
    attribute = signature.removeprefix("classmethod ").split(".", 1)[1].split("(")[0]
    text = " ".join((inspect.getdoc(getattr(owner, attribute)) or "").split())
    return f"- `{signature}`: {text}"


def settings() -> str:
    """One table row for each setting: its path, type, default and help."""
    schema = TypeAdapter(supertickets.Config).json_schema()
    rows = ["## Settings", "A config file has these fields; `--set training.epochs=5` changes one.", ""]
    rows += ["| setting | default | what |", "|---|---|---|"]
    default = supertickets.Config()
    for section in dataclasses.fields(supertickets.Config):
        value = getattr(default, section.name)
        if not dataclasses.is_dataclass(value):
            rows.append(row(section.name, value, schema["properties"][section.name]["description"]))
            continue
        described = schema["$defs"][type(value).__name__]["properties"]
        for field in dataclasses.fields(value):
            help_text = described[field.name]["description"]
            rows.append(row(f"{section.name}.{field.name}", getattr(value, field.name), help_text))
    for kind in (supertickets.ShareConfig, supertickets.TransferConfig):
        rows += own_settings(kind, {field.name for field in dataclasses.fields(supertickets.Config)})
    return "\n".join(rows[:2]) + "\n\n" + "\n".join(rows[3:])


def own_settings(kind: Any, shared: set[str]) -> list[str]:
    """The rows of the settings that `share` or `transfer` has beside those of a sweep."""
    verb = kind.__name__.removesuffix("Config").lower()
    found = [one for one in schema.fields(kind()) if one[0][0] not in shared and not dataclasses.is_dataclass(one[1])]
    rows = [row(".".join(path), value, help_text) for path, value, help_text in found]
    return ["", f"Of `{verb}`, beside these:", "", "| setting | default | what |", "|---|---|---|", *rows]


def row(path: str, default: Any, help_text: str) -> str:
    """One line of the table of settings."""
    shown = "" if default is None else f"`{', '.join(map(str, default)) if isinstance(default, tuple) else default}`"
    return f"| `{path}` | {shown} | {' '.join(help_text.split())} |"


def reference() -> str:
    """The whole page."""
    listing = api_listing()
    parts = [HEAD.strip()]
    for title, names in GROUPS.items():
        parts.append(f"## {title}")
        parts.extend(entry(name, listing) for name in names)
    return "\n\n".join([*parts, settings()]) + "\n"


def main() -> int:
    """Write the page, and the list of signatures that the tests compare with."""
    (HERE / "reference.md").write_text(reference(), encoding="utf-8")
    listing = api_listing()
    listing.KEPT.write_text(listing.public_api(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
