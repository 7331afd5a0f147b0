"""NSGA-III: NSGA-II with reference points, for many objectives (Deb & Jain,
doi 10.1109/TEVC.2013.2281535).
"""

from __future__ import annotations

from optuna.samplers import BaseSampler, NSGAIIISampler

from .base import Sampler


class NSGA3Sampler(Sampler):
    """Crosses and mutates the decisions of a population of twenty trials."""

    def make_optuna_sampler(self, seed: int) -> BaseSampler:
        """Optuna's `NSGAIIISampler`."""
        return NSGAIIISampler(seed=seed, population_size=20)
