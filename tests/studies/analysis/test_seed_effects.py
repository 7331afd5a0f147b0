"""What all trials of a seed share is removed before architectures are compared."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.hypervolume import hypervolume_history
from attentune.studies.analysis.seed_effects import VARIANCE_RATIOS, estimate_seed_effects
from attentune.studies.analysis.trial_table import TrialTable
from example_records import BARE, study, trial

WORTH = {BARE: 0.60} | {f"{BARE}+se(r={r})@all.residual": 0.60 + r / 400 for r in (2, 4, 8, 16)}
GOOD, LARGE = list(WORTH)[-1], f"{BARE}+eca@all.residual"
PARAMS = {text: 100 + place for place, text in enumerate([*WORTH, LARGE])}


def trials(effects, worth=None, noise=0.002, left_out=()):
    """Every architecture with every seed that `effects` names, but for those left out."""
    rng = np.random.default_rng(0)
    cells = [(text, seed) for seed in effects for text in (worth or WORTH)]
    return [
        trial(
            number,
            text,
            (worth or WORTH)[text] + effects[seed] + noise * rng.normal(),
            seed=seed,
            params=PARAMS[text],
        )
        for number, (text, seed) in enumerate(cells)
        if (text, seed) not in left_out
    ]


def test_the_best_is_not_passed_over_because_it_was_tried_with_a_bad_seed_too():
    left_out = [(LARGE, 1), (LARGE, 2)]
    records = trials({0: 0.0, 1: -0.10, 2: 0.01}, WORTH | {LARGE: 0.62}, left_out=left_out)
    findings = analyse(study(), records)
    points = {str(p.architecture): p for p in findings.architectures}
    assert np.mean(points[GOOD].accuracies) < points[LARGE].accuracies[0]  # by its plain mean
    assert str(findings.best.architecture) == GOOD
    assert LARGE not in [str(p.architecture) for p in findings.front]
    difference = points[GOOD].accuracy - points[LARGE].accuracy
    assert difference == pytest.approx(WORTH[GOOD] - 0.62, abs=0.005)
    # The noise that is left is that of a trial, not that of a seed.
    assert findings.noise.deviation < 0.004
    assert 0 < points[GOOD].standard_error < 0.004


def test_where_all_have_the_same_seeds_means_stay_what_they_are():
    findings = analyse(study(), trials({0: 0.0, 1: -0.10, 2: 0.03}))
    for point in findings.architectures:
        assert point.accuracy == pytest.approx(np.mean(point.accuracies))


def test_until_seed_effects_are_significant_means_are_plain():
    records = [
        trial(0, BARE, 0.60),
        trial(1, BARE, 0.50, seed=1),
        trial(2, GOOD, 0.70),
        trial(3, GOOD, 0.64, seed=1),
        trial(4, LARGE, 0.65),
    ]
    for point in analyse(study(), records).architectures:
        assert point.accuracy == np.mean(point.accuracies)


def test_the_hypervolume_history_ends_at_the_front_that_is_shown():
    left_out = [(LARGE, 1), (LARGE, 2)]
    records = trials({0: 0.0, 1: -0.10, 2: 0.01}, WORTH | {LARGE: 0.62}, left_out=left_out)
    findings = analyse(study(), records)
    low, high = (f(p.accuracy for p in findings.architectures) for f in (min, max))
    corners = sorted((p.values["params"], p.accuracy) for p in findings.front)
    cheapest, dearest = min(PARAMS.values()), max(PARAMS.values())
    ends = [*(params for params, _ in corners[1:]), dearest]
    volume = sum(
        (until - params) / (dearest - cheapest) * (accuracy - low) / (high - low)
        for (params, accuracy), until in zip(corners, ends, strict=True)
    )
    steps = hypervolume_history(TrialTable.of(records).rows, findings.objectives)
    assert steps[-1].volume == pytest.approx(volume)


def test_seed_effects_are_those_of_the_mixed_model():
    rng = np.random.default_rng(3)
    cells = [(a, s) for a in range(9) for s in range(4) if rng.random() < 0.6 or s == 0]
    which, seeds = (np.array(column) for column in zip(*cells, strict=True))
    y = (
        rng.normal(size=9)[which]
        + np.array([0, 2, -1, 1])[seeds]
        + 0.5 * rng.normal(size=len(which))
    )
    fixed, random = np.eye(9)[which], np.eye(4)[seeds]
    likely, candidates = [], []
    for ratio in VARIANCE_RATIOS:
        # Searle, Casella & McCulloch (1992), Variance Components, sections 6.6 and 7.4.
        covariance = np.eye(len(y)) + ratio * random @ random.T
        inverse = np.linalg.inv(covariance)
        information = fixed.T @ inverse @ fixed
        left = y - fixed @ np.linalg.solve(information, fixed.T @ inverse @ y)
        freedom = len(y) - 9
        determinants = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1]
        likely.append(-0.5 * (freedom * np.log(left @ inverse @ left / freedom) + determinants))
        candidates.append(ratio * random.T @ inverse @ left)
    weights = np.exp(np.array(likely) - max(likely))
    expected = weights @ np.array(candidates) / weights.sum()
    expected -= expected[seeds].mean()
    np.testing.assert_allclose(
        estimate_seed_effects(which, seeds, y).of(np.arange(4)), expected, atol=1e-8
    )


def test_standard_errors_are_those_of_the_noise_that_seeds_do_not_share():
    rng = np.random.default_rng(1)
    variances = []
    for _ in range(300):
        effects = dict(enumerate(0.05 * rng.normal(size=3)))
        cells = [(text, seed) for text in list(WORTH)[:3] for seed in effects]
        records = [
            trial(i, text, 0.6 + effects[seed] + 0.01 * rng.normal(), seed=seed)
            for i, (text, seed) in enumerate(cells)
        ]
        variances += [point.standard_error**2 for point in analyse(study(), records).architectures]
    # Now and then the seed effects are not significant, and stay in.
    assert 0.01 / 3**0.5 < np.mean(variances) ** 0.5 < 1.4 * 0.01 / 3**0.5


def test_seed_effects_that_are_not_there_are_seldom_significant():
    rng = np.random.default_rng(0)
    which, seeds = np.repeat(np.arange(12), 3), np.tile(np.arange(3), 12)
    kept = (seeds == 0) | (which < 6)
    seen = [
        estimate_seed_effects(which[kept], seeds[kept], rng.normal(size=kept.sum())).effects.any()
        for _ in range(1000)
    ]
    assert 0.03 < np.mean(seen) < 0.07
