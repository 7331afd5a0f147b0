"""The expected gain of the next trials of a search: whether it is worth going on.

The gain of the next N trials is the true accuracy of the architecture that the study will recommend
after them, minus the true accuracy of the one that it recommends now. The study recommends the
architecture with the highest posterior mean, so the expectation over what these trials may show is

    E[max of the posterior means after N trials] − max of the posterior means now

This is the knowledge gradient (Frazier, Powell & Dayanik 2009, doi 10.1287/ijoc.1080.0314) of N
steps. It is estimated by simulation: true accuracies are drawn from the posterior, a simulated
sampler proposes N trials, each observes the truth with noise, and the posterior is updated exactly
after each, since everything is Gaussian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..stored_config import ExpectedGain
from .mixed_model import MixedModel

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

FORECAST_TRIALS = 20
"""The number of trials whose gain is forecast."""
SIMULATIONS = 200
"""Simulated continuations of a study. The standard error of the expected gain is below a tenth of
the spread of the gains."""
MAX_SIMULATED_ARCHITECTURES = 200
"""Architectures in a simulation: the recommended one, those that may be the best, and random ones
for the random proposals."""


@dataclass(frozen=True)
class SimulatedStudy:
    """A study at one moment, from which continuations are simulated.

    Attributes:
        mean: (n,) the posterior means of the architectures' accuracies, fractions.
        covariance: (n, n) of the posterior.
        tried: (n,) which of them have a complete trial.
        noise: variance of the final accuracy of one trial, given its architecture.
        model_share: the share of the proposals that follow the model; the others are random.
    """

    mean: Array
    covariance: Array
    tried: Flags
    noise: float
    model_share: float = 1.0

    @classmethod
    def of(
        cls, model: MixedModel, tried: Flags, rng: np.random.Generator, model_share: float = 1.0
    ) -> SimulatedStudy:
        """The state of a study, with the architectures that matter.

        Args:
            model: of the study; it predicts the architectures that may be recommended or proposed.
            tried: (n,) which of these have a complete trial.
            rng: source of the draws that decide which architectures matter.
            model_share: see the attributes.
        """
        posterior = model.posterior()
        upper = posterior.mean + 2 * np.sqrt(posterior.variance)
        upper[np.argmax(np.where(tried, posterior.mean, -np.inf))] = np.inf
        by_upper = np.argsort(-upper, kind="stable")
        promising = by_upper[: max(1, math.ceil(MAX_SIMULATED_ARCHITECTURES * model_share))]
        others = rng.permutation(by_upper[len(promising) :])
        others = others[: MAX_SIMULATED_ARCHITECTURES - len(promising)]
        chosen = np.sort(np.concatenate([promising, others]))
        return cls(
            posterior.mean[chosen],
            model.posterior_covariance(chosen),
            tried[chosen],
            model.trial_deviation**2,
            model_share,
        )


def forecast_gain(
    study: SimulatedStudy, after: int, rng: np.random.Generator, trials: int = FORECAST_TRIALS
) -> ExpectedGain:
    """The expected gain of the next trials of a study.

    Args:
        study: its state; at least one architecture is tried.
        after: the number of trials that have ended.
        rng: source of the simulations.
        trials: how many further trials to simulate.
    """
    if not study.tried.any():
        raise ValueError("an expected gain needs an architecture that has a complete trial")
    size, runs = len(study.mean), np.arange(SIMULATIONS)
    draws = _draw_normal(study.mean, study.covariance, SIMULATIONS * (trials + 1), rng)
    truth, proposals = np.split(draws.reshape(trials + 1, SIMULATIONS, size), [1])
    truth = truth[0]
    means = np.tile(study.mean, (SIMULATIONS, 1))
    tried = np.tile(study.tried, (SIMULATIONS, 1))
    # The covariance after some trials is the first one minus the outer products of these vectors.
    updates = np.zeros((trials, SIMULATIONS, size))
    for step in range(trials):
        chosen = np.argmax(proposals[step], axis=1)
        uniform = rng.random(SIMULATIONS) >= study.model_share
        chosen[uniform] = rng.integers(size, size=int(uniform.sum()))
        known = updates[:step]
        column = study.covariance[chosen] - np.einsum(
            "ksn,ks->sn", known, known[:, runs, chosen], optimize=True
        )
        spread = np.sqrt(np.maximum(column[runs, chosen], 0.0) + study.noise)
        update = column / spread[:, None]
        updates[step] = update
        deviation = math.sqrt(study.noise)
        observed = truth[runs, chosen] + deviation * rng.standard_normal(SIMULATIONS)
        means += update * ((observed - means[runs, chosen]) / spread)[:, None]
        later = proposals[step + 1 :]
        expected = later[:, runs, chosen]
        expected = expected + deviation * rng.standard_normal(expected.shape)
        later += update * ((observed - expected) / spread)[..., None]
        tried[runs, chosen] = True
    now = int(np.argmax(np.where(study.tried, study.mean, -np.inf)))
    then = np.argmax(np.where(tried, means, -np.inf), axis=1)
    gains = truth[runs, then] - truth[:, now]
    expected_gains = means[runs, then] - means[:, now]
    return ExpectedGain(after, trials, float(expected_gains.mean()), float(gains.std()))


def _draw_normal(mean: Array, covariance: Array, count: int, rng: np.random.Generator) -> Array:
    """(count, n) draws; the covariance may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    loadings = vectors * np.sqrt(np.maximum(values, 0.0))
    draws: Array = mean + rng.standard_normal((count, len(mean))) @ loadings.T
    return draws
