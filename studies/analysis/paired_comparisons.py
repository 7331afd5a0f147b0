"""Differences between architectures that were trained with the same seeds.

The model is that of randomised blocks (Fisher 1935, The Design of Experiments, ch. IV), fitted by
least squares:

    accuracy of architecture a with seed s = mean[a] + seed[s] + noise

Seed effects cancel as far as they were observed. The noise is pooled over all architectures: with 8
architectures and 5 seeds, a difference has 28 degrees of freedom, while its own 5 pairs would give
it 4. Seeds may be missing, because a trial failed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import scipy

from .least_squares import LEVEL, LeastSquares

POWER = 0.8
"""The probability with which a detectable difference is detected."""
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Difference:
    """One mean accuracy minus another, as fractions.

    Attributes:
        mean, standard_error: of the difference.
        low, high: its 95 % interval, without correction for other comparisons.
        p: two-sided p value of that difference alone.
        corrected: the p value corrected for the family of comparisons (`holm_adjusted`).
        pairs: seeds that both have.
    """

    mean: float
    standard_error: float
    low: float
    high: float
    p: float
    corrected: float
    pairs: int

    @property
    def claimed(self) -> bool:
        """Whether the difference is significant after the correction."""
        return self.corrected <= LEVEL


class BlockDesign(Generic[Key]):
    """A model of randomised blocks, fitted to accuracies by architecture and seed.

    Args:
        accuracies: for each architecture, its accuracies by seed, as fractions.

    Attributes:
        deviation: standard deviation of the noise of a single trial, as a fraction.
        freedom: degrees of freedom of this estimate; with 0, it cannot be estimated.
    """

    def __init__(self, accuracies: Mapping[Key, Mapping[int, float]]) -> None:
        self.accuracies = {key: by_seed for key, by_seed in accuracies.items() if by_seed}
        self._row = {key: i for i, key in enumerate(self.accuracies)}
        seeds = sorted({seed for by_seed in self.accuracies.values() for seed in by_seed})
        cells = [(i, seeds.index(s)) for key, i in self._row.items() for s in accuracies[key]]
        values = np.array([a for by_seed in self.accuracies.values() for a in by_seed.values()])
        self._columns = len(self._row) + len(seeds)
        design = np.zeros((len(cells), self._columns))
        for row, (architecture, seed) in enumerate(cells):
            design[row, architecture] = design[row, len(self._row) + seed] = 1.0
        self._fit = LeastSquares(design, values)
        self.freedom, self.deviation = self._fit.freedom, self._fit.deviation

    def difference(self, first: Key, second: Key) -> Difference | None:
        """The mean of `first` minus that of `second`.

        None if there is only one seed, or if no seed connects the two.
        """
        if first not in self._row or second not in self._row:
            return None
        contrast = np.zeros(self._columns)
        contrast[self._row[first]] += 1.0
        contrast[self._row[second]] -= 1.0
        estimate = self._fit.estimate(contrast)
        if estimate is None:
            return None
        p = self._p_value(estimate.mean, estimate.standard_error)
        return Difference(
            mean=estimate.mean,
            standard_error=estimate.standard_error,
            low=estimate.low,
            high=estimate.high,
            p=p,
            corrected=p,
            pairs=len(self.accuracies[first].keys() & self.accuracies[second].keys()),
        )

    def _p_value(self, mean: float, error: float) -> float:
        if error == 0:  # The same network under two names, or a task without any noise.
            return 1.0 if abs(mean) < 1e-12 else 0.0
        return float(2 * scipy.stats.t.sf(abs(mean) / error, self.freedom))

    def detectable_difference(self, comparisons: float, seeds: int) -> float:
        """The difference, a fraction, that Holm's procedure finds with a probability of 80 %.

        Args:
            comparisons: the sum of the weights of all comparisons, relative to that of this one.
            seeds: the number of seeds of each architecture.
        """
        critical = scipy.stats.t.ppf(1 - LEVEL / 2 / comparisons, self.freedom)
        margin = scipy.stats.t.ppf(POWER, self.freedom)
        return float((critical + margin) * self.deviation * np.sqrt(2 / seeds))


def correct_family(
    family: Mapping[Key, Difference], weights: Mapping[Key, float] | None = None
) -> dict[Key, Difference]:
    """Correct the p values of a family of differences; `weights` as in `holm_adjusted`."""
    family_weights = [1.0 if weights is None else weights[key] for key in family]
    adjusted = holm_adjusted([difference.p for difference in family.values()], family_weights)
    pairs = zip(family.items(), adjusted, strict=True)
    return {key: replace(difference, corrected=p) for (key, difference), p in pairs}


def holm_adjusted(values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """p values corrected by Holm's step-down procedure (Holm 1979, Scand. J. Statist. 6:65).

    If all hypotheses are true, the smallest corrected value is below a level with at most that
    probability, however they depend on each other.

    Args:
        values: p values.
        weights: the share of the level that each hypothesis gets, chosen before the data were seen;
            equal by default.
    """
    p = np.asarray(values, dtype=float)
    weight = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=float)
    order = np.argsort(p / weight)
    remaining = np.cumsum(weight[order][::-1])[::-1]
    steps = (p / weight)[order] * remaining
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]
