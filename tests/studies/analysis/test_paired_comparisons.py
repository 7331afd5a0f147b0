"""Differences between architectures with paired seeds, and their correction for being many."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attentune.studies.analysis.paired_comparisons import BlockDesign, holm_adjusted
from scipy import stats


def test_holm_against_numbers_worked_by_hand() -> None:
    # 4 × 0.005, then 3 × 0.01, then 2 × 0.03, then 0.04 which may not fall below its forerunner.
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_adjusted([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm_adjusted([]) == []
    # 0.02 × (1 + ¼), then 0.01 at a quarter counts as 0.04 × ¼, not below its forerunner.
    assert holm_adjusted([0.01, 0.02], [0.25, 1.0]) == pytest.approx([0.025, 0.025])


def test_two_architectures_give_the_paired_t_test() -> None:
    one, other = [0.71, 0.74, 0.70, 0.76, 0.73], [0.69, 0.73, 0.69, 0.72, 0.72]
    difference = BlockDesign({"a": dict(enumerate(one)), "b": dict(enumerate(other))}).difference(
        "a", "b"
    )
    expected = stats.ttest_rel(one, other)
    interval = expected.confidence_interval(0.95)
    assert difference is not None
    assert difference.mean == pytest.approx(np.mean(one) - np.mean(other))
    assert difference.p == pytest.approx(expected.pvalue)
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))


def test_noise_is_pooled_over_all_architectures_and_seeds_cancel() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(0.7, 0.01, (8, 5)) + rng.normal(0, 0.05, 5)
    blocks = BlockDesign({a: dict(enumerate(map(float, row))) for a, row in enumerate(rows)})
    left = rows - rows.mean(0) - rows.mean(1, keepdims=True) + rows.mean()
    assert blocks.freedom == 28
    assert blocks.deviation == pytest.approx(math.sqrt((left**2).sum() / 28))
    difference = blocks.difference(3, 0)
    assert difference is not None
    assert difference.standard_error == pytest.approx(blocks.deviation * math.sqrt(2 / 5))


def test_a_lost_trial_costs_its_information_and_nothing_else() -> None:
    rows = {"a": {0: 0.70, 1: 0.80, 2: 0.75}, "b": {0: 0.68, 2: 0.74}, "c": {0: 0.69, 1: 0.78}}
    blocks = BlockDesign(rows)
    assert blocks.freedom == 2
    difference = blocks.difference("b", "c")
    assert difference is not None
    assert difference.pairs == 1
    assert difference.mean == pytest.approx(-0.0025, abs=0.01)
    assert BlockDesign({"a": {0: 0.7, 1: 0.8}, "b": {2: 0.7, 3: 0.6}}).difference("a", "b") is None


def test_one_network_under_two_names_differs_by_nothing() -> None:
    row = {0: 0.7, 1: 0.73, 2: 0.71}
    difference = BlockDesign({"a": row, "b": dict(row)}).difference("a", "b")
    assert difference is not None
    assert (difference.mean, difference.p) == (pytest.approx(0.0), 1.0)


# Finalists
