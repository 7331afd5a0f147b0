"""How much of the variance of a study's trials each of its choices explains.

A choice is which attention is in a stage, at which reduction ratio, or where in the blocks. What a
stage adds to a trial varies from trial to trial. By the law of total variance, this variance is the
sum of three: between attentions, between the ratios of an attention, and between the rest (position
and options) of an attention at a ratio. Each is a share of the variance of the trials' results.

The shares of draws from the posterior of the effects give the interval: its ends and its middle are
the 2.5, 97.5 and 50 % quantiles. (A share of the expected effects would be too small: the less is
known of effects, the more they are drawn together.) But drawn effects explain something even where
there are none, so the lower end is no closer to that share than the upper end.
`benchmarks/importances.py` measures how often such intervals hold the truth.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CHOICES = ("attention", "reduction ratio", "position")
"""The choices in a stage; the last one includes options that are neither of the others."""
DRAWS = 400
"""From the posterior; an end of an interval then lies within a few percent of its width."""
INTERVAL = (0.025, 0.5, 0.975)


@dataclass(frozen=True)
class Importance:
    """The share of the variance of the trials that a choice explains, with its 95 % interval.

    Attributes:
        stage: such as `s1`.
        choice: one of `CHOICES`.
        share, low, high: fractions.
    """

    stage: str
    choice: str
    share: float
    low: float
    high: float

    @property
    def name(self) -> str:
        """What it is called: `s1 attention`."""
        return f"{self.stage} {self.choice}"


@dataclass(frozen=True)
class StageChoice:
    """What a trial has in a stage.

    Attributes:
        units: the indices of the insertions there.
        attentions, ratios: their names, and their reduction ratios.
    """

    units: tuple[int, ...] = ()
    attentions: tuple[str, ...] = ()
    ratios: tuple[Any, ...] = ()

    @property
    def levels(self) -> tuple[Hashable, ...]:
        """What distinguishes it, coarsest first: one for each of `CHOICES`."""
        return self.attentions, (self.attentions, self.ratios), self.units


def estimate_importances(
    trials: Sequence[Sequence[StageChoice]],
    stages: Sequence[str],
    contributions: Floats,
    covariance: Floats,
    variance: float,
) -> tuple[Importance, ...]:
    """The importances of the choices that vary between trials, by stage.

    Args:
        trials: (t,) what each has in each of the s stages.
        stages: (s,) their names.
        contributions: (m,) what each unit adds to a network, a fraction.
        covariance: (m, m) of the contributions.
        variance: of the trials' results.
    """
    if len(trials) < 2 or variance <= 0:
        return ()
    drawn = np.column_stack([contributions, _draw(contributions, covariance)])
    explained = [
        (stage, choice, share / variance)
        for number, stage in enumerate(stages)
        for choice, share in _variances([trial[number] for trial in trials], drawn)
    ]
    if not explained:
        return ()
    shares = np.array([share for _, _, share in explained])
    # What is explained cannot be more than all.
    shares /= np.maximum(1.0, shares.sum(axis=0))
    expected, shares = shares[:, 0], shares[:, 1:]
    quantiles = np.quantile(shares, INTERVAL, axis=1).T
    # Drawn effects always explain something, even where there are none. So the lower end is at most
    # as far below the share of the expected effects as the upper end is above it.
    mirrored = np.maximum(2 * expected - quantiles[:, 2], 0.0)
    quantiles[:, 0] = np.minimum(quantiles[:, 0], mirrored)
    return tuple(
        Importance(stage, choice, middle, low, high)
        for (stage, choice, _), (low, middle, high) in zip(
            explained, quantiles.tolist(), strict=True
        )
    )


def _draw(mean: Floats, covariance: Floats) -> Floats:
    """(m, DRAWS) draws of the contributions."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    normal = np.random.default_rng(0).standard_normal((len(mean), DRAWS))
    drawn: Floats = mean[:, None] + (vectors * np.sqrt(np.maximum(values, 0.0))) @ normal
    return drawn


def _variances(trials: Sequence[StageChoice], drawn: Floats) -> Iterator[tuple[str, Floats]]:
    """For each choice in one stage that varies, the variance (draws,) that it explains."""
    added = np.array([drawn[list(trial.units)].sum(axis=0) for trial in trials])
    coarser, groups = np.zeros(drawn.shape[1]), 1
    for level, choice in enumerate(CHOICES):
        numbers: dict[Hashable, int] = {}
        of_trial = [numbers.setdefault(trial.levels[level], len(numbers)) for trial in trials]
        members = np.zeros((len(numbers), len(trials)))
        members[of_trial, np.arange(len(trials))] = 1.0
        counts = members.sum(axis=1, keepdims=True)
        means = members @ added / counts
        between = (counts * (means - added.mean(axis=0)) ** 2).sum(axis=0) / len(trials)
        if len(numbers) > groups:
            yield choice, np.maximum(between - coarser, 0.0)
        coarser, groups = between, len(numbers)
