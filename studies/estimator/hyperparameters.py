"""The variances and slopes of a study's mixed model, refitted as the study grows."""

from __future__ import annotations

import operator
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


class CurrentFit:
    """The hyperparameters of a study as it is now, fitted to its first `step_of` trials.

    Several workers end their trials out of order, so the first trials of a study may change. The
    fit then changes with them. It depends on what is recorded and not on when it was asked for, so
    a live page, a report and a later process have the same one.
    """

    def __init__(self, features: ArchitectureFeatures) -> None:
        self.features = features
        self._fitted: list[TrialHistory] = []
        self._hyperparameters: Hyperparameters = {}

    def fit(self, histories: Sequence[TrialHistory]) -> Hyperparameters:
        """Hyperparameters of a study; empty while there is too little to fit.

        Args:
            histories: of the trials that have ended, by number; each the same object every time.
        """
        first = list(histories[: step_of(len(histories))])
        if not are_same(first, self._fitted):
            subset = _subset(first)
            self._hyperparameters = MixedModel(self.features, subset, []).hyperparameters
            self._fitted = first
        return self._hyperparameters


def are_same(first: Sequence[object], second: Sequence[object]) -> bool:
    """Whether two sequences hold the same objects."""
    return first is second or (len(first) == len(second) and all(map(operator.is_, first, second)))


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
