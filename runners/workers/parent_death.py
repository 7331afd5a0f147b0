"""End a process when its parent ends, even if it is stopped or does not release Python's lock.

On Linux the kernel sends the signal (`man PR_SET_PDEATHSIG`). It is sent when the thread ends that
made the process, not the whole parent; `processes` makes them in threads that last.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
COORDINATOR_VARIABLE = "ATTENTUNE_COORDINATOR_PID"
"""Environment variable in which the server process gets the pid of the coordinator."""
BLOCKED_SIGNALS = {
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
}
"""Signals that do not reach workers and their server."""

server_pid: int | None = None
"""The process from which this worker was forked; None if it was started in another way."""


def end_server_with_coordinator() -> None:
    """In the server process: end when the coordinator ends, and let workers know the server."""
    global server_pid
    coordinator = os.environ.pop(COORDINATOR_VARIABLE, None)
    if coordinator is not None:
        server_pid = os.getpid()
        end_with_parent(int(coordinator))


def end_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends. Other systems than Linux do nothing.

    Args:
        parent: the pid of the parent. If it has ended already, this process ends at once.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # The C library has no prctl.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
