"""Reading: the task that a delivered model learned, and how it read the texts; kept beside its weights. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from supertickets import settings, storage
from supertickets.config import Config
from supertickets.data.demo import TASK as DEMO
from supertickets.data.tasks import KNOWN, Task, known
from supertickets.errors import UserError
from supertickets.experiments.layout import CONFIG_FILE, SHARED_FILE, SUPER_TICKET, TASK_FILE
from supertickets.experiments.origins import task_of

FORMAT = "supertickets task 1"


@dataclass(frozen=True)
class Reading:
    """The task, whether it is a known one, the columns of its texts, and the tokens that a text was cut at.

    `text_pair` is None where the model reads single texts. A known task's columns are those of its
    published files.
    """

    task: Task
    known: bool
    text: str
    text_pair: str | None
    max_length: int

    @classmethod
    def of(cls, config: Config, task: Task) -> Reading:
        """What a sweep's config says of its task."""
        data, longest = config.data, config.encoder.max_length
        if data.train is not None or data.task is None or data.task == DEMO.name:
            return cls(task, False, data.text, data.text_pair, longest)
        columns = known(data.task).layouts[0].columns
        return cls(task, True, columns.text[0], next(iter(columns.text_pair), None), longest)

    @classmethod
    def beside(cls, folder: Path) -> Reading | None:
        """That of a model's folder, or of the sweep around a super ticket that has none; None for any other model.

        Raises UserError when a file is damaged.
        """
        if (folder / TASK_FILE).is_file():
            return cls._load(folder / TASK_FILE)
        sweep = folder.parent
        if folder.name != SUPER_TICKET or not (sweep / CONFIG_FILE).is_file():
            return None
        return cls.of(settings.load(sweep / CONFIG_FILE), task_of(sweep))

    @classmethod
    def of_shared(cls, folder: Path, task: str) -> Reading:
        """That of one task of a shared encoder's folder; raises UserError when it holds none of it."""
        try:
            plain = storage.read_sealed(folder / SHARED_FILE)["tasks"][task]["reading"]
        except (LookupError, TypeError) as fault:
            raise UserError(f"it says nothing of how {task} reads texts", str(folder / SHARED_FILE)) from fault
        return cls._from(plain, folder / SHARED_FILE)

    @classmethod
    def _load(cls, path: Path) -> Reading:
        return cls._from(storage.read_json(path), path)

    @classmethod
    def _from(cls, plain: Any, path: Path) -> Reading:
        if not isinstance(plain, dict) or plain.get("format") != FORMAT:
            said = plain.get("format") if isinstance(plain, dict) else plain
            raise UserError(f"its format is {said!r}, expected {FORMAT!r}", str(path), "export again")
        try:
            values: Mapping[str, Any] = {name: plain[name] for name in ("known", "text", "text_pair", "max_length")}
            found = cls(Task.from_dict(plain["task"]), **values)
            _check_types(found)
        except (KeyError, TypeError, ValueError) as fault:
            raise UserError(f"not a task ({fault})", str(path), "export again") from fault
        if found.known and found.task.name not in KNOWN:
            raise UserError(f"not a known task: {found.task.name}", str(path), "export again")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format": FORMAT} | asdict(self)


def _check_types(reading: Reading) -> None:
    """Raise TypeError for values of other types than a sweep writes."""
    pair = reading.text_pair is None or isinstance(reading.text_pair, str)
    names = all(isinstance(name, str) for name in (reading.task.name, reading.text, *reading.task.labels))
    if not (pair and names and type(reading.max_length) is int and reading.max_length > 0):
        raise TypeError("texts, labels or their length cannot be read")
