"""The alternatives of a live study: read again at most once a second."""

from __future__ import annotations

import math
import time

from ..analysis.alternatives import AlternativesSummary
from ..outputs.alternatives import read_alternatives
from .cache import VersionedCache
from .live_analysis import LiveAnalysis
from .live_trials import LiveTrials

REFRESH_SECONDS = 1.0


class LiveAlternatives:
    """What the alternatives to attention of a study show. May be used from any thread."""

    def __init__(self, trials: LiveTrials, analysis: LiveAnalysis, cache: VersionedCache) -> None:
        self._trials, self._analysis, self._cache = trials, analysis, cache
        self._refreshed_at = -math.inf
        self._value: AlternativesSummary | None = None

    @property
    def value(self) -> AlternativesSummary | None:
        """What they show; None if none were asked for."""
        store, trials = self._trials.store, self._trials
        with self._cache.lock:
            if time.monotonic() - self._refreshed_at > REFRESH_SECONDS:
                study = store.studies.get(trials.study.name)  # Its config holds the plan.
                bare = store.trials.get_many(study, trials.bare_numbers())
                self._value = read_alternatives(store, study, self._analysis.findings(), bare)
                self._refreshed_at = time.monotonic()
            return self._value
