"""What may be claimed after a confirmation: against textbook numbers, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.benchmarks.claims import SPACE, count_claims, gain_of_se, simulate_confirmations
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.confirmation import analyse_confirming_trials, finalists
from attentune.studies.records import BASELINE, CONFIRM
from attentune.studies.stored_config import ConfirmPlan
from attentune.studies.text.confirmation import conclusion, confirmation_warnings
from example_records import BARE, example_confirmation, study, trial

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


def test_several_splits_are_compared_by_their_means_and_corrected_for_their_overlap() -> None:
    plan = {"splits": 3, "train_images": 400, "test_images": 100, "first_seed": 10**6}
    gains = {0: 0.02, 1: 0.03, 2: 0.04}
    records = [
        trial(
            1000 + 100 * split + 10 * architecture + seed,
            text,
            0.5 + 0.1 * split + 0.01 * seed + architecture * gains[split],
            seed=10**6 + 1000 * split + seed,
            role=CONFIRM,
        )
        for split in gains
        for architecture, text in enumerate((BARE, SPACE[0]))
        for seed in range(2)
    ]
    search = [trial(0, BARE, 0.5, role=BASELINE), trial(1, SPACE[0], 0.55)]
    result = analyse_confirming_trials(
        analyse(study("accuracy"), search),
        records,
        ConfirmPlan((BARE, SPACE[0]), 1, 2, 8, 4, **plan),
    )
    gain = result.contenders[0].gain
    assert gain is not None
    assert gain.mean == pytest.approx(0.03)
    # The gains of the splits have a variance of 0.01²; Nadeau and Bengio: (1/K + test/train)·S².
    assert gain.standard_error == pytest.approx(0.01 * (1 / 3 + 100 / 400) ** 0.5)
    assert (gain.pairs, gain.freedom, gain.image_error) == (3, 2, None)
    assert "(3 splits, " in conclusion(result)
    assert any("the search has trained or selected on" in w for w in confirmation_warnings(result))


def test_at_chance_level_there_are_no_p_values() -> None:
    search = [trial(0, BARE, 0.5, role=BASELINE), trial(1, SPACE[0], 0.55)]
    accuracies = {BARE: [0.24, 0.25, 0.26, 0.25, 0.25], SPACE[0]: [0.28, 0.28, 0.29, 0.28, 0.28]}
    settings = {"test_images": 100, "majority_share": 0.25}
    result = example_confirmation(search, accuracies, **settings)
    gain = result.contenders[0].gain
    assert gain is not None
    assert (gain.p, gain.corrected, gain.claimed) == (None, None, False)
    assert gain.mean == pytest.approx(0.032)
    assert conclusion(result).startswith("Nothing can be claimed: no accuracy is above chance")
    assert "p <" not in conclusion(result)
    above = example_confirmation(search, accuracies, test_images=10**6, majority_share=0.25)
    assert above.contenders[0].gain.claimed


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
