"""What is particular to worker processes on this machine: deaths, signals, environments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
from attentune.runners.events import (
    Decision,
    EpochDone,
    Failed,
    Finished,
    Started,
    WorkerDied,
)
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


COORDINATOR = """
import ctypes, os, signal, time, psutil
from attentune.runners.workers.local_pool import LocalPool

def hold_lock():
    ctypes.PyDLL(None).sleep(60)

class HoldsLock:
    def __reduce__(self):
        return hold_lock, ()

if __name__ == "__main__":
    pool = LocalPool(["cpu"] * 3)
    os.kill(pool._workers[0].process.pid, signal.SIGSTOP)
    pool._workers[1].pipe.send(HoldsLock())
    time.sleep(1)
    print([c.pid for c in psutil.Process().children(recursive=True)], flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel has to kill the workers")
def test_workers_die_with_a_coordinator_that_is_killed(tmp_path):
    """Also one that is stopped, and one that does not release Python's lock."""
    script = tmp_path / "parent.py"
    script.write_text(COORDINATOR)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [psutil.Process(pid) for pid in eval(parent.stdout.readline())]
    assert len(children) == 5  # workers, their server, multiprocessing's resource tracker
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


def test_signals_to_all_processes_leave_workers_and_their_server_alone(pool, job, follow):
    pool.start(job)
    for process in psutil.Process().children(recursive=True):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
    assert isinstance(follow(pool)[-1], Finished)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_workers_get_a_new_server_if_theirs_ends_and_a_stopped_one_continues(
    pool, job, follow, number
):
    pool.start(job)
    assert isinstance(pool.events(60.0)[0], Started)
    server = psutil.Process(worker_process().ppid())
    worker = worker_process()
    server.send_signal(number)
    worker.send_signal(signal.SIGKILL)
    died = follow(pool)[-1]
    assert isinstance(died, WorkerDied)
    assert died.by_trial == (number == signal.SIGSTOP)
    pool.start(job)
    assert isinstance(follow(pool)[-1], Finished)


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
        "from attentune.runners.workers.local_pool import LocalPool\n"
        "from attentune.runners.workers.processes import warm_up\n"
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
