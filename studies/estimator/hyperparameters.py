"""The variances and slopes of a study's mixed model, refitted as the study grows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .features import ArchitectureFeatures
from .history import TrialHistory
from .mixed_model import MixedModel
from .modelled_trials import step_of
from .priors import Hyperparameters

MAX_FITTED_TRIALS = 300
"""Trials to which hyperparameters are fitted. A dozen numbers need no more, and the time grows with
the third power of the number of trials."""
MAX_TRIALS_PER_ARCHITECTURE = 10
"""Trials of one architecture among them."""


class HyperparameterFits:
    """The hyperparameters of a growing study, refitted each time it has grown by a quarter.

    Refitting after every trial would take longer than all other steps, and would change little.
    """

    def __init__(self, features: ArchitectureFeatures) -> None:
        self.features = features
        self._fits: dict[int, Hyperparameters] = {}

    def fit(self, histories: Sequence[TrialHistory], trials: int | None = None) -> Hyperparameters:
        """Hyperparameters of a study; empty while there is too little to fit.

        Args:
            histories: of the trials that have ended, by number.
            trials: use the fit that was current after this number of trials; by default all.
        """
        count = step_of(len(histories) if trials is None else trials)
        if count not in self._fits:
            subset = _subset(histories[:count])
            self._fits[count] = (
                MixedModel(self.features, subset, []).hyperparameters if count else {}
            )
        return self._fits[count]


def _subset(histories: Sequence[TrialHistory]) -> list[TrialHistory]:
    """At most about `MAX_FITTED_TRIALS` histories, of randomly chosen architectures.

    All seeds of an architecture are taken, because they separate noise from effects.
    """
    if len(histories) <= MAX_FITTED_TRIALS:
        return list(histories)
    rows: dict[str, list[int]] = {}
    for row, history in enumerate(histories):
        rows.setdefault(history.architecture.key, []).append(row)
    chosen: list[int] = []
    for key in np.random.default_rng(len(histories)).permutation(list(rows)).tolist():
        chosen += rows[key][:MAX_TRIALS_PER_ARCHITECTURE]
        if len(chosen) >= MAX_FITTED_TRIALS:
            break
    return [histories[row] for row in sorted(chosen)]
