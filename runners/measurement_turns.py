"""Measurements of time on one machine take turns, and wait for a quiet core.

All processes of one machine share a lock in the cache folder, so that the workers of one study, and
of several, never time two networks at once. The operating system releases the lock when a process
ends, however it ends. Both waits are bounded; if one is in vain, the caller learns why.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import time
from collections.abc import Iterator

import psutil
from filelock import FileLock, Timeout

from ..cache_folders import cache_folder

MAX_TURN_SECONDS = 120.0
"""How long a measurement waits for its turn: about 60 workers that begin at once."""
MAX_QUIET_SECONDS = 1.5
"""How long a measurement waits for a quiet core. On a CPU, other processes lengthen the processor
time of a network by some percent only, so a longer wait would cost more than it brings."""
SAMPLE_SECONDS = 0.1
"""The usage of the cores is averaged over this time."""
MAX_USAGE_QUIET = 0.2
"""A core that is in use for a smaller share of the time is quiet."""


@contextlib.contextmanager
def measurement_turn() -> Iterator[str | None]:
    """Measure inside this context. It yields why the machine was not quiet; None if it was."""
    with contextlib.ExitStack() as stack:
        problem = _take_turn(stack)
        yield problem or (None if wait_for_quiet_core() else "no core was idle")


def _take_turn(stack: contextlib.ExitStack) -> str | None:
    """Take the lock until the stack is closed; why that is impossible, or None."""
    host = hashlib.sha256(platform.node().encode()).hexdigest()[:8]  # The folder may be shared.
    file = cache_folder("latency") / f"turn-{host}.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        stack.enter_context(FileLock(file).acquire(timeout=MAX_TURN_SECONDS))
    except Timeout:
        return f"other measurements took longer than {MAX_TURN_SECONDS:.0f} s"
    except (OSError, NotImplementedError) as error:
        return f"measurements could not take turns ({error})"
    return None


class OtherProcesses:
    """Measures, from its creation on, how much of the machine other processes use."""

    def __init__(self) -> None:
        self._began = self._clocks()

    @staticmethod
    def _clocks() -> tuple[float, float]:
        """Seconds of wall time, and processor seconds of all other processes on all cores."""
        times = psutil.cpu_times()
        kinds = ("user", "nice", "system", "irq", "softirq", "steal")
        machine: float = sum(getattr(times, kind, 0.0) for kind in kinds)
        return time.perf_counter(), machine - time.process_time()

    def share(self) -> float:
        """The share of all cores that they have used, from 0 to 1."""
        (began, before), (now, after) = self._began, self._clocks()
        cores = psutil.cpu_count() or 1
        return min(1.0, max(0.0, (after - before) / max((now - began) * cores, 1e-9)))


def wait_for_quiet_core() -> bool:
    """Wait until a core that this process may use is quiet; False if that took too long.

    The calling thread sleeps meanwhile, so that its own work does not count.
    """
    deadline = time.monotonic() + MAX_QUIET_SECONDS
    while (usage := least_core_usage()) is not None and usage > MAX_USAGE_QUIET:
        if time.monotonic() > deadline:
            return False
    return True


def least_core_usage() -> float | None:
    """The usage of the least used core that this process may use, over `SAMPLE_SECONDS`.

    It is a fraction; None if this system does not say.
    """
    try:
        percentages = psutil.cpu_percent(SAMPLE_SECONDS, percpu=True)
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    except (psutil.Error, OSError):
        return None
    usable = [p for core, p in enumerate(percentages) if cores is None or core in cores]
    return min(usable) / 100 if usable else None
