"""Predictions become lines without losing anything."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from supertickets import UserError
from supertickets.data.tasks import KNOWN, known
from supertickets.workflows.submitting import CsvLines, GlueLines, check_on_the_server, probabilities

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
        check_on_the_server(known(name))
    for row in (known("snli"), known("scitail"), None):
        with pytest.raises(UserError, match="cola, sst2, mrpc, stsb, rte, wnli, qnli, qqp, mnli"):
            check_on_the_server(row)
