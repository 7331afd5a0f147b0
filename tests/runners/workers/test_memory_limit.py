"""A limit of the memory of a trial."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attentune.runners.events import Finished, WorkerDied
from attentune.runners.workers.local_pool import LocalPool


@pytest.fixture(scope="module")
def pool(cache):
    del cache
    pool = LocalPool(["cpu"])
    yield pool
    pool.close()


def test_a_trial_above_its_limit_is_ended_and_its_worker_replaced(pool, job, follow):
    pool.start(replace(job, memory_limit_mib=50.0))
    died = follow(pool)[-1]
    assert isinstance(died, WorkerDied)
    assert died.out_of_memory
    assert "--trial-memory" in died.reason
    pool.start(replace(job, memory_limit_mib=100_000.0))
    assert isinstance(follow(pool)[-1], Finished)
    pool.start(replace(job, folder=job.folder.with_name("no limit")))
    assert isinstance(follow(pool)[-1], Finished)
