"""The part of the analysis that takes seconds: computed in the background."""

from __future__ import annotations

from ...spaces.architecture import Architecture
from ..analysis.attention_effects import AttentionEffects, estimate_attention_effects
from ..analysis.hypervolume import (
    DRAWS,
    FrontHistory,
    HypervolumeStep,
    accuracies_by_text,
    find_front_history,
    study_box,
)
from ..analysis.trial_table import tried_architectures
from ..records import recorded_architecture
from .background import BackgroundProcess
from .cache import VersionedCache
from .live_analysis import LiveAnalysis
from .live_trials import LiveTrials

ERROR_DRAWS = 1000
"""Draws from the posterior from which the error of a difference follows, to 2 %."""


class BackgroundAnalysis:
    """The effects of attentions and the hypervolume history of a live study.

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
    def effects(self) -> AttentionEffects | None:
        """What each attention adds."""
        return self._cache.get_in_background("effects", self._estimate_effects, "ended")

    def _estimate_effects(self) -> AttentionEffects:
        # The model stays in this process, because copying the trials of a large study to another
        # one takes longer than the estimate, which is a few large matrix products.
        with self._cache.lock:
            table = self._analysis.architectures
            bare = None if table.bare is None else table.architecture(table.bare)
            index = self._analysis.insertions.snapshot()
            tried = tried_architectures(self._trials.table.rows, index.count)
            histories = table.model.histories
        return estimate_attention_effects(table.model, histories, index, tried, bare)

    def difference_error(self, first: Architecture, second: Architecture) -> float | None:
        """The standard error of the difference of two estimated scores; None while it is computed.

        Args:
            first, second: architectures of the study with a complete trial.
        """
        name = ("difference", first.key, second.key)
        return self._cache.get_in_background(name, lambda: self._find_error(first, second))

    def _find_error(self, first: Architecture, second: Architecture) -> float:
        with self._cache.lock:
            model = self._analysis.architectures.model
        draws = model.draw_accuracies([first, second], ERROR_DRAWS)
        return float((draws[:, 0] - draws[:, 1]).std())

    @property
    def hypervolume_history(self) -> tuple[HypervolumeStep, ...] | None:
        """The hypervolume of the front as the search proceeded."""
        return self._cache.get_in_background("hypervolume", self._find_hypervolume, "ended")

    def _find_hypervolume(self) -> tuple[HypervolumeStep, ...]:
        objectives = [o for o in self._analysis.objectives if not o.is_further]
        config = self._trials.study.config
        with self._cache.lock:
            table, rows = self._analysis.architectures, self._trials.rows()
            box = study_box(table, objectives, config)
            if box is None:
                return ()
            accuracies = accuracies_by_text(table)
        history = self._process.call(find_front_history, rows, objectives, accuracies, box)
        architectures = [recorded_architecture(table.texts[i]) for i in history.architectures]
        draws = table.model.draw_accuracies(architectures, DRAWS)
        return self._process.call(FrontHistory.steps, history, draws)
