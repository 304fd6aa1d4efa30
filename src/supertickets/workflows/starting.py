"""init: a config to start from."""

from __future__ import annotations

from pathlib import Path

from supertickets import settings, storage
from supertickets.errors import UserError
from supertickets.workflows.finding import NEW

_INTRODUCTION = """\
# The settings of one sweep, each with its default. Keep the lines that you change; the rest may go.
#
#   name a known task and its folder, or your own train and test files, under `data`
#   supertickets check {name}   checks this file and the data, trains nothing
#   supertickets sweep {name}   finds the super ticket; run it again to resume

"""


def init(out: Path | str = Path("supertickets.yaml")) -> Path:
    """Write a commented config with every setting, and return where it is; raises UserError when `out` exists."""
    out = Path(out)
    if out.exists() or out.is_symlink():
        raise UserError("exists already", str(out), "give another name, or move it away")
    storage.write_text(out, _INTRODUCTION.format(name=out) + settings.commented(settings.load(base=NEW)))
    return out
