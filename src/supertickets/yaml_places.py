"""YAML text to plain values that remember where they stood.

Words mean what YAML 1.2 says: only true and false are booleans, `5e-5` is a number, and dates stay
text. PyYAML's own YAML 1.1 reads `label: no` as False and `5e-5` as text.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import yaml

from supertickets.errors import UserError

MOST_BYTES = 2**18  # of a config; ours have some five thousand
DEEPEST = 100  # brackets in brackets; ours have two
MOST_PARTS = 20_000  # of a document, with what aliases stand for counted each time

Loc = tuple[str | int, ...]
Place = tuple[int, int]

_TAG = "tag:yaml.org,2002:"
_FLOAT = re.compile(
    r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)
_WORDS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("null", re.compile(r"(?:~|null|Null|NULL|)$"), "~nN\0"),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("merge", re.compile(r"<<$"), "<"),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (as declared by PyYAML)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Keys are names of settings, so text."""
        return {str(key): value for key, value in super().construct_mapping(node, deep).items()}


class _Dumper(yaml.SafeDumper):
    """Quotes whatever YAML 1.1 or 1.2 would not read back as text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _name, _pattern, _first in _WORDS:
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, ["" if c == "\0" else c for c in _first])
_Dumper.add_implicit_resolver(_TAG + "float", _FLOAT, list("-+.0123456789"))
_Dumper.add_representer(tuple, lambda d, v: d.represent_sequence(_TAG + "seq", v, flow_style=True))


@dataclass(frozen=True)
class Placed:
    """A value, the place of each of its parts and keys (line and column from 1), and what was found odd."""

    value: Any
    values: Mapping[Loc, Place] = field(default_factory=dict)
    keys: Mapping[Loc, Place] = field(default_factory=dict)
    faults: tuple[tuple[Loc, str], ...] = ()


def parse(text: str, name: str) -> Placed:
    """The one document in `text`; raises UserError placed at `name:line:column` when it is not YAML.

    So it does for a text that would come to very much more by its aliases or merge keys.
    """
    if _depth(text) > DEEPEST:  # which takes the parser very long to refuse
        raise UserError(f"not valid YAML: more than {DEEPEST} brackets in brackets", name)
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None and _parts(node, {}) > MOST_PARTS:
            raise UserError(f"too large: it has more than {MOST_PARTS:,} parts", name, "write a config by hand")
        value = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise UserError(f"not valid YAML: {fault.problem or fault.context}", where) from fault
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        raise UserError(f"not valid YAML: {' '.join(str(fault).split())}", name) from fault
    finally:
        if loader is not None:
            loader.dispose()
    values: dict[Loc, Place] = {}
    keys: dict[Loc, Place] = {}
    faults: list[tuple[Loc, str]] = []
    if node is not None:
        _walk(node, (), values, keys, faults, set())
    return Placed(value, values, keys, tuple(faults))


def _depth(text: str) -> int:
    """Most brackets that are open at once, those inside quotes included."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[{\]}]", text):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def _parts(node: yaml.Node, known: dict[int, int]) -> int:
    """How many parts a node comes to when aliases are written out; a circle, which is refused later, counts once."""
    if id(node) not in known:
        known[id(node)] = 1
        below: Iterable[yaml.Node] = ()
        if isinstance(node, yaml.MappingNode):
            below = chain.from_iterable(node.value)
        elif isinstance(node, yaml.SequenceNode):
            below = node.value
        known[id(node)] = 1 + sum(_parts(child, known) for child in below)
    return known[id(node)]


def _walk(
    node: yaml.Node,
    path: Loc,
    values: dict[Loc, Place],
    keys: dict[Loc, Place],
    faults: list[tuple[Loc, str]],
    seen: set[int],
) -> None:
    """Note the place of each part below `node`; an alias is followed once, so a circle ends."""
    values[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            step = (*path, str(key.value))
            repeated = step in keys
            if repeated:
                faults.append((step, f"given twice, first in line {keys[step][0]}"))
            keys[step] = (key.start_mark.line + 1, key.start_mark.column + 1)
            # What a repeated key holds is not told again, setting by setting.
            _walk(child, step, values, keys, [] if repeated else faults, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _walk(child, (*path, index), values, keys, faults, seen)


def dump(value: Any) -> str:
    """YAML text of plain values, keys in the order given, lists on one line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
