"""A Bayesian model of a space in which the effects of attentions add up, fed with every rung.

What an architecture is worth is taken as a sum of effects (`effects.KINDS`). A trial adds luck of
its own, and is seen through several channels: its accuracy at the end, if it got there, and its
signal at each rung that it passed. A channel shows the trial's worth times a slope, plus what all
trials of its seed share there, plus noise; a rung also what it thinks better or worse of the
architecture than the end does. So a trial that was stopped counts for what its rungs are worth, and
the end of one that was not is seen more clearly through its rungs.

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

import numpy as np
import scipy

from ..spaces.architecture import Architecture
from .effects import Array, Effects

END = 0
"""The channel of the final accuracy; a rung's is its epoch."""

PRIOR = {
    "attention": 0.2,
    "stage": 0.3,
    "ratio": 0.05,
    "position": 0.1,
    "pair": 0.1,
    "itself": 0.1,
    "luck": 0.2,
    "seed": 0.1,
    "apart": 0.1,
    "noise at the end": 0.1,
    "noise at a rung": 0.2,
}
"""Expected variance of each kind, in parts of the variance of what its channel shows."""
SLOPE = 0.8
"""Expected slope of a rung's channel."""
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
class Course:
    """How a trial went.

    Attributes:
        end: final accuracy; None if it was stopped.
        rungs: the signal at the rungs it reached, by epoch; more is better.
    """

    architecture: Architecture
    seed: int
    end: float | None
    rungs: Mapping[int, float]


class Model:
    """What the courses of trials say about architectures.

    `judged` are the architectures asked about, those of the trials among them or not. Accuracies
    are fractions. `powers` are fitted unless they are given.
    """

    def __init__(
        self,
        effects: Effects,
        seen: Sequence[Course],
        judged: Sequence[Architecture],
        powers: Powers | None = None,
    ) -> None:
        told = [
            (row, channel, value)
            for row, course in enumerate(seen)
            for channel, value in ({} if course.end is None else {END: course.end}).items()
            | course.rungs.items()
            if math.isfinite(value)
        ]
        self.trials = np.array([row for row, _, _ in told], dtype=int)
        self.channels = np.array([channel for _, channel, _ in told], dtype=int)
        self.y, (self.mean, self.scale) = _standard(
            self.channels, np.array([value for *_, value in told])
        )
        self.seeds = np.array([course.seed for course in seen], dtype=int)[self.trials]
        names = {a.key: i for i, a in enumerate(dict.fromkeys(c.architecture for c in seen))}
        self.names = np.array([names[c.architecture.key] for c in seen], dtype=int)[self.trials]
        self.count = len(seen)
        self.designs = effects.designs([*(course.architecture for course in seen), *judged])
        self.rungs = sorted(set(self.channels.tolist()) - {END})
        told_of = {kind: design[: self.count] for kind, design in self.designs.items()}
        self.kernels = {kind: design @ design.T for kind, design in told_of.items()}
        self.kernels["luck"] = np.eye(self.count)
        self.powers = self._start() | (self._fitted() if powers is None else powers)

    def expected(self) -> Array:
        """The expected accuracy of each architecture that is judged."""
        return self._in_points(self._pull(self.y))

    def sample(self, rng: np.random.Generator) -> Array:
        """One possible truth: an accuracy for each architecture that is judged.

        Drawn by Matheron's rule (Wilson et al., arXiv 2002.09309): a sample of the prior, corrected
        by what it gets wrong about the observations.
        """
        powers = self.powers
        truth = np.zeros(len(next(iter(self.designs.values()))))
        for kind, design in self.designs.items():
            truth += math.sqrt(powers[kind]) * (design @ rng.standard_normal(design.shape[1]))
        luck = math.sqrt(powers["luck"]) * rng.standard_normal(self.count)
        told = self._slopes() * (truth[: self.count] + luck)[self.trials]
        for labels, variance in self._groups():
            _, group = np.unique(labels, axis=0, return_inverse=True)
            told += np.sqrt(variance) * rng.standard_normal(group.max(initial=0) + 1)[group]
        told += np.sqrt(self._noise()) * rng.standard_normal(len(told))
        return self._in_points(truth[self.count :] + self._pull(self.y - told))

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
        apart = np.column_stack([self.channels, self.names])
        return [
            (by_seed, powers["seed"] * ones),
            (apart, powers["apart"] * (self.channels != END)),
            (self.channels[:, None], LEVEL * ones),
        ]

    def _worth(self, powers: Powers) -> Array:
        """Covariance of the trials' worth, their luck included."""
        return np.asarray(sum(powers[kind] * kernel for kind, kernel in self.kernels.items()))

    def _factor(self, powers: Powers, worth: Array) -> Array:
        """Cholesky factor of the covariance of all observations."""
        slopes = self._slopes(powers)
        total = slopes[:, None] * worth[np.ix_(self.trials, self.trials)] * slopes
        for labels, variance in self._groups(powers):
            total += _same(labels) * np.sqrt(variance[:, None] * variance)
        total[np.diag_indices_from(total)] += self._noise(powers)
        factor: Array = scipy.linalg.cholesky(total, lower=True, check_finite=False)
        return factor

    def _pull(self, residuals: Array) -> Array:
        """What residuals of the observations make of the architectures to be judged."""
        factor = self._factor(self.powers, self._worth(self.powers))
        weights = scipy.linalg.cho_solve((factor, True), residuals)
        of_trials = np.bincount(self.trials, self._slopes() * weights, minlength=self.count)
        answer = np.zeros(len(next(iter(self.designs.values()))) - self.count)
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


class Fits:
    """Variances of a study that grows, fitted anew each time it has grown by a quarter.

    To fit them for every trial anew would take longer than all else and change little.
    """

    def __init__(self, effects: Effects) -> None:
        self.effects = effects
        self._known: dict[int, Powers] = {}

    def of(self, seen: Sequence[Course], trials: int | None = None) -> Powers:
        """As fitted when the study had grown to so many trials; by default, to those seen."""
        first = fitted_to(len(seen) if trials is None else trials)
        if first not in self._known:
            self._known[first] = Model(self.effects, seen[:first], []).powers if first else {}
        return self._known[first]


def fitted_to(trials: int) -> int:
    """How many of so many trials variances are fitted to: the last step of a growth by a quarter.

    A study that is resumed finds the same: it depends on how many there are, not on when they came.
    """
    first = 0
    step = ENOUGH
    while step <= trials:
        first, step = step, step + max(1, step // 4)
    return first


class _Likelihood:
    """Minus the logarithm of how likely the observations of a model are."""

    def __init__(self, model: Model) -> None:
        self.model = model
        by_seed, apart, _ = (_same(labels) for labels, _ in model._groups(PRIOR))
        at_rung = model.channels != END
        self.by_seed, self.apart = by_seed, apart * np.outer(at_rung, at_rung)

    def at(self, powers: Powers) -> tuple[float, dict[str, float]]:
        """Its value, and its derivatives by the logarithm of every power."""
        model = self.model
        worth, slopes = model._worth(powers), model._slopes(powers)
        factor = model._factor(powers, worth)
        weights = scipy.linalg.cho_solve((factor, True), model.y)
        inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        value = 0.5 * model.y @ weights + np.log(np.diag(factor)).sum()
        # Half the trace of (inverse - w·wᵀ) times the derivative of the covariance.
        away = 0.5 * (inverse - np.outer(weights, weights))
        spread = np.zeros((len(model.y), model.count))
        spread[np.arange(len(model.y)), model.trials] = slopes
        of_trials = spread.T @ away @ spread
        found = {k: powers[k] * float((of_trials * m).sum()) for k, m in model.kernels.items()}
        found["seed"] = powers["seed"] * float((away * self.by_seed).sum())
        found["apart"] = powers["apart"] * float((away * self.apart).sum())
        ends, diagonal = model.channels == END, np.diag(away)
        found["noise at the end"] = powers["noise at the end"] * float(diagonal[ends].sum())
        found["noise at a rung"] = powers["noise at a rung"] * float(diagonal[~ends].sum())
        by_row = 2 * (away * (spread @ worth @ spread.T)).sum(axis=1)
        for rung in model.rungs:
            found[f"slope {rung}"] = float(by_row[model.channels == rung].sum())
        return float(value), found


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


def _same(labels: Array) -> Array:
    """1 where two rows of labels are equal, else 0."""
    equal: Array = (labels[:, None, :] == labels[None]).all(axis=2).astype(float)
    return equal
