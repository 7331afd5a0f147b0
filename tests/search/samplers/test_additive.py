"""Thompson sampling: which architectures are proposed, given the histories of all trials."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.runners.results import Costs
from attentune.search.samplers.additive import (
    ThompsonSampling,
    best_trade_off,
    draw_index,
    most_accurate,
)
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space, load_space
from planted_effects import ended_history, planted_space, random_histories, true_accuracy


class ConstantCosts:
    """All architectures cost the same, except that each insertion adds a parameter."""

    def price(self, architecture):
        return Costs(1000 + len(architecture.insertions), 10)


@pytest.fixture(scope="module")
def bound():
    return planted_space()


def test_proposals_concentrate_on_the_best_architectures_and_repeat_them(bound):
    sampler = ThompsonSampling(bound, ("accuracy",), {}, ConstantCosts())
    rng = np.random.default_rng(1)
    histories = random_histories(bound, 8)
    for number in range(60):
        architecture = bound.architecture_of(sampler.select(histories, 0, number))
        histories.append(
            ended_history(architecture, true_accuracy(architecture) + 0.01 * rng.standard_normal())
        )
    late = [history.architecture for history in histories[-20:]]
    best = max(true_accuracy(bound.architecture_at(i)) for i in range(bound.count()))
    assert np.mean([true_accuracy(a) for a in late]) > best - 0.03
    assert len(set(late)) < len(late)


def test_no_proposal_breaks_a_limit(bound):
    sampler = ThompsonSampling(bound, ("accuracy", "params"), {"params": 1001}, ConstantCosts())
    histories = random_histories(bound, 10)
    for number in range(20):
        architecture = bound.architecture_of(sampler.select(histories, 0, number))
        assert len(architecture.insertions) <= 1
    nothing = ThompsonSampling(bound, ("accuracy",), {"params": 1}, ConstantCosts())
    assert nothing.select(histories, 0, 0) is None


def test_in_a_large_space_a_pool_of_candidates_is_considered():
    space = Space.of(attentions=("none", "se", "eca", "cbam", "ca"), ratios=(4, 8, 16))
    large = bind_space(space, find_sites("test_resnet", image_size=36))
    sampler = ThompsonSampling(large, ("accuracy", "params"), {}, ConstantCosts())
    histories = random_histories(large, 15)
    proposed = {large.architecture_of(sampler.select(histories, 0, n)).key for n in range(6)}
    assert len(proposed) > 1


def test_a_space_of_more_architectures_than_64_bits_can_number_is_searched():
    space = load_space("quick", granularity="block")
    huge = bind_space(space, find_sites("densenet121", image_size=32))
    assert huge.count() > 2**180
    sampler = ThompsonSampling(huge, ("accuracy", "params"), {}, ConstantCosts())
    proposed = {huge.architecture_of(sampler.select([], 0, n)).key for n in range(4)}
    assert len(proposed) > 1


@pytest.mark.parametrize("size", [1, 10, 2**63, 2**63 + 1, 2**64 - 1, 2**64, 3 * 2**200])
def test_an_index_is_drawn_uniformly_from_a_range_of_any_size(size):
    rng = np.random.default_rng(0)
    drawn = [draw_index(size, rng) for _ in range(300)]
    assert all(type(index) is int and 0 <= index < size for index in drawn)
    assert abs(float(np.mean([index / size for index in drawn])) - 0.5 * (size > 1)) < 0.1


def test_a_range_that_numpy_can_draw_from_is_drawn_by_numpy():
    """Searches of small spaces propose what they have always proposed."""
    drawn = draw_index(10**12, np.random.default_rng(3))
    assert drawn == np.random.default_rng(3).integers(10**12)


def test_random_weights_choose_from_the_front():
    accuracy = np.array([0.5, 0.7, 0.9, 0.6])
    costs = np.array([[1.0], [2.0], [9.0], [8.0]])
    rng = np.random.default_rng(0)
    assert {best_trade_off(accuracy, costs, rng) for _ in range(100)} == {0, 1, 2}


def test_the_runner_up_gets_half_of_the_proposals_once_the_best_has_many_trials():
    accuracy = np.array([0.5, 0.7, 0.9, 0.6])
    rng = np.random.default_rng(0)
    few, many = np.array([9, 0, 3, 9]), np.array([0, 0, 4, 0])
    assert {most_accurate(accuracy, few, rng) for _ in range(100)} == {2}
    chosen = [most_accurate(accuracy, many, rng) for _ in range(200)]
    assert set(chosen) == {1, 2}
    assert 70 < chosen.count(1) < 130
    assert most_accurate(accuracy[2:3], many[2:3], rng) == 0
