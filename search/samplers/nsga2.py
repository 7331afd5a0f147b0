"""NSGA-II: an evolutionary algorithm for several objectives (Deb et al.,
doi 10.1109/4235.996017).
"""

from __future__ import annotations

from optuna.samplers import BaseSampler, NSGAIISampler

from .base import Sampler


class NSGA2Sampler(Sampler):
    """Crosses and mutates the decisions of a population of twenty trials."""

    def make_optuna_sampler(self, seed: int) -> BaseSampler:
        """Optuna's `NSGAIISampler`."""
        return NSGAIISampler(seed=seed, population_size=20)
