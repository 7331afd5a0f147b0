"""A Gaussian mixed model of a study: architecture effects, seeds as random blocks, and noise.

The final accuracy of trial t, which trains architecture a with seed s, is modelled as

    accuracy = mean + worth[a] + trial[t] + seed[s] + noise

`worth` is the sum of random effects of the architecture's features (`features.KINDS`) and of a
random effect of the architecture itself. `seed` is a random block: what all trials of one seed have
in common, because they share initial weights, data order and augmentation.

A trial is observed through several channels: its final accuracy, if it is complete, and its signal
at each rung that it reached (in a study without a pruner, after half of its epochs). In channel c

    y[t, c] = level[c] + slope[c] · (worth[a] + trial[t]) + own[c, a] + seed[c, s] + noise[c, t]

where the final accuracy has slope 1 and no `own` effects. A rung has effects of its own, of the
architecture and of its attentions in its stages, because an architecture that learns fast at first
may end with a low accuracy. Without these effects, the model would treat the signal of a rung as
the final accuracy, the more so the more trials there are. With them, the rungs of a stopped trial
count as much as they predict, and those of a complete trial improve its prediction.

Every effect is Gaussian, with one variance for each kind. Variances and slopes maximise the
marginal likelihood of the observations under a weak prior (type-II maximum likelihood: Rasmussen &
Williams, "Gaussian Processes for Machine Learning", 2006, section 5.4). The variance of a kind that
explains nothing shrinks to zero; architectures with several seeds separate noise from effects. All
trials that reached a rung are observed there, so the final accuracies of the stopped ones are
missing at random, and stopping does not bias the estimates (Rubin 1976,
doi 10.1093/biomet/63.3.581).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy

from ...spaces.architecture import Architecture
from .features import ArchitectureFeatures, Array
from .history import TrialHistory
from .woodbury import WoodburyCovariance

END = 0
"""The channel of the final accuracy. The channel of a rung is its epoch."""

PRIOR_VARIANCES = {
    "size": 1.0,
    "attention": 0.2,
    "stage": 0.3,
    "ratio": 0.05,
    "position": 0.1,
    "pair": 0.1,
    "architecture": 0.1,
    "trial": 0.2,
    "seed": 0.1,
    "architecture at a rung": 0.1,
    "attention at a rung": 0.3,
    "stage at a rung": 0.3,
    "noise at the end": 0.1,
    "noise at a rung": 0.2,
}
"""Prior median of each variance, as a fraction of the variance of the observations in its channel.
The prior of the trend over the size of the modules is wide.
"""
KINDS_AT_RUNGS = ("attention", "stage")
"""Kinds of effect of which each rung has its own, beside those that it shares with the end."""
PRIOR_SLOPE = 0.3
"""Prior median of a rung's slope: small, until final accuracies show that it is larger."""
PRIOR_LOG_DEVIATION = 1.0
"""Standard deviation of the prior on the logarithm of a variance or slope."""
MAX_LOG_DISTANCE = 5.0
"""Maximum distance of a fitted logarithm from its prior median. Without a bound, trials with equal
accuracies would drive the noise to zero and make the covariance singular.
"""
LEVEL_VARIANCE = 1.0
"""Variance of a channel's level around the mean of its observations."""
MIN_NOISE = 1e-8
"""Added to the noise variances, so that the covariance is not singular."""
MIN_FITTED_ENDS = 6
"""With fewer final accuracies, hyperparameters are not fitted."""

Hyperparameters = dict[str, float]
"""Variances by their kind, as in `PRIOR_VARIANCES`, and slopes as `slope EPOCH`."""


class MixedModel:
    """The posterior of architectures' accuracies, given the histories of trials.

    Args:
        features: of the architectures of this backbone.
        histories: (t,) trials that were observed.
        architectures: (n,) whose accuracies to predict; they need not have trials.
        hyperparameters: those that differ from the prior; by default they are fitted.

    Attributes:
        y: (o,) observations, standardised in each channel to mean 0 and deviation 1.
        trials, channels, seeds: (o,) of each observation; `trials` are rows of `histories`.
        architecture_ids: (t + n,) a number for each distinct architecture, of the trials and then
            of `architectures`.
        designs: by kind of effect, (t + n, effects).
        mean, scale: of the final accuracies, fractions.
    """

    def __init__(
        self,
        features: ArchitectureFeatures,
        histories: Sequence[TrialHistory],
        architectures: Sequence[Architecture],
        hyperparameters: Hyperparameters | None = None,
    ) -> None:
        observations = [
            (row, channel, value)
            for row, history in enumerate(histories)
            for channel, value in ({} if history.end is None else {END: history.end}).items()
            | history.rungs.items()
            if math.isfinite(value)
        ]
        self.trials = np.array([row for row, _, _ in observations], dtype=int)
        self.channels = np.array([channel for _, channel, _ in observations], dtype=int)
        self.y, (self.mean, self.scale) = _standardise(
            self.channels, np.array([value for *_, value in observations])
        )
        self.seeds = np.array([history.seed for history in histories], dtype=int)[self.trials]
        trained_and_predicted = [*(history.architecture for history in histories), *architectures]
        keys = [architecture.key for architecture in trained_and_predicted]
        ids = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        self.architecture_ids = np.array([ids[key] for key in keys], dtype=int)
        self.count = len(histories)
        self.designs = features.design_matrices(trained_and_predicted)
        self.rungs = sorted(set(self.channels.tolist()) - {END})
        self.hyperparameters = self._prior() | (
            self._fit() if hyperparameters is None else hyperparameters
        )

    def predict_mean(self) -> Array:
        """(n,) the expected accuracy of each architecture, a fraction."""
        return self._to_accuracy(self._regress(self.y[:, None])[:, 0])

    def draw_sample(self, rng: np.random.Generator) -> Array:
        """(n,) one draw from the posterior: an accuracy for each architecture."""
        sample: Array = self.draw_samples(rng, 1)[0]
        return sample

    def draw_samples(self, rng: np.random.Generator, count: int) -> Array:
        """(count, n) draws from the posterior: an accuracy for each architecture.

        Matheron's rule (Wilson et al., arXiv 2002.09309): a sample of the prior, corrected by the
        regression on the difference between the observations and the sample.
        """
        variances = self.hyperparameters

        def normal(rows: int) -> Array:
            return rng.standard_normal((rows, count))

        worth = np.zeros((len(self.architecture_ids), count))
        for kind, design in self.designs.items():
            worth += math.sqrt(variances[kind]) * (design @ normal(design.shape[1]))
        of_architecture = normal(self.architecture_ids.max(initial=-1) + 1)
        worth += math.sqrt(variances["architecture"]) * of_architecture[self.architecture_ids]
        of_trial = math.sqrt(variances["trial"]) * normal(self.count)
        observed = self._slopes()[:, None] * (worth[: self.count] + of_trial)[self.trials]
        for labels, variance in self._groups():
            _, group = np.unique(labels, axis=0, return_inverse=True)
            observed += np.sqrt(variance)[:, None] * normal(group.max(initial=0) + 1)[group]
        for loadings in self._loadings_at_rungs():
            observed += loadings @ normal(loadings.shape[1])
        observed += np.sqrt(self._noise())[:, None] * normal(len(observed))
        return self._to_accuracy(worth[self.count :] + self._regress(self.y[:, None] - observed)).T

    def _to_accuracy(self, standardised: Array) -> Array:
        return self.mean + self.scale * standardised

    def _prior(self) -> Hyperparameters:
        return PRIOR_VARIANCES | {f"slope {rung}": PRIOR_SLOPE for rung in self.rungs}

    def _slopes(self, hyperparameters: Hyperparameters | None = None) -> Array:
        """(o,) the slope of the channel of each observation."""
        values = hyperparameters or self.hyperparameters
        by_channel = {END: 1.0, **{rung: values[f"slope {rung}"] for rung in self.rungs}}
        return np.array([by_channel[channel] for channel in self.channels.tolist()])

    def _noise(self, hyperparameters: Hyperparameters | None = None) -> Array:
        """(o,) the noise variance of each observation."""
        values = hyperparameters or self.hyperparameters
        at_end = self.channels == END
        return np.where(at_end, values["noise at the end"], values["noise at a rung"]) + MIN_NOISE

    def _groups(self, hyperparameters: Hyperparameters | None = None) -> list[tuple[Array, Array]]:
        """Effects that groups of observations share: by seed, architecture at a rung, and channel.

        For each of the three, labels (o, columns), whose rows are equal within a group, and
        variances (o,).
        """
        values = hyperparameters or self.hyperparameters
        ones = np.ones(len(self.y))
        by_seed = np.column_stack([self.channels, self.seeds])
        by_architecture = np.column_stack([self.channels, self.architecture_ids[self.trials]])
        return [
            (by_seed, values["seed"] * ones),
            (by_architecture, values["architecture at a rung"] * (self.channels != END)),
            (self.channels[:, None], LEVEL_VARIANCE * ones),
        ]

    def _loadings_at_rungs(self) -> list[Array]:
        """(o, effects) for each kind and rung: the loadings of the rung's own effects."""
        return [
            math.sqrt(self.hyperparameters[f"{kind} at a rung"])
            * (self.designs[kind][self.trials] * (self.channels == rung)[:, None])
            for kind in KINDS_AT_RUNGS
            for rung in self.rungs
        ]

    @cached_property
    def kernels(self) -> dict[str, Array]:
        """By kind, (t, t): the covariance of the worth of two trials, for a variance of 1."""
        of_trials = {kind: design[: self.count] for kind, design in self.designs.items()}
        ids = self.architecture_ids[: self.count]
        return {
            **{kind: design @ design.T for kind, design in of_trials.items()},
            "architecture": (ids[:, None] == ids).astype(float),
            "trial": np.eye(self.count),
        }

    @cached_property
    def _covariance(self) -> WoodburyCovariance:
        """The covariance of all observations, with a block for each architecture.

        A block holds the effects of the architecture itself, of its trials, and of the
        architecture at each rung. All other effects are shared between blocks.
        """
        variances, slopes, noise = self.hyperparameters, self._slopes(), self._noise()
        shared = [
            math.sqrt(variances[kind]) * slopes[:, None] * design[self.trials]
            for kind, design in self.designs.items()
        ]
        by_seed, _, by_channel = self._groups()
        shared += [
            _indicators(labels) * np.sqrt(variance)[:, None]
            for labels, variance in (by_seed, by_channel)
        ]
        shared += self._loadings_at_rungs()
        at_rung = self.channels != END

        def block(rows: npt.NDArray[np.int_]) -> Array:
            trials, channels = self.trials[rows], self.channels[rows]
            worth = variances["architecture"] + variances["trial"] * (trials[:, None] == trials)
            covariance: Array = slopes[rows][:, None] * worth * slopes[rows] + np.diag(noise[rows])
            covariance += (
                variances["architecture at a rung"]
                * (channels[:, None] == channels)
                * at_rung[rows]
            )
            return covariance

        return WoodburyCovariance(np.hstack(shared), self.architecture_ids[self.trials], block)

    def _regress(self, residuals: Array) -> Array:
        """(n, k): the expected worth of the architectures, given residuals (o, k)."""
        weights = self._covariance.solve(residuals)
        by_trial = _sum_groups(self._slopes()[:, None] * weights, self.trials, self.count)
        ids = self.architecture_ids
        by_architecture = _sum_groups(by_trial, ids[: self.count], ids.max(initial=-1) + 1)
        worth: Array = self.hyperparameters["architecture"] * by_architecture[ids[self.count :]]
        for kind, design in self.designs.items():
            worth += self.hyperparameters[kind] * (
                design[self.count :] @ (design[: self.count].T @ by_trial)
            )
        return worth

    def _fit(self) -> Hyperparameters:
        """The most likely variances and slopes; empty while there are too few final accuracies."""
        if (self.channels == END).sum() < MIN_FITTED_ENDS:
            return {}
        prior = self._prior()
        names, centre = list(prior), np.log(list(prior.values()))
        likelihood = _MarginalLikelihood(self)

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


class _MarginalLikelihood:
    """The negative logarithm of the marginal likelihood of a model's observations."""

    def __init__(self, model: MixedModel) -> None:
        self.model = model
        self.by_seed, by_architecture, self.by_channel = (
            _equality(labels) for labels, _ in model._groups(PRIOR_VARIANCES)
        )
        at_rung = model.channels != END
        self.by_architecture = by_architecture * np.outer(at_rung, at_rung)
        # Observations are in the order of their trials; each trial's begin at one of `begins`.
        self.observed, self.begins = np.unique(model.trials, return_index=True)
        self.pairs = np.ix_(model.trials, model.trials)
        one_rung = self.by_channel * np.outer(at_rung, at_rung)
        self.kernels_at_rungs = {
            f"{kind} at a rung": one_rung * model.kernels[kind][self.pairs]
            for kind in KINDS_AT_RUNGS
        }

    def evaluate(self, hyperparameters: Hyperparameters) -> tuple[float, dict[str, float]]:
        """The value, and its derivatives by the logarithm of every hyperparameter."""
        model, slopes = self.model, self.model._slopes(hyperparameters)
        worth = np.asarray(
            sum(hyperparameters[kind] * kernel for kind, kernel in model.kernels.items())
        )
        of_worth = slopes[:, None] * worth[self.pairs] * slopes
        at_rung = hyperparameters["architecture at a rung"]
        total = of_worth + hyperparameters["seed"] * self.by_seed + at_rung * self.by_architecture
        total += LEVEL_VARIANCE * self.by_channel
        for name, kernel in self.kernels_at_rungs.items():
            total += hyperparameters[name] * kernel
        total[np.diag_indices_from(total)] += model._noise(hyperparameters)
        factor = scipy.linalg.cholesky(total, lower=True, check_finite=False)
        weights = scipy.linalg.cho_solve((factor, True), model.y)
        inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        value = 0.5 * model.y @ weights + np.log(np.diag(factor)).sum()
        # Half the trace of (inverse - w·wᵀ) times the derivative of the covariance.
        away = 0.5 * (inverse - np.outer(weights, weights))
        of_trials = np.zeros((model.count, model.count))
        by_trials = self._sum_over_trials(slopes[:, None] * away * slopes)
        of_trials[np.ix_(self.observed, self.observed)] = by_trials
        gradient = {
            kind: hyperparameters[kind] * float((of_trials * kernel).sum())
            for kind, kernel in model.kernels.items()
        }
        gradient["seed"] = hyperparameters["seed"] * float((away * self.by_seed).sum())
        gradient["architecture at a rung"] = at_rung * float((away * self.by_architecture).sum())
        for name, kernel in self.kernels_at_rungs.items():
            gradient[name] = hyperparameters[name] * float((away * kernel).sum())
        ends, diagonal = model.channels == END, np.diag(away)
        for name, rows in (("noise at the end", ends), ("noise at a rung", ~ends)):
            gradient[name] = hyperparameters[name] * float(diagonal[rows].sum())
        by_row = 2 * (away * of_worth).sum(axis=1)
        for rung in model.rungs:
            gradient[f"slope {rung}"] = float(by_row[model.channels == rung].sum())
        return float(value), gradient

    def _sum_over_trials(self, values: Array) -> Array:
        """Entries (o, o) summed over the observations of each pair of trials."""
        return np.add.reduceat(np.add.reduceat(values, self.begins, axis=0), self.begins, axis=1)


def _standardise(channels: Array, values: Array) -> tuple[Array, tuple[float, float]]:
    """Values with mean 0 and deviation 1 in every channel; mean and deviation of channel `END`."""
    standardised, end = np.zeros(len(values)), (0.0, 1.0)
    for channel in np.unique(channels):
        rows = channels == channel
        mean, scale = float(values[rows].mean()), max(float(values[rows].std()), 1e-4)
        standardised[rows] = (values[rows] - mean) / scale
        if channel == END:
            end = mean, scale
    return standardised, end


def _sum_groups(values: Array, groups: npt.NDArray[np.int_], count: int) -> Array:
    """(count, k): rows (n, k) summed over each of `count` groups (n,)."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, groups, values)
    return sums


def _indicators(labels: Array) -> Array:
    """A column for every distinct row of labels, 1 in the rows that equal it."""
    _, group = np.unique(labels, axis=0, return_inverse=True)
    return np.eye(group.max(initial=-1) + 1)[group]


def _equality(labels: Array) -> Array:
    """(n, n): 1 where two rows of labels are equal, else 0."""
    equal: Array = (labels[:, None, :] == labels[None]).all(axis=2).astype(float)
    return equal
