"""What loads torch, and what must not: a command that prints its help answers at once."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import supertickets

HEAVY = ("torch", "transformers", "accelerate", "datasets", "sklearn", "matplotlib")
# The modules that work with models or tensors; every other one stays free of torch.
TORCH = (
    "supertickets.encoders",
    "supertickets.learning",
    "supertickets.data.batching",
    "supertickets.data.mixing",
    "supertickets.data.sampling",
    "supertickets.experiments.aiming",
    "supertickets.experiments.bench",
    "supertickets.experiments.curves",
    "supertickets.experiments.delivery",
    "supertickets.experiments.landing",
    "supertickets.experiments.lottery",
    "supertickets.experiments.executors",
    "supertickets.experiments.gathering",
    "supertickets.experiments.members",
    "supertickets.experiments.parcels",
    "supertickets.experiments.ray_nodes",
    "supertickets.experiments.ray_workers",
    "supertickets.experiments.shares",
    "supertickets.experiments.sharing_reading",
    "supertickets.experiments.sources",
    "supertickets.experiments.staff",
    "supertickets.experiments.soups",
    "supertickets.experiments.sweeps",
    "supertickets.experiments.transfers",
    "supertickets.experiments.workspace",
    "supertickets.testing",
)
TORCH_FREE_INSIDE = (
    "supertickets.learning.metrics",
    "supertickets.learning.processes",
    "supertickets.encoders.registry",
)


def fresh_python(code: str) -> str:
    """Run code in a new interpreter, so that nothing is imported yet; return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def torch_free_modules() -> list[str]:
    """Every module of the package that may not load torch."""
    found = [module.name for module in pkgutil.walk_packages(supertickets.__path__, "supertickets.")]
    inside = tuple(f"{package}." for package in TORCH)
    return [name for name in found if name in TORCH_FREE_INSIDE or not (name in TORCH or name.startswith(inside))]


def test_modules_below_the_models_do_not_load_torch() -> None:
    """Importing every module that needs no model loads neither torch nor transformers."""
    names = [*torch_free_modules(), "supertickets.encoders", "supertickets.learning"]
    assert "supertickets.tickets.masks" in names
    code = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
    heavy = {{"torch", "transformers"}} & set(sys.modules)
    if heavy:
        print(name, "loads", *sorted(heavy))
        break
"""
    assert fresh_python(code) == ""


def test_importing_the_package_loads_nothing_heavy() -> None:
    """`import supertickets` and a look at its names load none of the large libraries, nor numpy."""
    code = f"import sys, supertickets; dir(supertickets); print({{*{(*HEAVY, 'numpy')!r}}} & set(sys.modules) or '')"
    assert fresh_python(code).strip() == ""


def test_help_loads_nothing_heavy() -> None:
    """`supertickets --help`, and that of every verb, load none of the large libraries."""
    code = f"""
import sys
from supertickets.cli.app import main
verbs = "find sweep share transfer report show check init export predict".split()
for words in ([], *([verb] for verb in verbs)):
    assert main([*words, "--help"]) == 0, words
print("loaded:", *sorted({{*{HEAVY!r}}} & set(sys.modules)))
"""
    assert fresh_python(code).splitlines()[-1].strip() == "loaded:"


def test_type_checkers_and_python_see_the_same_names() -> None:
    """The TYPE_CHECKING block and the table that `__getattr__` reads name the same things from the same modules."""
    tree = ast.parse(Path(supertickets.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.asname: f"{node.module}.{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == {name: f"supertickets.{home}.{name}" for name, home in supertickets._HOME.items()}
    assert supertickets.__all__ == sorted(typed)


@pytest.mark.parametrize("name", supertickets.__all__)
def test_public_names_load(name: str) -> None:
    """Each public name can be imported from the package, and is what it says it is."""
    assert getattr(supertickets, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that does not exist is reported as Python reports it, so that `hasattr` works."""
    assert not hasattr(supertickets, "winning_ticket")
