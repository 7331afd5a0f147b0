"""Hypervolumes: exact, and how they grow as a study goes on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from attentune.studies.analysis.hypervolume import (
    HypervolumeBox,
    find_front_history,
    hypervolume,
)
from attentune.studies.analysis.trial_table import TrialTable
from attentune.studies.objectives import OBJECTIVES
from attentune.studies.records import TrialRecord
from attentune.studies.stored_config import StoredConfig
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


OBJECTIVES_2 = (OBJECTIVES["accuracy"], OBJECTIVES["params"])


def ended(number: int, text: str, accuracy: float, params: int) -> TrialRecord:
    return trial(number, text, accuracy, params=params, seconds=2.0)


SEARCH = [
    ended(0, "net", 0.6, 100),
    ended(1, "net+se(r=4)@s1.residual", 0.8, 140),
    ended(2, "net+se(r=8)@s1.residual", 0.7, 120),
    ended(3, "net+eca@s1.residual", 0.65, 200),
]
ACCURACIES = np.array([0.6, 0.8, 0.7, 0.65])
BOX = HypervolumeBox(np.array([-1.0, 100.0]), np.array([-0.5, 200.0]))


def test_the_history_grows_with_what_was_trained() -> None:
    rows = TrialTable.of(SEARCH).rows
    history = find_front_history(rows, OBJECTIVES_2, ACCURACIES, BOX)
    steps = history.steps(np.tile(ACCURACIES[history.architectures], (5, 1)))
    assert [step.epochs for step in steps] == [8, 16, 24, 32]
    assert [step.seconds for step in steps] == [2.0, 4.0, 6.0, 8.0]
    # In the box from 0.5 to 1 and from 100 to 200 parameters, the bare backbone dominates a fifth.
    # Trial 1 adds a strip of height 0.4 and width 0.6, and trial 2 one of height 0.2 and width 0.2.
    assert [step.volume for step in steps] == pytest.approx([0.2, 0.44, 0.48, 0.48])
    assert [(step.low, step.high) for step in steps] == [
        pytest.approx((step.volume, step.volume)) for step in steps
    ]
    empty = find_front_history(TrialTable().rows, OBJECTIVES_2, np.zeros(0), BOX)
    assert empty.steps(np.zeros((5, 0))) == ()


def test_the_band_has_the_draws_of_the_front() -> None:
    rng = np.random.default_rng(0)
    history = find_front_history(TrialTable.of(SEARCH).rows, OBJECTIVES_2, ACCURACIES, BOX)
    accuracies = ACCURACIES[history.architectures]
    draws = accuracies + 0.02 * rng.standard_normal((200, len(accuracies)))
    for step in history.steps(draws):
        assert step.low < step.volume < step.high
    first = history.steps(draws)[0]
    assert first.high - first.low == pytest.approx(2 * 2 * 1.96 * 0.02, rel=0.2)


@pytest.mark.parametrize("seed", range(6))
def test_it_never_falls_and_never_exceeds_one(seed: int) -> None:
    """Not even with accuracies and costs beyond the corners of the box."""
    rng = np.random.default_rng(seed)
    trials = [ended(0, "net", 0.3, 100)] + [
        ended(n, f"net+se(r={n + 1})@s1.residual", 0.5, int(rng.integers(20, 400)))
        for n in range(1, 40)
    ]
    accuracies = rng.uniform(0.0, 1.0, 40)
    history = find_front_history(TrialTable.of(trials).rows, OBJECTIVES_2, accuracies, BOX)
    volumes = [step.volume for step in history.steps(accuracies[None, history.architectures])]
    assert volumes == sorted(volumes)
    assert 0 <= volumes[0] <= volumes[-1] <= 1


def test_the_corners_follow_from_what_the_study_declares() -> None:
    bare = TrialTable.of([ended(0, "net", 0.6, 100)]).rows[0]
    study = {"num_classes": 4, "limits": {"params": 300}, "largest_costs": {"params": 150}}
    box = HypervolumeBox.of(StoredConfig({"study": study}), OBJECTIVES_2, bare)
    assert (box.best.tolist(), box.worst.tolist()) == ([-1.0, 100.0], [-0.25, 150.0])
    box = HypervolumeBox.of(StoredConfig({}), OBJECTIVES_2, bare)
    assert box.worst.tolist() == [0.0, 200.0]


def test_where_own_attention_can_go_the_box_begins_at_the_backbone_without_it() -> None:
    bare, stripped = TrialTable.of(
        [ended(0, "net", 0.6, 100), ended(1, "net(attention=none)", 0.6, 70)]
    ).rows
    box = HypervolumeBox.of(StoredConfig({}), OBJECTIVES_2, bare, stripped)
    assert (box.best[1], box.worst[1]) == (70.0, 200.0)
    study = {"largest_costs": {"params": 100}}  # Nothing costs more than the bare backbone.
    box = HypervolumeBox.of(StoredConfig({"study": study}), OBJECTIVES_2, bare, stripped)
    assert (box.best[1], box.worst[1]) == (70.0, 130.0)


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
        accuracies = np.array([accuracy for accuracy, _, _ in rows])
        box = HypervolumeBox(np.array([-1.0, 5.0]), np.array([0.0, 20.0]))
        history = find_front_history(TrialTable.of(trials).rows, objectives, accuracies, box)
        draws = accuracies[None, history.architectures]
        return [step.volume for step in history.steps(draws)]

    exact, noisy = volumes(0.0), volumes(0.02)
    assert exact[1] == noisy[1]
    assert exact[2] > exact[1]
    assert noisy[2] == noisy[1]
