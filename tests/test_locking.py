"""The lock of a sweep's folder: who holds it, when it ends, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from supertickets import locking, storage
from supertickets.errors import UserError


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


HOLDER = """
import sys, time
from pathlib import Path
from supertickets import locking
with locking.sweep_lock(Path(sys.argv[1])):
    (Path(sys.argv[1]) / "runs" / ".torn.1-ab.partial").mkdir(parents=True)
    (Path(sys.argv[1]) / ".record.json.1-cd.partial").write_text("torn")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    """A second process is told who holds the folder; after kill -9 it gets it, and can clear the leftovers."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        sentence = rf"^{tmp_path}: in use by process {holder.pid} on \S+ since \S+; wait for it to end"
        with pytest.raises(UserError, match=sentence), locking.sweep_lock(tmp_path):
            pytest.fail("the block must not run")
        assert (tmp_path / ".record.json.1-cd.partial").exists()
        holder.kill()
    with locking.sweep_lock(tmp_path):
        storage.remove_leftovers(tmp_path)
        assert names(tmp_path) == [locking.LOCK_FILE, locking.HOLDER_FILE, "runs"]
        assert names(tmp_path / "runs") == []
        assert json.loads((tmp_path / locking.HOLDER_FILE).read_text())["pid"] == os.getpid()


def test_lock_is_released_on_failure(tmp_path: Path) -> None:
    """After a fault in the block the folder is free, and nobody is named; it is made when absent."""
    with pytest.raises(ZeroDivisionError), locking.sweep_lock(tmp_path / "new" / "sweep"):
        raise ZeroDivisionError
    assert locking.HOLDER_FILE not in names(tmp_path / "new" / "sweep")
    with locking.sweep_lock(tmp_path / "new" / "sweep"):
        pass


def test_lock_says_when_the_folder_cannot_be_made(tmp_path: Path) -> None:
    """A sweep folder that is a file, or below one, or where no folder can be, is one sentence."""
    (tmp_path / "a").write_text("mine")
    places = {tmp_path / "a": "this is a file", tmp_path / "a" / "b": "cannot write", Path("/proc/x"): "cannot be made"}
    for folder, words in places.items():
        with pytest.raises(UserError, match=words), locking.sweep_lock(folder):
            pytest.fail("the block must not run")


def test_the_holders_name_may_not_be_written_yet(tmp_path: Path) -> None:
    """Between taking the lock and writing its name, the holder is called another process."""
    with locking.sweep_lock(tmp_path):
        (tmp_path / locking.HOLDER_FILE).unlink()
        with pytest.raises(UserError, match="in use by another process"), locking.sweep_lock(tmp_path):
            pytest.fail("the block must not run")


@pytest.mark.parametrize("name", ["figures", "runs/full-s0", "runs/full-s0/record.json", "gone"])
def test_a_link_in_a_folder_of_ours_is_refused(name: str, tmp_path: Path) -> None:
    """Through it a sweep or a report would write elsewhere; the folder itself may be reached by a link."""
    victim, folder = tmp_path / "victim", tmp_path / "sweep"
    victim.mkdir()
    (folder / name).parent.mkdir(parents=True)
    (folder / name).symlink_to(victim)
    with pytest.raises(UserError, match=f"{name}: a link, through which files would be written elsewhere"):
        locking.sweep_lock(folder).__enter__()
    (folder / name).unlink()
    (tmp_path / "link").symlink_to(folder)
    with locking.sweep_lock(tmp_path / "link"):
        assert (folder / locking.HOLDER_FILE).is_file()
    assert not any(victim.iterdir())
