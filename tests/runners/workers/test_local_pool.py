"""What is particular to worker processes on this machine: deaths, signals, environments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest
from attentune.runners.events import Decision, EpochDone, Failed, Finished, WorkerDied
from attentune.runners.results import CHECKPOINT_FILE
from attentune.runners.workers.local_pool import LocalPool
from attentune.spaces.architecture import parse


@pytest.fixture(scope="module")
def pool(cache):
    del cache
    pool = LocalPool(["cpu"])
    yield pool
    pool.close()


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
