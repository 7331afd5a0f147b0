"""The estimate of a study: the one source of every accuracy, gain and error that is shown.

It is read from the posterior of the study's `MixedModel`: the accuracy of an architecture is its
expected final accuracy for an average seed, given all trials of the study. A gain is its accuracy
minus that of the bare backbone. Its standard error is that of this difference, so the error of the
bare backbone is part of it, and what both have in common (their seeds, the level of the study) is
not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...spaces.architecture import Architecture
from .history import TrialHistory
from .hyperparameters import HyperparameterFits
from .mixed_model import MixedModel
from .observations import Array
from .threads import one_thread

MAX_ARCHITECTURES_AT_ONCE = 1000
"""Architectures whose posterior is computed at once, because it takes memory for each."""


@dataclass(frozen=True)
class StudyEstimate:
    """The accuracies of the n architectures of a study, in fractions.

    Attributes:
        accuracy: (n,) for an average seed.
        standard_error: (n,) of the accuracy.
        gain: (n,) accuracy minus that of the bare backbone; NaN for itself, and without it.
        gain_error: (n,) standard error of the gain; NaN where the gain is.
        seed_effects: by seed, how much more accurate its trials are than those of other seeds.
        trial_deviation: standard deviation of a trial beyond the effect of its seed.
        seed_deviation: standard deviation of what all trials of a seed have in common.
    """

    accuracy: Array
    standard_error: Array
    gain: Array
    gain_error: Array
    seed_effects: Mapping[int, float]
    trial_deviation: float
    seed_deviation: float


def estimate_study(
    fits: HyperparameterFits,
    histories: Sequence[TrialHistory],
    architectures: Sequence[Architecture],
    bare: int | None,
) -> StudyEstimate:
    """Estimate the accuracies of some architectures of a study.

    Args:
        fits: the hyperparameters of the study.
        histories: all its trials that have ended, by number.
        architectures: (n,) whose accuracies to estimate.
        bare: the index of the bare backbone; None if it is not among them.
    """
    with one_thread():
        return _estimate(fits, histories, architectures, bare)


def _estimate(
    fits: HyperparameterFits,
    histories: Sequence[TrialHistory],
    architectures: Sequence[Architecture],
    bare: int | None,
) -> StudyEstimate:
    hyperparameters = fits.fit(histories)
    reference = [] if bare is None else [architectures[bare]]
    accuracy, variance, difference = (np.zeros(len(architectures)) for _ in range(3))
    for begin in range(0, max(1, len(architectures)), MAX_ARCHITECTURES_AT_ONCE):
        part = slice(begin, begin + MAX_ARCHITECTURES_AT_ONCE)
        predicted = [*reference, *architectures[part]]
        model = MixedModel(fits.features, histories, predicted, hyperparameters)
        posterior = model.posterior(0 if reference else None)
        begin_at = len(reference)
        accuracy[part], variance[part] = posterior.mean[begin_at:], posterior.variance[begin_at:]
        if reference:
            differences = posterior.variance + posterior.variance[0] - 2 * posterior.covariance
            difference[part] = differences[begin_at:]
    gain, gain_error = (np.full(len(architectures), np.nan) for _ in range(2))
    if bare is not None:
        gain, gain_error = accuracy - accuracy[bare], np.sqrt(np.maximum(difference, 0.0))
        gain[bare] = gain_error[bare] = np.nan
    return StudyEstimate(
        accuracy,
        np.sqrt(variance),
        gain,
        gain_error,
        model.seed_effects,
        model.trial_deviation,
        model.seed_deviation,
    )
