"""Contestants are timed in turns, and compared within a round."""

from __future__ import annotations

import pytest
from attentune.benchmarks.turns import ratios, rounds_of, shown, spread


def test_a_steady_drift_cancels_within_a_round():
    clock = [0.0]

    def turn() -> float:  # every turn takes longer than the last, whoever's it is
        clock[0] += 1.0
        return clock[0]

    times = rounds_of({"a": turn, "b": turn, "c": turn}, 3)
    assert ratios(times["a"], times["b"]) == [1.0, 1.0, 1.0]
    assert times["a"] == times["c"]


def test_every_round_ends_with_a_lap():
    laps: list[str] = []
    order: list[str] = []
    contestants = {name: lambda name=name: float(len(order.append(name) or name)) for name in "ab"}
    rounds_of(contestants, 2, lambda: laps.append("".join(order)))
    assert laps == ["abba", "abbaabba"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([2.0], "2.00"),
        ([1.0, 2.0, 3.0, 4.0, 5.0], "3.00 (2.00 to 4.00)"),
        ([1000.0, 2000.0], "1,500.00 (1,250.00 to 1,750.00)"),
    ],
)
def test_a_spread_reads_as_median_and_quartiles(values, text):
    found = spread(values)
    assert shown(found) == text
    assert found["rounds"] == len(values)
