"""How much memory is free, and turns in which processes take much of it.

Every worker that keeps its images in memory first asks how much is free. Workers that begin at once
would all see the same memory free, so those with large data take turns: each sees what the ones
before it have taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
from collections.abc import Iterator
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from ..cache_folders import cache_folder

MIN_BYTES_TURN = 2**28
"""Smaller data are loaded without waiting for a turn."""
MAX_TURN_SECONDS = 300.0
"""How long a process waits for its turn. Then it goes on, because the one before it may hang."""
CGROUPS = Path("/sys/fs/cgroup")
PROCESS_CGROUPS = Path("/proc/self/cgroup")
_FILES_BY_VERSION = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
"""The files with the limit and the use of a cgroup, and the name of what is cached, in its
`memory.stat`."""


@contextlib.contextmanager
def memory_turn(num_bytes: int, device: str) -> Iterator[None]:
    """Take much memory inside this context, one process of this machine after the other.

    Args:
        num_bytes: about how much.
        device: whose memory, such as `cpu` or `cuda:0`; each has turns of its own.
    """
    with contextlib.ExitStack() as stack:
        if num_bytes >= MIN_BYTES_TURN:
            host = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
            name = f"turn-{host}-{device.replace(':', '-')}.lock"
            file = cache_folder("memory") / name
            with contextlib.suppress(Timeout, OSError, NotImplementedError):
                file.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(file).acquire(timeout=MAX_TURN_SECONDS))
        yield


def available_bytes() -> float:
    """Bytes that processes can take without swapping, also within the limits of a container."""
    return min((float(psutil.virtual_memory().available), *_bytes_within_limits()))


def _bytes_within_limits() -> Iterator[float]:
    """What is left of each limit of this process's cgroups; a container has one."""
    try:
        lines = PROCESS_CGROUPS.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            yield from _limits_along(CGROUPS, path, 2)
        elif "memory" in controllers.split(","):
            yield from _limits_along(CGROUPS / "memory", path, 1)


def _limits_along(root: Path, path: str, version: int) -> Iterator[float]:
    """What is left of the limits of a cgroup and of those above it.

    Args:
        root: where the cgroups are mounted.
        path: of the cgroup. In a container it may be that outside, which is not there.
        version: of the cgroups.
    """
    limit_file, usage_file, cached = _FILES_BY_VERSION[version]
    group = root / path.lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root):
            return
        try:
            limit = int((folder / limit_file).read_text("ascii"))
            usage = int((folder / usage_file).read_text("ascii"))
            lines = (folder / "memory.stat").read_text("ascii").splitlines()
            statistics = {name: int(value) for name, value in map(str.split, lines)}
            # What is cached of files is given back when processes need memory.
            yield max(0.0, limit - usage + statistics.get(cached, 0))
        except (OSError, ValueError):  # There is no limit ("max"), or no such group.
            continue
