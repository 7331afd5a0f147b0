"""A benchmark refuses to report what it measured on a busy machine."""

from __future__ import annotations

import pytest
from attentune.benchmarks.machine_load import LoadMonitor, Reading, read_clocks


def fake(*readings: tuple[float, float, float]):
    """A machine with these (clock, machine, benchmark) seconds, one reading after another."""
    readings_left = [Reading(*reading) for reading in readings]
    return lambda: readings_left.pop(0)


def test_the_benchmarks_own_cpu_time_is_not_counted():
    monitor = LoadMonitor(fake((0, 100, 10), (10, 120, 29.9)))
    assert monitor.sample() == pytest.approx(0.01)
    assert not monitor.busy
    assert monitor.finish() is False


def test_other_processes_are_counted_on_average_over_all_samples():
    monitor = LoadMonitor(fake((0, 0, 0), (1, 2, 1), (10, 11, 10)))
    assert monitor.sample() == pytest.approx(1.0)
    assert monitor.sample() == pytest.approx(0.0)
    assert monitor.cores == pytest.approx(0.1)
    assert not monitor.busy


def test_a_busy_machine_ends_the_program_with_one_and_says_why():
    monitor = LoadMonitor(fake((0, 0, 0), (10, 15, 10)))
    monitor.sample()
    with pytest.raises(SystemExit, match=r"0\.50 cores meanwhile.*--anyway"):
        monitor.finish()


def test_a_busy_machine_can_be_accepted_and_is_recorded():
    monitor = LoadMonitor(fake((0, 0, 0), (10, 15, 10)), anyway=True)
    monitor.sample()
    assert monitor.finish() is True


def test_a_child_that_was_not_waited_for_does_not_count_twice():
    monitor = LoadMonitor(fake((0, 0, 50), (1, 1, 20)))
    assert monitor.sample() == pytest.approx(1.0)


def test_this_machine_can_be_read():
    first, second = read_clocks(), read_clocks()
    assert second.clock > first.clock
    assert second.machine >= first.machine
    assert second.benchmark >= first.benchmark > 0
