"""Main effects: the gain from each attention, stage, position and reduction ratio by itself.

A linear model of the architectures' mean accuracies. Each attention has an effect in an average
stage; stage, position and ratio have deviations from that average. Interactions and seeds are part
of the residuals, from which the intervals are computed, so the intervals remain valid although the
model is only approximately true. An effect is the gain per stage over a stage without attention,
all else equal.
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
LevelCounts = Counter[tuple[str, str]]
"""How many stages of an architecture have each (factor, level)."""


@dataclass(frozen=True)
class MainEffect:
    """The effect of one level of one factor.

    Attributes:
        mean, low, high: gain per stage with its 95 % interval, as fractions.
        architectures: the number of trained architectures that have it.
    """

    factor: Factor
    level: str
    mean: float
    low: float
    high: float
    architectures: int


def estimate_main_effects(
    points: Sequence[ArchitectureSummary], stages: int
) -> tuple[MainEffect, ...]:
    """The effects that the architectures of a study identify; empty if there are too few.

    Factors other than the attention are left out if only one level was tried.

    Args:
        points: the architectures.
        stages: of the backbone.
    """
    rows = [_count_levels(point.architecture, stages) for point in points]
    levels = _levels_tried(rows)
    if not points or not levels["attention"]:
        return ()
    model = _EffectsModel(rows, levels, [float(np.mean(point.accuracies)) for point in points])
    effects = []
    for factor in FACTORS:
        for level in levels[factor] if factor == "attention" or len(levels[factor]) > 1 else ():
            gain = model.estimate_gain(factor, level)
            if gain is not None:
                count = sum((factor, level) in row for row in rows)
                effects.append(MainEffect(factor, level, gain.mean, gain.low, gain.high, count))
    return tuple(effects)


def _count_levels(architecture: Architecture, stages: int) -> LevelCounts:
    row: LevelCounts = Counter()
    for insertion in architecture.insertions:
        for stage in _stages_reached(insertion.places, stages):
            row["attention", insertion.attention] += 1
            row["stage", f"s{stage}"] += 1
            row["position", insertion.position] += 1
            if "r" in dict(insertion.options):
                row["ratio", str(dict(insertion.options)["r"])] += 1
    if architecture.strip_attention:
        row["stripped", ""] = 1
    return row


def _stages_reached(places: Iterable[Place], stages: int) -> list[int]:
    reached: set[int] = set()
    for place in places:
        first, last = (place.first, place.last) if place.first else (1, stages)
        reached |= set(range(first, last + 1))
    return sorted(reached)


def _levels_tried(rows: Iterable[LevelCounts]) -> Mapping[str, list[str]]:
    """The levels of each factor: numbers in ascending order, names by how often they were tried."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for factor, level in row:
            counts[factor][level] += 1
    levels: defaultdict[str, list[str]] = defaultdict(list)
    for factor, by_level in counts.items():
        if factor in ("ratio", "stage"):
            levels[factor] = sorted(by_level, key=lambda level: int(level.removeprefix("s")))
        else:
            levels[factor] = [level for level, _ in by_level.most_common()]
    return levels


class _EffectsModel:
    """A linear model with an intercept, a column for every attention, and deviations from them.

    The deviations of stage, position and ratio add up to zero over the levels of each (effect
    coding: the last level is minus the sum of the others).
    """

    def __init__(
        self, rows: Sequence[LevelCounts], levels: Mapping[str, list[str]], values: Sequence[float]
    ) -> None:
        self.levels = levels
        self.columns = [("", ""), *(("attention", level) for level in levels["attention"])]
        for factor in ("stage", "position", "ratio"):
            self.columns += [(factor, level) for level in levels[factor][:-1]]
        if levels["stripped"]:
            self.columns.append(("stripped", ""))
        design = np.array([self._design_row(row) for row in rows])
        self._fit = LeastSquares(design, np.asarray(values))

    def estimate_gain(self, factor: Factor, level: str) -> Estimate | None:
        """The gain of one level, a fraction; None if the architectures do not identify it."""
        contrast = np.zeros(len(self.columns))
        if factor == "attention":
            contrast[self.columns.index(("attention", level))] = 1.0
        else:
            # The level's deviation is added to the effect of an average attention.
            for attention in self.levels["attention"]:
                column = self.columns.index(("attention", attention))
                contrast[column] = 1 / len(self.levels["attention"])
            contrast += self._deviation(factor, level)
        return self._fit.estimate(contrast)

    def _design_row(self, row: LevelCounts) -> Array:
        weights = np.zeros(len(self.columns))
        weights[0] = 1.0
        for (factor, level), count in row.items():
            if factor in ("attention", "stripped"):
                weights[self.columns.index((factor, level))] = count
            else:
                weights += count * self._deviation(factor, level)
        return weights

    def _deviation(self, factor: str, level: str) -> Array:
        weights = np.zeros(len(self.columns))
        coded, last = self.levels[factor][:-1], self.levels[factor][-1]
        for name in coded if level == last else [level]:
            weights[self.columns.index((factor, name))] = -1.0 if level == last else 1.0
        return weights
