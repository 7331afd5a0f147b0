"""Alternatives are timed in turns, and compared within a round."""

from __future__ import annotations

import pytest
from attentune.benchmarks.interleaved_timing import (
    format_summary,
    ratios,
    summarise_rounds,
    time_rounds,
)


def test_a_steady_drift_cancels_within_a_round():
    clock = [0.0]

    def turn() -> float:  # Each run takes longer than the one before.
        clock[0] += 1.0
        return clock[0]

    times = time_rounds({"a": turn, "b": turn, "c": turn}, 3)
    assert ratios(times["a"], times["b"]) == [1.0, 1.0, 1.0]
    assert times["a"] == times["c"]


def test_after_each_round_a_function_is_called():
    orders: list[str] = []
    order: list[str] = []
    alternatives = {name: lambda name=name: float(len(order.append(name) or name)) for name in "ab"}
    time_rounds(alternatives, 2, lambda: orders.append("".join(order)))
    assert orders == ["abba", "abbaabba"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([2.0], "2.00"),
        ([1.0, 2.0, 3.0, 4.0, 5.0], "3.00 (2.00 to 4.00)"),
        ([1000.0, 2000.0], "1,500.00 (1,250.00 to 1,750.00)"),
    ],
)
def test_a_summary_reads_as_median_and_quartiles(values, text):
    summary = summarise_rounds(values)
    assert format_summary(summary) == text
    assert summary["rounds"] == len(values)
