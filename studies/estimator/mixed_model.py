"""A Bayesian model of a space in which the effects of attentions add up, fed with every rung.

What an architecture is worth is taken as a sum of effects (`features.KINDS`) and of what is its
own. A trial adds luck of its own, and is seen through several channels: its accuracy at the end, if
it got there, and its signal at each rung that it passed, or half way. A channel shows the trial's
worth times a slope, plus what all trials of its seed share there, plus noise. A rung also thinks
better or worse of an architecture than the end does, and of everything with the same attentions in
the same stages: what learns fast at first need not get far. Were that not told apart from worth, a
rung would be taken for the end, the more so the more trials there are. So a trial that was stopped
counts for what its rungs are worth, and the end of one that was not is seen more clearly.

Every kind of effect is Gaussian with a variance of its own (random effects). Variances and slopes
are those that make the observations likeliest under a weak prior (type-II maximum likelihood:
Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, section 5.4). A kind that
explains nothing fades away, and noise is told from effects by architectures with several seeds.
Since a rung holds all trials that reached it, those that it stopped are missing at random, and who
went on does not bias what is concluded (Rubin 1976, doi 10.1093/biomet/63.3.581).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy

from ...spaces.architecture import Architecture
from .features import ArchitectureFeatures, Array
from .woodbury import WoodburyCovariance

END = 0
"""The channel of the final accuracy; a rung's is its epoch."""

PRIOR = {
    "size": 1.0,
    "attention": 0.2,
    "stage": 0.3,
    "ratio": 0.05,
    "position": 0.1,
    "pair": 0.1,
    "itself": 0.1,
    "luck": 0.2,
    "seed": 0.1,
    "apart": 0.1,
    "attention apart": 0.3,
    "stage apart": 0.3,
    "noise at the end": 0.1,
    "noise at a rung": 0.2,
}
"""Expected variance of each kind, in parts of the variance of what its channel shows. Of the trend
over the size nothing is expected beforehand.
"""
APART = ("attention", "stage")
"""Kinds of effect that every rung has of its own, beside those that it shares with the end."""
SLOPE = 0.3
"""Expected slope of a rung's channel: little, until the ends of trials say that it is more."""
WEIGHT = 1.0
"""Standard deviation of the prior on the logarithm of a variance or slope."""
REACH = 5.0
"""A logarithm is looked for so far from its prior mean: beyond, trials that agree to the last digit
would take all noise for nothing, and the equations could not be solved.
"""
LEVEL = 1.0
"""Variance of a channel's mean about that of its observations."""
ENOUGH = 6
"""Observations of the end from which on variances are fitted."""

Powers = dict[str, float]
"""Variances by their kind, and slopes as `slope EPOCH`."""


@dataclass(frozen=True)
class TrialHistory:
    """How a trial went.

    Attributes:
        end: final accuracy; None if it was stopped.
        rungs: the signal at the rungs it reached, by epoch; more is better.
    """

    architecture: Architecture
    seed: int
    end: float | None
    rungs: Mapping[int, float]


class MixedModel:
    """What the histories of trials say about architectures.

    `judged` are the architectures asked about, those of the trials among them or not. Accuracies
    are fractions. `powers` are fitted unless they are given.
    """

    def __init__(
        self,
        effects: ArchitectureFeatures,
        seen: Sequence[TrialHistory],
        judged: Sequence[Architecture],
        powers: Powers | None = None,
    ) -> None:
        told = [
            (row, channel, value)
            for row, history in enumerate(seen)
            for channel, value in ({} if history.end is None else {END: history.end}).items()
            | history.rungs.items()
            if math.isfinite(value)
        ]
        self.trials = np.array([row for row, _, _ in told], dtype=int)
        self.channels = np.array([channel for _, channel, _ in told], dtype=int)
        self.y, (self.mean, self.scale) = _standard(
            self.channels, np.array([value for *_, value in told])
        )
        self.seeds = np.array([history.seed for history in seen], dtype=int)[self.trials]
        every = [*(history.architecture for history in seen), *judged]
        keys = [architecture.key for architecture in every]
        names = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        self.names = np.array([names[key] for key in keys], dtype=int)
        self.count = len(seen)
        self.designs = effects.designs(every)
        self.rungs = sorted(set(self.channels.tolist()) - {END})
        self.powers = self._start() | (self._fitted() if powers is None else powers)

    def expected(self) -> Array:
        """The expected accuracy of each architecture that is judged."""
        return self._in_points(self._pull(self.y[:, None])[:, 0])

    def sample(self, rng: np.random.Generator) -> Array:
        """One possible truth: an accuracy for each architecture that is judged."""
        truth: Array = self.samples(rng, 1)[0]
        return truth

    def samples(self, rng: np.random.Generator, count: int) -> Array:
        """So many possible truths (count, n): an accuracy for each architecture that is judged.

        Drawn by Matheron's rule (Wilson et al., arXiv 2002.09309): a sample of the prior, corrected
        by what it gets wrong about the observations.
        """
        powers = self.powers

        def normal(rows: int) -> Array:
            return rng.standard_normal((rows, count))

        truth = np.zeros((len(self.names), count))
        for kind, design in self.designs.items():
            truth += math.sqrt(powers[kind]) * (design @ normal(design.shape[1]))
        own = normal(self.names.max(initial=-1) + 1)
        truth += math.sqrt(powers["itself"]) * own[self.names]
        luck = math.sqrt(powers["luck"]) * normal(self.count)
        told = self._slopes()[:, None] * (truth[: self.count] + luck)[self.trials]
        for labels, variance in self._groups():
            _, group = np.unique(labels, axis=0, return_inverse=True)
            told += np.sqrt(variance)[:, None] * normal(group.max(initial=0) + 1)[group]
        for part in self._apart():
            told += part @ normal(part.shape[1])
        told += np.sqrt(self._noise())[:, None] * normal(len(told))
        return self._in_points(truth[self.count :] + self._pull(self.y[:, None] - told)).T

    def _in_points(self, standard: Array) -> Array:
        return self.mean + self.scale * standard

    def _start(self) -> Powers:
        return PRIOR | {f"slope {rung}": SLOPE for rung in self.rungs}

    def _slopes(self, powers: Powers | None = None) -> Array:
        """Of the channel of each observation."""
        powers = powers or self.powers
        of = {END: 1.0, **{rung: powers[f"slope {rung}"] for rung in self.rungs}}
        return np.array([of[channel] for channel in self.channels.tolist()])

    def _noise(self, powers: Powers | None = None) -> Array:
        powers = powers or self.powers
        at_end = self.channels == END
        return np.where(at_end, powers["noise at the end"], powers["noise at a rung"]) + 1e-8

    def _groups(self, powers: Powers | None = None) -> list[tuple[Array, Array]]:
        """What observations of one label share, with its variance: by seed, architecture, channel.

        The labels are rows of numbers.
        """
        powers = powers or self.powers
        ones = np.ones(len(self.y))
        by_seed = np.column_stack([self.channels, self.seeds])
        apart = np.column_stack([self.channels, self.names[self.trials]])
        return [
            (by_seed, powers["seed"] * ones),
            (apart, powers["apart"] * (self.channels != END)),
            (self.channels[:, None], LEVEL * ones),
        ]

    def _apart(self) -> list[Array]:
        """How much of every effect that is a rung's own each observation has."""
        return [
            math.sqrt(self.powers[f"{kind} apart"])
            * (self.designs[kind][self.trials] * (self.channels == rung)[:, None])
            for kind in APART
            for rung in self.rungs
        ]

    @cached_property
    def kernels(self) -> dict[str, Array]:
        """By kind, how far the worth of two trials goes together."""
        told_of = {kind: design[: self.count] for kind, design in self.designs.items()}
        names = self.names[: self.count]
        return {
            **{kind: design @ design.T for kind, design in told_of.items()},
            "itself": (names[:, None] == names).astype(float),
            "luck": np.eye(self.count),
        }

    @cached_property
    def _equations(self) -> WoodburyCovariance:
        """The covariance of all observations. Each architecture is a group: its own are what it is
        worth by itself, the luck of its trials, and what a rung thinks of it; the rest is shared.
        """
        powers, slopes, noise = self.powers, self._slopes(), self._noise()
        shared = [
            math.sqrt(powers[kind]) * slopes[:, None] * design[self.trials]
            for kind, design in self.designs.items()
        ]
        by_seed, _, by_channel = self._groups()
        shared += [
            _told_apart(labels) * np.sqrt(var)[:, None] for labels, var in (by_seed, by_channel)
        ]
        shared += self._apart()
        at_rung = self.channels != END

        def block(at: npt.NDArray[np.int_]) -> Array:
            trials, channels = self.trials[at], self.channels[at]
            worth = powers["itself"] + powers["luck"] * (trials[:, None] == trials)
            found: Array = slopes[at][:, None] * worth * slopes[at] + np.diag(noise[at])
            found += powers["apart"] * (channels[:, None] == channels) * at_rung[at]
            return found

        return WoodburyCovariance(np.hstack(shared), self.names[self.trials], block)

    def _pull(self, residuals: Array) -> Array:
        """What residuals of the observations (n, k) make of the architectures to be judged."""
        weights = self._equations.solve(residuals)
        of_trials = _summed(self._slopes()[:, None] * weights, self.trials, self.count)
        seen, judged = self.names[: self.count], self.names[self.count :]
        own = _summed(of_trials, seen, self.names.max(initial=-1) + 1)
        answer: Array = self.powers["itself"] * own[judged]
        for kind, design in self.designs.items():
            answer += self.powers[kind] * (
                design[self.count :] @ (design[: self.count].T @ of_trials)
            )
        return answer

    def _fitted(self) -> Powers:
        """The likeliest variances and slopes; nothing as long as there is little to fit."""
        if (self.channels == END).sum() < ENOUGH:
            return {}
        start = self._start()
        names, centre = list(start), np.log(list(start.values()))
        likelihood = _Likelihood(self)

        def cost(logs: Array) -> tuple[float, Array]:
            away = (logs - centre) / WEIGHT
            powers = dict(zip(names, np.exp(logs).tolist(), strict=True))
            value, slopes = likelihood.at(powers)
            down = np.array([slopes[name] for name in names])
            return value + float(0.5 * away @ away), down + away / WEIGHT

        fitted = scipy.optimize.minimize(
            cost,
            centre,
            jac=True,
            method="L-BFGS-B",
            bounds=[(middle - REACH, middle + REACH) for middle in centre],
            options={"maxiter": 30},
        )
        return dict(zip(names, np.exp(fitted.x).tolist(), strict=True))


class _Likelihood:
    """Minus the logarithm of how likely the observations of a model are."""

    def __init__(self, model: MixedModel) -> None:
        self.model = model
        self.by_seed, apart, self.by_channel = (_same(labels) for labels, _ in model._groups(PRIOR))
        at_rung = model.channels != END
        self.apart = apart * np.outer(at_rung, at_rung)
        # Observations stand in the order of their trials: where each trial's begin.
        self.seen, self.begins = np.unique(model.trials, return_index=True)
        self.pairs = np.ix_(model.trials, model.trials)
        one_rung = self.by_channel * np.outer(at_rung, at_rung)
        self.apart_by = {
            f"{kind} apart": one_rung * model.kernels[kind][self.pairs] for kind in APART
        }

    def at(self, powers: Powers) -> tuple[float, dict[str, float]]:
        """Its value, and its derivatives by the logarithm of every power."""
        model, slopes = self.model, self.model._slopes(powers)
        worth = np.asarray(sum(powers[kind] * kernel for kind, kernel in model.kernels.items()))
        of_worth = slopes[:, None] * worth[self.pairs] * slopes
        total = of_worth + powers["seed"] * self.by_seed + powers["apart"] * self.apart
        total += LEVEL * self.by_channel
        for name, kernel in self.apart_by.items():
            total += powers[name] * kernel
        total[np.diag_indices_from(total)] += model._noise(powers)
        factor = scipy.linalg.cholesky(total, lower=True, check_finite=False)
        weights = scipy.linalg.cho_solve((factor, True), model.y)
        inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        value = 0.5 * model.y @ weights + np.log(np.diag(factor)).sum()
        # Half the trace of (inverse - w·wᵀ) times the derivative of the covariance.
        away = 0.5 * (inverse - np.outer(weights, weights))
        of_trials = np.zeros((model.count, model.count))
        of_trials[np.ix_(self.seen, self.seen)] = self._by_trials(slopes[:, None] * away * slopes)
        found = {k: powers[k] * float((of_trials * m).sum()) for k, m in model.kernels.items()}
        found["seed"] = powers["seed"] * float((away * self.by_seed).sum())
        found["apart"] = powers["apart"] * float((away * self.apart).sum())
        for name, kernel in self.apart_by.items():
            found[name] = powers[name] * float((away * kernel).sum())
        ends, diagonal = model.channels == END, np.diag(away)
        found["noise at the end"] = powers["noise at the end"] * float(diagonal[ends].sum())
        found["noise at a rung"] = powers["noise at a rung"] * float(diagonal[~ends].sum())
        by_row = 2 * (away * of_worth).sum(axis=1)
        for rung in model.rungs:
            found[f"slope {rung}"] = float(by_row[model.channels == rung].sum())
        return float(value), found

    def _by_trials(self, values: Array) -> Array:
        """Summed over the observations of every two trials."""
        return np.add.reduceat(np.add.reduceat(values, self.begins, axis=0), self.begins, axis=1)


def _standard(channels: Array, values: Array) -> tuple[Array, tuple[float, float]]:
    """Values with mean 0 and deviation 1 in every channel, and the end's mean and deviation."""
    found, end = np.zeros(len(values)), (0.0, 1.0)
    for channel in np.unique(channels):
        here = channels == channel
        mean, scale = float(values[here].mean()), max(float(values[here].std()), 1e-4)
        found[here] = (values[here] - mean) / scale
        if channel == END:
            end = mean, scale
    return found, end


def _summed(values: Array, groups: npt.NDArray[np.int_], count: int) -> Array:
    """Rows (n, k) summed over each of so many groups."""
    found = np.zeros((count, values.shape[1]))
    np.add.at(found, groups, values)
    return found


def _told_apart(labels: Array) -> Array:
    """A column for every different row of labels, 1 where it is that one."""
    _, group = np.unique(labels, axis=0, return_inverse=True)
    return np.eye(group.max(initial=-1) + 1)[group]


def _same(labels: Array) -> Array:
    """1 where two rows of labels are equal, else 0."""
    equal: Array = (labels[:, None, :] == labels[None]).all(axis=2).astype(float)
    return equal
