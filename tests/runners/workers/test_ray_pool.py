"""What is particular to workers on a Ray cluster: nodes that join and leave, data, lost actors."""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import replace

import psutil
import pytest
from attentune.errors import MachineError, UsageError
from attentune.runners.data import prepare_data
from attentune.runners.events import Decision, EpochDone, Finished, Started, WorkerDied
from attentune.runners.workers import ray_pool
from attentune.runners.workers.pool import PoolSettings, make_pool
from attentune.runners.workers.ray_cluster import ClusterNode
from ray_clusters import ray_workers, trial_process

pytestmark = pytest.mark.ray


@contextlib.contextmanager
def pool_on(cluster, device="cpu", **settings):
    pool = make_pool("ray", PoolSettings(device, ray_address=cluster.address, **settings))
    try:
        yield pool
    finally:
        pool.close()


@contextlib.contextmanager
def another_node(cluster, **resources):
    """A second node; killed at the end, if the test has not done it."""
    node = cluster.add_node(**resources)
    try:
        yield node
    finally:
        cluster.kill_node(node)


def events_until(pool, is_last, seconds=90.0):
    """Events up to the one that is looked for; every epoch is told to go on."""
    events, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        for event in pool.events(1.0):
            events.append(event)
            if isinstance(event, EpochDone):
                pool.reply(event.number, Decision.GO_ON)
            if is_last(event):
                return events
    raise AssertionError(f"it did not come: {events}")


def await_idle(pool, workers, seconds=90.0):
    deadline = time.monotonic() + seconds
    while pool.idle < workers and time.monotonic() < deadline:
        assert pool.events(1.0) == []
    assert pool.idle == workers


@pytest.fixture
def long_job(job):
    return replace(job, recipe=job.recipe.model_copy(update={"epochs": 500}))


def test_nodes_join_with_their_own_copy_of_the_data_and_leave(ray_cluster, job, tmp_path, follow):
    data = prepare_data(job.recipe)
    job = replace(job, data_key=data.key)
    with pool_on(ray_cluster, data_keys=(data.key,), shared=(str(tmp_path),)) as pool:
        assert (pool.idle, pool.size) == (1, 1)
        with another_node(ray_cluster) as node:
            await_idle(pool, 2)
            copy = ray_cluster.cache_of(node) / "data" / data.key
            assert (copy / "train.images.npy").read_bytes() == (
                data.folder / "train.images.npy"
            ).read_bytes()
            results = {}
            for number in (1, 2):
                pool.start(replace(job, number=number, folder=tmp_path / str(number)))
            names = set()
            while len(results) < 2:
                for event in events_until(pool, lambda e: isinstance(e, Finished)):
                    if isinstance(event, Started):
                        names.add(event.worker.partition("@")[2])
                    if isinstance(event, Finished):
                        results[event.number] = event.result.accuracy
            assert len(names) == 2, "one trial on each node"
            assert results[1] == results[2]
        deadline = time.monotonic() + 60
        while pool.size > 1 and time.monotonic() < deadline:
            assert pool.events(1.0) == []
        assert (pool.idle, pool.size) == (1, 1)


def test_a_trial_of_a_killed_node_goes_on_elsewhere(ray_cluster, long_job, follow):
    with another_node(ray_cluster) as node, pool_on(ray_cluster) as pool:
        await_idle(pool, 2)
        jobs = {n: replace(long_job, number=n, folder=long_job.folder / str(n)) for n in (1, 2)}
        for each in jobs.values():
            pool.start(each)
        for each in jobs:
            events_until(pool, lambda e, n=each: isinstance(e, EpochDone) and e.number == n)
        ray_cluster.kill_node(node)
        killed_at = time.monotonic()
        died = events_until(pool, lambda e: isinstance(e, WorkerDied))[-1]
        assert time.monotonic() - killed_at < 30
        assert not died.by_trial
        assert "was lost" in died.reason
        pool.kill(3 - died.number)  # The other trial makes room.
        assert pool.idle == 1
        pool.start(jobs[died.number])
        started = events_until(pool, lambda e: isinstance(e, Started))[-1]
        assert started.number == died.number
        pool.kill(died.number)


def test_a_lost_process_or_actor_is_replaced_and_only_the_process_is_held_against_the_trial(
    ray_cluster, long_job
):
    with pool_on(ray_cluster) as pool:
        (actor,) = ray_workers()
        pool.start(long_job)
        events_until(pool, lambda e: isinstance(e, EpochDone))
        trial_process(actor).send_signal(signal.SIGSEGV)
        died = events_until(pool, lambda e: isinstance(e, WorkerDied))[-1]
        assert died.by_trial
        assert "SIGSEGV" in died.reason
        pool.start(replace(long_job, memory_limit_mib=50.0))
        died = events_until(pool, lambda e: isinstance(e, WorkerDied))[-1]
        assert died.out_of_memory
        assert ray_workers() == [actor], "the actor has survived its process"
        pool.start(long_job)
        events_until(pool, lambda e: isinstance(e, EpochDone))
        process = trial_process(actor)
        actor.kill()
        died = events_until(pool, lambda e: isinstance(e, WorkerDied))[-1]
        assert not died.by_trial
        psutil.wait_procs([process], timeout=10)
        assert not process.is_running(), "a trial ends with its actor"
        await_idle(pool, 1)
    deadline = time.monotonic() + 20
    while ray_workers() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not ray_workers(), "a closed pool leaves no actor"


def test_a_node_with_other_versions_or_folders_is_refused(ray_cluster, tmp_path, monkeypatch):
    from attentune.runners.workers import cluster_check

    describe = cluster_check.describe_node
    here = describe({}, "", [], count_gpus=False)
    here["versions"]["torch"] = "1.13.1"
    patched = [here]
    monkeypatch.setattr(
        cluster_check,
        "describe_node",
        lambda *a, **k: patched.pop() if patched else describe(*a, **k),
    )
    message = r"cannot run one study together: \S+ has torch \S+, and this machine 1\.13\.1\. `att"
    with pytest.raises(MachineError, match=message), pool_on(ray_cluster):
        pass
    assert not ray_workers()


def test_workers_share_the_gpus_that_ray_has(ray_cluster, monkeypatch):
    # Torch sees no GPU here, so a check would refuse the node, and no trial could run.
    monkeypatch.setattr(ray_pool, "require_equal_nodes", lambda _: None)
    with (
        another_node(ray_cluster, gpus=1),
        pool_on(ray_cluster, device="cuda", workers_per_gpu=2) as pool,
    ):
        await_idle(pool, 2)
        assert pool.size == 2


@pytest.mark.parametrize(
    ("settings", "workers", "share"),
    [
        (PoolSettings("cpu"), 8, {"num_cpus": 1}),
        (PoolSettings("cuda"), 2, {"num_cpus": 0, "num_gpus": 1.0}),
        (PoolSettings("cuda", workers_per_gpu=3), 6, {"num_cpus": 0, "num_gpus": 0.3333}),
    ],
)
def test_a_worker_has_a_cpu_or_a_share_of_a_gpu(settings, workers, share):
    assert ray_pool.slots_of(ClusterNode("id", "name", cpus=8, gpus=2), settings) == workers
    assert ray_pool.share_of_node(settings) == share


def test_what_ray_cannot_give_is_refused(ray_cluster):
    with pytest.raises(MachineError, match="have no GPUs for trials"):
        make_pool("ray", PoolSettings("cuda", ray_address=ray_cluster.address))
    with pytest.raises(UsageError, match="not on cuda:1; use --device cpu or --device cuda"):
        make_pool("ray", PoolSettings("cuda:1", ray_address=ray_cluster.address))
