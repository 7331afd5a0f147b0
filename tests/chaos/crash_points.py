"""The points at which a process can be interrupted by a crash: before and after all it writes.

A point is before and after each commit of any database connection that has changed something, each
flush, rename and removal of a file, and each message to a worker. They are numbered as they
happen, so a study that computes the same has the same points, and `Trap.number` chooses one.
"""

from __future__ import annotations

import functools
import mmap
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

SIGNALS = {
    "kill": signal.SIGKILL,
    "stop": signal.SIGSTOP,
    "term": signal.SIGTERM,
    "interrupt": signal.SIGINT,
}
FILLER = "filler"
"""The file with which the disk of the working directory is filled."""


def set_trap(action: str, process: str, number: int, log: str | None) -> None:
    """Count the points of this process and act once at one of them; see `Trap`.

    Each worker counts its own points. The first that reaches the number acts.
    """
    coordinator, count = os.getpid(), 0
    has_acted = mmap.mmap(-1, 1)  # Forked workers share it.

    def passes(name: str) -> None:
        nonlocal count, coordinator
        is_worker = multiprocessing.parent_process() is not None
        if is_worker != (process == "worker"):
            return
        if is_worker and coordinator != os.getpid():  # A fork has copied the coordinator's count.
            coordinator, count = os.getpid(), 0
        count += 1
        if log:
            with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "w") as file:
                file.write(f"{count} {name}\n")
        if count == number and not has_acted[0]:
            has_acted[0] = 1
            act(action)

    watch_commits(passes)
    watch_files(passes)
    watch_pool(passes)


def act(action: str) -> None:
    """Do at a point what the trap says."""
    if action in SIGNALS:
        os.kill(os.getpid(), SIGNALS[action])
    elif action == "fill":
        fill_disk(Path.cwd())


def fill_disk(folder: Path) -> None:
    """Write a file until no byte is left."""
    with (folder / FILLER).open("ab", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def watch_commits(passes: Callable[[str], None]) -> None:
    """Report commits that have changed something, by attentune and by Optuna."""
    do_commit = DefaultDialect.do_commit
    changes: dict[int, int] = {}

    def watched(self: DefaultDialect, dbapi_connection: Any) -> None:
        driver = getattr(dbapi_connection, "driver_connection", dbapi_connection)
        total = getattr(driver, "total_changes", 0)
        if changes.get(id(driver)) == total:
            do_commit(self, dbapi_connection)
            return
        changes[id(driver)] = total
        passes("before a commit")
        do_commit(self, dbapi_connection)
        passes("after a commit")

    DefaultDialect.do_commit = watched  # type: ignore[method-assign]


def watch_files(passes: Callable[[str], None]) -> None:
    """Report flushes, renames and removals of files."""
    for name in ("fsync", "replace", "rename", "unlink", "rmdir"):
        function = getattr(os, name)

        def watched(*arguments: Any, _function: Any = function, _name: str = name, **options: Any):
            passes(f"before {_name}")
            result = _function(*arguments, **options)
            passes(f"after {_name}")
            return result

        setattr(os, name, functools.wraps(function)(watched))


def watch_pool(passes: Callable[[str], None]) -> None:
    """Report the messages between the coordinator and its workers."""
    from multiprocessing.connection import Connection

    send = Connection.send

    def watched(self: Connection, message: Any) -> None:
        kind = type(message).__name__
        passes(f"before sending {kind}")
        send(self, message)
        passes(f"after sending {kind}")

    Connection.send = watched  # type: ignore[method-assign]
