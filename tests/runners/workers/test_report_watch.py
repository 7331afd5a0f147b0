"""How long a trial may report nothing."""

from __future__ import annotations

import pytest
from attentune.runners.workers import report_watch
from attentune.runners.workers.report_watch import ReportWatch


@pytest.fixture
def wait(monkeypatch):
    """Let time pass for a watch."""
    clock = [0.0]
    monkeypatch.setattr(report_watch.time, "monotonic", lambda: clock[0])

    def wait(watch, seconds, step=1.0, **how):
        for _ in range(round(seconds / step)):
            clock[0] += step
            watch.advance(**how)

    return wait


def test_without_any_epoch_two_hours_are_allowed(wait):
    watch = ReportWatch()
    watch.start(1)
    wait(watch, 7200)
    assert not watch.is_silent(1)
    wait(watch, 1)
    assert watch.is_silent(1)


@pytest.mark.parametrize(("longest", "limit"), [(1.0, 300.0), (60.0, 600.0)])
def test_ten_times_the_longest_epoch_is_allowed_and_at_least_five_minutes(wait, longest, limit):
    watch, resumed = ReportWatch(), ReportWatch(longest)
    watch.start(1)
    watch.record_report(1, 0.5)
    watch.record_report(1, longest)
    watch.record_report(1, 0.5)
    assert watch.max_silence == resumed.max_silence == limit
    wait(watch, limit)
    assert not watch.is_silent(1)
    wait(watch, 1)
    assert watch.is_silent(1)
    watch.record_report(1)
    assert not watch.is_silent(1)
    assert watch.run_seconds(1) == limit + 1


def test_time_in_which_this_process_was_stopped_does_not_count(wait):
    watch = ReportWatch(1.0)
    watch.start(1)
    wait(watch, 50_000, step=5000.0)
    assert not watch.is_silent(1)
    assert watch.run_seconds(1) == 50.0


def test_a_stop_waits_for_three_epochs_and_at_least_a_minute(wait):
    watch = ReportWatch(40.0)
    watch.start(1)
    wait(watch, 300)
    assert not watch.delays_stop(1)
    wait(watch, 1, stopping=True)
    wait(watch, 100, stopping=True)
    watch.record_report(1)
    wait(watch, 120, stopping=True)
    assert not watch.delays_stop(1)
    wait(watch, 1, stopping=True)
    assert watch.delays_stop(1)
    assert (ReportWatch(1.0).max_stop, ReportWatch().max_stop) == (60.0, 300.0)
