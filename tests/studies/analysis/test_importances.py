"""The importances of choices: shares of a variance, with intervals that hold the planted ones."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.studies.analysis.importances import StageChoice, estimate_importances

UNITS = [("se", 4), ("se", 16), ("ca", 4)]
"""The insertions of one stage: attention and ratio."""


def trials_of(units: list[int | None]) -> list[list[StageChoice]]:
    """Trials with one of `UNITS`, or nothing, in the only stage."""
    none = StageChoice()
    return [
        [none if unit is None else StageChoice((unit,), (UNITS[unit][0],), (UNITS[unit][1],))]
        for unit in units
    ]


def test_the_shares_of_what_is_known_exactly_are_those_of_a_variance_that_is_divided() -> None:
    effects = np.array([0.01, 0.03, 0.05])
    units = [0, 1, 2, None]
    added = np.array([0.01, 0.03, 0.05, 0.0])
    attention, ratio = estimate_importances(
        trials_of(units), ["s1"], effects, np.zeros((3, 3)), 2 * float(added.var())
    )
    assert (attention.name, ratio.name) == ("s1 attention", "s1 reduction ratio")
    between = np.array([0.02, 0.02, 0.05, 0.0]).var()
    assert attention.share == pytest.approx(between / added.var() / 2)
    assert attention.share + ratio.share == pytest.approx(0.5)
    for each in (attention, ratio):
        assert each.low == pytest.approx(each.share) == pytest.approx(each.high)


def test_choices_that_do_not_vary_have_none() -> None:
    effects, nothing = np.array([0.01, 0.03, 0.05]), np.zeros((3, 3))
    assert estimate_importances(trials_of([0, 0]), ["s1"], effects, nothing, 1.0) == ()
    [only] = estimate_importances(trials_of([0, 2]), ["s1"], effects, nothing, 1.0)
    assert only.choice == "attention"
    assert estimate_importances(trials_of([0, 2]), ["s1"], effects, nothing, 0.0) == ()
    assert estimate_importances(trials_of([0]), ["s1"], effects, nothing, 1.0) == ()


def test_no_more_than_everything_is_explained() -> None:
    effects = np.array([0.1, 0.3, 0.5])
    found = estimate_importances(trials_of([0, 1, 2, None]), ["s1"], effects, 0.1 * np.eye(3), 1e-4)
    assert sum(each.share for each in found) <= 1.01
    assert all(0 <= each.low <= each.share <= each.high <= 1 for each in found)


def test_intervals_hold_the_shares_of_effects_that_are_known_with_an_error() -> None:
    rng, error, held = np.random.default_rng(0), 0.01, []
    units = [int(unit) for unit in rng.integers(0, 3, 60)]
    for _ in range(200):
        # Before anything is known, effects are normal with this deviation.
        truth = 0.02 * rng.standard_normal(3)
        seen = truth + error * rng.standard_normal(3)
        weight = 0.02**2 / (0.02**2 + error**2)
        variance = float(truth[units].var()) + 0.02**2
        true = {
            each.name: each.share
            for each in estimate_importances(
                trials_of(units), ["s1"], truth, np.zeros((3, 3)), variance
            )
        }
        for each in estimate_importances(
            trials_of(units), ["s1"], weight * seen, weight * error**2 * np.eye(3), variance
        ):
            held.append(each.low <= true[each.name] <= each.high)
    assert np.mean(held) > 0.93
