"""Checkpoints cost a small part of a trial, and say how far it has come."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.results import EpochReport
from attentune.runners.training import checkpoint
from attentune.runners.workers import checkpoint_schedule as module
from attentune.runners.workers.checkpoint_schedule import TrialCheckpoints
from attentune.runners.workers.trial_facts import Progress


class ManualClock:
    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class SlowWriter:
    """Takes so many seconds to write a file of so many bytes."""

    def __init__(self, clock, seconds: float, size: int) -> None:
        self.clock, self.seconds, self.size = clock, seconds, size

    def __call__(self, path, facts) -> None:
        self.clock.now += self.seconds
        checkpoint.save(path, facts, [torch.zeros(3)])


@pytest.fixture
def clock(monkeypatch):
    clock = ManualClock()
    monkeypatch.setattr(module, "time", clock)
    return clock


REPORT = EpochReport(2, 0.5, 0.25, 1.5, 1e-3, 4.0)


def test_a_checkpoint_is_due_after_fifty_times_what_writing_takes(clock, job):
    checkpoints = TrialCheckpoints(job)
    writer = SlowWriter(clock, seconds=2.0, size=300_000_000)  # assumed to take one second
    clock.now = 49.0
    assert not checkpoints.is_due(writer)
    clock.now = 50.0
    assert checkpoints.is_due(writer)
    checkpoints.write(writer, Progress(REPORT, 60.0, 50.0))
    clock.now += 99.0  # writing has been timed: it takes two seconds
    assert not checkpoints.is_due(writer)
    clock.now += 1.0
    assert checkpoints.is_due(writer)


def test_the_progress_that_was_written_is_read(clock, job):
    checkpoints = TrialCheckpoints(job)
    assert checkpoints.read() is None
    progress = Progress(REPORT, seconds=60.0, device_seconds=50.0)
    checkpoints.write(SlowWriter(clock, 1.0, 12), progress)
    assert TrialCheckpoints(job).read() == progress
    checkpoints.remove()
    checkpoints.remove()
    assert checkpoints.read() is None
