"""The expected gain of more trials: against cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attentune.spaces.search_space.bound_space import BoundSpace
from attentune.studies.estimator import expected_gain
from attentune.studies.estimator.expected_gain import SimulatedStudy, forecast_gain
from attentune.studies.estimator.features import ArchitectureFeatures
from attentune.studies.estimator.mixed_model import MixedModel
from planted_effects import planted_space, random_histories


@pytest.fixture(scope="module")
def bound() -> BoundSpace:
    return planted_space()


def study(mean: list[float], deviation: list[float], tried: int, **fields: float) -> SimulatedStudy:
    """Independent architectures, of which the first `tried` have a complete trial."""
    covariance = np.diag(np.square(deviation))
    flags = np.arange(len(mean)) < tried
    return SimulatedStudy(np.array(mean), covariance, flags, **{"noise": 1e-12, **fields})


def test_where_everything_is_known_nothing_is_gained() -> None:
    known = study([0.7, 0.6, 0.5], [0.0, 0.0, 0.0], 3)
    gain = forecast_gain(known, 30, np.random.default_rng(0))
    assert (gain.after, gain.trials, gain.mean, gain.deviation) == (30, 20, 0.0, 0.0)


def test_a_known_better_architecture_is_gained_once_it_is_tried() -> None:
    gain = forecast_gain(study([0.7, 0.75], [0.0, 0.0], 1), 30, np.random.default_rng(0), 1)
    assert gain.mean == pytest.approx(0.05)


def test_the_gain_from_one_exact_trial_is_the_expected_improvement() -> None:
    """E[max(0, x)] of a standard normal x is 1/√(2π)."""
    gain = forecast_gain(study([0.7, 0.7], [0.0, 0.02], 1), 30, np.random.default_rng(0), 10)
    assert gain.mean == pytest.approx(0.02 / math.sqrt(2 * math.pi), rel=0.2)
    assert gain.deviation == pytest.approx(0.02 * math.sqrt(0.5 - 0.5 / math.pi), rel=0.2)


def test_noise_random_proposals_and_fewer_trials_lower_the_gain() -> None:
    rng = np.random.default_rng(1)
    mean, deviation = rng.normal(0.7, 0.02, 60).tolist(), [0.02] * 60
    gains = {
        name: forecast_gain(study(mean, deviation, 10, **fields), 30, np.random.default_rng(0), n)
        for name, fields, n in (
            ("all", {}, 20),
            ("noisy", {"noise": 0.04**2}, 20),
            ("random", {"model_share": 0.0}, 20),
            ("five", {}, 5),
        )
    }
    assert min(gain.mean for gain in gains.values()) > 0
    means = {name: gain.mean for name, gain in gains.items()}
    assert means.pop("all") > 1.1 * max(means.values()), means


def test_the_covariance_of_the_posterior_is_that_of_its_samples(bound: BoundSpace) -> None:
    architectures = [bound.architecture_at(i) for i in range(0, bound.count(), 9)][:12]
    histories = random_histories(bound, 25)
    features = ArchitectureFeatures.of_backbone(bound.site_map)
    model = MixedModel(features, histories, architectures)
    samples = model.draw_samples(np.random.default_rng(0), 4000)
    covariance = model.posterior_covariance(np.arange(12))
    tolerance = 0.1 * float(np.diag(covariance).max())
    np.testing.assert_allclose(np.cov(samples.T), covariance, atol=tolerance)


def test_of_a_large_space_the_architectures_that_matter_are_simulated(
    bound: BoundSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expected_gain, "MAX_SIMULATED_ARCHITECTURES", 50)
    histories = random_histories(bound, 25)
    tried = [history.architecture for history in histories]
    space = (bound.architecture_at(i) for i in range(bound.count()))
    architectures = list(dict.fromkeys([*tried, *space]))
    model = MixedModel(ArchitectureFeatures.of_backbone(bound.site_map), histories, architectures)
    flags = np.arange(len(architectures)) < len(set(tried))
    best = model.predict_mean()[flags].max()
    for share in (0.0, 0.5, 1.0):
        chosen = SimulatedStudy.of(model, flags, np.random.default_rng(0), share)
        assert len(chosen.mean) == 50
        assert best == pytest.approx(chosen.mean[chosen.tried].max())
