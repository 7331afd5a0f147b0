"""Differences between architectures that were trained with the same seeds, as far as seeds allow.

The model is that of randomised blocks (Fisher 1935, The Design of Experiments, ch. IV): accuracy of
architecture a with seed s = mean[a] + seed[s] + noise, fitted by least squares. Whatever the seeds
share cancels, as much of it as there was to be observed, and the noise is pooled over all
architectures: with 8 of them and 5 seeds a difference rests on 28 degrees of freedom where its own
5 pairs would give it 4. Seeds that are lacking, because a trial failed, need no special care.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import scipy

from .least_squares import LEVEL, LeastSquares

POWER = 0.8
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Difference:
    """One mean accuracy less another, as fractions.

    Attributes:
        low, high: the 95 % interval of this difference by itself.
        p: two-sided, by itself. `corrected` is for having looked at a whole family
        (`holm_adjusted`). pairs: seeds that both have.
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
        """Whether seeds alone hardly explain it, even after the correction."""
        return self.corrected <= LEVEL


class BlockDesign(Generic[Key]):
    """Accuracies by architecture and seed, and the model fitted to them.

    Attributes:
        deviation: what is left of a single trial's scatter when the seed's share is gone.
        freedom: degrees of freedom behind it; 0 while there is nothing to estimate it from.
    """

    def __init__(self, accuracies: Mapping[Key, Mapping[int, float]]) -> None:
        self.accuracies = {key: seeds for key, seeds in accuracies.items() if seeds}
        self._place = {key: i for i, key in enumerate(self.accuracies)}
        seeds = sorted({seed for row in self.accuracies.values() for seed in row})
        cells = [(i, seeds.index(s)) for key, i in self._place.items() for s in accuracies[key]]
        values = np.array([a for row in self.accuracies.values() for a in row.values()])
        self._columns = len(self._place) + len(seeds)
        design = np.zeros((len(cells), self._columns))
        for row, (architecture, seed) in enumerate(cells):
            design[row, architecture] = design[row, len(self._place) + seed] = 1.0
        self._fit = LeastSquares(design, values)
        self.freedom, self.deviation = self._fit.freedom, self._fit.deviation

    def difference(self, one: Key, other: Key) -> Difference | None:
        """`one` less `other`; None if too few seeds tell."""
        if one not in self._place or other not in self._place:
            return None
        contrast = np.zeros(self._columns)
        contrast[self._place[one]] += 1.0
        contrast[self._place[other]] -= 1.0
        found = self._fit.estimate(contrast)
        if found is None:  # a single seed, or no seed that links the two
            return None
        p = self._chance(found.mean, found.standard_error)
        pairs = len(self.accuracies[one].keys() & self.accuracies[other].keys())
        return Difference(
            found.mean, found.standard_error, found.low, found.high, p, corrected=p, pairs=pairs
        )

    def _chance(self, mean: float, error: float) -> float:
        if error == 0:  # the same network twice, or a task without any noise
            return 1.0 if abs(mean) < 1e-12 else 0.0
        return float(2 * scipy.stats.t.sf(abs(mean) / error, self.freedom))

    def detectable(self, comparisons: float, seeds: int) -> float:
        """The difference that is found with a chance of 80 %, as the first of so many by Holm.

        `comparisons` is the sum of their weights, in units of its own.
        """
        wanted = scipy.stats.t.ppf(1 - LEVEL / 2 / comparisons, self.freedom)
        usual = scipy.stats.t.ppf(POWER, self.freedom)
        return float((wanted + usual) * self.deviation * np.sqrt(2 / seeds))


def correct_family(
    family: Mapping[Key, Difference], weights: Mapping[Key, float] | None = None
) -> dict[Key, Difference]:
    """Correct the p values of a family of differences; `weights` as in `holm_adjusted`."""
    weighed = [1.0 if weights is None else weights[key] for key in family]
    adjusted = holm_adjusted([difference.p for difference in family.values()], weighed)
    pairs = zip(family.items(), adjusted, strict=True)
    return {key: replace(difference, corrected=p) for (key, difference), p in pairs}


def holm_adjusted(values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """p values corrected by Holm's step-down procedure (Holm 1979, Scand. J. Statist. 6:65).

    If all hypotheses are true, the smallest is below a level with at most that probability,
    whatever the dependence between them. `weights`, chosen before the data were seen, give some
    hypotheses a larger share of the level than others.
    """
    p = np.asarray(values, dtype=float)
    weight = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=float)
    order = np.argsort(p / weight)
    left = np.cumsum(weight[order][::-1])[::-1]
    steps = (p / weight)[order] * left
    found = np.empty(len(p))
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in found]
