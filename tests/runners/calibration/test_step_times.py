"""Variants are compared round by round, and a busy machine is told from a quiet one."""

from __future__ import annotations

import time

import pytest
from attentune.runners.calibration.step_times import (
    MIN_ROUNDS,
    StepTimes,
    thread_clock,
    time_in_turns,
)


def test_a_speedup_is_sure_only_if_three_quarters_of_the_rounds_have_it():
    steps = StepTimes({"a": [1.0] * 8, "b": [1.1] * 5 + [0.9] * 3})
    assert steps.fastest() == "a"
    assert steps.speedup("a", "b") == pytest.approx(1.1)
    assert steps.sure_speedup("a", "b") < 1
    assert not steps.is_clearly_fastest("a")
    assert StepTimes({"a": [1.0] * 8, "b": [1.3] * 8}).is_clearly_fastest("a")


def test_what_slows_all_variants_of_a_round_down_cancels():
    load = [1.0, 3.0, 1.0, 2.0, 5.0]
    steps = StepTimes({"a": load, "b": [1.25 * factor for factor in load]})
    assert steps.sure_speedup("a", "b") == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("seconds", "time_lost", "reason"),
    [
        ([1.0, 1.01, 0.99, 1.0, 1.02, 4.0], 0.05, None),  # once disturbed
        ([1.0, 1.4, 1.0, 1.5, 0.9, 1.6], 0.05, "equal steps differed by"),
        ([1.0] * 6, 0.3, "other processes took 30 % of the time"),
    ],
)
def test_a_machine_is_busy_if_equal_steps_differ_or_time_is_lost(seconds, time_lost, reason):
    disturbance = StepTimes({"a": seconds, "b": [9.0]}, time_lost).disturbance
    assert disturbance is None if reason is None else disturbance.startswith(reason)


def test_what_is_far_slower_is_not_timed_on_and_what_is_clear_ends_the_timing():
    steps = {"slow": lambda: 5.0, "fast": lambda: 1.0, "medium": lambda: 1.5}
    times = time_in_turns(steps, seconds=60).seconds
    assert {name: len(rounds) for name, rounds in times.items()} == {
        "slow": 1,
        "fast": MIN_ROUNDS,
        "medium": MIN_ROUNDS,
    }


def test_time_that_a_step_waits_is_lost_to_other_processes():
    clock = thread_clock()

    def step() -> float:
        began = clock()
        time.sleep(0.002)
        return clock() - began + 1e-4

    assert time_in_turns({"a": step, "b": step}, seconds=0).time_lost > 0.5
