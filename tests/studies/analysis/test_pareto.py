"""Fronts and knees against brute force and cases worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.pareto import non_dominated
from attentune.studies.objectives import OBJECTIVES
from example_records import BARE, study, trial

ACCURACY, PARAMS, LATENCY = (OBJECTIVES[name] for name in ("accuracy", "params", "latency"))


def se(r: int, place: str = "all") -> str:
    return f"{BARE}+se(r={r})@{place}.residual"


def numbers(points: Any) -> list[int]:
    return [point.number for point in points]


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("levels", [3, 1000])
def test_the_front_is_what_brute_force_says(objectives: int, levels: int) -> None:
    values = np.random.default_rng(objectives).integers(levels, size=(120, objectives)) * 1.0

    def dominated(row: Any) -> bool:
        return any((other <= row).all() and (other < row).any() for other in values)

    assert non_dominated(values).tolist() == [not dominated(row) for row in values]


def test_nothing_has_an_empty_front() -> None:
    assert non_dominated(np.empty((0, 2))).tolist() == []


def test_the_front_is_made_of_means_over_seeds() -> None:
    trials = [
        trial(0, BARE, 0.60, params=100),
        trial(1, se(4), 0.90, params=200, seed=0),  # lucky: its mean is 0.65
        trial(2, se(8), 0.70, params=200, seed=0),
        trial(3, se(4), 0.40, params=200, seed=1),
        trial(4, se(2), None, params=50),
    ]
    findings = analyse(study(), trials)
    assert numbers(findings.front) == [0, 2]
    point = next(p for p in findings.architectures if p.number == 1)
    assert point.accuracy == pytest.approx(0.65)
    assert point.standard_error == pytest.approx(0.25)
    assert (point.numbers, point.seeds) == ((1, 3), (0, 1))


def test_equal_architectures_share_the_front_and_missing_values_stay_out() -> None:
    trials = [
        trial(0, se(4), 0.7, params=100, latency_ms=5.0),
        trial(1, se(8), 0.7, params=100, latency_ms=5.0),
        trial(2, se(2), 0.9, params=100),
    ]
    assert numbers(analyse(study("accuracy", "latency"), trials).front) == [0, 1]
    assert numbers(analyse(study("accuracy"), trials).front) == [2]


@pytest.mark.parametrize(
    ("points", "knee"),
    [
        ([], None),
        ([(0.6, 100)], 0),
        ([(0.6, 100), (0.7, 200)], 1),  # two ends: the more accurate
        ([(0.6, 100), (0.7, 110), (0.72, 200)], 1),
        ([(0.6, 100), (0.61, 190), (0.72, 200)], 2),
        ([(0.6, 100), (0.66, 150), (0.72, 200)], 2),  # a straight line has no knee
        ([(0.6, 100), (0.68, 112), (0.70, 120), (0.72, 200)], 2),
    ],
)
def test_the_knee_is_furthest_from_the_line_between_the_ends(
    points: list[tuple[float, int]], knee: int | None
) -> None:
    trials = [trial(i, se(i + 1), a, params=p) for i, (a, p) in enumerate(points)]
    findings = analyse(study(), trials)
    assert (findings.knee and findings.knee.number) == knee


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_front_is_what_no_row_dominates(objectives):
    values = np.random.default_rng(objectives).integers(0, 12, (150, objectives)).astype(float)
    kept = non_dominated(values)
    for row, on_front in zip(values, kept, strict=True):
        beaten = ((values <= row).all(axis=1) & (values < row).any(axis=1)).any()
        assert on_front == (not beaten)
