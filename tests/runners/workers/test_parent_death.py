"""Workers end with their coordinator, whatever they are doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

COORDINATOR = """
import ctypes, os, signal, time, psutil
from attentune.runners.workers.local_pool import LocalPool

def hold_lock():
    ctypes.PyDLL(None).sleep(60)

class HoldsLock:
    def __reduce__(self):
        return hold_lock, ()

def wait_until_idle(pid):
    # A worker that is stopped before it has asked the kernel for its end proves nothing.
    process, statuses = psutil.Process(pid), []
    while set(statuses[-20:]) != {"sleeping"} or len(statuses) < 20:
        statuses.append(process.status())
        time.sleep(0.02)

if __name__ == "__main__":
    pool = LocalPool(["cpu"] * 3)
    wait_until_idle(pool._workers[0].process.pid)
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
