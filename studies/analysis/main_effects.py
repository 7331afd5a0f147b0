"""What each choice is worth by itself: attention, reduction ratio, position and stage.

A linear model of the architectures' mean accuracies. Each attention is worth something in an
average stage; where the stage, the position or the ratio differ from the average, more or less.
Interactions and seeds go into the residuals, from which the intervals come, so they are honest
about a model that is only roughly true. Effects are in accuracy gained per stage over leaving that
stage alone, everything else equal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...spaces.architecture import Architecture, Place
from .findings import ArchitectureSummary
from .least_squares import Array, Estimate, LeastSquares

Factor = Literal["attention", "ratio", "position", "stage"]
FACTORS: tuple[Factor, ...] = ("attention", "stage", "position", "ratio")
Row = Counter[tuple[str, str]]


@dataclass(frozen=True)
class MainEffect:
    """One level of one factor.

    Attributes:
        mean, low, high: gain per stage with its 95 % interval, as fractions.
        architectures: how many of those that were trained have it.
    """

    factor: Factor
    level: str
    mean: float
    low: float
    high: float
    architectures: int


def main_effects(points: Sequence[ArchitectureSummary], stages: int) -> tuple[MainEffect, ...]:
    """The effects that the architectures of a study tell apart; empty where there are too few.

    A factor of which only one level was tried is left out, but for the attention.
    """
    rows = [_levels(point.architecture, stages) for point in points]
    levels = _tried(rows)
    if not points or not levels["attention"]:
        return ()
    fit = _Fit(rows, levels, [point.accuracy for point in points])
    found = []
    for factor in FACTORS:
        for level in levels[factor] if factor == "attention" or len(levels[factor]) > 1 else ():
            worth = fit.worth(factor, level)
            if worth is not None:
                count = sum((factor, level) in row for row in rows)
                found.append(MainEffect(factor, level, worth.mean, worth.low, worth.high, count))
    return tuple(found)


def _levels(architecture: Architecture, stages: int) -> Row:
    """How many stages of an architecture have each level of each factor."""
    row: Row = Counter()
    for insertion in architecture.insertions:
        for stage in _stages(insertion.places, stages):
            row["attention", insertion.attention] += 1
            row["stage", f"s{stage}"] += 1
            row["position", insertion.position] += 1
            if "r" in dict(insertion.options):
                row["ratio", str(dict(insertion.options)["r"])] += 1
    if architecture.strip_attention:
        row["stripped", ""] = 1
    return row


def _stages(places: Iterable[Place], stages: int) -> list[int]:
    reached: set[int] = set()
    for place in places:
        first, last = (place.first, place.last) if place.first else (1, stages)
        reached |= set(range(first, last + 1))
    return sorted(reached)


def _tried(rows: Iterable[Row]) -> Mapping[str, list[str]]:
    """The levels of each factor: numbers in their order, names by how often they were tried."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for factor, level in row:
            counts[factor][level] += 1
    found: defaultdict[str, list[str]] = defaultdict(list)
    for factor, seen in counts.items():
        if factor in ("ratio", "stage"):
            found[factor] = sorted(seen, key=lambda level: int(level.removeprefix("s")))
        else:
            found[factor] = [level for level, _ in seen.most_common()]
    return found


class _Fit:
    """The model: an intercept, a column for every attention, and deviations from the average.

    Those of stage, position and ratio add up to zero (effect coding: the last level is minus the
    sum of the others).
    """

    def __init__(
        self, rows: Sequence[Row], levels: Mapping[str, list[str]], values: Sequence[float]
    ) -> None:
        self.levels = levels
        self.columns = [("", ""), *(("attention", level) for level in levels["attention"])]
        for factor in ("stage", "position", "ratio"):
            self.columns += [(factor, level) for level in levels[factor][:-1]]
        if levels["stripped"]:
            self.columns.append(("stripped", ""))
        design = np.array([self._row(row) for row in rows])
        self._fit = LeastSquares(design, np.asarray(values))

    def worth(self, factor: Factor, level: str) -> Estimate | None:
        """The gain of one level, a fraction; None if the architectures do not tell it apart."""
        contrast = np.zeros(len(self.columns))
        if factor == "attention":
            contrast[self.columns.index(("attention", level))] = 1.0
        else:
            # An average attention, there.
            for attention in self.levels["attention"]:
                place = self.columns.index(("attention", attention))
                contrast[place] = 1 / len(self.levels["attention"])
            contrast += self._deviation(factor, level)
        return self._fit.estimate(contrast)

    def _row(self, row: Row) -> Array:
        found = np.zeros(len(self.columns))
        found[0] = 1.0
        for (factor, level), count in row.items():
            if factor in ("attention", "stripped"):
                found[self.columns.index((factor, level))] = count
            else:
                found += count * self._deviation(factor, level)
        return found

    def _deviation(self, factor: str, level: str) -> Array:
        found = np.zeros(len(self.columns))
        first, last = self.levels[factor][:-1], self.levels[factor][-1]
        for other in first if level == last else [level]:
            found[self.columns.index((factor, other))] = -1.0 if level == last else 1.0
        return found
