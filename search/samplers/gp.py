"""Bayesian optimisation with a Gaussian process, as Optuna implements it.

The first twelve trials are random.
"""

from __future__ import annotations

from optuna.samplers import BaseSampler, GPSampler

from .base import Sampler


class GaussianProcessSampler(Sampler):
    """Maximises an acquisition function of a Gaussian process over the decisions."""

    def make_optuna_sampler(self, seed: int) -> BaseSampler:
        """Optuna's `GPSampler`."""
        return GPSampler(seed=seed, n_startup_trials=12, warn_independent_sampling=False)
