"""A trial is resumed after a lost worker, and fails after too many."""

from __future__ import annotations

from attentune.runners.events import WorkerDied
from attentune.runners.results import RETRY_MICRO_BATCHES, Failure
from attentune.search.run.lost_workers import MAX_LOST_WORKERS, LostWorkers


def test_a_trial_fails_that_loses_too_many_workers_while_it_trains() -> None:
    lost = LostWorkers()
    killed = WorkerDied(7, "killed by signal 9")
    for _ in range(MAX_LOST_WORKERS - 1):
        assert lost.record(killed) is None
    assert lost.record(WorkerDied(8, "killed by signal 9")) is None
    failure = lost.record(killed)
    assert failure == Failure(
        "worker_died", "killed by signal 9; 3 workers were lost over this trial"
    )


def test_workers_that_end_before_they_train_do_not_count() -> None:
    lost = LostWorkers()
    idle = WorkerDied(7, "ended while it started", by_trial=False)
    assert [lost.record(idle) for _ in range(2 * MAX_LOST_WORKERS)] == [None] * 2 * MAX_LOST_WORKERS


def test_a_trial_above_its_memory_is_resumed_once_with_micro_batches() -> None:
    lost = LostWorkers()
    above = WorkerDied(7, "above 100 MiB", out_of_memory=True)
    assert lost.micro_batches(7) == 1
    assert lost.record(above) is None
    assert (lost.micro_batches(7), lost.micro_batches(8)) == (RETRY_MICRO_BATCHES, 1)
    failure = lost.record(above)
    assert failure is not None
    assert failure.kind == "out_of_memory"
