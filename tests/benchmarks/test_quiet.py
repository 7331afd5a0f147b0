"""A benchmark refuses to report what it measured on a busy machine."""

from __future__ import annotations

import pytest
from attentune.benchmarks.quiet import Reading, Watch, read


def fake(*readings: tuple[float, float, float]):
    """A machine with these (clock, computing, of that ours), one reading after another."""
    left = [Reading(*reading) for reading in readings]
    return lambda: left.pop(0)


def test_our_own_computing_is_not_held_against_us():
    watch = Watch(fake((0, 100, 10), (10, 120, 29.9)))
    assert watch.lap() == pytest.approx(0.01)
    assert not watch.busy
    assert watch.end() is False


def test_others_are_counted_on_average_over_the_laps():
    watch = Watch(fake((0, 0, 0), (1, 2, 1), (10, 11, 10)))
    assert watch.lap() == pytest.approx(1.0)
    assert watch.lap() == pytest.approx(0.0)
    assert watch.cores == pytest.approx(0.1)
    assert not watch.busy


def test_a_busy_machine_ends_the_program_with_one_and_says_why():
    watch = Watch(fake((0, 0, 0), (10, 15, 10)))
    watch.lap()
    with pytest.raises(SystemExit, match=r"0\.50 cores meanwhile.*--anyway"):
        watch.end()


def test_a_busy_machine_can_be_accepted_and_is_recorded():
    watch = Watch(fake((0, 0, 0), (10, 15, 10)), anyway=True)
    watch.lap()
    assert watch.end() is True


def test_a_child_that_nobody_waited_for_does_not_count_twice():
    watch = Watch(fake((0, 0, 50), (1, 1, 20)))
    assert watch.lap() == pytest.approx(1.0)


def test_this_machine_can_be_read():
    first, second = read(), read()
    assert second.clock > first.clock
    assert second.machine >= first.machine
    assert second.ours >= first.ours > 0
