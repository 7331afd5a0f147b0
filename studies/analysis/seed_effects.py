"""Seed effects: what all trials of one seed have in common, and the remaining noise.

Trials of one seed share the backbone's initial weights, the order of the data and its augmentation,
so their accuracies are high or low together. A study trains some architectures with one seed and
others with several. Plain means would therefore compare architectures that had a good seed with
architectures that had a bad one.

The model is that of incomplete blocks with seeds as random blocks (Yates 1940, "The recovery of
inter-block information in balanced incomplete block designs", Annals of Eugenics 10, 317-325):

    accuracy of architecture a with seed s = worth[a] + effect[s] + noise

The worth is a fixed effect. The ratio of the two variances is averaged over a grid, weighted by the
restricted likelihood (REML: Patterson & Thompson 1971, Biometrika 58, 545-554). Until an F test
shows that seeds have effects, the effects are set to zero, and means are plain means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from .findings import Noise

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]

VARIANCE_RATIOS = np.geomspace(1e-3, 1e3, 61)
"""Ratios of the variance of seed effects to that of noise, with equal prior probability. On two
tables of 125 trained architectures each, the ratio was 0.8 and 1.7.
"""
SIGNIFICANCE = 0.05
"""Level of the F test for seed effects."""
RELATIVE_RESOLUTION = 1e-10
"""Scatter below this share of the accuracies is a rounding error: the accuracies are equal."""
ZERO_EIGENVALUE = 1e-9
"""Eigenvalues below this are zero. They belong to the common level of all seeds, and to that of
each group of seeds that shares no architecture with the others.
"""


@dataclass(frozen=True)
class SeedEffects:
    """How much more accurate the trials of a seed are than those of other seeds.

    Attributes:
        seeds: (k,) all that occur, ascending.
        effects: (k,) fractions. Their mean over all trials is zero, so the means of architectures
            do not change if all architectures have all seeds.
        noise: the scatter of a trial beyond its seed effect; None while no architecture has two
            seeds.
        error_inflation: the ratio of the noise to the scatter of the corrected accuracies. That
            scatter is too small, because the effects were fitted to the same trials.
    """

    seeds: Ints
    effects: Floats
    noise: Noise | None
    error_inflation: float = 1.0

    def of(self, seeds: Ints) -> Floats:
        """(n,) the effects of seeds (n,), as fractions."""
        return self.effects[np.searchsorted(self.seeds, seeds)]


def estimate_seed_effects(architectures: Ints, seeds: Ints, accuracies: Floats) -> SeedEffects:
    """Estimate seed effects and noise from complete trials.

    Args:
        architectures: (n,) of each trial, as numbers from zero.
        seeds: (n,) of each trial.
        accuracies: (n,) fractions.
    """
    distinct, block = np.unique(seeds, return_inverse=True)
    repeated = np.bincount(architectures)[architectures] > 1
    if not repeated.any():
        return SeedEffects(distinct, np.zeros(len(distinct)), None)
    _, group = np.unique(architectures[repeated], return_inverse=True)
    values, block_of = accuracies[repeated], block[repeated]
    effects, noise = _estimate(group, block_of, values, len(distinct))
    residuals = _centre(group, values - effects[block_of])
    variance = float(residuals @ residuals) / noise.freedom
    inflated = variance and effects.any()
    error_inflation = noise.deviation / math.sqrt(variance) if inflated else 1.0
    effects -= float(effects @ np.bincount(block)) / len(seeds)
    return SeedEffects(distinct, effects, noise, error_inflation)


def _centre(group: Ints, values: Floats) -> Floats:
    """Each value minus the mean of its group."""
    centred: Floats = values - (np.bincount(group, values) / np.bincount(group))[group]
    return centred


def _estimate(group: Ints, block: Ints, accuracies: Floats, seeds: int) -> tuple[Floats, Noise]:
    """The effects of `seeds` seeds and the noise, from architectures with several trials.

    The information about seeds is a matrix (seeds, seeds). Along its eigenvectors the sums of the
    trials' deviations from their architectures' means are independent, with variance
    noise + eigenvalue · (variance of seed effects).

    Args:
        group: (n,) the architecture of each trial, as numbers from zero.
        block: (n,) the seed of each trial, as numbers from zero.
        accuracies: (n,) fractions.
        seeds: the number of seeds.
    """
    design = np.zeros((int(group.max()) + 1, seeds))
    np.add.at(design, (group, block), 1.0)
    sizes = design.sum(axis=1)
    freedom = len(group) - len(sizes)
    deviations, no_effects = _centre(group, accuracies), np.zeros(seeds)
    squares = float(deviations @ deviations)
    if squares <= (RELATIVE_RESOLUTION * float(np.abs(accuracies).max())) ** 2 * len(group):
        return no_effects, Noise(0.0, freedom)
    information = np.diag(design.sum(axis=0)) - design.T @ (design / sizes[:, None])
    values, vectors = np.linalg.eigh(information)
    values, vectors = values[values > ZERO_EIGENVALUE], vectors[:, values > ZERO_EIGENVALUE]
    along = vectors.T @ np.bincount(block, deviations, seeds) / np.sqrt(values)
    left = max(squares - float(along @ along), 0.0)
    if not _is_significant(squares - left, len(along), left, freedom - len(along)):
        return no_effects, Noise(float(np.sqrt(squares / freedom)), freedom)
    spread = 1 + VARIANCE_RATIOS[:, None] * values
    variances = (left + (along**2 / spread).sum(axis=1)) / freedom
    log_likelihood = -0.5 * (freedom * np.log(variances) + np.log(spread).sum(axis=1))
    weights = np.exp(log_likelihood - log_likelihood.max())
    weights /= weights.sum()
    shrunk = (weights * VARIANCE_RATIOS) @ (np.sqrt(values) * along / spread)
    effects = vectors @ shrunk
    shared = float(effects[design.any(axis=0)].std(ddof=1))
    return effects, Noise(float(np.sqrt(weights @ variances)), freedom, shared)


def _is_significant(seed_squares: float, seeds: int, squares: float, freedom: int) -> bool:
    """Whether seeds explain more of the sum of squares than noise would, by an F test.

    Args:
        seed_squares: sum of squares between seeds.
        seeds: its degrees of freedom.
        squares: residual sum of squares.
        freedom: its degrees of freedom.
    """
    if not seeds or not freedom:
        return False
    ratio = (seed_squares / seeds) / (squares / freedom) if squares else np.inf
    return bool(scipy.special.fdtrc(seeds, freedom, ratio) <= SIGNIFICANCE)
