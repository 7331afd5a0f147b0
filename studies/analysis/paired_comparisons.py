"""Differences between architectures that were trained with the same seeds.

The model is that of randomised blocks (Fisher 1935, The Design of Experiments, ch. IV), fitted by
least squares:

    accuracy of architecture a with seed s = mean[a] + seed[s] + noise

Seed effects cancel as far as they were observed. The noise is pooled over all architectures: with 8
architectures and 5 seeds, a difference has 28 degrees of freedom, while its own 5 pairs would give
it 4. Seeds may be missing, because a trial failed.

A claim holds for new images only if the choice of images is part of its error, which is added by
`image_sampling`. `benchmarks/claims.py` measures what is claimed in the long run.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import scipy.special

from .image_sampling import ImageError, combined_freedom
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
        p: two-sided p value of that difference alone; None if no p value may be given.
        corrected: the p value corrected for the family of comparisons (`holm_adjusted`).
        pairs: seeds that both have.
        freedom: degrees of freedom of the standard error.
        image_error: the part of the standard error that is due to the choice of images; None if
            the difference holds for these images only.
        disagreement: the share of images that two networks of the same seed judge differently;
            None if no predictions were kept.
    """

    mean: float
    standard_error: float
    low: float
    high: float
    p: float | None
    corrected: float | None
    pairs: int
    freedom: float = math.inf
    image_error: float | None = None
    disagreement: float | None = None

    @property
    def claimed(self) -> bool:
        """Whether the difference is significant after the correction."""
        return self.corrected is not None and self.corrected <= LEVEL


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

    def means(self) -> dict[Key, float]:
        """The mean accuracies at equal seeds, up to a constant that all of them share."""
        return {key: float(self._fit.coefficients[row]) for key, row in self._row.items()}

    def difference(
        self,
        first: Key,
        second: Key,
        images: ImageError | None = None,
        *,
        inflation: float = 1.0,
    ) -> Difference | None:
        """The mean of `first` minus that of `second`.

        None if there is only one seed, or if no seed connects the two.

        Args:
            first, second: the architectures.
            images: what the choice of images adds to the error; None: the difference is that on
                these images.
            inflation: multiplies the variance, because the blocks are not independent.
        """
        if first not in self._row or second not in self._row:
            return None
        contrast = np.zeros(self._columns)
        contrast[self._row[first]] += 1.0
        contrast[self._row[second]] -= 1.0
        estimate = self._fit.estimate(contrast)
        if estimate is None:
            return None
        trials = estimate.standard_error**2 * inflation
        sampled = 0.0 if images is None else images.squared
        count = None if images is None else images.images
        error = math.sqrt(trials + sampled)
        freedom = combined_freedom(trials, self.freedom, sampled, count)
        reach = float(scipy.special.stdtrit(freedom, 1 - LEVEL / 2)) * error
        p = max(_p_value(estimate.mean, error, freedom), _smallest_exact_p_value(images))
        return Difference(
            mean=estimate.mean,
            standard_error=error,
            low=estimate.mean - reach,
            high=estimate.mean + reach,
            p=p,
            corrected=p,
            pairs=len(self.accuracies[first].keys() & self.accuracies[second].keys()),
            freedom=freedom,
            image_error=None if images is None else math.sqrt(sampled),
            disagreement=None if images is None else images.disagreement,
        )


def _p_value(mean: float, error: float, freedom: float) -> float:
    if error == 0:  # The same network under two names, or a task without any noise.
        return 1.0 if abs(mean) < 1e-12 else 0.0
    return float(2 * scipy.special.stdtr(freedom, -abs(mean) / error))


def _smallest_exact_p_value(images: ImageError | None) -> float:
    """The smallest p value of McNemar's exact test with so many images that are judged differently.

    The normal approximation is not good for a handful of images.
    """
    if images is None or images.disagreement is None:
        return 0.0
    return float(min(1.0, 2.0 ** (1 - images.disagreement * images.images)))


def without_p_values(difference: Difference) -> Difference:
    """A difference that is only described: nothing may be claimed from it."""
    return replace(difference, p=None, corrected=None)


def correct_family(
    family: Mapping[Key, Difference], weights: Mapping[Key, float] | None = None
) -> dict[Key, Difference]:
    """Correct the p values of a family of differences; `weights` as in `holm_adjusted`."""
    family_weights = [1.0 if weights is None else weights[key] for key in family]
    values = [1.0 if difference.p is None else difference.p for difference in family.values()]
    adjusted = holm_adjusted(values, family_weights)
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
