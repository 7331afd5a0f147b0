"""Means by split at equal seeds, and the correction for overlapping training sets."""

from __future__ import annotations

import pytest
from attentune.studies.analysis.split_means import mean_by_split, overlap_ratio
from attentune.studies.stored_config import ConfirmPlan


def test_a_missing_trial_does_not_shift_the_mean_of_its_split() -> None:
    """Seed 1 is easier by ten points, and `b` has it not."""
    means = mean_by_split(
        {"a": {0: 0.5, 1: 0.6, 10: 0.4}, "b": {0: 0.52, 10: 0.43}}, lambda s: s // 10
    )
    assert means["b"][0] - means["a"][0] == pytest.approx(0.02)
    assert means["b"][1] - means["a"][1] == pytest.approx(0.03)


def test_the_correction_needs_the_numbers_of_test_and_training_images() -> None:
    plan = ConfirmPlan((), 3, 2, 8, 4, splits=5, train_images=400, test_images=100)
    assert overlap_ratio(plan) == 0.25
    assert overlap_ratio(ConfirmPlan((), 3, 2, 8, 4, splits=5)) == pytest.approx(0.3125)


def test_seeds_and_splits_belong_to_each_other() -> None:
    plan = ConfirmPlan((), 3, 2, 8, 4, splits=3, first_seed=7)
    seeds = [plan.seed_of(split, number) for split in range(3) for number in range(2)]
    assert len(set(seeds)) == 6
    assert [plan.split_of(seed) for seed in seeds] == [0, 0, 1, 1, 2, 2]
