"""What all trials of a seed share, and what is left of their scatter.

With one seed, architectures share the backbone's initial weights, the order of the data and its
augmentation, and so a part of their luck. A study trains some architectures with one seed and
others with several, so plain means would compare those of a good seed with those of a bad one.

The model is that of incomplete blocks, with seeds as random blocks (Yates 1940, "The recovery of
inter-block information in balanced incomplete block designs", Annals of Eugenics 10, 317-325):
accuracy of architecture a with seed s = worth[a] + luck[s] + noise. The worth is free, the variance
of the luck is judged by the restricted likelihood (Patterson & Thompson 1971, Biometrika 58,
545-554). Until an F test says that seeds share luck, nothing is taken out: means are plain means.
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

RATIOS = np.geomspace(1e-3, 1e3, 61)
"""What the variance of luck may be in parts of that of noise; before trials tell, each as likely.
On tables of 125 architectures it was 0.8 and 1.7.
"""
SHOWN = 0.05
"""Chance of so clear a sign of shared luck where there is none (F test), from which on it is
believed."""
RESOLVED = 1e-10
"""Scatter below this part of the accuracies is what arithmetic leaves of equal numbers."""
LINKED = 1e-9
"""Eigenvalues below are zero: the level of all seeds, and of each group that shares no architecture
with the others."""


@dataclass(frozen=True)
class SeedEffects:
    """How much better than others all trials of a seed are.

    Attributes:
        seeds: (k,) all that occur, ascending.
        shares: (k,) fractions, which average zero over all trials: where every architecture has
            every seed, its mean stays what it is.
        noise: what scatters beyond that; None while no architecture has two seeds.
        widened: how much more it is than what is left once the shares are taken out, which were
            fitted to the same trials.
    """

    seeds: Ints
    effects: Floats
    noise: Noise | None
    error_inflation: float = 1.0

    def of(self, seeds: Ints) -> Floats:
        """(n,) the luck of such trials, fractions."""
        return self.effects[np.searchsorted(self.seeds, seeds)]


def estimate_seed_effects(architectures: Ints, seeds: Ints, accuracies: Floats) -> SeedEffects:
    """The luck of the seeds of complete trials, one value each in all three (n,).

    Architectures are numbers from zero.
    """
    known, block = np.unique(seeds, return_inverse=True)
    repeated = np.bincount(architectures)[architectures] > 1
    if not repeated.any():
        return SeedEffects(known, np.zeros(len(known)), None)
    _, group = np.unique(architectures[repeated], return_inverse=True)
    values, block_of = accuracies[repeated], block[repeated]
    shares, noise = _estimated(group, block_of, values, len(known))
    away = _away(group, values - shares[block_of])
    left = float(away @ away) / noise.freedom
    widened = noise.deviation / math.sqrt(left) if left and shares.any() else 1.0
    shares -= float(shares @ np.bincount(block)) / len(seeds)
    return SeedEffects(known, shares, noise, widened)


def _away(group: Ints, values: Floats) -> Floats:
    """Each value less the mean of its group."""
    away: Floats = values - (np.bincount(group, values) / np.bincount(group))[group]
    return away


def _estimated(group: Ints, block: Ints, accuracies: Floats, seeds: int) -> tuple[Floats, Noise]:
    """The luck of every seed and the noise, averaged over the ratios by how likely they are.

    Of each trial its architecture, its seed (both as numbers from zero) and its accuracy. Along the
    eigenvectors of what the trials tell of seeds, the sums of what they have beyond their
    architecture's mean are independent, with variance noise + eigenvalue × luck.
    """
    design = np.zeros((int(group.max()) + 1, seeds))
    np.add.at(design, (group, block), 1.0)
    sizes = design.sum(axis=1)
    freedom = len(group) - len(sizes)
    away, none = _away(group, accuracies), np.zeros(seeds)
    squares = float(away @ away)
    if squares <= (RESOLVED * float(np.abs(accuracies).max())) ** 2 * len(group):
        return none, Noise(0.0, freedom)
    told = np.diag(design.sum(axis=0)) - design.T @ (design / sizes[:, None])
    values, vectors = np.linalg.eigh(told)
    values, vectors = values[values > LINKED], vectors[:, values > LINKED]
    along = vectors.T @ np.bincount(block, away, seeds) / np.sqrt(values)
    left = max(squares - float(along @ along), 0.0)
    if not _shown(squares - left, len(along), left, freedom - len(along)):
        return none, Noise(float(np.sqrt(squares / freedom)), freedom)
    spread = 1 + RATIOS[:, None] * values
    variances = (left + (along**2 / spread).sum(axis=1)) / freedom
    likely = -0.5 * (freedom * np.log(variances) + np.log(spread).sum(axis=1))
    weights = np.exp(likely - likely.max())
    weights /= weights.sum()
    shrunk = (weights * RATIOS) @ (np.sqrt(values) * along / spread)
    shares = vectors @ shrunk
    shared = float(shares[design.any(axis=0)].std(ddof=1))
    return shares, Noise(float(np.sqrt(weights @ variances)), freedom, shared)


def _shown(of_seeds: float, seeds: int, left: float, freedom: int) -> bool:
    """Whether squares of so many seeds are more than the rest explains."""
    if not seeds or not freedom:
        return False
    ratio = (of_seeds / seeds) / (left / freedom) if left else np.inf
    return bool(scipy.special.fdtrc(seeds, freedom, ratio) <= SHOWN)
