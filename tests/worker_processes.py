"""The worker processes of a local pool, as the operating system sees them."""

from __future__ import annotations

import contextlib

import psutil


def worker_process():
    """The process that trains: the newest that was forked off the server of workers, or spawned."""
    me = psutil.Process()
    begun = {}
    for child in me.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # One of an earlier test may have ended.
            begun[child] = " ".join(child.cmdline())
    workers = [
        child
        for child, words in begun.items()
        if "spawn_main" in words or ("forkserver" in words and child.ppid() != me.pid)
    ]
    return max(workers, key=lambda child: child.create_time())
