"""Time alternatives in turns, so that disturbances of the machine affect all of them equally.

A round runs all alternatives in the order A B C C B A, so that a steady drift cancels, and gives
one time for each. Ratios are computed within a round; their median and quartiles are the result.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

TimedRun = Callable[[], float]
"""Does its work once and returns its duration in seconds."""


def time_rounds(
    alternatives: Mapping[str, TimedRun],
    rounds: int,
    after_round: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Time alternatives in turns.

    Args:
        alternatives: what to run, by name.
        rounds: how many rounds; each runs every alternative twice.
        after_round: called after each round.

    Returns:
        By name, the seconds of one run, one number per round.
    """
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(rounds):
        round_seconds = dict.fromkeys(alternatives, 0.0)
        for name in [*alternatives, *reversed(list(alternatives))]:
            round_seconds[name] += alternatives[name]()
        for name, seconds in round_seconds.items():
            times[name].append(seconds / 2)
        after_round()
    return times


def timed_steps(
    loop: Iterator[object], steps: int, wait: Callable[[], None] = lambda: None, *, untimed: int = 0
) -> TimedRun:
    """A run that continues a training loop by some steps.

    Args:
        loop: takes a step each time that it is advanced.
        steps: of one run.
        wait: waits until the device has computed all that is queued.
        untimed: steps before those, for loops that prepare batches while others are timed.
    """

    def run() -> float:
        for _ in range(untimed):
            next(loop)
        wait()
        began = time.perf_counter()
        for _ in range(steps):
            next(loop)
        wait()
        return time.perf_counter() - began

    return run


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """The ratio of each round."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def summarise_rounds(values: Sequence[float], digits: int = 3) -> dict[str, Any]:
    """Median, quartiles (none for a single value), and the number of values."""
    summary: dict[str, Any] = {"median": round(statistics.median(values), digits)}
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        summary["quartiles"] = [round(low, digits), round(high, digits)]
    return {**summary, "rounds": len(values)}


def format_summary(summary: Mapping[str, Any], digits: int = 2) -> str:
    """A summary of `summarise_rounds` as `1.25 (1.20 to 1.31)`."""
    text = f"{summary['median']:,.{digits}f}"
    if "quartiles" not in summary:
        return text
    low, high = summary["quartiles"]
    return f"{text} ({low:,.{digits}f} to {high:,.{digits}f})"
