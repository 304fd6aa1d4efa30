"""A sharing experiment's folder as a report reads it: from records and tickets alone, without the encoder."""

from __future__ import annotations

from pathlib import Path

from supertickets.experiments.failures import failures
from supertickets.experiments.gathering import Gathering
from supertickets.experiments.layout import RUNS
from supertickets.experiments.records import RECORD_FILE, Record, load_all
from supertickets.experiments.runs import SharingRun
from supertickets.experiments.shares import record_folder, records_of
from supertickets.experiments.sharing_outcome import Method, Sharing, TaskRuns


class Recorded(Gathering):
    """A gathering of which a report reads what is finished."""

    def read(self) -> Sharing:
        """The experiment with the records of its finished runs: a run is finished when every task's record is there.

        Raises UserError when a record is damaged.
        """
        runs = self.runs()
        finished = [run for run in runs if self._is_finished(run)]
        by_run = {run.name: dict(zip(self.sweeps, records_of(self, run), strict=True)) for run in finished}
        present = {path.parent.parent.name for path in (self.folder / RUNS).glob(f"*/*/{RECORD_FILE}")}
        return Sharing(
            config=self.config,
            tasks=tuple(self._task(task, [(run, by_run[run.name][task]) for run in finished]) for task in self.sweeps),
            missing=tuple(run.name for run in runs if run not in finished),
            unplanned=tuple(sorted(present - {run.name for run in runs})),
            failed={name: one.error for name, one in failures(self.folder, [run.name for run in runs]).items()},
        )

    def _task(self, name: str, shared: list[tuple[SharingRun, Record]]) -> TaskRuns:
        sweep, level, own = self.sweeps[name], self.levels[name], self.records[name]
        records: dict[Method, tuple[Record, ...]] = {
            "full": tuple(record for record in own if record.kind == "full"),
            "winning": tuple(r for r in own if (r.kind, r.sparsity) == ("winning", level)),
        }
        for arm in self.config.arms:
            records[arm] = tuple(record for run, record in shared if run.arm == arm)
        return TaskRuns(
            name=name,
            config=sweep.config,
            task=sweep.task,
            data=sweep.data,
            sparsity=level,
            records=records,
            tickets={seed: self.mask(name, "sharing", seed) for seed in self.config.seeds},
            sweep=tuple(load_all(sweep.folder)),
        )

    def _is_finished(self, run: SharingRun) -> bool:
        return all((record_folder(self.folder, run, task) / RECORD_FILE).is_file() for task in self.sweeps)


def read_sharing(folder: Path) -> Sharing:
    """What lies in the folder of a sharing experiment, finished or not; raises UserError when it is none."""
    tasks = Gathering.open(folder)
    return Recorded(tasks.folder, tasks.config, tasks.sweeps).read()
