"""Runs that fail: tried again, then recorded with their error while the sweep goes on. No torch."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from supertickets import storage
from supertickets.checked import checked
from supertickets.errors import UserError
from supertickets.experiments.layout import FAILED_FILE, RUNS
from supertickets.experiments.progress import Progress
from supertickets.experiments.records import RECORD_FILE

ATTEMPTS = 3  # of a run, before it is recorded as failed


class DistantError(Exception):
    """An error on another machine, or the loss of that machine: its last line and what Python printed there."""

    def __init__(self, line: str, printed: str) -> None:
        self.line, self.printed = line, printed
        super().__init__(line, printed)  # both, so that it survives pickling between processes


@dataclass(frozen=True)
class Failure:
    """What `failed.json` holds in the folder of a run that failed every time."""

    name: str
    error: str
    attempts: int
    traceback: str

    @classmethod
    def of(cls, name: str, fault: BaseException, attempts: int) -> Failure:
        """The run's failure by its last error."""
        if isinstance(fault, DistantError):
            return cls(name, fault.line, attempts, fault.printed)
        printed = "".join(traceback.format_exception(fault))
        return cls(name, last_line(fault), attempts, printed)


def last_line(fault: BaseException) -> str:
    """`ValueError: the text`, the last line that Python prints of an error."""
    lines = [line for line in "".join(traceback.format_exception_only(fault)).splitlines() if line.strip()]
    return lines[-1].strip()


def fault_of(future: Future[None]) -> Exception | None:
    """Wait for a run: None, or the error it failed with.

    Raises what no second try would mend: UserError, and UserError for a process pool that lost a worker.
    """
    with whole_pool():
        try:
            future.result()
        except (UserError, BrokenExecutor):
            raise
        except Exception as fault:
            return fault
    return None


@contextmanager
def whole_pool() -> Iterator[None]:
    """Raise UserError where a process pool has lost a worker, at work or idle: it takes no more work."""
    try:
        yield
    except BrokenExecutor as fault:
        what = "a worker process was killed, most often for lack of memory"
        raise UserError(what, "--workers", "run the same command with fewer; what is finished is kept") from fault


class Setbacks:
    """Who is tried again, and who is given up: `failed.json` in the run's folder under `<folder>/runs`."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder, self._progress = folder, progress
        self._faults: dict[str, int] = {}
        self.given_up: set[str] = set()

    def again(self, name: str, fault: Exception, title: str) -> bool:
        """Whether to try the run again; if not, its failure is written and told."""
        attempts = self._faults[name] = self._faults.get(name, 0) + 1
        failure = Failure.of(name, fault, attempts)
        if attempts < ATTEMPTS:
            self._progress.say(f"{title}: trying again after {failure.error}")
            return True
        storage.write_json(self._folder / RUNS / name / FAILED_FILE, asdict(failure))
        self.given_up.add(name)
        self._progress.say(f"{title}: failed {attempts} times, left out: {failure.error}")
        return False

    def skip(self, line: str) -> None:
        """Tell what cannot be done without a run that was given up."""
        self._progress.say(line)

    def settled(self, name: str) -> None:
        """The run has its record: an older failure no longer counts."""
        (self._folder / RUNS / name / FAILED_FILE).unlink(missing_ok=True)


def failures(folder: Path, names: Iterable[str]) -> dict[str, Failure]:
    """By their names, the runs that failed and have no record since; raises UserError when a file is damaged."""
    places = {name: folder / RUNS / name for name in names}
    failed = [name for name, place in places.items() if (place / FAILED_FILE).is_file()]
    return {name: _load(places[name] / FAILED_FILE) for name in failed if not _has_record(places[name])}


def forget(folder: Path) -> None:
    """Remove what runs left that failed before: whoever begins anew tries them all again, or needs them no longer."""
    for path in (folder / RUNS).glob(f"*/{FAILED_FILE}"):
        path.unlink()


def all_failures(folder: Path) -> dict[str, Failure]:
    """As `failures`, of every run that has a folder under `<folder>/runs`."""
    return failures(folder, sorted(path.parent.name for path in (folder / RUNS).glob(f"*/{FAILED_FILE}")))


def check_enough(folder: Path, failed: Mapping[str, Failure], enough: bool) -> None:
    """Raise UserError, with the first error, when so many runs failed that nothing can be concluded."""
    if not enough and failed:
        first = next(iter(failed.values()))
        what = f"nothing to conclude: {len(failed)} runs failed, {first.name} with {first.error}"
        do = f"mend the cause and run the same command again; {FAILED_FILE} in each run's folder has the traceback"
        raise UserError(what, str(folder / RUNS), do)


def missing_words(missing: Sequence[str], failed: int, further: int = 0) -> str:
    """What the final sentence adds when runs are missing, of a race also the `further` ones; empty for a whole plan."""
    if not missing:
        return ""
    runs = f"{len(missing)} planned run{'s are' if len(missing) > 1 else ' is'} missing"
    more = f"; the race may want {further} more" if further else ""
    return f" {runs}{f', {failed} of them failed' if failed else ''}{more}."


def _has_record(place: Path) -> bool:
    """Also a sharing run's, which has one a task."""
    return (place / RECORD_FILE).is_file() or any(place.glob(f"*/{RECORD_FILE}"))


def _load(path: Path) -> Failure:
    return checked(Failure, storage.read_json(path), "a failure", str(path), "delete it and run the sweep again")
