"""init: a config to make your own."""

from __future__ import annotations

from pathlib import Path

import pytest

from supertickets import schema, settings
from supertickets.cli.app import main
from supertickets.config import Config
from supertickets.errors import UserError
from supertickets.workflows.starting import init


def test_init_writes_a_config_that_gives_the_defaults(tmp_path: Path) -> None:
    """The file loads to what no file gives in a new folder, says how it is used, and holds each setting's help."""
    file = tmp_path / "mine.yaml"
    assert init(file) == file
    text = file.read_text(encoding="utf-8")
    assert settings.load(file) == settings.load(base={"strategy": "race"})
    assert f"supertickets sweep {file}" in text
    assert all(about in text for _, _, about in schema.fields(Config()))


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    """A file, a folder or a dangling link in the way stays as it is, and the command says so in one sentence."""
    file, folder, link = tmp_path / "mine.yaml", tmp_path / "folder", tmp_path / "link.yaml"
    file.write_text("precious")
    folder.mkdir()
    link.symlink_to(tmp_path / "nowhere")
    for path in (file, folder, link):
        with pytest.raises(UserError, match=r": exists already; give another name, or move it away$"):
            init(path)
    assert file.read_text() == "precious" and not any(folder.iterdir()) and not (tmp_path / "nowhere").exists()


def test_init_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`supertickets init` writes supertickets.yaml here; a second time it exits with 2."""
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert capsys.readouterr() == ("wrote supertickets.yaml\n", "")
    assert main(["init"]) == 2
    assert capsys.readouterr() == ("", "error: supertickets.yaml: exists already; give another name, or move it away\n")
