"""What every pool must do: the contract of `workers.pool.Pool`, for each pool in `POOLS`."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from attentune.errors import UsageError
from attentune.runners.events import (
    Decision,
    EpochDone,
    Failed,
    Finished,
    Measured,
    Rejected,
    Started,
    Stopped,
)
from attentune.runners.results import CHECKPOINT_FILE, WEIGHTS_FILE
from attentune.runners.training.tensor_file import read_tensors
from attentune.runners.workers.pool import POOLS, PoolSettings, make_pool
from attentune.spaces.architecture import parse

MARKS = {"ray": pytest.mark.ray}
"""The pools whose tests run apart from the others."""


@pytest.fixture(scope="module", params=[pytest.param(n, marks=MARKS.get(n, ())) for n in POOLS])
def pool(cache, request):
    del cache
    address = "auto"
    if request.param == "ray":
        address = request.getfixturevalue("ray_cluster").address
    pool = make_pool(request.param, PoolSettings("cpu", workers=1, ray_address=address))
    yield pool
    pool.close()


def test_a_trial_tells_its_story_in_order_and_leaves_its_weights(pool, job, follow):
    pool.start(job)
    assert pool.idle == 0
    events = follow(pool)
    assert [type(e) for e in events] == [Started, Measured, *[EpochDone] * 3, Finished]
    assert [e.report.epoch for e in events if isinstance(e, EpochDone)] == [1, 2, 3]
    result = events[-1].result
    assert result.accuracy == events[-2].report.accuracy
    assert result.costs == events[1].costs
    assert {"torch", "device", "precision"} <= set(result.environment)
    assert (job.folder / WEIGHTS_FILE).is_file()
    assert pool.idle == 1


def test_a_stopped_trial_goes_on_from_its_last_epoch_to_the_same_end(pool, job, tmp_path, follow):
    pool.start(job)
    paused = {2: Decision.PAUSE}
    stopped = follow(pool, decide=lambda event: paused.get(event.report.epoch, Decision.GO_ON))
    assert isinstance(stopped[-1], Stopped)
    assert stopped[-1].epochs == 2
    pool.start(job)
    rest = follow(pool)
    assert rest[0].resumed_from == 2
    pool.start(replace(job, folder=tmp_path / "whole"))
    whole = follow(pool)
    assert rest[-1].result.accuracy == whole[-1].result.accuracy
    weights, expected = (
        read_tensors(folder / WEIGHTS_FILE) for folder in (job.folder, tmp_path / "whole")
    )
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_a_pruned_trial_leaves_nothing_and_says_what_it_took(pool, job, follow):
    pool.start(job)
    stopped = follow(pool, decide=lambda _: Decision.PRUNE)[-1]
    assert isinstance(stopped, Stopped)
    assert stopped.epochs == 1
    assert 0 < stopped.device_seconds <= stopped.seconds
    assert stopped.environment["torch"]
    pool.start(job)
    assert follow(pool)[0].resumed_from == 0


def test_a_torn_checkpoint_costs_its_epochs_not_the_trial(pool, job, follow):
    job.folder.mkdir(parents=True)
    (job.folder / CHECKPOINT_FILE).write_bytes(b"torn")
    pool.start(job)
    events = follow(pool)
    assert events[0].resumed_from == 0
    assert isinstance(events[-1], Finished)


def test_a_measured_cost_above_its_limit_rejects_untrained(pool, job, follow):
    limited = replace(job, measure=("memory_mib",), limits={"memory_mib": 0.1})
    pool.start(limited)
    events = follow(pool)
    assert [type(e) for e in events] == [Started, Rejected]
    assert "above the limit" in events[-1].reason


def test_a_trial_that_raises_fails_and_its_pool_goes_on(pool, job, follow):
    pool.start(replace(job, architecture=parse("test_resnet+se(r=4)@s9.residual")))
    failed = follow(pool)[-1]
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "invalid"
    assert "s9" in failed.failure.message
    assert pool.idle == 1


def test_a_killed_trial_sends_no_further_event_and_frees_its_worker(pool, job, follow):
    pool.start(job)
    assert isinstance(pool.events(60.0)[0], Started)
    pool.kill(job.number)
    assert pool.idle == 1
    assert pool.events(0.5) == []
    pool.start(replace(job, number=8))
    assert {event.number for event in follow(pool)} == {8}


def test_a_pool_has_as_many_workers_as_were_asked_for(pool):
    assert pool.size == 1


def test_a_reply_to_a_trial_that_is_gone_does_nothing(pool):
    pool.reply(99, Decision.GO_ON)
    assert pool.idle == 1


def test_waiting_for_events_ends_after_the_timeout(pool):
    began = time.monotonic()
    assert pool.events(0.2) == []
    assert 0.1 < time.monotonic() - began < 5


def test_every_worker_takes_one_trial_at_a_time(pool, job):
    pool.start(job)
    with pytest.raises(ValueError, match="no idle worker"):
        pool.start(replace(job, number=8))
    pool.kill(job.number)


def test_an_unknown_pool_is_refused_with_the_closest_name():
    with pytest.raises(UsageError, match="unknown pool 'locl'; did you mean 'local'"):
        make_pool("locl", PoolSettings("cpu"))


def test_the_names_of_pools_are_known_without_torch():
    code = (
        "import sys; from attentune.runners.workers.pool import POOLS\n"
        "assert not {'torch', 'timm', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
