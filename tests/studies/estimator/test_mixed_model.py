"""The mixed model: what it predicts of architectures from the histories of trials."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attentune.spaces.networks.placement import placements
from attentune.studies.estimator.features import ArchitectureFeatures
from attentune.studies.estimator.history import TrialHistory
from attentune.studies.estimator.mixed_model import MixedModel
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


def test_effects_that_add_up_are_known_before_they_were_seen_together(bound):
    architectures = [bound.architecture_at(i) for i in range(bound.count())]
    histories = random_histories(bound, 40)
    expected = MixedModel(
        ArchitectureFeatures.of_backbone(bound.site_map), histories, architectures
    ).predict_mean()
    true = np.array([true_accuracy(a) for a in architectures])
    assert np.corrcoef(expected, true)[0, 1] > 0.9
    among_best = np.sort(true)[-len(true) // 20]
    assert true[np.argmax(expected)] >= among_best


def test_trials_that_agree_to_the_last_digit_are_no_trouble(bound):
    rng = np.random.default_rng(3)
    architectures = [bound.architecture_at(int(i)) for i in rng.choice(bound.count(), 60)]
    histories = [
        ended_history(a, true_accuracy(a), seed) for a in architectures for seed in range(5)
    ]
    model = MixedModel(ArchitectureFeatures.of_backbone(bound.site_map), histories, architectures)
    true, expected = np.array([true_accuracy(a) for a in architectures]), model.predict_mean()
    np.testing.assert_allclose(expected - expected.mean(), true - true.mean(), atol=2e-3)
    assert np.isfinite(model.draw_sample(rng)).all()


def test_the_noise_is_told_from_the_effects_by_repeated_seeds(bound):
    rng = np.random.default_rng(0)
    architectures = [bound.architecture_at(int(i)) for i in rng.choice(bound.count(), 12)]
    quiet = [ended_history(a, true_accuracy(a)) for a in architectures for _ in range(3)]
    noisy = [ended_history(a, 0.7 + 0.05 * rng.standard_normal()) for a in architectures * 3]
    features = ArchitectureFeatures.of_backbone(bound.site_map)
    shares = {
        name: unexplained_variance(
            MixedModel(features, histories, architectures[:1]).hyperparameters
        )
        for name, histories in (("quiet", quiet), ("noisy", noisy))
    }
    assert shares["noisy"] > 3 * shares["quiet"]


def test_samples_scatter_less_where_more_was_seen(bound):
    histories = random_histories(bound, 30)
    known, strange = histories[0].architecture, bound.architecture_at(bound.count() - 1)
    model = MixedModel(
        ArchitectureFeatures.of_backbone(bound.site_map),
        [*histories, *[histories[0]] * 10],
        [known, strange],
    )
    samples = np.array([model.draw_sample(np.random.default_rng(i)) for i in range(200)])
    assert samples[:, 0].std() < 0.7 * samples[:, 1].std()
    assert abs(samples.mean(axis=0) - model.predict_mean()).max() < 0.01


def test_a_pruned_trial_counts_for_what_its_rung_foretells(bound):
    architectures = [bound.architecture_at(i) for i in range(bound.count())]
    rng = np.random.default_rng(5)
    chosen = [architectures[i] for i in rng.choice(len(architectures), 60, replace=False)]
    best_third = np.quantile([true_accuracy(a) for a in chosen], 2 / 3)

    def histories(shown):
        """The rung shows twice the truth, on a scale of its own; only the best third went on."""
        for a in chosen:
            end = true_accuracy(a) + 0.02 * rng.standard_normal()
            rung = {2: 5 + 2 * true_accuracy(a) + 0.02 * rng.standard_normal()} if shown else {}
            if true_accuracy(a) >= best_third or shown:
                yield TrialHistory(a, 0, end if true_accuracy(a) >= best_third else None, rung)

    true, features = (
        np.array([true_accuracy(a) for a in architectures]),
        ArchitectureFeatures.of_backbone(bound.site_map),
    )
    with_rungs, without = (
        np.corrcoef(
            MixedModel(features, list(histories(shown)), architectures).predict_mean(), true
        )[0, 1]
        for shown in (True, False)
    )
    assert with_rungs > 0.9
    assert 1 - with_rungs < 0.75 * (1 - without)


def test_a_rung_that_tells_nothing_is_not_believed(bound):
    architectures = [bound.architecture_at(i) for i in range(bound.count())]
    rng = np.random.default_rng(6)
    plain = random_histories(bound, 50, noise=0.01)
    misled = [TrialHistory(c.architecture, 0, c.end, {2: rng.standard_normal()}) for c in plain]
    true, features = (
        np.array([true_accuracy(a) for a in architectures]),
        ArchitectureFeatures.of_backbone(bound.site_map),
    )
    right, told = (
        np.corrcoef(MixedModel(features, histories, architectures).predict_mean(), true)[0, 1]
        for histories in (plain, misled)
    )
    assert told > right - 0.05


@pytest.mark.parametrize("count", [40, 80])
def test_a_rung_that_likes_other_attentions_is_not_taken_for_the_end(bound, count):
    """ECA learns fast at first, and CA slowly, more so than either differs in the end."""
    architectures = [bound.architecture_at(i) for i in range(bound.count())]
    early = {"eca": 1.0, "ca": -0.5}

    def shown(architecture):
        return sum(early.get(i.attention, 0.0) for i in architecture.insertions)

    plain = random_histories(bound, count, noise=0.05)
    misled = [TrialHistory(c.architecture, 0, c.end, {2: shown(c.architecture)}) for c in plain]
    true, features = (
        np.array([true_accuracy(a) for a in architectures]),
        ArchitectureFeatures.of_backbone(bound.site_map),
    )
    right, told = (
        np.corrcoef(MixedModel(features, histories, architectures).predict_mean(), true)[0, 1]
        for histories in (plain, misled)
    )
    assert told > right - 0.02


def test_what_larger_modules_are_worth_is_known_of_attentions_never_seen(bound):
    """Each module is worth the logarithm of its parameters, whatever attention it is."""
    architectures = [bound.architecture_at(i) for i in range(bound.count())]

    def size(architecture):
        found = placements(architecture, bound.site_map)
        return sum(math.log1p(placement.parameters) for placement in found)

    def has_ca(architecture):
        return any(i.attention == "ca" for i in architecture.insertions)

    histories = [ended_history(a, 0.7 + 0.005 * size(a)) for a in architectures if not has_ca(a)][
        ::4
    ]
    strange = [a for a in architectures if has_ca(a)]
    expected = MixedModel(
        ArchitectureFeatures.of_backbone(bound.site_map), histories, strange
    ).predict_mean()
    assert np.corrcoef(expected, [size(a) for a in strange])[0, 1] > 0.95


def test_what_cannot_be_a_number_is_left_out(bound):
    plain = random_histories(bound, 20)
    broken = TrialHistory(plain[0].architecture, 7, float("nan"), {2: float("nan")})
    features, judged = (
        ArchitectureFeatures.of_backbone(bound.site_map),
        [c.architecture for c in plain],
    )
    expected = MixedModel(features, [*plain, broken], judged).predict_mean()
    np.testing.assert_allclose(
        expected, MixedModel(features, plain, judged).predict_mean(), atol=1e-3
    )


def test_what_trials_of_a_seed_share_is_not_taken_for_an_effect(bound):
    rng = np.random.default_rng(0)
    architectures = [bound.architecture_at(int(i)) for i in rng.choice(bound.count(), 60)]
    lucky = {seed: 0.2 * (seed % 2) for seed in range(6)}

    def histories(tells: bool):
        return [
            ended_history(a, true_accuracy(a) + lucky[i % 6], i % 6 if tells else 0)
            for i, a in enumerate(architectures)
        ]

    architectures = [bound.architecture_at(i) for i in range(bound.count())]
    true = np.array([true_accuracy(a) for a in architectures])
    features = ArchitectureFeatures.of_backbone(bound.site_map)
    right, wrong = (
        np.corrcoef(MixedModel(features, histories(tells), architectures).predict_mean(), true)[
            0, 1
        ]
        for tells in (True, False)
    )
    assert right > wrong + 0.05
