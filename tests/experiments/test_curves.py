"""Learning curves end a run that is far behind the leader, and no other."""

from __future__ import annotations

import numpy as np
import pytest

from fake_races import TASK, config_of, record_of
from small_examples import examples
from supertickets.experiments.curves import curve_arrays, is_hopeless
from supertickets.experiments.records import Record
from supertickets.experiments.runs import TuneRun
from supertickets.experiments.statistics import Predicted
from supertickets.learning.watching import Watch

RUN = TuneRun(config_of("race.checkpoints=[0.5]"), 0)


def at(rate: float) -> Predicted:
    """Predictions of the seed's selection examples, right at this rate."""
    arrays = record_of(RUN, lambda sparsity: rate).arrays
    return Predicted(arrays["selection_predictions"], arrays["selection_labels"])


def rival(rate: float, half_way: float) -> Record:
    """A finished run with its curve's one point."""
    curve = {"curve_shares": np.array([0.5]), "curve_predictions": at(half_way).predictions[None]}
    return record_of(RUN, lambda sparsity: rate, arrays=curve)


@pytest.mark.parametrize(("ours", "ends"), [(0.60, True), (0.77, False), (0.78, False), (0.9, False)])
def test_only_a_run_far_behind_is_hopeless(ours: float, ends: bool) -> None:
    """Three standard errors of the paired difference, about four points here, and the tolerance below the leader."""
    assert is_hopeless(TASK, [rival(0.85, 0.78)], 0.5, at(ours), 0.005) is ends


def test_the_leader_is_the_rival_that_ends_best() -> None:
    """Not the one that is ahead on the way; with a tolerance larger than the gap nothing is ended."""
    rivals = [rival(0.90, 0.62), rival(0.80, 0.85)]
    assert not is_hopeless(TASK, rivals, 0.5, at(0.60), 0.005)
    assert is_hopeless(TASK, rivals[1:], 0.5, at(0.60), 0.005)
    assert not is_hopeless(TASK, rivals[1:], 0.5, at(0.60), 0.5)


def test_nothing_to_compare_with_ends_nothing() -> None:
    """No rival with a curve, or none at this share of the training."""
    assert not is_hopeless(TASK, [], 0.5, at(0.1), 0.005)
    assert not is_hopeless(TASK, [rival(0.9, 0.9)], 0.25, at(0.1), 0.005)


def test_curves_are_kept_in_order() -> None:
    """A watched run's record has its curve by share; one that was not watched has none."""
    one, two = np.zeros((3, 2)), np.ones((3, 2))
    watch = Watch(examples(4), (0.5, 0.25), lambda share, predictions: False, {0.5: two, 0.25: one})
    arrays = curve_arrays(watch)
    assert arrays["curve_shares"].tolist() == [0.25, 0.5]
    assert np.array_equal(arrays["curve_predictions"], np.stack([one, two]))
    assert curve_arrays(None) == {}
