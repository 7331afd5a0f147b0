"""Things that are timed in turns, so that what happens to the machine happens to all alike.

A round runs every contestant in the order A B C C B A, in which a steady drift cancels, and gives
one time for each. Ratios are taken within a round; their median and quartiles are the result.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Contestant = Callable[[], float]
"""Does its work once and gives its seconds."""


def rounds_of(
    contestants: Mapping[str, Contestant],
    rounds: int,
    lap: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds a turn of every contestant, one number a round; `lap` is called after each round."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        spent = dict.fromkeys(contestants, 0.0)
        for name in [*contestants, *reversed(list(contestants))]:
            spent[name] += contestants[name]()
        for name, seconds in spent.items():
            times[name].append(seconds / 2)
        lap()
    return times


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """One ratio a round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def spread(values: Sequence[float], digits: int = 3) -> dict[str, Any]:
    """Median and quartiles (of a single value: none), and of how many values."""
    found: dict[str, Any] = {"median": round(statistics.median(values), digits)}
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        found["quartiles"] = [round(low, digits), round(high, digits)]
    return {**found, "rounds": len(values)}


def shown(found: Mapping[str, Any], digits: int = 2) -> str:
    """A `spread` in words."""
    text = f"{found['median']:,.{digits}f}"
    if "quartiles" not in found:
        return text
    low, high = found["quartiles"]
    return f"{text} ({low:,.{digits}f} to {high:,.{digits}f})"
