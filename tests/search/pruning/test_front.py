"""Pruning of trials that are unlikely to be on the Pareto front."""

from __future__ import annotations

import example_records
import numpy as np
from attentune.search.pruning import front
from attentune.search.pruning.front import probability_of_front
from attentune.search.pruning.registry import make_pruner
from attentune.search.pruning.rung_pruner import RungEntry
from attentune.spaces.architecture import parse
from attentune.studies.config import Pruning

FRONT = Pruning(pruner="front", eta=2, chance=0.3)


def test_the_cheapest_architecture_continues_however_inaccurate(bench, judge, after_nine_trials):
    pruner, number = after_nine_trials(bench.config(pruning=FRONT, recipe={"epochs": 6}))
    assert not judge(pruner, number, "test_resnet+eca@s4.residual", params=900)


def test_nothing_is_stopped_before_effects_can_be_told_from_noise(bench, judge):
    pruner = make_pruner(bench.config(pruning=FRONT, recipe={"epochs": 6}))
    for number, accuracy in enumerate((0.9, 0.1, 0.1, 0.1, 0.1)):
        text = f"test_resnet+eca@s{number}.residual" if number else "test_resnet"
        assert not judge(pruner, number, text, params=1000 + number)
        pruner.on_trial_end(example_records.trial(number, text, accuracy))


def test_the_probability_is_the_share_of_samples_in_which_nothing_dominates():
    samples = np.array([[0.5, 0.6, 0.4], [0.5, 0.4, 0.45], [0.5, 0.7, 0.8], [0.5, 0.5, 0.3]])
    costs = np.array([[1.0], [2.0], [3.0]])
    assert probability_of_front(samples, costs).tolist() == [1.0, 0.5, 0.25]


def test_costs_within_their_noise_are_equal():
    """The second is faster by less than the noise, so the more accurate first one dominates it."""
    samples, costs = np.array([[0.9, 0.8]]), np.array([[5.0], [4.9]])
    assert probability_of_front(samples, costs).tolist() == [1.0, 1.0]
    assert probability_of_front(samples, costs, np.full((2, 1), 0.05)).tolist() == [1.0, 0.0]


def test_the_rivals_in_a_long_study_are_the_closest_to_the_front(monkeypatch):
    monkeypatch.setattr(front, "MAX_ENTRIES_COMPARED", 3)
    ends = {0: 0.9, 1: 0.5, 2: 0.4, 3: 0.8, 4: 0.3}
    costs = {0: 3.0, 1: 1.0, 2: 2.0, 3: 3.0, 4: 9.0}
    entries = {
        number: RungEntry(parse(f"net+se(r={2**number})@s1.residual"), 0, 0.1, (cost,), (0.0,))
        for number, cost in costs.items()
    }
    chosen = front.closest_to_front(entries, ends)
    by_key = {entry.architecture.key: number for number, entry in entries.items()}
    # 0 and 1 are the front, 2 and 3 the next one, and 4 is worse than all.
    assert {by_key[key] for key in chosen} == {0, 1, 2, 3}
