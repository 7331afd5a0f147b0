"""Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), as Optuna implements it.

It is multivariate, so that decisions which work well together are proposed together, and grouped,
because architectures of one space have different decisions. The first twelve trials are random.
"""

from __future__ import annotations

from optuna.samplers import BaseSampler, TPESampler

from .base import Sampler


class ParzenSampler(Sampler):
    """Draws from the decisions of good trials rather than from those of bad ones."""

    def make_optuna_sampler(self, seed: int) -> BaseSampler:
        """Optuna's `TPESampler`."""
        return TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=12)
