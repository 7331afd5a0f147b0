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
import numpy.typing as npt
from scipy import stats

from ..spaces.architecture import Architecture, Place
from .comparing import LEVEL
from .findings import Point

Factor = Literal["attention", "ratio", "position", "stage"]
FACTORS: tuple[Factor, ...] = ("attention", "stage", "position", "ratio")
Row = Counter[tuple[str, str]]
Vector = npt.NDArray[np.float64]


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


def main_effects(points: Sequence[Point], stages: int) -> tuple[MainEffect, ...]:
    """The effects that the architectures of a study tell apart; empty where there are too few.

    A factor of which only one level was tried is left out, but for the attention.
    """
    rows = [_levels(point.architecture, stages) for point in points]
    levels = _tried(rows)
    if not points or not levels["attention"]:
        return ()
    fit = _Fit(rows, levels, [point.accuracy for point in points])
    if fit.freedom < 1:
        return ()
    found = []
    for factor in FACTORS:
        for level in levels[factor] if factor == "attention" or len(levels[factor]) > 1 else ():
            interval = fit.interval(factor, level)
            if interval is not None:
                count = sum((factor, level) in row for row in rows)
                found.append(MainEffect(factor, level, *interval, count))
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
    """Least squares: an intercept, a column for every attention, and deviations from the average.

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
        inverse = np.asarray(np.linalg.pinv(design), dtype=np.float64)
        self._told = inverse @ design
        self._spread = inverse @ inverse.T
        self._fitted = inverse @ np.asarray(values)
        residuals = np.asarray(values) - design @ self._fitted
        self.freedom = len(rows) - int(np.linalg.matrix_rank(design))
        self._variance = float(residuals @ residuals) / max(1, self.freedom)

    def interval(self, factor: Factor, level: str) -> tuple[float, float, float] | None:
        """Mean, low and high of one level; None if the architectures do not tell it apart."""
        contrast = np.zeros(len(self.columns))
        if factor == "attention":
            contrast[self.columns.index(("attention", level))] = 1.0
        else:
            # An average attention, there.
            for attention in self.levels["attention"]:
                place = self.columns.index(("attention", attention))
                contrast[place] = 1 / len(self.levels["attention"])
            contrast += self._deviation(factor, level)
        if not np.allclose(contrast @ self._told, contrast, atol=1e-6):
            return None
        mean = float(contrast @ self._fitted)
        error = float(np.sqrt(self._variance * (contrast @ self._spread @ contrast)))
        reach = float(stats.t.ppf(1 - LEVEL / 2, self.freedom)) * error
        return mean, mean - reach, mean + reach

    def _row(self, row: Row) -> Vector:
        found = np.zeros(len(self.columns))
        found[0] = 1.0
        for (factor, level), count in row.items():
            if factor in ("attention", "stripped"):
                found[self.columns.index((factor, level))] = count
            else:
                found += count * self._deviation(factor, level)
        return found

    def _deviation(self, factor: str, level: str) -> Vector:
        found = np.zeros(len(self.columns))
        first, last = self.levels[factor][:-1], self.levels[factor][-1]
        for other in first if level == last else [level]:
            found[self.columns.index((factor, other))] = -1.0 if level == last else 1.0
        return found
