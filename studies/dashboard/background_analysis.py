"""The part of the analysis that takes seconds: computed in the background process."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..analysis.findings import ArchitectureSummary
from ..analysis.hypervolume import HypervolumeStep, hypervolume_history
from ..analysis.importance import estimate_importances
from ..analysis.main_effects import MainEffect, estimate_main_effects
from .background import BackgroundProcess
from .cache import VersionedCache
from .live_analysis import LiveAnalysis
from .live_trials import LiveTrials

MAX_SAMPLE = 800
"""Architectures that main effects and importances are estimated from; if there are more, a random
sample of them is used."""


class BackgroundAnalysis:
    """Main effects, importances and the hypervolume history of a live study.

    Each property has the value of an earlier version of the trials while the current one is
    computed, None at first. All methods may be called from any thread.
    """

    def __init__(
        self,
        trials: LiveTrials,
        analysis: LiveAnalysis,
        cache: VersionedCache,
        process: BackgroundProcess,
    ) -> None:
        """Compute for one study.

        Args:
            trials: of the study.
            analysis: of the study.
            cache: of the study.
            process: runs the computations; all studies share it.
        """
        self._trials, self._analysis, self._cache = trials, analysis, cache
        self._process = process

    @property
    def main_effects(self) -> tuple[MainEffect, ...] | None:
        """What each attention, stage, position and ratio adds."""
        return self._cache.get_in_background(
            "main effects",
            lambda: self._process.call(
                estimate_main_effects, self._sample(), self._analysis.stages
            ),
        )

    @property
    def importances(self) -> Mapping[str, float] | None:
        """How much of the accuracy's variation each stage explains."""
        return self._cache.get_in_background(
            "importances",
            lambda: self._process.call(estimate_importances, self._sample(), self._analysis.stages),
        )

    @property
    def hypervolume_history(self) -> tuple[HypervolumeStep, ...] | None:
        """The hypervolume of the front as the search proceeded."""
        return self._cache.get_in_background(
            "hypervolume history",
            lambda: self._process.call(
                hypervolume_history, self._trials.rows(), self._analysis.objectives
            ),
            "ended",
        )

    @property
    def uses_sample(self) -> bool:
        """Whether there are so many architectures that a sample is used."""
        return len(self._analysis.architectures) > MAX_SAMPLE

    def _sample(self) -> list[ArchitectureSummary]:
        architectures = self._analysis.architectures
        indices = np.arange(len(architectures))
        if len(indices) > MAX_SAMPLE:
            rng = np.random.default_rng(0)
            indices = np.sort(rng.choice(indices, MAX_SAMPLE, replace=False))
        return architectures.summaries(indices.tolist())
