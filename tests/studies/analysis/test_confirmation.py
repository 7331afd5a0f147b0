"""What may be claimed after a confirmation: against textbook numbers, and by simulation."""

from __future__ import annotations

import numpy as np
from attentune.benchmarks.claims import SPACE, count_claims, gain_of_se, simulate_confirmations
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.confirmation import finalists
from attentune.studies.records import BASELINE
from example_records import BARE, study, trial

# The arithmetic


def test_finalists_come_from_the_front_and_its_knee_and_are_no_baselines() -> None:
    found = analyse(
        study("accuracy", "params"),
        [
            trial(0, BARE, 0.60, params=100, role=BASELINE),
            trial(1, SPACE[0], 0.70, params=110),  # the knee
            trial(2, SPACE[1], 0.71, params=150),
            trial(3, SPACE[2], 0.72, params=200),
            trial(4, SPACE[3], 0.715, params=900),  # dominated
        ],
    )
    assert [point.number for point in finalists(found, 2)] == [3, 2, 1]
    assert [point.number for point in finalists(found, 4)] == [3, 2, 1, 4]


def test_with_accuracy_alone_the_finalists_are_the_most_accurate() -> None:
    found = analyse(
        study("accuracy"),
        [trial(0, BARE, 0.9, role=BASELINE)]
        + [trial(i + 1, SPACE[i], accuracy) for i, accuracy in enumerate((0.5, 0.8, 0.6, 0.7))],
    )
    assert [point.number for point in finalists(found, 3)] == [2, 4, 3]


# What is claimed in the long run


def test_one_network_under_many_names_rarely_differs_from_itself() -> None:
    rng = np.random.default_rng(2026)
    wrong = sum(count_claims(result) > 0 for result in simulate_confirmations(200, rng))
    assert wrong <= 10  # 5 %


def test_an_effect_of_three_standard_errors_is_found() -> None:
    rng = np.random.default_rng(2026)
    found = list(simulate_confirmations(200, rng, gain_of_se))
    right = sum(any("+se" in str(c.architecture) for c in f.better) for f in found)
    wrong = sum(any("+se" not in str(c.architecture) for c in f.better) for f in found)
    assert right >= 160  # 80 %
    assert wrong <= 10
