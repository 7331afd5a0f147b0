"""The estimate of a study with more trials than its shared effects are learned from.

What the modelled trials say of an architecture is kept until another set of trials is modelled. So
a live page of a hundred thousand trials computes it for new architectures alone, and adds up the
further trials of all architectures in a few numpy operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...spaces.architecture import Architecture
from .further_trials import FurtherTrials
from .history import TrialHistory
from .hyperparameters import CurrentFit, are_same
from .mixed_model import MixedModel
from .modelled_trials import divide_trials
from .observations import Ints
from .posterior import Posterior
from .study_estimate import StudyEstimate

MAX_ARCHITECTURES_AT_ONCE = 4000
"""Architectures whose posterior is computed at once, because it takes memory for each."""


@dataclass(frozen=True)
class EndedTrials:
    """All trials of a study that have ended, by number.

    Attributes:
        histories: (t,) of the trials.
        architectures: (t,) an index in `all_architectures` for each.
        all_architectures: of the study, in the order of their first trial.
        bare: the index of the bare backbone; None if it has no trial.
    """

    histories: Sequence[TrialHistory]
    architectures: Ints
    all_architectures: Sequence[Architecture]
    bare: int | None


class LongStudy:
    """The estimates of a growing study, by the indices of its architectures."""

    def __init__(self, fits: CurrentFit) -> None:
        """Start without trials.

        Args:
            fits: the hyperparameters of the study.
        """
        self._fits = fits
        self._model: MixedModel | None = None
        self._modelled: list[TrialHistory] = []
        self._bare: int | None = None
        self._moments = np.zeros((0, 3))

    def estimate(self, trials: EndedTrials, indices: Ints) -> StudyEstimate:
        """As `estimate_study`, whose reference is the bare backbone.

        Args:
            trials: of the study.
            indices: (n,) of the architectures to estimate.
        """
        keys = [architecture.key for architecture in trials.all_architectures]
        rows, further_rows = divide_trials(trials.architectures, keys, trials.bare)
        modelled = [trials.histories[row] for row in rows]
        model = self._model
        is_current = self._bare == trials.bare and are_same(modelled, self._modelled)
        if model is None or not is_current:
            hyperparameters = self._fits.fit(trials.histories)
            model = MixedModel(self._fits.features, modelled, [], hyperparameters)
            self._model, self._modelled, self._bare = model, modelled, trials.bare
            self._moments = np.zeros((0, 3))
        self._add_architectures(trials, model)
        further = [trials.histories[row] for row in further_rows]
        own = FurtherTrials.of_complete(further, trials.architectures[further_rows])
        summary = own.summarize(
            model.seed_effects, model.trial_deviation**2, model.seed_deviation**2
        )
        mean, variance, covariance = self._moments.T
        posterior = Posterior(mean, variance, covariance, trials.bare).update(
            summary.of(np.arange(len(mean)))
        )
        bare = np.flatnonzero(indices == trials.bare)
        chosen = posterior.select(indices, int(bare[0]) if len(bare) else None)
        return StudyEstimate.of(chosen, model)

    def _add_architectures(self, trials: EndedTrials, model: MixedModel) -> None:
        """Add the moments of the posterior of architectures that are new."""
        bare = [] if trials.bare is None else [trials.all_architectures[trials.bare]]
        parts = [self._moments]
        total, begin = len(trials.all_architectures), len(self._moments)
        for first in range(begin, total, MAX_ARCHITECTURES_AT_ONCE):
            part = trials.all_architectures[first : first + MAX_ARCHITECTURES_AT_ONCE]
            predicted = MixedModel(
                self._fits.features, self._modelled, [*bare, *part], model.hyperparameters
            )
            posterior = predicted.posterior(0 if bare else None)
            moments = (posterior.mean, posterior.variance, posterior.covariance)
            parts.append(np.stack(moments, axis=1)[len(bare) :])
        self._moments = np.concatenate(parts)
