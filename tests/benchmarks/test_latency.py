"""The summary of repeated measurements."""

from __future__ import annotations

import pytest
from attentune.benchmarks.latency import summarise_repetitions


def test_the_scatter_is_compared_with_the_errors_of_the_measurements():
    summary = summarise_repetitions([1.0, 1.1, 1.2, 1.3], [0.1, 0.1, 0.04, 0.1])
    assert summary["mean"] == pytest.approx(1.15)
    assert summary["standard_error"] == pytest.approx(0.085)
    assert summary["scatter"] == pytest.approx(0.1291, abs=1e-4)
    assert summary["within_one_error"] == 0.25
    assert summary["within_two_errors"] == 1.0
    assert summary["largest_multiple"] == pytest.approx(1.5)


def test_a_value_that_is_exact_by_definition_is_within_its_error():
    summary = summarise_repetitions([1.0, 1.0], [0.0, 0.0])
    assert (summary["within_one_error"], summary["largest_multiple"]) == (1.0, 0.0)
