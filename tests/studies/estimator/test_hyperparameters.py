"""Hyperparameters are fitted to a part of a long study, at fixed sizes of it."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.studies.estimator.features import ArchitectureFeatures
from attentune.studies.estimator.hyperparameters import (
    MAX_FITTED_TRIALS,
    HyperparameterFits,
)
from attentune.studies.estimator.mixed_model import MixedModel
from attentune.studies.estimator.modelled_trials import step_of
from planted_effects import (
    ended_history,
    planted_space,
    random_histories,
    true_accuracy,
    unexplained_variance,
)


@pytest.fixture(scope="module")
def bound():
    return planted_space()


def test_a_long_study_is_fitted_to_a_part_of_it_and_judged_by_all(bound):
    rng = np.random.default_rng(0)
    architectures = [bound.architecture_at(i) for i in range(bound.count())]
    histories = [
        ended_history(a, true_accuracy(a) + 0.03 * rng.standard_normal(), s)
        for a in architectures
        for s in range(5)
    ]
    assert len(histories) > 2 * MAX_FITTED_TRIALS
    features = ArchitectureFeatures.of_backbone(bound.site_map)
    hyperparameters = HyperparameterFits(features).fit(histories)
    noise = unexplained_variance(hyperparameters) * np.var([history.end for history in histories])
    assert 0.02 < noise**0.5 < 0.04
    true, expected = (
        np.array([true_accuracy(a) for a in architectures]),
        MixedModel(features, histories, architectures, hyperparameters).predict_mean(),
    )
    assert np.corrcoef(expected, true)[0, 1] > 0.98


def test_hyperparameters_change_when_a_study_has_grown_by_a_quarter():
    counts = [step_of(trials) for trials in range(13)]
    assert counts == [0] * 6 + [6, 7, 8, 8, 10, 10, 12]


def test_a_fit_depends_on_the_number_of_trials_alone(bound):
    histories = random_histories(bound, 11)
    features = ArchitectureFeatures.of_backbone(bound.site_map)
    grown, resumed = HyperparameterFits(features), HyperparameterFits(features)
    for count in range(1, 11):
        grown.fit(histories[:count])
    assert grown.fit(histories) == resumed.fit(histories) == resumed.fit(histories[:10])
    assert resumed.fit(histories, 5) == {}
