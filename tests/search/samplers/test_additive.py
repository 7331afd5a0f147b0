"""The additive model: what it learns from trials, and what it proposes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attentune.runners.results import Costs
from attentune.search.samplers.additive import ThompsonSampling, best_trade_off, most_accurate
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.networks.placement import placements
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space
from attentune.studies.estimator.features import ArchitectureFeatures
from attentune.studies.estimator.history import TrialHistory
from attentune.studies.estimator.hyperparameters import MAX_FITTED_TRIALS, HyperparameterFits
from attentune.studies.estimator.mixed_model import MixedModel

SPACE = Space.of(attentions=("none", "se", "eca", "ca"), ratios=(4, 16), stages=(1, 2, 3))
TRUE = {"se": 0.03, "ca": -0.02}
"""Gain of an attention in a stage; twice that in stage 2, nothing for the others."""


class Flat:
    """Everything costs the same, except that each attention adds a parameter."""

    def price(self, architecture):
        return Costs(1000 + len(architecture.insertions), 10)


@pytest.fixture(scope="module")
def bound():
    return bind_space(SPACE, find_sites("test_resnet", image_size=36))


def truth(architecture):
    gain = 0.0
    for insertion in architecture.insertions:
        for place in insertion.places:
            stages = range(place.first, place.last + 1) if place.first else (1, 2, 3, 4)
            gain += sum(TRUE.get(insertion.attention, 0.0) * (1 + (s == 2)) for s in stages)
    return 0.7 + gain


def some(bound, count, seed=0, noise=0.01):
    rng = np.random.default_rng(seed)
    chosen = rng.choice(bound.count(), count, replace=False)
    architectures = [bound.architecture_at(int(i)) for i in chosen]
    return [ended(a, truth(a) + noise * rng.standard_normal()) for a in architectures]


def ended(architecture, accuracy, seed=0):
    return TrialHistory(architecture, seed, accuracy, {})


def test_effects_that_add_up_are_known_before_they_were_seen_together(bound):
    every = [bound.architecture_at(i) for i in range(bound.count())]
    seen = some(bound, 40)
    expected = MixedModel(ArchitectureFeatures(bound.site_map), seen, every).predict_mean()
    true = np.array([truth(a) for a in every])
    assert np.corrcoef(expected, true)[0, 1] > 0.9
    among_best = np.sort(true)[-len(true) // 20]
    assert true[np.argmax(expected)] >= among_best


def test_a_long_study_is_fitted_to_a_part_of_it_and_judged_by_all(bound):
    rng = np.random.default_rng(0)
    every = [bound.architecture_at(i) for i in range(bound.count())]
    seen = [ended(a, truth(a) + 0.03 * rng.standard_normal(), s) for a in every for s in range(5)]
    assert len(seen) > 2 * MAX_FITTED_TRIALS
    effects = ArchitectureFeatures(bound.site_map)
    powers = HyperparameterFits(effects).fit(seen)
    noise = unexplained(powers) * np.var([history.end for history in seen])
    assert 0.02 < noise**0.5 < 0.04
    true, expected = (
        np.array([truth(a) for a in every]),
        MixedModel(effects, seen, every, powers).predict_mean(),
    )
    assert np.corrcoef(expected, true)[0, 1] > 0.98


def test_trials_that_agree_to_the_last_digit_are_no_trouble(bound):
    rng = np.random.default_rng(3)
    some_of_them = [bound.architecture_at(int(i)) for i in rng.choice(bound.count(), 60)]
    seen = [ended(a, truth(a), seed) for a in some_of_them for seed in range(5)]
    model = MixedModel(ArchitectureFeatures(bound.site_map), seen, some_of_them)
    true, expected = np.array([truth(a) for a in some_of_them]), model.predict_mean()
    np.testing.assert_allclose(expected - expected.mean(), true - true.mean(), atol=2e-3)
    assert np.isfinite(model.draw_sample(rng)).all()


def test_the_noise_is_told_from_the_effects_by_repeated_seeds(bound):
    rng = np.random.default_rng(0)
    architectures = [bound.architecture_at(int(i)) for i in rng.choice(bound.count(), 12)]
    quiet = [ended(a, truth(a)) for a in architectures for _ in range(3)]
    noisy = [ended(a, 0.7 + 0.05 * rng.standard_normal()) for a in architectures * 3]
    effects = ArchitectureFeatures(bound.site_map)
    shares = {
        name: unexplained(MixedModel(effects, seen, architectures[:1]).powers)
        for name, seen in (("quiet", quiet), ("noisy", noisy))
    }
    assert shares["noisy"] > 3 * shares["quiet"]


def test_samples_scatter_less_where_more_was_seen(bound):
    seen = some(bound, 30)
    known, strange = seen[0].architecture, bound.architecture_at(bound.count() - 1)
    model = MixedModel(
        ArchitectureFeatures(bound.site_map), [*seen, *[seen[0]] * 10], [known, strange]
    )
    samples = np.array([model.draw_sample(np.random.default_rng(i)) for i in range(200)])
    assert samples[:, 0].std() < 0.7 * samples[:, 1].std()
    assert abs(samples.mean(axis=0) - model.predict_mean()).max() < 0.01


def unexplained(powers):
    """What differs between the seeds of one architecture."""
    return powers["noise at the end"] + powers["luck"]


def test_a_pruned_trial_counts_for_what_its_rung_foretells(bound):
    every = [bound.architecture_at(i) for i in range(bound.count())]
    rng = np.random.default_rng(5)
    chosen = [every[i] for i in rng.choice(len(every), 60, replace=False)]
    best_third = np.quantile([truth(a) for a in chosen], 2 / 3)

    def seen(shown):
        """The rung shows twice the truth, on a scale of its own; only the best third went on."""
        for a in chosen:
            end = truth(a) + 0.02 * rng.standard_normal()
            rung = {2: 5 + 2 * truth(a) + 0.02 * rng.standard_normal()} if shown else {}
            if truth(a) >= best_third or shown:
                yield TrialHistory(a, 0, end if truth(a) >= best_third else None, rung)

    true, effects = np.array([truth(a) for a in every]), ArchitectureFeatures(bound.site_map)
    with_rungs, without = (
        np.corrcoef(MixedModel(effects, list(seen(shown)), every).predict_mean(), true)[0, 1]
        for shown in (True, False)
    )
    assert with_rungs > 0.9
    assert 1 - with_rungs < 0.75 * (1 - without)


def test_a_rung_that_tells_nothing_is_not_believed(bound):
    every = [bound.architecture_at(i) for i in range(bound.count())]
    rng = np.random.default_rng(6)
    plain = some(bound, 50, noise=0.01)
    misled = [TrialHistory(c.architecture, 0, c.end, {2: rng.standard_normal()}) for c in plain]
    true, effects = np.array([truth(a) for a in every]), ArchitectureFeatures(bound.site_map)
    right, told = (
        np.corrcoef(MixedModel(effects, seen, every).predict_mean(), true)[0, 1]
        for seen in (plain, misled)
    )
    assert told > right - 0.05


@pytest.mark.parametrize("count", [40, 80])
def test_a_rung_that_likes_other_attentions_is_not_taken_for_the_end(bound, count):
    """ECA learns fast at first, and CA slowly, more so than either differs in the end."""
    every = [bound.architecture_at(i) for i in range(bound.count())]
    early = {"eca": 1.0, "ca": -0.5}

    def shown(architecture):
        return sum(early.get(i.attention, 0.0) for i in architecture.insertions)

    plain = some(bound, count, noise=0.05)
    misled = [TrialHistory(c.architecture, 0, c.end, {2: shown(c.architecture)}) for c in plain]
    true, effects = np.array([truth(a) for a in every]), ArchitectureFeatures(bound.site_map)
    right, told = (
        np.corrcoef(MixedModel(effects, seen, every).predict_mean(), true)[0, 1]
        for seen in (plain, misled)
    )
    assert told > right - 0.02


def test_what_larger_modules_are_worth_is_known_of_attentions_never_seen(bound):
    """Each module is worth the logarithm of its parameters, whatever attention it is."""
    every = [bound.architecture_at(i) for i in range(bound.count())]

    def size(architecture):
        found = placements(architecture, bound.site_map)
        return sum(math.log1p(placement.parameters) for placement in found)

    def has_ca(architecture):
        return any(i.attention == "ca" for i in architecture.insertions)

    seen = [ended(a, 0.7 + 0.005 * size(a)) for a in every if not has_ca(a)][::4]
    strange = [a for a in every if has_ca(a)]
    expected = MixedModel(ArchitectureFeatures(bound.site_map), seen, strange).predict_mean()
    assert np.corrcoef(expected, [size(a) for a in strange])[0, 1] > 0.95


def test_what_cannot_be_a_number_is_left_out(bound):
    plain = some(bound, 20)
    broken = TrialHistory(plain[0].architecture, 7, float("nan"), {2: float("nan")})
    effects, judged = ArchitectureFeatures(bound.site_map), [c.architecture for c in plain]
    expected = MixedModel(effects, [*plain, broken], judged).predict_mean()
    np.testing.assert_allclose(
        expected, MixedModel(effects, plain, judged).predict_mean(), atol=1e-3
    )


def test_what_trials_of_a_seed_share_is_not_taken_for_an_effect(bound):
    rng = np.random.default_rng(0)
    architectures = [bound.architecture_at(int(i)) for i in rng.choice(bound.count(), 60)]
    lucky = {seed: 0.2 * (seed % 2) for seed in range(6)}

    def seen(tells: bool):
        return [
            ended(a, truth(a) + lucky[i % 6], i % 6 if tells else 0)
            for i, a in enumerate(architectures)
        ]

    every = [bound.architecture_at(i) for i in range(bound.count())]
    true = np.array([truth(a) for a in every])
    effects = ArchitectureFeatures(bound.site_map)
    right, wrong = (
        np.corrcoef(MixedModel(effects, seen(tells), every).predict_mean(), true)[0, 1]
        for tells in (True, False)
    )
    assert right > wrong + 0.05


def test_proposals_turn_to_what_is_best_and_look_at_it_again(bound):
    sampler = ThompsonSampling(bound, ("accuracy",), {}, Flat())
    rng = np.random.default_rng(1)
    seen = some(bound, 8)
    for number in range(60):
        architecture = bound.architecture_of(sampler.select(seen, 0, number))
        seen.append(ended(architecture, truth(architecture) + 0.01 * rng.standard_normal()))
    late = [history.architecture for history in seen[-20:]]
    best = max(truth(bound.architecture_at(i)) for i in range(bound.count()))
    assert np.mean([truth(a) for a in late]) > best - 0.03
    assert len(set(late)) < len(late)


def test_no_proposal_breaks_a_limit(bound):
    sampler = ThompsonSampling(bound, ("accuracy", "params"), {"params": 1001}, Flat())
    seen = some(bound, 10)
    for number in range(20):
        architecture = bound.architecture_of(sampler.select(seen, 0, number))
        assert len(architecture.insertions) <= 1
    nothing = ThompsonSampling(bound, ("accuracy",), {"params": 1}, Flat())
    assert nothing.select(seen, 0, 0) is None


def test_a_large_space_is_looked_at_in_part():
    space = Space.of(attentions=("none", "se", "eca", "cbam", "ca"), ratios=(4, 8, 16))
    large = bind_space(space, find_sites("test_resnet", image_size=36))
    sampler = ThompsonSampling(large, ("accuracy", "params"), {}, Flat())
    seen = some(large, 15)
    proposed = {large.architecture_of(sampler.select(seen, 0, n)).key for n in range(6)}
    assert len(proposed) > 1


def test_random_weights_choose_from_the_front():
    accuracy = np.array([0.5, 0.7, 0.9, 0.6])
    costs = np.array([[1.0], [2.0], [9.0], [8.0]])
    rng = np.random.default_rng(0)
    assert {best_trade_off(accuracy, costs, rng) for _ in range(100)} == {0, 1, 2}


def test_the_most_accurate_makes_room_for_the_one_behind_it_once_it_has_had_many_trials():
    accuracy = np.array([0.5, 0.7, 0.9, 0.6])
    rng = np.random.default_rng(0)
    few, many = np.array([9, 0, 3, 9]), np.array([0, 0, 4, 0])
    assert {most_accurate(accuracy, few, rng) for _ in range(100)} == {2}
    chosen = [most_accurate(accuracy, many, rng) for _ in range(200)]
    assert set(chosen) == {1, 2}
    assert 70 < chosen.count(1) < 130
    assert most_accurate(accuracy[2:3], many[2:3], rng) == 0
