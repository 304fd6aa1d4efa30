"""The settings by name: their help, their places in Config, and what validation has to say, in our words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from dataclasses import fields as dataclass_fields
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import ValidationError

from supertickets.checked import adapter
from supertickets.config import BUDGETS, RECIPES, Config, SharedTaskConfig
from supertickets.yaml_places import Loc

C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one setting; `at_key` when it is the name that is wrong, not the value."""

    loc: Loc
    text: str
    at_key: bool = False

    @property
    def setting(self) -> Loc:
        """The setting or section at fault, without places inside a list."""
        return tuple(step for step in self.loc[:2] if isinstance(step, str))


def fields(value: Any, loc: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """Place, value and help of each setting and section of a Config, in the order of the schema."""
    for name, info in type(value).__pydantic_fields__.items():
        child = getattr(value, name)
        yield (*loc, name), child, info.description or ""
        if is_dataclass(child):
            yield from fields(child, (*loc, name))


def get(config: Config, loc: Sequence[str | int]) -> Any:
    """The value of one setting."""
    value: Any = config
    for step in loc:
        value = getattr(value, str(step))
    return value


def dotted(loc: Sequence[str | int]) -> str:
    """`training.epochs` for ("training", "epochs")."""
    return ".".join(str(step) for step in loc)


def is_dialled(loc: Sequence[str]) -> bool:
    """Whether any budget or recipe sets this setting."""
    trees: list[Any] = [*BUDGETS.values(), *RECIPES.values()]
    for step in loc:
        trees = [tree[step] for tree in trees if isinstance(tree, Mapping) and step in tree]
    return bool(trees)


def sections(kind: type[Config] = Config) -> dict[str, tuple[str, ...]]:
    """The names of the settings in each section, and under "" those of the top."""
    tree = asdict(kind())
    return {"": tuple(tree)} | {name: tuple(value) for name, value in tree.items() if isinstance(value, dict)}


def suggest(name: str, options: Sequence[str]) -> str:
    """`did you mean X?` for the option nearest to `name`, or the list of them all."""
    near = get_close_matches(name.lower(), options, n=1)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(options)}"


def validate(values: Mapping[str, Any], kind: type[C]) -> tuple[C, list[Fault]]:
    """The settings, each faulty one at its default, and all faults.

    Goes through JSON because only there pydantic's strictness (no text for a number, no true for 1)
    takes a list for a tuple.
    """
    try:
        text = json.dumps(values, default=str)
    except ValueError as problem:  # of Python's limit on digits there is no error of its own
        circle = "circular" in str(problem).lower()
        return kind(), [Fault((), "a setting contains itself" if circle else "a number has too many digits")]
    try:
        return adapter(kind).validate_json(text, strict=True), []  # type: ignore[arg-type]
    except ValidationError as errors:
        faults = [_fault(error, kind) for error in errors.errors(include_url=False) if not _follows(error)]
    sound = json.loads(text)  # as pydantic reads it, whose faults name keys so: halves of a character joined
    if any(not fault.loc for fault in faults):  # not one setting but the whole: too deep, or text that is no text
        return kind(), faults
    for fault in faults:
        section, *rest = map(str, fault.setting)
        (sound.get(section, {}) if rest else sound).pop(rest[0] if rest else section, None)
    return adapter(kind).validate_json(json.dumps(sound, default=str), strict=True), faults  # type: ignore[arg-type]


_MUST_BE = {
    "string_type": "text (in quotes)",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list, such as [a, b]",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "too_short": "a list of {min_length} or more",
    "dataclass_type": "a section of settings",
}


def _follows(error: Any) -> bool:
    """Whether a list is called too short only because some of its items are faulty themselves."""
    return error["type"] == "too_short" and bool(len(error["input"]) >= error["ctx"]["min_length"])


def _fault(error: Any, config: type[Config]) -> Fault:
    """One of pydantic's errors in our words."""
    loc, kind, value = error["loc"], error["type"], error["input"]
    if kind == "unexpected_keyword_argument":
        return Fault(loc, f"unknown; {_instead(config, loc)}", at_key=True)
    shown = json.dumps(value, ensure_ascii=False, default=str)
    shown = shown if len(shown) < 60 else f"{shown[:57]}..."
    if kind == "literal_error":
        options = [word.strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        near = get_close_matches(str(value), options, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return Fault(loc, f"must be {' or '.join(options)}, not {shown}{hint}")
    words = _MUST_BE.get(kind)
    bounds = {name: f"{bound:.12g}" for name, bound in error.get("ctx", {}).items() if isinstance(bound, int | float)}
    text = f"must be {words.format(**bounds)}" if words else error["msg"]
    return Fault(loc, f"{text}, not {shown}")


def _instead(config: type[Config], loc: Sequence[str | int]) -> str:
    """The setting that an unknown name may have meant: of the same section, else of any."""
    *around, name = map(str, loc)
    # A task is named by the user; its settings are those of one.
    of_a_task = tuple(field.name for field in dataclass_fields(SharedTaskConfig))
    names = of_a_task if len(around) > 1 else sections(config)["".join(around)]
    siblings = {sibling: dotted((*around, sibling)) for sibling in names}
    everywhere = {place[-1]: dotted(place) for place, value, _ in fields(config()) if not is_dataclass(value)}
    for options in (siblings, everywhere):
        near = get_close_matches(name, options, n=1, cutoff=0.7)
        if near:
            return f"did you mean {options[near[0]]}?"
    return f"known here: {', '.join(siblings.values())}"
