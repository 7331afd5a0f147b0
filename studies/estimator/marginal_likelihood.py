"""Fits the variances and slopes of a mixed model to its observations.

They maximise the marginal likelihood under a weak prior on their logarithms (type-II maximum
likelihood: Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, section 5.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from .observations import Array, Ints
from .priors import (
    KINDS_AT_RUNGS,
    LEVEL_VARIANCE,
    MAX_LOG_DISTANCE,
    MIN_FITTED_ENDS,
    PRIOR_LOG_DEVIATION,
    PRIOR_VARIANCES,
    Hyperparameters,
    prior_hyperparameters,
)

if TYPE_CHECKING:
    from .mixed_model import MixedModel


def fit_hyperparameters(model: MixedModel) -> Hyperparameters:
    """The most likely variances and slopes; the prior's while there are few final accuracies."""
    prior = prior_hyperparameters(model.observed)
    if model.observed.at_end.sum() < MIN_FITTED_ENDS:
        return prior
    names, centre = list(prior), np.log(list(prior.values()))
    likelihood = MarginalLikelihood(model)

    def cost(logs: Array) -> tuple[float, Array]:
        away = (logs - centre) / PRIOR_LOG_DEVIATION
        candidate = dict(zip(names, np.exp(logs).tolist(), strict=True))
        value, gradient = likelihood.evaluate(candidate)
        down = np.array([gradient[name] for name in names])
        return value + float(0.5 * away @ away), down + away / PRIOR_LOG_DEVIATION

    optimum = scipy.optimize.minimize(
        cost,
        centre,
        jac=True,
        method="L-BFGS-B",
        bounds=[(middle - MAX_LOG_DISTANCE, middle + MAX_LOG_DISTANCE) for middle in centre],
        options={"maxiter": 30},
    )
    return dict(zip(names, np.exp(optimum.x).tolist(), strict=True))


class MarginalLikelihood:
    """The negative logarithm of the marginal likelihood of a model's observations."""

    def __init__(self, model: MixedModel) -> None:
        self.model = model
        self.by_seed, by_architecture, self.by_channel = (
            _equality(labels) for labels, _ in model.groups(PRIOR_VARIANCES)
        )
        at_rung = ~model.observed.at_end
        self.by_architecture = by_architecture * np.outer(at_rung, at_rung)
        # Observations are in the order of their trials; each trial's begin at one of `begins`.
        self.trials, self.begins = np.unique(model.observed.trials, return_index=True)
        self.pairs = np.ix_(model.observed.trials, model.observed.trials)
        one_rung = self.by_channel * np.outer(at_rung, at_rung)
        self.kernels_at_rungs = {
            f"{kind} at a rung": one_rung * model.kernels[kind][self.pairs]
            for kind in KINDS_AT_RUNGS
        }

    def evaluate(self, hyperparameters: Hyperparameters) -> tuple[float, dict[str, float]]:
        """The value, and its derivatives by the logarithm of every hyperparameter."""
        model, slopes = self.model, self.model.slopes(hyperparameters)
        worth = np.asarray(
            sum(hyperparameters[kind] * kernel for kind, kernel in model.kernels.items())
        )
        of_worth = slopes[:, None] * worth[self.pairs] * slopes
        at_rung = hyperparameters["architecture at a rung"]
        total = of_worth + hyperparameters["seed"] * self.by_seed + at_rung * self.by_architecture
        total += LEVEL_VARIANCE * self.by_channel
        for name, kernel in self.kernels_at_rungs.items():
            total += hyperparameters[name] * kernel
        total[np.diag_indices_from(total)] += model.noise(hyperparameters)
        factor = scipy.linalg.cholesky(total, lower=True, check_finite=False)
        weights = scipy.linalg.cho_solve((factor, True), model.observed.y)
        inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        value = 0.5 * model.observed.y @ weights + np.log(np.diag(factor)).sum()
        # Half the trace of (inverse - w·wᵀ) times the derivative of the covariance.
        away = 0.5 * (inverse - np.outer(weights, weights))
        of_trials = np.zeros((model.count, model.count))
        by_trials = self._sum_over_trials(slopes[:, None] * away * slopes)
        of_trials[np.ix_(self.trials, self.trials)] = by_trials
        gradient = {
            kind: hyperparameters[kind] * float((of_trials * kernel).sum())
            for kind, kernel in model.kernels.items()
        }
        gradient["seed"] = hyperparameters["seed"] * float((away * self.by_seed).sum())
        gradient["architecture at a rung"] = at_rung * float((away * self.by_architecture).sum())
        for name, kernel in self.kernels_at_rungs.items():
            gradient[name] = hyperparameters[name] * float((away * kernel).sum())
        ends, diagonal = model.observed.at_end, np.diag(away)
        for name, rows in (("noise at the end", ends), ("noise at a rung", ~ends)):
            gradient[name] = hyperparameters[name] * float(diagonal[rows].sum())
        by_row = 2 * (away * of_worth).sum(axis=1)
        for rung in model.observed.rungs:
            gradient[f"slope {rung}"] = float(by_row[model.observed.channels == rung].sum())
        return float(value), gradient

    def _sum_over_trials(self, values: Array) -> Array:
        """Entries (o, o) summed over the observations of each pair of trials."""
        return np.add.reduceat(np.add.reduceat(values, self.begins, axis=0), self.begins, axis=1)


def _equality(labels: Ints) -> Array:
    """(n, n): 1 where two rows of labels are equal, else 0."""
    equal: Array = (labels[:, None, :] == labels[None]).all(axis=2).astype(float)
    return equal
