"""The trials of a long study beyond those that the shared effects of its model are learned from.

Each updates the accuracy of its own architecture. Before, the accuracy of architecture a is normal
with mean m and variance v. Its further trials have accuracies

    accuracy = accuracy[a] + seed effect + noise

so the precisions add up, and the mean moves towards that of the trials by the share
v / (v + noise variance / trials).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .history import TrialHistory
from .observations import Array, Ints


@dataclass(frozen=True)
class FurtherTrials:
    """The complete ones of these trials.

    Attributes:
        architectures: (f,) a number of each trial's architecture, from zero.
        seeds: (f,) of each trial.
        accuracies: (f,) final accuracies, fractions.
    """

    architectures: Ints
    seeds: Ints
    accuracies: Array

    @classmethod
    def of(
        cls, histories: Sequence[TrialHistory], numbers: Mapping[str, int]
    ) -> FurtherTrials | None:
        """The complete trials of some architectures; None if there are none.

        Args:
            histories: of the trials.
            numbers: of the architectures, by key; trials of others are left out.
        """
        chosen = [history for history in histories if history.architecture.key in numbers]
        indices = [numbers[history.architecture.key] for history in chosen]
        trials = cls.of_complete(chosen, np.array(indices, dtype=int))
        return trials if len(trials.seeds) else None

    @classmethod
    def of_complete(cls, histories: Sequence[TrialHistory], architectures: Ints) -> FurtherTrials:
        """The complete ones of some trials.

        Args:
            histories: (t,) of the trials.
            architectures: (t,) a number of each trial's architecture, from zero.
        """
        ends = np.array([math.nan if h.end is None else h.end for h in histories], dtype=float)
        seeds = np.array([history.seed for history in histories], dtype=int)
        complete = np.isfinite(ends)
        return cls(architectures[complete], seeds[complete], ends[complete])

    def summarize(
        self, seed_effects: Mapping[int, float], trial_variance: float, seed_variance: float
    ) -> OwnTrials:
        """The mean of each architecture's trials, without the effects of their seeds.

        Args:
            seed_effects: by seed, fractions; the effect of any other seed is unknown.
            trial_variance: of an accuracy beyond the effect of its seed.
            seed_variance: of an unknown seed effect.
        """
        seeds, index = np.unique(self.seeds, return_inverse=True)
        known = [seed_effects.get(seed, math.nan) for seed in seeds.tolist()]
        effects = np.array(known, dtype=float)[index]
        is_known = ~np.isnan(effects)
        effects = np.nan_to_num(effects)
        precisions = 1 / (trial_variance + np.where(is_known, 0.0, seed_variance))
        size = int(self.architectures.max(initial=-1)) + 1
        totals = np.bincount(self.architectures, precisions, size)
        sums = np.bincount(self.architectures, precisions * (self.accuracies - effects), size)
        means = np.divide(sums, totals, out=np.zeros(size), where=totals > 0)
        return OwnTrials(means, totals.astype(float))


@dataclass(frozen=True)
class OwnTrials:
    """What the further trials of each of some architectures say about it.

    Attributes:
        means: (m,) of their accuracies, fractions.
        precisions: (m,) inverse variances of these means; 0 for an architecture without trials.
    """

    means: Array
    precisions: Array

    def of(self, numbers: Ints) -> OwnTrials:
        """Those of architectures (n,), by number; a number beyond the last has no trials."""
        missing = max(0, int(numbers.max(initial=-1)) + 1 - len(self.means))
        padded = [np.pad(values, (0, missing)) for values in (self.means, self.precisions)]
        return OwnTrials(padded[0][numbers], padded[1][numbers])

    def weights(self, variances: Array) -> Array:
        """(n,) how far the accuracy of each moves towards its mean here, from 0 to 1.

        Args:
            variances: (n,) of the accuracies without these trials.
        """
        share: Array = variances * self.precisions / (1 + variances * self.precisions)
        return share

    def update_draws(self, draws: Array, variances: Array, normal: Callable[[int], Array]) -> Array:
        """(n, count) draws of accuracies that take these trials into account.

        Args:
            draws: (n, count) from the posterior without these trials.
            variances: (n,) of this posterior.
            normal: returns (n, count) standard normal numbers.
        """
        has_trials = self.precisions > 0
        deviations = np.zeros(len(draws))
        deviations[has_trials] = self.precisions[has_trials] ** -0.5
        targets = self.means[:, None] + deviations[:, None] * normal(len(draws))
        updated: Array = draws + self.weights(variances)[:, None] * (targets - draws)
        return updated
