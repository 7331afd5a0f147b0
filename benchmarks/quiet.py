"""Whether the machine was left to a benchmark: how much of it other processes used.

    watch = Watch.begin(anyway=options.anyway)      looks for two seconds; ends the program if busy
    for … in rounds:
        …
        watch.lap()                                 once a round, or about once a second
    result["busy"] = watch.end()                    ends the program if the machine was busy

What others use is what the whole machine spent computing (or lost to other guests of its host)
minus what this process and its children spent, so that it holds for short-lived processes too.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

LIMIT = 0.15
"""Cores that others may use on average, before and during a benchmark."""
LOOK = 2.0
"""Seconds of looking before a benchmark begins."""


@dataclass(frozen=True)
class Reading:
    """Seconds: of a clock, of computing on all cores together, and of that by our processes."""

    clock: float
    machine: float
    ours: float


def read() -> Reading:
    """The machine now."""
    times = psutil.cpu_times()
    spent = sum(
        getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal")
    )
    return Reading(time.perf_counter(), spent, _ours())


class Watch:
    """Follows how many cores other processes use."""

    def __init__(
        self,
        read: Callable[[], Reading] = read,
        *,
        limit: float = LIMIT,
        anyway: bool = False,
    ) -> None:
        self._read, self.limit, self.anyway = read, limit, anyway
        self._last = read()
        self.seconds = 0.0
        self.others = 0.0

    @classmethod
    def begin(cls, *, anyway: bool = False, look: float = LOOK) -> Watch:
        """Look at the machine for a while, then watch; SystemExit(1) if it is busy.

        With `anyway` a busy machine is accepted, and `end` says so.
        """
        watch = cls(anyway=anyway)
        names = _busiest(look)
        watch.lap()
        watch._refuse(f"before it began{names}")
        watch.seconds = watch.others = 0.0
        return watch

    def lap(self) -> float:
        """Cores that others have used since the last lap."""
        now, last = self._read(), self._last
        self._last = now
        seconds = now.clock - last.clock
        # A child that nobody waited for takes its seconds with it: hence the lower bound.
        others = max(0.0, now.machine - last.machine - max(0.0, now.ours - last.ours))
        self.seconds += seconds
        self.others += others
        return others / seconds if seconds > 0 else 0.0

    @property
    def cores(self) -> float:
        """Cores that others have used on average."""
        return self.others / self.seconds if self.seconds > 0 else 0.0

    @property
    def busy(self) -> bool:
        """Whether that is too much."""
        return self.cores > self.limit

    def end(self) -> bool:
        """Whether the machine was busy during the laps; SystemExit(1) unless that was accepted."""
        self._refuse("meanwhile")
        return self.busy

    def _refuse(self, when: str) -> None:
        if self.busy and not self.anyway:
            raise SystemExit(
                f"not measured: other processes used {self.cores:.2f} cores {when}, "
                f"more than {self.limit:g}; wait until the machine is idle, or add --anyway"
            )


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every benchmark has."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the result goes")
    parser.add_argument(
        "--anyway", action="store_true", help="measure on a busy machine too, and say so"
    )


def _ours() -> float:
    """Seconds of computing by this process and its children, the ended ones included."""
    me = psutil.Process()
    total = 0.0
    for process in [me, *me.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:  # it has just ended; its parent has, or will have, its seconds
            continue
        total += times.user + times.system
        total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


def _busiest(seconds: float, most: int = 3) -> str:
    """Wait, and name those of other processes that computed most."""
    before = _foreign()
    time.sleep(seconds)
    shares: Counter[str] = Counter()
    for key, (name, now) in _foreign().items():
        shares[name] += round(100 * (now - before.get(key, (name, now))[1]) / seconds)
    words = [f"{name} {share} %" for name, share in shares.most_common(most) if share > 1]
    return f" ({', '.join(words)})" if words else ""


def _foreign() -> dict[tuple[int, float], tuple[str, float]]:
    """Name and seconds of computing of every process but ours."""
    me = psutil.Process()
    ours = {me.pid, *(child.pid for child in me.children(recursive=True))}
    found = {}
    for process in psutil.process_iter(["pid", "create_time", "name", "cpu_times"]):
        info = process.info
        if info["pid"] in ours or not info["cpu_times"]:
            continue
        spent = info["cpu_times"].user + info["cpu_times"].system
        found[info["pid"], info["create_time"]] = (str(info["name"]), spent)
    return found
