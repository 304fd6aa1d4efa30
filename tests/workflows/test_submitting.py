"""Predictions become lines without losing anything."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from supertickets import UserError
from supertickets.data.tasks import KNOWN, Task, known
from supertickets.experiments.reading import Reading
from supertickets.workflows.submitting import CsvLines, GlueLines, check_on_the_server, check_same_task, probabilities

RTE = SimpleNamespace(num_labels=2, id2label={0: "Not_Entailment", 1: "Entailment"})


def test_probabilities_of_large_logits() -> None:
    """Shares add up to 1 and do not overflow; a difference of log 3 is odds of 3 to 1."""
    found = probabilities(np.array([[1000.0, 1000.0 - np.log(3)], [-1e30, 1e30]], dtype=np.float64))
    np.testing.assert_allclose(found, [[0.75, 0.25], [0, 1]], atol=1e-12)


def test_a_table() -> None:
    """Labels and probabilities keep six digits, small ones too; a label with a comma is quoted."""
    lines = CsvLines(SimpleNamespace(num_labels=2, id2label={0: "no, never", 1: "yes"}))
    assert lines.header() == 'prediction,"p_no, never",p_yes\n'
    assert lines.lines(np.array([[0.0, -20.0]], dtype=np.float32)) == '"no, never",1,2.06115e-09\n'
    numbers = CsvLines(SimpleNamespace(num_labels=1, id2label={0: "LABEL_0"}))
    assert numbers.header() + numbers.lines(np.array([1.5, -2.25], dtype=np.float32)) == "prediction\n1.5\n-2.25\n"


def test_a_submission_counts_on() -> None:
    """Indices run on over parts, and names that only differ in case are the server's."""
    lines = GlueLines(RTE, known("rte"))
    first, second = np.array([[2.0, 1.0], [0.0, 1.0]], dtype=np.float32), np.array([[1.0, 0.0]], dtype=np.float32)
    assert lines.header() + lines.lines(first) == "index\tprediction\n0\tnot_entailment\n1\tentailment\n"
    assert lines.lines(second) == "2\tnot_entailment\n"


def test_what_the_server_takes() -> None:
    """Nine tasks; the two others, and no task at all, are refused."""
    for name in set(KNOWN) - {"snli", "scitail"}:
        assert check_on_the_server(known(name)) == known(name)
    for row in (known("snli"), known("scitail"), None):
        with pytest.raises(UserError, match="cola, sst2, mrpc, stsb, rte, wnli, qnli, qqp, mnli"):
            check_on_the_server(row)


def learned(name: str, labels: tuple[str, ...], *, own: bool = True) -> Reading:
    """A model of own data, or of a known task."""
    task = Task(name, "classification" if labels else "regression", labels, ("accuracy",))
    return Reading(task, not own, "text", None, 64)


@pytest.mark.parametrize(
    ("reading", "task"),
    [
        (None, "cola"),  # nothing is known of a stranger's model
        (learned("cola", ("0", "1"), own=False), "cola"),
        (learned("CoLA", ("bad", "good")), "cola"),  # trained under its name
        (learned("train", ("Entailment", "NOT_entailment")), "rte"),  # the task's own words
    ],
)
def test_the_task_that_a_model_learned(reading: Reading | None, task: str) -> None:
    """By its name, or by labels that are words of the task."""
    check_same_task(reading, known(task))


@pytest.mark.parametrize(
    ("reading", "task", "sentence"),
    [
        (
            learned("movie-reviews", ("negative", "positive")),
            "cola",
            "this model learned movie-reviews, not cola; train",
        ),
        (learned("train", ("0", "1")), "cola", "this model learned train, not cola; train on the data of cola"),
        (learned("train", ()), "stsb", "this model learned train, not stsb"),
        (learned("rte", ("entailment", "not_entailment"), own=False), "qnli", "learned rte, not qnli; give --task rte"),
        (learned("snli", ("a", "b", "c"), own=False), "mnli", "learned snli, not mnli; train on the data of mnli"),
    ],
)
def test_a_task_that_a_model_did_not_learn(reading: Reading, task: str, sentence: str) -> None:
    """Labels that stand at the same places are no reason to submit, and neither are 0 and 1."""
    with pytest.raises(UserError, match=sentence):
        check_same_task(reading, known(task))
