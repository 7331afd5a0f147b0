"""The pool's contract, with real processes: events in order, stops, dead workers, dead parents."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from attentune.runners.events import (
    Decision,
    EpochDone,
    Failed,
    Finished,
    Measured,
    Rejected,
    Started,
    Stopped,
    WorkerDied,
)
from attentune.runners.results import Job
from attentune.runners.workers.local_pool import LocalPool
from attentune.runners.workers.trial import CHECKPOINT, WEIGHTS
from attentune.spaces.architecture import parse


@pytest.fixture(scope="module")
def pool(cache):
    del cache
    found = LocalPool(["cpu"])
    yield found
    found.close()


@pytest.fixture
def job(tmp_path, tiny_recipe):
    return Job(7, parse("test_resnet+eca@all.residual"), tiny_recipe, 0, tmp_path / "trial")


def follow(
    pool,
    *,
    answer=lambda _: Decision.GO_ON,
    until=(Finished, Stopped, Failed, Rejected, WorkerDied),
):
    """All events of the one running trial, answering after every epoch."""
    seen = []
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for event in pool.events(1.0):
            seen.append(event)
            if isinstance(event, EpochDone):
                pool.reply(event.number, answer(event))
            if isinstance(event, until):
                return seen
    raise AssertionError(f"no end in sight: {seen}")


def worker_process():
    """The process that trains: the newest that was forked off the server of workers, or spawned."""
    me = psutil.Process()
    begun = {child: " ".join(child.cmdline()) for child in me.children(recursive=True)}
    workers = [
        child
        for child, words in begun.items()
        if "spawn_main" in words or ("forkserver" in words and child.ppid() != me.pid)
    ]
    return max(workers, key=lambda child: child.create_time())


def test_a_trial_tells_its_story_in_order_and_leaves_its_weights(pool, job):
    pool.start(job)
    assert pool.idle == 0
    events = follow(pool)
    assert [type(e) for e in events] == [Started, Measured, *[EpochDone] * 3, Finished]
    assert [e.report.epoch for e in events if isinstance(e, EpochDone)] == [1, 2, 3]
    result = events[-1].result
    assert result.accuracy == events[-2].report.accuracy
    assert result.costs == events[1].costs
    assert {"torch", "device", "precision"} <= set(result.environment)
    assert (job.folder / WEIGHTS).is_file()
    assert pool.idle == 1
    deadline = time.monotonic() + 10
    while (job.folder / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # it goes once the result has been told
    assert not (job.folder / CHECKPOINT).exists()


def test_a_stopped_trial_goes_on_from_its_last_epoch_to_the_same_end(pool, job, tmp_path):
    from dataclasses import replace

    pool.start(job)
    paused = {2: Decision.PAUSE}
    stopped = follow(pool, answer=lambda event: paused.get(event.report.epoch, Decision.GO_ON))
    assert isinstance(stopped[-1], Stopped)
    assert stopped[-1].epochs == 2
    pool.start(job)
    rest = follow(pool)
    assert rest[0].resumed_from == 2
    pool.start(replace(job, folder=tmp_path / "whole"))
    whole = follow(pool)
    assert rest[-1].result.accuracy == whole[-1].result.accuracy
    assert (job.folder / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


def test_a_pruned_trial_leaves_nothing_and_says_what_it_took(pool, job):
    pool.start(job)
    stopped = follow(pool, answer=lambda _: Decision.PRUNE)[-1]
    assert isinstance(stopped, Stopped)
    assert stopped.epochs == 1
    assert 0 < stopped.device_seconds <= stopped.seconds
    assert stopped.environment["torch"]
    pool.start(job)
    assert follow(pool)[0].resumed_from == 0


def test_a_killed_worker_is_reported_and_replaced_and_its_trial_goes_on(pool, job):
    from dataclasses import replace

    job = replace(job, recipe=job.recipe.model_copy(update={"epochs": 500}))
    pool.start(job)
    while not (job.folder / CHECKPOINT).exists():  # after some seconds of such epochs
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


def test_a_trial_that_raises_fails_and_its_worker_lives_on(pool, job):
    from dataclasses import replace

    pid = worker_process().pid
    pool.start(replace(job, architecture=parse("test_resnet+se(r=4)@s9.residual")))
    failed = follow(pool)[-1]
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "invalid"
    assert "s9" in failed.failure.message
    assert worker_process().pid == pid


def test_a_torn_checkpoint_costs_its_epochs_not_the_trial(pool, job):
    job.folder.mkdir(parents=True)
    (job.folder / CHECKPOINT).write_bytes(b"torn")
    pool.start(job)
    events = follow(pool)
    assert events[0].resumed_from == 0
    assert isinstance(events[-1], Finished)


def test_a_measured_cost_above_its_limit_rejects_untrained(pool, job):
    from dataclasses import replace

    limited = replace(job, measure=("memory_mib",), limits={"memory_mib": 0.1})
    pool.start(limited)
    events = follow(pool)
    assert [type(e) for e in events] == [Started, Rejected]
    assert "above the limit" in events[-1].reason


def test_workers_die_with_a_coordinator_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import time, psutil\n"
        "from attentune.runners.workers.local_pool import LocalPool\n"
        "if __name__ == '__main__':\n"
        "    pool = LocalPool(['cpu'])\n"
        "    print([c.pid for c in psutil.Process().children(recursive=True)], flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [psutil.Process(pid) for pid in eval(parent.stdout.readline())]
    assert children
    time.sleep(2)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert not alive


def test_a_worker_has_the_environment_of_when_it_starts(pool, job, tmp_path, monkeypatch):
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


def test_an_interrupt_while_workers_warm_up_ends_nothing(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import psutil, signal\n"
        "from attentune.runners.workers.local_pool import LocalPool, warm_up\n"
        "if __name__ == '__main__':\n"
        "    warm_up()\n"
        "    for child in psutil.Process().children():\n"
        "        child.send_signal(signal.SIGINT)\n"
        "    pool = LocalPool(['cpu'])\n"
        "    print(pool.idle, pool.events(1.0))\n"
        "    pool.close()\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("1 []\n", "", 0)
