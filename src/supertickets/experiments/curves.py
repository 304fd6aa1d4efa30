"""Learning curves of a race's first seed: what a run is compared with on the way, and when it is hopeless."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from datasets import Dataset

from supertickets.data.tasks import Task
from supertickets.experiments.odds import EXAMPLE_DRAWS
from supertickets.experiments.racing import is_watched, rivals
from supertickets.experiments.records import RECORD_FILE, Record
from supertickets.experiments.runs import Run
from supertickets.experiments.statistics import Predicted, on_draws
from supertickets.experiments.workspace import Workspace
from supertickets.learning.watching import Watch

HOPELESS = 3.0  # standard errors, over the examples, below the leader at the same share of the training


def watch_of(run: Run, sweep: Workspace, selection: Dataset) -> Watch | None:
    """What watches a run's training; None where no curve is kept. It sees selection examples only."""
    if not is_watched(run):
        return None
    curves, labels = _curves_of_rivals(run, sweep), np.asarray(selection["labels"])
    tolerance = run.config.race.tolerance

    def hopeless(share: float, predictions: np.ndarray) -> bool:
        return is_hopeless(sweep.task, curves, share, Predicted(predictions, labels), tolerance)

    return Watch(selection, run.config.race.checkpoints, hopeless)


def is_ended_rightly(run: Run, record: Record, sweep: Workspace) -> bool:
    """Whether a run's record that was ended early is the one that the sweep's settings give: they may have changed.

    Its curve must be hopeless at the last checkpoint that it came to, and at none before. Raises UserError where a
    rival's record is damaged.
    """
    shares = record.arrays.get("curve_shares", np.zeros(0)).tolist()
    if not is_watched(run) or record.stopped is None or not shares:
        return False
    curves, race = _curves_of_rivals(run, sweep), run.config.race
    labels, looks = record.arrays["selection_labels"], record.arrays["curve_predictions"]
    hopeless = [
        is_hopeless(sweep.task, curves, share, Predicted(look, labels), race.tolerance)
        for share, look in zip(shares, looks, strict=True)
    ]
    # Of several checkpoints within one step, which have the same predictions, the last was looked at.
    before = [one for one, look in zip(hopeless, looks, strict=True) if not np.array_equal(look, looks[-1])]
    passed = sorted(share for share in race.checkpoints if share <= record.stopped)
    return bool(shares == passed and hopeless[-1] and not any(before))


def _curves_of_rivals(run: Run, sweep: Workspace) -> list[Record]:
    """The records that the run is compared with; a rival that failed every time has none, a grid's have no curve."""
    there = [rival for rival in rivals(run) if (sweep.run_folder(rival) / RECORD_FILE).is_file()]
    finished = [Record.load(sweep.run_folder(rival), rival.name) for rival in there]
    return [record for record in finished if "curve_shares" in record.arrays]


def is_hopeless(task: Task, rivals: Sequence[Record], share: float, ours: Predicted, tolerance: float) -> bool:
    """Whether a run is below the leader, at the same share of its training, by more than tolerance and noise.

    The leader is the rival with the highest final selection score. The noise is three standard errors of
    the paired difference over bootstrap draws of the examples. Never without a rival's curve.
    """
    if not rivals:
        return False
    leader = max(rivals, key=lambda record: (record.selection.main, record.sparsity))
    at = np.flatnonzero(np.isclose(leader.arrays["curve_shares"], share))
    if not at.size:
        return False
    theirs = Predicted(leader.arrays["curve_predictions"][at[0]], ours.labels)
    ahead, behind = (on_draws(task, side, EXAMPLE_DRAWS, 0) for side in (theirs, ours))
    gap = ahead - behind
    return bool(gap.mean() - HOPELESS * gap.std() > tolerance)


def curve_arrays(watch: Watch | None) -> dict[str, np.ndarray]:
    """A watched training's curve as a record's arrays; none where nothing was watched."""
    if watch is None or not watch.curve:
        return {}
    shares = np.array(sorted(watch.curve))
    return {"curve_shares": shares, "curve_predictions": np.stack([watch.curve[share] for share in shares.tolist()])}
