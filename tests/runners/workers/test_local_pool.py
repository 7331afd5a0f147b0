"""What is particular to worker processes on this machine: deaths, signals, environments."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
from attentune.runners.events import (
    Decision,
    EpochDone,
    Failed,
    Finished,
    WorkerDied,
)
from attentune.runners.results import CHECKPOINT_FILE
from attentune.runners.workers.local_pool import LocalPool
from attentune.spaces.architecture import parse
from worker_processes import worker_process


@pytest.fixture(scope="module")
def pool(cache):
    del cache
    pool = LocalPool(["cpu"])
    yield pool
    pool.close()


def test_a_killed_worker_is_reported_and_replaced_and_its_trial_goes_on(pool, job, follow):
    job = replace(job, recipe=job.recipe.model_copy(update={"epochs": 500}))
    pool.start(job)
    while not (job.folder / CHECKPOINT_FILE).exists():  # after some seconds of such epochs
        for event in pool.events(1.0):
            if isinstance(event, EpochDone):
                pool.reply(job.number, Decision.GO_ON)
    worker_process().send_signal(signal.SIGKILL)
    died = follow(pool)[-1]
    assert isinstance(died, WorkerDied)
    assert "SIGKILL" in died.reason
    assert pool.idle == 1
    pool.start(job)
    again = []
    while not again:
        again = pool.events(1.0)
    assert again[0].resumed_from >= 1
    pool.kill(job.number)


def test_a_trial_that_raises_fails_and_its_worker_lives_on(pool, job, follow):
    pid = worker_process().pid
    pool.start(replace(job, architecture=parse("test_resnet+se(r=4)@s9.residual")))
    failed = follow(pool)[-1]
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "invalid"
    assert "s9" in failed.failure.message
    assert worker_process().pid == pid


def test_a_worker_has_the_environment_of_when_it_starts(pool, job, tmp_path, monkeypatch, follow):
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv("ATTENTUNE_CACHE", str(elsewhere))
    late = LocalPool(["cpu"])
    try:
        late.start(job)
        assert isinstance(follow(late)[-1], Finished)
    finally:
        late.close()
    assert any(elsewhere.iterdir())
    assert pool.idle == 1
