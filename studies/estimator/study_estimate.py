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
from .hyperparameters import CurrentFit
from .mixed_model import MixedModel
from .observations import Array
from .posterior import Posterior


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

    @classmethod
    def of(cls, posterior: Posterior, model: MixedModel) -> StudyEstimate:
        """The estimate that follows from a posterior whose reference is the bare backbone.

        Args:
            posterior: of the accuracies of the study's architectures.
            model: of the study.
        """
        bare, accuracy = posterior.reference, posterior.mean
        gain = np.full(len(accuracy), np.nan)
        gain_error = gain.copy()
        if bare is not None:
            gain, gain_error = accuracy - accuracy[bare], posterior.difference_error
            gain[bare] = gain_error[bare] = np.nan
        return cls(
            accuracy,
            np.sqrt(posterior.variance),
            gain,
            gain_error,
            model.seed_effects,
            model.trial_deviation,
            model.seed_deviation,
        )


def estimate_study(
    fits: CurrentFit,
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
    model = MixedModel(fits.features, histories, architectures, fits.fit(histories))
    return StudyEstimate.of(model.posterior(bare), model)
