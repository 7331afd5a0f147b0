"""Time the steps of several variants in turn, and compare them round by round.

In each round every variant takes one step, in alternating order, so that what slows the machine
down slows all of them. Two variants are compared by the ratio of their times in each round: a
variant is faster by what the lower quartile of these ratios says, so that it has to be faster in at
least three quarters of the rounds.

The machine is too busy to measure if the steps of one variant differ from round to round by more
than `MAX_SPREAD_QUIET`, or if other processes take more than `MAX_TIME_LOST` of the time. On a CPU
the times themselves are those that the thread has computed (`thread_clock`), as for latencies.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

TimedStep = Callable[[], float]
"""Takes a training step and returns its seconds: of the thread on a CPU, else of the wall clock."""
MIN_SPEEDUP_CLEAR = 1.2
"""Timing ends once one variant is this many times as fast as every other."""
MIN_ROUNDS = 5
"""Every variant takes at least so many steps, unless it is far slower."""
MAX_SLOWDOWN_TIMED = 2
"""A variant whose fastest step takes more than this many times the fastest of all is not timed
further."""
MAX_SPREAD_QUIET = 0.15
"""The distance of the quartiles of a variant's times, relative to their median."""
MAX_TIME_LOST = 0.2
"""The share of the time that other processes take."""
MAX_TICK_SECONDS = 1e-4
"""A coarser clock cannot time a step."""

Variant = TypeVar("Variant", bound=Hashable)


@dataclass(frozen=True)
class StepTimes(Generic[Variant]):
    """The seconds of the steps of several variants.

    Attributes:
        seconds: of every step, in the order of the rounds. Those that are far slower took part in
            the first rounds only.
        time_lost: the share of the time that other processes have taken.
    """

    seconds: Mapping[Variant, Sequence[float]]
    time_lost: float = 0.0

    def median(self, variant: Variant) -> float:
        """Seconds of a typical step."""
        return statistics.median(self.seconds[variant])

    def fastest(self, variants: Collection[Variant] | None = None) -> Variant:
        """The variant with the shortest typical step among some, or among all."""
        return min(variants or self.seconds, key=self.median)

    def speedup(self, variant: Variant, rival: Variant) -> float:
        """How many times as fast as its rival a variant is, in a typical round."""
        return statistics.median(self._ratios(variant, rival))

    def sure_speedup(self, variant: Variant, rival: Variant) -> float:
        """How many times as fast as its rival a variant is in three quarters of the rounds."""
        return _quartiles(self._ratios(variant, rival))[0]

    def is_clearly_fastest(self, variant: Variant) -> bool:
        """Whether a variant is `MIN_SPEEDUP_CLEAR` times as fast as every other."""
        rivals = (rival for rival in self.seconds if rival != variant)
        return all(self.sure_speedup(variant, rival) >= MIN_SPEEDUP_CLEAR for rival in rivals)

    @property
    def disturbance(self) -> str | None:
        """Why the machine was too busy to measure; None if it was not."""
        if self.time_lost > MAX_TIME_LOST:
            return f"other processes took {100 * self.time_lost:.0f} % of the time"
        timed = (times for times in self.seconds.values() if len(times) >= MIN_ROUNDS)
        spread = statistics.median(map(_spread, timed))
        if spread > MAX_SPREAD_QUIET:
            return f"equal steps differed by {100 * spread:.0f} %"
        return None

    def _ratios(self, variant: Variant, rival: Variant) -> list[float]:
        pairs = zip(self.seconds[rival], self.seconds[variant], strict=False)
        return [rival_time / time for rival_time, time in pairs]


def time_in_turns(steps: Mapping[Variant, TimedStep], seconds: float) -> StepTimes[Variant]:
    """Time variants in turn for some seconds, or until one is clearly the fastest.

    Args:
        steps: takes a step of each variant; the first steps, which are slower, have been taken.
        seconds: how long, apart from the least number of rounds.
    """
    began = time.perf_counter()
    times: dict[Variant, list[float]] = {variant: [] for variant in steps}
    racing = list(steps)
    while True:
        for variant in racing:
            times[variant].append(steps[variant]())
        elapsed = time.perf_counter() - began
        computed = sum(map(sum, times.values()))
        result = StepTimes(times, max(0.0, 1 - computed / elapsed) if elapsed else 0.0)
        is_over = elapsed > seconds or result.is_clearly_fastest(result.fastest())
        if is_over and len(times[racing[0]]) >= MIN_ROUNDS:
            return result
        limit = MAX_SLOWDOWN_TIMED * min(map(min, times.values()))
        racing = [variant for variant in reversed(racing) if min(times[variant]) <= limit]


def thread_clock() -> Callable[[], float]:
    """A clock of the time that this thread computes; the wall clock where that is too coarse."""
    is_fine = time.get_clock_info("thread_time").resolution <= MAX_TICK_SECONDS
    return time.thread_time if is_fine else time.perf_counter


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The lower and the upper one."""
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _spread(values: Sequence[float]) -> float:
    """The distance of the quartiles, relative to the median."""
    low, high = _quartiles(values)
    return (high - low) / statistics.median(values)
