"""Hypervolumes: exact, and how they grow as a study goes on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from attentune.studies.analysis.hypervolume import hypervolume, hypervolume_history
from attentune.studies.analysis.trial_table import TrialTable
from attentune.studies.objectives import OBJECTIVES
from attentune.studies.records import TrialRecord
from example_records import trial


def inclusion_exclusion(values: np.ndarray) -> float:
    """The volume of the union of boxes, by the formula that needs all their intersections."""
    total = 0.0
    for size in range(1, len(values) + 1):
        for chosen in itertools.combinations(values, size):
            total -= (-1) ** size * np.prod(np.clip(1.0 - np.max(chosen, axis=0), 0.0, None))
    return float(total)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_volume_of_the_union_of_boxes(objectives: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((8, objectives))
    assert hypervolume(values) == pytest.approx(inclusion_exclusion(values), rel=1e-12)
    ties = np.round(4 * values) / 4  # with equal coordinates, equal rows, and rows outside the cube
    assert hypervolume(ties) == pytest.approx(inclusion_exclusion(ties), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_it_is_the_share_of_points_that_the_front_dominates(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    front = rng.random((40, objectives)) ** 0.5
    points = rng.random((20_000, 1, objectives))
    share = (front[None] <= points).all(axis=2).any(axis=1).mean()
    assert hypervolume(front) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_neither_order_nor_dominated_rows_change_it(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    front = rng.random((30, objectives))
    volume = hypervolume(front)
    assert hypervolume(rng.permutation(front)) == pytest.approx(volume, rel=1e-12)
    assert hypervolume(front[:, ::-1]) == pytest.approx(volume, rel=1e-12)
    worse = np.minimum(front + 0.1, 1.0)
    assert hypervolume(np.vstack([front, worse])) == pytest.approx(volume, rel=1e-12)


@pytest.mark.parametrize("objectives", [1, 3])
def test_of_nothing_it_is_zero(objectives: int) -> None:
    assert hypervolume(np.zeros((0, objectives))) == 0.0
    assert hypervolume(np.ones((2, objectives))) == 0.0
    assert hypervolume(np.full((1, objectives), 2.0)) == 0.0


def test_the_hypervolume_of_boxes_worked_by_hand() -> None:
    assert hypervolume(np.array([[0.5, 0.5]])) == pytest.approx(0.25)
    assert hypervolume(np.array([[0.2, 0.6], [0.6, 0.2], [0.7, 0.7]])) == pytest.approx(0.48)
    assert hypervolume(np.array([[1.0, 0.0]])) == 0.0


def test_the_history_grows_with_what_was_trained() -> None:
    objectives = [OBJECTIVES["accuracy"], OBJECTIVES["params"]]

    def ended(number: int, text: str, accuracy: float, params: int) -> TrialRecord:
        return trial(number, text, accuracy, params=params, seconds=2.0)

    trials = [
        ended(0, "net", 0.6, 100),
        ended(1, "net+se(r=4)@s1.residual", 0.8, 140),
        ended(2, "net+se(r=8)@s1.residual", 0.7, 120),
        ended(3, "net+eca@s1.residual", 0.65, 200),
    ]
    steps = hypervolume_history(TrialTable.of(trials).rows, objectives)
    assert [step.epochs for step in steps] == [8, 16, 24, 32]
    assert [step.seconds for step in steps] == [2.0, 4.0, 6.0, 8.0]
    volumes = [step.volume for step in steps]
    assert volumes == sorted(volumes)
    # Trial 1 alone is at (0, 0.4) of the box from 0.6 to 0.8 and from 100 to 200 parameters.
    assert volumes[1] == pytest.approx(0.6)
    assert volumes[2] == pytest.approx(0.6 + 0.5 * 0.2)
    assert volumes[3] == volumes[2]
    assert hypervolume_history(TrialTable().rows, objectives) == ()


def test_latencies_within_their_noise_add_nothing() -> None:
    """The second architecture is less accurate, and faster by less than the noise."""

    def volumes(error: float) -> list[float]:
        rows = [(0.5, 1.0, 0.0), (0.9, 2.0, error), (0.8, 1.98, error), (0.6, 3.0, error)]
        trials = [
            trial(
                number,
                "net" if not number else f"net+se(r={number})@all.residual",
                accuracy,
                latency_ms=5 * ratio,
                latency_ratio=ratio,
                latency_ratio_error=ratio_error,
            )
            for number, (accuracy, ratio, ratio_error) in enumerate(rows)
        ]
        objectives = (OBJECTIVES["accuracy"], OBJECTIVES["latency"])
        history = hypervolume_history(TrialTable.of(trials).rows, objectives)
        return [step.volume for step in history]

    exact, noisy = volumes(0.0), volumes(0.02)
    assert exact[1] == noisy[1]
    assert exact[2] > exact[1]
    assert noisy[2] == noisy[1]
