"""Every package that an installation with all extras brings is pinned to one version."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PINNED = ROOT / "constraints.txt"
OWN = "supertickets"

pytestmark = pytest.mark.skipif(not PINNED.is_file(), reason="needs constraints.txt, which is in the repository only")


def pinned() -> dict[str, str]:
    """The pinned version of each package, by its normalised name."""
    lines = [line.partition("#")[0].strip() for line in PINNED.read_text(encoding="utf-8").splitlines()]
    found = [Requirement(line) for line in lines if line]
    assert all(re.fullmatch(r"==[^*,]+", str(one.specifier)) for one in found), "a pin is one version"
    names = [canonicalize_name(one.name) for one in found]
    assert len(set(names)) == len(names), "a package is pinned once"
    return dict(zip(names, (str(one.specifier).removeprefix("==") for one in found), strict=True))


def asked() -> list[Requirement]:
    """What the project asks for, with every extra."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    return [one for one in map(Requirement, texts) if canonicalize_name(one.name) != OWN]


def brought(wanted: list[Requirement]) -> Iterator[str]:
    """The packages that are there because of some requirements; those for other systems are not installed."""
    seen: set[tuple[str, str]] = set()
    while wanted:
        one = wanted.pop()
        for extra in (*sorted(one.extras), ""):
            name = canonicalize_name(one.name)
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                needs = map(Requirement, distribution(name).requires or ())
            except PackageNotFoundError:
                continue
            yield name
            wanted += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]


def test_every_package_of_every_extra_is_pinned() -> None:
    """No version is left to the day of the installation."""
    names = set(brought(asked()))
    assert {"torch", "transformers", "numpy", "pytest", "pip-audit"} <= names
    assert sorted(names - set(pinned()) - {"pip"}) == []  # pip is what installs them


def test_an_audit_without_the_network_is_no_failure() -> None:
    """It says in one line that it was not run."""
    script = f"import sys; sys.argv[0] = {str(ROOT / 'tests' / 'audit.py')!r}\n"
    script += "import subprocess, runpy\n"
    script += "subprocess.run = lambda *a, **k: subprocess.CompletedProcess(a, 1, '', 'ERROR: no route to host')\n"
    script += "runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "pip-audit: not run, as the service cannot be reached (ERROR: no route to host)\n"
