"""The known tasks: one row each, and names forgiven their spelling."""

from __future__ import annotations

import pytest

from supertickets.conflicts import KNOWN_TASKS
from supertickets.data.tasks import KNOWN, Task, known
from supertickets.errors import UserError
from supertickets.learning.metrics import METRICS


def test_the_config_check_knows_the_same_tasks() -> None:
    """The names that a config is checked against are the table's, in its order."""
    assert tuple(KNOWN) == KNOWN_TASKS


def test_every_metric_of_a_known_task_exists() -> None:
    """Each task is scored by metrics that the table of metrics has."""
    assert {metric for row in KNOWN.values() for metric in row.task.metrics} == set(METRICS)


def test_tasks_that_the_encoders_have_seen_say_so() -> None:
    """Exactly the four tasks whose pairs are in the encoders' contrastive tuning carry a note."""
    assert {name for name, row in KNOWN.items() if row.task.note} == {"mnli", "snli", "qqp", "qnli"}
    assert "Quora duplicates" in KNOWN["qqp"].task.note


@pytest.mark.parametrize(("name", "classes"), [("stsb", 1), ("sst2", 2), ("mnli", 3)])
def test_a_head_has_one_output_per_class(name: str, classes: int) -> None:
    """A classification head has as many outputs as classes, a regression head one."""
    assert KNOWN[name].task.classes == classes


@pytest.mark.parametrize("spelling", ["SST-2", "sst_2", "Sst2"])
def test_spelling_is_forgiven(spelling: str) -> None:
    """Case and punctuation of a task's name do not matter."""
    assert known(spelling) is KNOWN["sst2"]


def test_an_unknown_task_is_met_with_the_nearest_one() -> None:
    """A misspelt task is refused with the name that was probably meant."""
    with pytest.raises(UserError) as caught:
        known("mrcp")
    assert str(caught.value) == "data.task: unknown task mrcp; did you mean mrpc?"


def test_a_strange_task_is_met_with_the_list() -> None:
    """A name like no other is refused with all there are."""
    with pytest.raises(UserError, match=r"unknown task squirrels; choose from cola, sst2, .*, scitail"):
        known("squirrels")


def test_a_classification_needs_two_classes() -> None:
    """A task of one class cannot be built."""
    with pytest.raises(ValueError, match="task t has 1 classes; classification needs two at least"):
        Task("t", "classification", ("only",), ("accuracy",))


def test_a_regression_has_no_classes() -> None:
    """A regression that names classes cannot be built."""
    with pytest.raises(ValueError, match="task t is a regression but names 2 classes"):
        Task("t", "regression", ("a", "b"), ("pearson",))
