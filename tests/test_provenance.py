from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from supertickets import provenance


def test_collect_is_whole_and_json() -> None:
    """Versions as installed, this machine's cores, the time now: all plain JSON."""
    found = provenance.collect()
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["numpy"] == version("numpy")
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(found["versions"]) == {"python", *provenance.PACKAGES}
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["cpu"]
    age = datetime.now(UTC) - datetime.fromisoformat(found["time"])
    assert -1 < age.total_seconds() < 60


def test_collect_hands_out_copies() -> None:
    """What one caller adds to its answer does not show in the next."""
    provenance.collect()["versions"]["numpy"] = "0"
    assert provenance.collect()["versions"]["numpy"] == version("numpy")


def test_collect_imports_nothing_heavy() -> None:
    """Versions are read from metadata: neither torch nor transformers nor numpy is loaded."""
    code = (
        "import sys; from supertickets import provenance; provenance.collect();"
        "print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, as somebody."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def copied(folder: Path) -> None:
    """Put a copy of the module into a new repository."""
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "provenance.py").write_bytes(Path(provenance.__file__).read_bytes())


@pytest.mark.skipif(
    not any((Path(p) / "git").exists() for p in ("/usr/bin", "/usr/local/bin", "/bin")), reason="needs git"
)
def test_commit_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracked package gives its commit, marked when changed; one that only lies in a repository gives none."""
    copied(tmp_path / "repository")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "repository" / "provenance.py"))
    commit = provenance._commit.__wrapped__
    assert commit() is None
    git(tmp_path / "repository", "add", ".")
    git(tmp_path / "repository", "commit", "-q", "-m", "first")
    assert commit() == git(tmp_path / "repository", "rev-parse", "HEAD")
    (tmp_path / "repository" / "provenance.py").write_text("# changed\n", encoding="utf-8")
    assert commit() == git(tmp_path / "repository", "rev-parse", "HEAD") + "+changes"


def test_no_git_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git is not installed, the commit is None instead of a traceback."""
    monkeypatch.setenv("PATH", "")
    assert provenance._commit.__wrapped__() is None


def test_hash_text_counts_lengths_and_order() -> None:
    """Moving a letter between parts, or swapping parts, gives another hash; the same parts give the same."""
    assert provenance.hash_text(["ab", "c"]) == provenance.hash_text(("ab", "c"))
    different = [["ab", "c"], ["a", "bc"], ["c", "ab"], ["abc"], ["ab", "c", ""], []]
    assert len({provenance.hash_text(parts) for parts in different}) == len(different)
    assert len(provenance.hash_text(["é", "\udc80"])) == 64
