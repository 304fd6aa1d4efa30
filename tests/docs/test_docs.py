"""What the documentation promises: links that lead somewhere, names that exist, nothing of one machine."""

from __future__ import annotations

import re
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

import supertickets
from small_examples import tokenizer
from small_models import build
from supertickets.config import Measure, ScorerName

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
PAGE_IDS = [str(page.relative_to(ROOT)) for page in PAGES]
CODE_NAMES = sorted(set(re.findall(r"`(supertickets[\w.]*:[\w.]+)`", (ROOT / "docs" / "paper-to-code.md").read_text())))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("name", supertickets.__all__)
def test_every_public_name_stands_in_the_reference(name: str) -> None:
    """Each public name has its own entry in docs/reference.md."""
    assert f"\n### `{name}`\n" in (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CODE_NAMES)
def test_the_paper_leads_to_code_that_exists(name: str) -> None:
    """Each `module:function` of docs/paper-to-code.md can be imported."""
    module, _, attribute = name.partition(":")
    assert reduce(getattr, attribute.split("."), import_module(module)) is not None


def test_the_paper_page_names_the_method() -> None:
    """docs/paper-to-code.md reaches every folder that the paper's method lives in."""
    folders = {name.split(".")[1] for name in CODE_NAMES}
    assert folders >= {"tickets", "encoders", "learning", "experiments"}


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link or picture of a page is a file of the project."""
    links = [link.split("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8"))]
    missing = [link for link in links if link and "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_index_names_every_page() -> None:
    """docs/index.md links to each page beside it."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [
        page.name for page in (ROOT / "docs").glob("*.md") if page.name != "index.md" and page.name not in index
    ] == []


def test_changes_of_the_next_version_are_kept() -> None:
    """CHANGELOG.md has an Unreleased section, as Keep a Changelog asks."""
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_units_page_has_every_scorer_and_measure() -> None:
    """docs/units.md has one row for each."""
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "units.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted([*get_args(ScorerName), *get_args(Measure)])


def test_export_page_names_every_file(tmp_path: Path) -> None:
    """docs/export.md names what an export for transformers writes, one tokenizer file for all of them."""
    model = build("bert", "sdpa")
    supertickets.prune(model, supertickets.Mask.full(supertickets.structures_of(model)))
    model.save_pretrained(tmp_path / "own")
    tokenizer().save_pretrained(tmp_path / "own")
    out = supertickets.export(tmp_path / "own", out=tmp_path / "out")
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    files = {path.name for path in out.iterdir()} - {"tokenizer_config.json", "special_tokens_map.json"}
    assert {name for name in files if f"`{name}`" not in page} == set()
