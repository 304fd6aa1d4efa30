"""From a file, flags and `--set` overrides to one checked Config, and back to text.

Order, the later wins: defaults < budget < `base` < recipe < file < `flags` < `--set`; a budget that somebody
asked for goes over `base`, since base only replaces defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any

from supertickets import yaml_places
from supertickets.config import BUDGETS, RECIPES, Config, ShareConfig, TransferConfig
from supertickets.conflicts import HEAD, IMPORTANCE, SOUP, SPLIT, conflicts
from supertickets.errors import UserError
from supertickets.schema import C, Fault, dotted, fields, get, is_dialled, sections, validate
from supertickets.yaml_places import Loc, Placed


@dataclass(frozen=True)
class Layer:
    """Settings of one origin (the file, one override, the flags), with the place of each where known."""

    values: Mapping[str, Any]
    origin: str = ""
    placed: Placed = field(default_factory=lambda: Placed(None))

    def sets(self, setting: Loc) -> bool:
        """Whether this layer holds a value for the setting or section."""
        value: Any = self.values
        for step in setting:
            if not isinstance(value, Mapping) or step not in value:
                return False
            value = value[step]
        return True

    def place(self, fault: Fault) -> tuple[int, int]:
        """Line and column of the fault or of the nearest thing around it; (0, 0) when unknown."""
        if fault.at_key and fault.loc in self.placed.keys:
            return self.placed.keys[fault.loc]
        around = (fault.loc[:end] for end in range(len(fault.loc), 0, -1))
        return next((self.placed.values[loc] for loc in around if loc in self.placed.values), (0, 0))


def load(
    file: Path | None = None,
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """The checked settings of one sweep, a Config.

    `overrides` read `training.epochs=5`, the value in YAML. `base` (below the file) and `flags` (above
    it) are nested mappings like the file's; None in them means not given. Control levels that nobody
    set by hand follow the levels; a target leaves no levels but those set by hand; what a consensus or a
    soup needs of the seeds is set with it. Raises one UserError with a line for each fault.
    """
    layers = [Layer(_given(base or {}))]
    layers += [_read_file(Path(file), Config)] if file is not None else []
    layers += [Layer(_given(flags or {})), *map(_read_override, overrides)]
    return _checked(layers, Config)


def load_shared(file: Path, overrides: Sequence[str] = ()) -> ShareConfig:
    """The checked settings of one encoder shared by several tasks; raises as `load` does."""
    return _checked([Layer({}), _read_file(file, ShareConfig), *map(_read_override, overrides)], ShareConfig)


def load_transfer(
    file: Path | None = None,
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> TransferConfig:
    """The checked settings of a transfer to a new task; as `load`, but None in `base` is a value of its own."""
    layers = [Layer(base or {})]
    layers += [_read_file(Path(file), TransferConfig)] if file is not None else []
    return _checked([*layers, Layer(_given(flags or {})), *map(_read_override, overrides)], TransferConfig)


def _checked(layers: Sequence[Layer], kind: type[C]) -> C:
    config, faults = validate(_stack(layers[0].values, _merge([layer.values for layer in layers[1:]])), kind)
    by_hand = {name for name in ("levels", "control_levels") if any(one.sets(("tickets", name)) for one in layers[1:])}
    if config.tickets.target is not None and "levels" not in by_hand:
        config = replace(config, tickets=replace(config.tickets, levels=()))
    if "control_levels" not in by_hand:
        config = _follow_levels(config)
    config = _join_seeds(config, lambda loc: any(one.sets(loc) for one in layers[1:]))
    whole = {fault.setting[:1] for fault in faults if len(fault.setting) == 1 or fault.setting[:1] == ("tasks",)}
    broken = {fault.setting for fault in faults} | whole
    faults += [fault for fault, locs in conflicts(config) if not broken & {*locs, *(loc[:1] for loc in locs)}]
    located = [_locate(fault, layers) for fault in faults]
    located += [_located(layer, n, fault) for n, layer in enumerate(layers) for fault in _repeated(layer)]
    if located:
        raise UserError("\n".join(text for _, text in sorted(located)))
    return config


def names(file: Path, setting: str) -> bool:
    """Whether a config's file has a top-level setting, which tells its kind; no file has none."""
    if not file.is_file() or file.stat().st_size > yaml_places.MOST_BYTES:
        return False  # which is refused where it is read
    placed = yaml_places.parse(file.read_text(encoding="utf-8", errors="replace"), str(file))
    return isinstance(placed.value, dict) and setting in placed.value


def dump(config: Config) -> str:
    """YAML text of every setting, itself a valid input that gives the same Config."""
    return yaml_places.dump(asdict(config))


def commented(config: Config) -> str:
    """YAML text of every setting with its help above it, giving the same Config.

    What the budget sets is commented out, so that turning the budget's dial does something.
    """
    preset = load(overrides=[f"budget={config.budget}", f"recipe={config.recipe}"])
    lines: list[str] = []
    for loc, value, about in fields(config):
        indent, gap = "  " * (len(loc) - 1), [""] if len(loc) == 1 else []
        if is_dataclass(value):
            lines += [*gap, f"{indent}# {about}", f"{indent}{loc[-1]}:"]
            continue
        dialled = is_dialled(loc) and value == get(preset, loc)
        text = yaml_places.dump({loc[-1]: value}).strip()
        lines += [*gap, f"{indent}# {about}{' (The budget sets it.)' if dialled else ''}"]
        lines += [f"{indent}{'# ' if dialled else ''}{text}"]
    return "\n".join(lines[1:]) + "\n"


def _read_file(file: Path, kind: type[Config]) -> Layer:
    name = str(file)
    try:
        if file.stat().st_size > yaml_places.MOST_BYTES:
            raise UserError(f"too large for a config: {file.stat().st_size:,} bytes", name)
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError("no such file", name, "`supertickets init` writes a config to start from") from None
    except UnicodeDecodeError as fault:
        line = fault.object[: fault.start].count(b"\n") + 1
        raise UserError("not UTF-8 text", f"{name}:{line}", "save the file as UTF-8") from None
    except OSError as fault:
        raise UserError(f"cannot be read ({fault.strerror})", name) from fault
    placed = yaml_places.parse(text, name)
    if not isinstance(placed.value, dict | None):
        raise UserError("holds no settings", f"{name}:1:1", "write lines such as `budget: laptop`")
    # `tickets:` with nothing but comments below it is an empty section, as in the file that `init` writes
    given: dict[str, Any] = placed.value or {}
    values = {key: {} if value is None and key in sections(kind) else value for key, value in given.items()}
    return Layer(values, name, placed)


def _read_override(text: str) -> Layer:
    name, equals, value = text.partition("=")
    steps = [step.strip() for step in name.split(".")]
    if not equals or not all(steps):
        raise UserError("not an override", f"--set {text}", "write it as name=value, such as training.epochs=5")
    tree: Any = yaml_places.parse(value, f"--set {text}").value
    for step in reversed(steps):
        tree = {step: tree}
    return Layer(tree, f"--set {text}")


def _stack(base: Mapping[str, Any], by_hand: Mapping[str, Any]) -> dict[str, Any]:
    """All settings, with the budget's and the recipe's values where they belong."""
    asked = "budget" in by_hand
    name = str(by_hand["budget"] if asked else base.get("budget", Config().budget))
    preset: Mapping[str, Any] = {str(key): value for key, value in BUDGETS.items()}.get(name, {})
    recipe = RECIPES.get(str(by_hand.get("recipe", Config().recipe)), {})  # type: ignore[call-overload]
    return _merge([*([base, preset] if asked else [preset, base]), recipe, by_hand])


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None, at any depth."""
    nested = {key: _given(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    return {key: value for key, value in nested.items() if value is not None}


def _merge(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The later tree wins, setting by setting."""
    merged: dict[str, Any] = {}
    for tree in trees:
        for key, value in tree.items():
            old = merged.get(key)
            both = isinstance(old, Mapping) and isinstance(value, Mapping)
            merged[key] = _merge([old, value]) if both and old is not None else value
    return merged


def _follow_levels(config: C) -> C:
    """Control levels become those of the preset that are among the levels, or else all levels."""
    tickets = config.tickets
    control = tuple(level for level in tickets.control_levels if level in tickets.levels) or tickets.levels
    return replace(config, tickets=replace(tickets, control_levels=control))


def _join_seeds(config: C, by_hand: Callable[[Loc], bool]) -> C:
    """What a consensus or a soup needs of the seeds, for each setting of it that nobody set by hand."""
    for needing, loc, value in (
        (get(config, SOUP) != "none", IMPORTANCE, "consensus"),
        (get(config, SOUP) != "none", HEAD, "common"),
        (get(config, SOUP) != "none" or get(config, IMPORTANCE) == "consensus", SPLIT, "common"),
    ):
        if needing and not by_hand(loc):
            section = replace(get(config, loc[:1]), **{str(loc[1]): value})
            config = replace(config, **{str(loc[0]): section})
    return config


def _repeated(layer: Layer) -> list[Fault]:
    return [Fault(loc, text, at_key=True) for loc, text in layer.placed.faults]


def _locate(fault: Fault, layers: Sequence[Layer]) -> tuple[tuple[int, ...], str]:
    """Sort key and line of the fault, placed in the layer whose value won."""
    for setting in (fault.setting, fault.setting[:1]):
        for number, layer in reversed(list(enumerate(layers))):
            if setting and layer.sets(setting):
                return _located(layer, number, fault)
    return (len(layers),), f"{dotted(fault.loc)}: {fault.text}".removeprefix(": ")


def _located(layer: Layer, number: int, fault: Fault) -> tuple[tuple[int, ...], str]:
    line, column = layer.place(fault)
    where = f"{layer.origin}:{line}:{column}" if line else layer.origin
    parts = (where, dotted(fault.loc), fault.text)
    return (number, line, column), ": ".join(part for part in parts if part)
