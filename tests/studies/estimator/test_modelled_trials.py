"""A long study is modelled by a bounded set of trials, and the others inform their architecture."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import example_records
import numpy as np
import pytest
from attentune.spaces.architecture import Architecture
from attentune.studies.config import Pruning
from attentune.studies.estimator import modelled_trials
from attentune.studies.estimator.features import ArchitectureFeatures
from attentune.studies.estimator.history import TrialHistories
from attentune.studies.estimator.mixed_model import MixedModel
from attentune.studies.estimator.modelled_trials import (
    divide_histories,
    last_model_count,
    step_of,
)
from attentune.studies.estimator.priors import PRIOR_VARIANCES
from planted_effects import ended_history, planted_space, true_accuracy


@pytest.fixture(scope="module")
def bound():
    return planted_space()


@pytest.fixture(scope="module")
def architectures(bound):
    rng = np.random.default_rng(0)
    chosen = [bound.architecture_at(int(i)) for i in rng.choice(bound.count(), 30, replace=False)]
    return [Architecture(chosen[0].backbone), *(a for a in chosen if not a.bare)]


@pytest.fixture(scope="module")
def histories(architectures):
    """Eight trials of each architecture, seed by seed, with seed effects and noise."""
    rng = np.random.default_rng(1)
    seed_effects = 0.01 * rng.standard_normal(8)
    return [
        ended_history(a, true_accuracy(a) + effect + 0.01 * rng.standard_normal(), seed)
        for seed, effect in enumerate(seed_effects)
        for a in architectures
    ]


def test_a_short_study_is_modelled_whole(histories):
    assert divide_histories(histories) == (histories, [])


def test_a_long_study_has_a_bounded_part_that_does_not_depend_on_accuracies(
    architectures, monkeypatch
):
    histories = [ended_history(a, 0.5, s) for s in range(40) for a in architectures]
    monkeypatch.setattr(modelled_trials, "MAX_TRIALS", 100)
    modelled, further = divide_histories(histories)
    by_identity = sorted(map(id, [*modelled, *further]))
    assert by_identity == sorted(map(id, histories))
    assert len(modelled) == 100
    assert sum(history.architecture.bare for history in modelled) == 10
    others = [ended_history(h.architecture, 0.9, h.seed) for h in histories]
    chosen = [histories.index(history) for history in modelled]
    assert divide_histories(others)[0] == [others[row] for row in chosen]
    assert divide_histories(histories[: step_of(len(histories))])[0] == modelled


def test_further_trials_tell_about_their_architecture_what_a_whole_model_would(
    bound, architectures, histories, monkeypatch
):
    features = ArchitectureFeatures.of_backbone(bound.site_map)
    whole = MixedModel(features, histories, architectures, PRIOR_VARIANCES).posterior(0)
    monkeypatch.setattr(modelled_trials, "MAX_TRIALS", 120)
    monkeypatch.setattr(modelled_trials, "MAX_TRIALS_PER_ARCHITECTURE", 5)
    model = MixedModel(features, histories, architectures, PRIOR_VARIANCES)
    divided = model.posterior(0)
    assert len(model.observed.y) < len(histories) * 0.6
    np.testing.assert_allclose(divided.mean, whole.mean, atol=3e-3)
    np.testing.assert_allclose(np.sqrt(divided.variance), np.sqrt(whole.variance), rtol=0.35)
    np.testing.assert_array_equal(model.predict_mean(), divided.mean)


def test_draws_have_the_moments_of_the_posterior(bound, architectures, histories, monkeypatch):
    features = ArchitectureFeatures.of_backbone(bound.site_map)
    for limit in (600, 120):
        monkeypatch.setattr(modelled_trials, "MAX_TRIALS", limit)
        model = MixedModel(features, histories[:200], architectures, PRIOR_VARIANCES)
        posterior = model.posterior(0)
        draws = model.draw_samples(np.random.default_rng(0), 4000)
        deviation = np.sqrt(posterior.variance)
        np.testing.assert_allclose(
            draws.mean(axis=0), posterior.mean, atol=5 * deviation.max() / 60
        )
        np.testing.assert_allclose(draws.std(axis=0), deviation, rtol=0.08)
        covariance = np.array([np.cov(draws[:, 0], draws[:, i])[0, 1] for i in range(30)])
        scale = deviation * deviation[0]
        np.testing.assert_allclose(covariance / scale, posterior.covariance / scale, atol=0.08)


def test_the_trials_that_a_proposal_knows_grow_with_the_study_and_lag_by_one_part():
    counts = [last_model_count(trials) for trials in range(20_000)]
    assert counts[:257] == list(range(257))
    assert counts == sorted(counts)
    assert all(0 <= trials - count <= trials / 128 for trials, count in enumerate(counts))
    assert len(set(counts[10_000:])) < 128 * 2


def test_the_first_trials_that_ended_stay_the_same_while_others_end():
    ended = datetime(2026, 1, 1, tzinfo=UTC)
    trials = [
        example_records.trial(
            number, "net", 0.5, seed=number, finished_at=ended + timedelta(seconds=second)
        )
        for number, second in ((0, 5), (1, 1), (2, 9), (3, 2), (4, 7))
    ]
    in_order = sorted(trials, key=lambda trial: trial.finished_at)
    live, replayed = (TrialHistories(8, Pruning()) for _ in range(2))
    for trial in in_order[:3]:
        live.on_trial_end(trial)
    first = live.first_ended_histories(2)
    for trial in in_order[3:]:
        live.on_trial_end(trial)
    replayed.replay(trials, [])
    assert [history.seed for history in first] == [1, 3]
    assert live.first_ended_histories(2) == first == replayed.first_ended_histories(2)
    assert live.ended_histories() == replayed.ended_histories()
    assert [history.seed for history in replayed.ended_histories()] == [0, 1, 2, 3, 4]
