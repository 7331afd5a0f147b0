"""Monitor how much of the machine other processes use before and during a benchmark.

    monitor = LoadMonitor.start(anyway=options.anyway)   watches two seconds; exits if it is busy
    for … in rounds:
        …
        monitor.sample()                                 once a round, or about once a second
    result["busy"] = monitor.finish()                    exits if the machine was busy

The CPU time of other processes is that of the whole machine (including time stolen by other virtual
machines) minus that of this process and its children. It therefore includes short-lived processes.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

MAX_OTHER_CORES = 0.15
"""Cores that other processes may use on average, before and during a benchmark."""
SECONDS_BEFORE = 2.0
"""How long the machine is watched before a benchmark begins."""


@dataclass(frozen=True)
class Reading:
    """A reading of the machine's clocks, in seconds.

    Attributes:
        clock: wall clock.
        machine: CPU time of all processes on all cores.
        benchmark: CPU time of this process and its children.
    """

    clock: float
    machine: float
    benchmark: float


def read_clocks() -> Reading:
    """Read the machine's clocks now."""
    times = psutil.cpu_times()
    busy_seconds = sum(
        getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal")
    )
    return Reading(time.perf_counter(), busy_seconds, _benchmark_seconds())


class LoadMonitor:
    """Measures how many cores other processes use.

    Args:
        read: reads the clocks.
        max_cores: the machine counts as busy if others use more cores on average.
        anyway: accept a busy machine.
    """

    def __init__(
        self,
        read: Callable[[], Reading] = read_clocks,
        *,
        max_cores: float = MAX_OTHER_CORES,
        anyway: bool = False,
    ) -> None:
        self._read, self.max_cores, self.anyway = read, max_cores, anyway
        self._last = read()
        self.seconds = 0.0
        self.other_seconds = 0.0

    @classmethod
    def start(cls, *, anyway: bool = False, seconds_before: float = SECONDS_BEFORE) -> LoadMonitor:
        """Watch the machine for a while, then begin to measure; SystemExit(1) if it is busy.

        With `anyway` a busy machine is accepted, and `finish` returns True.
        """
        monitor = cls(anyway=anyway)
        names = _name_busiest(seconds_before)
        monitor.sample()
        monitor._refuse(f"before it began{names}")
        monitor.seconds = monitor.other_seconds = 0.0
        return monitor

    def sample(self) -> float:
        """Cores that other processes have used since the last sample."""
        now, last = self._read(), self._last
        self._last = now
        seconds = now.clock - last.clock
        # The difference can be negative, because the time of an unawaited child disappears with it.
        benchmark_seconds = max(0.0, now.benchmark - last.benchmark)
        other_seconds = max(0.0, now.machine - last.machine - benchmark_seconds)
        self.seconds += seconds
        self.other_seconds += other_seconds
        return other_seconds / seconds if seconds > 0 else 0.0

    @property
    def cores(self) -> float:
        """Cores that other processes have used on average."""
        return self.other_seconds / self.seconds if self.seconds > 0 else 0.0

    @property
    def busy(self) -> bool:
        """Whether `cores` is above `max_cores`."""
        return self.cores > self.max_cores

    def finish(self) -> bool:
        """Whether the machine was busy; SystemExit(1) if it was, unless that is accepted."""
        self._refuse("meanwhile")
        return self.busy

    def _refuse(self, when: str) -> None:
        if self.busy and not self.anyway:
            raise SystemExit(
                f"not measured: other processes used {self.cores:.2f} cores {when}, "
                f"more than {self.max_cores:g}; wait until the machine is idle, or add --anyway"
            )


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all benchmarks have."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the result")
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="measure even on a busy machine, and note that in the result",
    )


def _benchmark_seconds() -> float:
    """CPU seconds of this process and its children, including those that have ended."""
    this = psutil.Process()
    total = 0.0
    for process in [this, *this.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:  # It has just ended, and its time is added to that of its parent.
            continue
        total += times.user + times.system
        total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


def _name_busiest(seconds: float, max_names: int = 3) -> str:
    """Wait for `seconds`, and name the other processes that used the most CPU time."""
    before = _other_processes()
    time.sleep(seconds)
    shares: Counter[str] = Counter()
    for key, (name, now) in _other_processes().items():
        shares[name] += round(100 * (now - before.get(key, (name, now))[1]) / seconds)
    words = [f"{name} {share} %" for name, share in shares.most_common(max_names) if share > 1]
    return f" ({', '.join(words)})" if words else ""


def _other_processes() -> dict[tuple[int, float], tuple[str, float]]:
    """Name and CPU seconds of all processes except this one and its children."""
    this = psutil.Process()
    excluded = {this.pid, *(child.pid for child in this.children(recursive=True))}
    processes = {}
    for process in psutil.process_iter(["pid", "create_time", "name", "cpu_times"]):
        info = process.info
        if info["pid"] in excluded or not info["cpu_times"]:
            continue
        seconds = info["cpu_times"].user + info["cpu_times"].system
        processes[info["pid"], info["create_time"]] = (str(info["name"]), seconds)
    return processes
