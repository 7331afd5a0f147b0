"""The confirmation of a live study: read again at most once a second."""

from __future__ import annotations

import math
import time

from ..analysis.confirmation import Confirmation
from ..analysis.confirmed_alternatives import ConfirmedAlternative
from ..outputs.alternatives import read_confirmed_alternatives
from ..outputs.judged_images import KnownImages, read_confirmation
from .cache import VersionedCache
from .live_analysis import LiveAnalysis
from .live_trials import LiveTrials

REFRESH_SECONDS = 1.0


class LiveConfirmation:
    """What the confirming trials of a study show. May be used from any thread."""

    def __init__(self, trials: LiveTrials, analysis: LiveAnalysis, cache: VersionedCache) -> None:
        self._trials, self._analysis, self._cache = trials, analysis, cache
        self._refreshed_at = -math.inf
        self._value: Confirmation | None = None
        self._alternatives: tuple[ConfirmedAlternative, ...] = ()
        self._judged: dict[str | None, KnownImages] = {None: {}}

    @property
    def value(self) -> Confirmation | None:
        """The confirmation; None if none was started."""
        self._refresh()
        return self._value

    @property
    def alternatives(self) -> tuple[ConfirmedAlternative, ...]:
        """The alternatives to attention that are confirmed too."""
        self._refresh()
        return self._alternatives

    def _refresh(self) -> None:
        store, study = self._trials.store, self._trials.study
        with self._cache.lock:
            if time.monotonic() - self._refreshed_at > REFRESH_SECONDS:
                current = store.studies.get(study.name)  # Its config holds the ConfirmPlan.
                findings = self._analysis.findings()
                self._value = read_confirmation(store, current, findings, self._judged[None])
                self._alternatives = read_confirmed_alternatives(
                    store, current, self._value, self._judged
                )
                self._refreshed_at = time.monotonic()
