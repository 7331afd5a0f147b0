"""Fronts and knees against brute force and cases worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attentune.spaces.architecture import parse
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.findings import ArchitectureSummary
from attentune.studies.analysis.pareto import (
    cheapest,
    comparison_errors,
    costing_no_more,
    find_front,
    find_knee,
    is_cheaper,
    non_dominated,
    pareto_front,
)
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


def summary(number: int, text: str, score: float, **costs: float) -> ArchitectureSummary:
    """An architecture with this estimated score and these costs."""
    values = {"score": score, **costs}
    return ArchitectureSummary(
        parse(text), (number,), (0,), (score,), (score,), values, 0.01, None, None, False
    )


def test_the_front_is_made_of_estimates() -> None:
    trials = [
        trial(0, BARE, 0.60, params=100),
        trial(1, se(4), 0.90, params=200, seed=0),  # A fortunate seed.
        trial(2, f"{BARE}+eca@s1.residual", 0.75, params=200, seed=0),
        trial(3, se(4), 0.40, params=200, seed=1),
        trial(4, se(2), None, params=50),
    ]
    findings = analyse(study(), trials)
    assert numbers(findings.front) == [0, 2]


def test_equal_architectures_share_the_front_and_missing_values_stay_out() -> None:
    points = [
        summary(0, se(4), 0.7, params=100, latency_ms=5.0),
        summary(1, se(8), 0.7, params=100, latency_ms=5.0),
        summary(2, se(2), 0.9, params=100),
    ]
    assert numbers(pareto_front(points, (ACCURACY, LATENCY))) == [0, 1]
    assert numbers(pareto_front(points, (ACCURACY,))) == [2]


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
    objectives = (ACCURACY, PARAMS)
    summaries = [summary(i, se(i + 1), a, params=p) for i, (a, p) in enumerate(points)]
    found_knee = find_knee(pareto_front(summaries, objectives), objectives)
    assert (found_knee and found_knee.number) == knee


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_front_is_what_no_row_dominates(objectives):
    values = np.random.default_rng(objectives).integers(0, 12, (150, objectives)).astype(float)
    kept = non_dominated(values)
    for row, on_front in zip(values, kept, strict=True):
        beaten = ((values <= row).all(axis=1) & (values < row).any(axis=1)).any()
        assert on_front == (not beaten)


def dominates(values: Any, errors: Any, a: int, b: int) -> bool:
    """The rule, for one pair: better by more than the noise somewhere, and worse nowhere."""
    noise = 2 * np.hypot(errors[a], errors[b])
    worse, better = values[a] > values[b] + noise, values[a] < values[b] - noise
    return bool(better.any() and not worse.any())


def noisy_values(rng: np.random.Generator) -> tuple[Any, Any]:
    """A random study: accuracies and perhaps parameters are exact, latencies have errors."""
    count, objectives = rng.integers(1, 40), rng.integers(1, 4)
    values = rng.integers(0, 8, (count, objectives)) + rng.choice([0, 1e-3]) * rng.random(
        (count, objectives)
    )
    errors = np.zeros_like(values)
    errors[:, -1] = rng.choice([0.0, 0.3, 1.0, 3.0]) * rng.random(count)
    return values, errors


@pytest.mark.parametrize("seed", range(100))
def test_with_noise_the_front_is_the_one_stable_set_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, errors = noisy_values(rng)
    front = non_dominated(values, errors)
    members, rest = np.flatnonzero(front), np.flatnonzero(~front)
    assert len(members)
    assert not any(dominates(values, errors, a, b) for a in members for b in members)
    assert all(any(dominates(values, errors, a, b) for a in members) for b in rest)
    order = rng.permutation(len(values))
    assert np.array_equal(non_dominated(values[order], errors[order]), front[order])


def test_costs_within_their_noise_are_equal_and_beyond_it_differ() -> None:
    """Of three latencies in a row, neighbours are equal and the ends are not."""
    accuracy = np.array([0.82, 0.81, 0.80])
    costs, errors = np.array([[5.2], [5.1], [5.0]]), np.full((3, 1), 0.05)
    assert find_front(accuracy, costs, errors).tolist() == [True, False, True]
    assert find_front(accuracy, costs).tolist() == [True, True, True]
    assert find_front(accuracy, costs, 2 * errors).tolist() == [True, False, False]


def test_only_one_objective_may_be_noisy() -> None:
    with pytest.raises(ValueError, match="only one objective may have errors"):
        non_dominated(np.zeros((2, 2)), np.ones((2, 2)))


@pytest.mark.parametrize("seed", range(100))
def test_what_is_neither_better_nor_cheaper_than_the_bare_backbone_is_never_on_the_front(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    values, errors = noisy_values(rng)
    accuracy, costs, cost_errors = -values[:, 0], values[:, 1:], errors[:, 1:]
    bare = int(rng.integers(len(values)))
    cost_errors[bare] = 0.0  # The bare backbone is the unit of latency.
    front = find_front(accuracy, costs, cost_errors, bare)
    for index in range(len(values)):
        gain = accuracy[index] - accuracy[bare]
        cheaper = (costs[index] < costs[bare] - 2 * cost_errors[index]).any()
        assert is_cheaper(costs, cost_errors, bare)[index] == cheaper
        if gain <= 0 and not cheaper and index != bare:
            assert not front[index]
    order = rng.permutation(len(values))
    moved = find_front(
        accuracy[order], costs[order], cost_errors[order], int(np.flatnonzero(order == bare)[0])
    )
    assert np.array_equal(moved, front[order])


def test_an_architecture_that_equals_the_bare_backbone_is_not_on_the_front() -> None:
    trials = [
        trial(0, BARE, 0.7, params=100),
        trial(1, se(4), 0.7, params=100),
        trial(2, se(8), 0.6, params=90),
    ]
    assert numbers(analyse(study(), trials).front) == [2, 0]
    assert numbers(analyse(study("accuracy"), trials).front) == [0]


def test_latencies_of_one_study_are_compared_by_their_ratios() -> None:
    """Their milliseconds share the error of the bare backbone, which cancels in the comparison."""

    def timed(number: int, text: str, accuracy: float, ratio: float, error: float) -> Any:
        times = {"latency_ms": 5.0 * ratio, "latency_ms_error": 0.5}
        return summary(
            number, text, accuracy, latency_ratio=ratio, latency_ratio_error=error, **times
        )

    points = [
        timed(0, BARE, 0.70, 1.0, 0.0),
        timed(1, se(4), 0.80, 1.10, 0.01),
        timed(2, se(8), 0.79, 1.08, 0.01),  # faster than the last one by less than the noise
        timed(3, se(2), 0.78, 1.03, 0.01),
        timed(4, se(16), 0.70, 1.0, 0.02),  # equal to the bare backbone
        timed(5, se(32), 0.69, 0.98, 0.02),  # "faster" than it by less than the noise
    ]
    assert numbers(pareto_front(points, (ACCURACY, LATENCY))) == [0, 3, 1]


def test_a_latency_without_a_ratio_has_its_own_error() -> None:
    """An evaluator of a user may report no ratio; earlier versions recorded no errors."""
    columns = {
        "params": [1.0, 1.0, 1.0],
        "latency_ms": [5.0, 5.0, 5.0],
        "latency_ms_error": [0.3, np.nan, 0.3],
        "latency_ratio": [np.nan, 1.0, 1.25],
        "latency_ratio_error": [np.nan, np.nan, 0.05],
    }
    errors = comparison_errors(lambda key: np.array(columns[key]), ("params", "latency_ms"))
    assert errors.tolist() == [[0.0, 0.3], [0.0, 0.0], [0.0, 0.2]]


def test_the_cheapest_are_those_that_equal_the_least_cost_within_the_noise() -> None:
    def timed(number: int, ratio: float, error: float) -> Any:
        fields = {"latency_ms": 5.0 * ratio, "latency_ratio": ratio, "latency_ratio_error": error}
        return trial(number, se(number + 1), 0.7, params=100 + number, **fields)

    trials = [timed(0, 1.20, 0.01), timed(1, 1.02, 0.01), timed(2, 1.00, 0.01)]
    points = analyse(study(), [*trials, trial(3, BARE, 0.7)]).architectures
    assert numbers(cheapest(points, "latency_ms")) == [1, 2]
    assert numbers(costing_no_more(points[:3], points[1], ["latency_ms"])) == [1, 2]
    assert numbers(costing_no_more(points[:3], points[2], ["latency_ms"])) == [1, 2]
    assert numbers(costing_no_more(points[:3], points[1], ["latency_ms", "params"])) == [1]
    assert numbers(costing_no_more(points, points[1], [])) == [0, 1, 2, 3]
    assert numbers(cheapest(points, "params")) == [0]
    assert numbers(cheapest(points, "memory_mib")) == [0, 1, 2, 3]
