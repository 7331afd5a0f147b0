"""Schedules: they rise, peak, and end near zero."""

from __future__ import annotations

import pytest
from attentune.runners.training.schedule import learning_rate


@pytest.mark.parametrize("schedule", ["wsd", "onecycle"])
def test_a_schedule_rises_peaks_and_ends_near_zero(tiny_recipe, schedule):
    recipe = tiny_recipe.model_copy(update={"schedule": schedule, "warmup": 0.1, "lr": 1.0})
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[0] < 0.2
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert 0 <= rates[-1] < 0.06
    assert all(rate > 0 for rate in rates[:-1])
    peak = rates.index(max(rates))
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_the_stable_phase_of_wsd_does_not_depend_on_the_length(tiny_recipe):
    recipe = tiny_recipe.model_copy(update={"warmup": 0.0, "decay": 0.25, "lr": 1.0})
    assert [learning_rate(recipe, step, 40) for step in range(30)] == [1.0] * 30


def test_a_constant_schedule_stays_at_its_peak_after_the_warm_up(tiny_recipe):
    recipe = tiny_recipe.model_copy(update={"schedule": "constant", "warmup": 0.1, "lr": 1.0})
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[0] < 0.2
    assert rates[10:] == [1.0] * 90
