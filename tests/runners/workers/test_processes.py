"""Processes that are forked from a server: signals to all of them, and a server that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
from attentune.runners.events import Finished, Started, WorkerDied
from attentune.runners.workers.local_pool import LocalPool
from worker_processes import worker_process


@pytest.fixture(scope="module")
def pool(cache):
    del cache
    pool = LocalPool(["cpu"])
    yield pool
    pool.close()


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


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_every_worker_of_a_server_that_ends_is_known_to_be_blameless(job):
    pool = LocalPool(["cpu", "cpu"])
    try:
        pool.start(job)
        pool.start(replace(job, number=8, folder=job.folder.with_name("other")))
        psutil.Process(worker_process().ppid()).kill()
        died = []
        while len(died) < 2:
            died += [event for event in pool.events(10.0) if isinstance(event, WorkerDied)]
        assert [event.by_trial for event in died] == [False, False]
    finally:
        pool.close()
