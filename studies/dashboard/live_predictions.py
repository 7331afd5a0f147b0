"""What follows from the predictions of a live study, computed when a page asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..analysis.classification import Classification
from ..outputs.trial_predictions import (
    BareComparison,
    compare_architectures,
    compare_with_bare,
    read_classification,
)
from ..records import TrialRecord
from .cache import VersionedCache
from .live_trials import LiveTrials
from .study_records import StudyRecords

MAX_IMAGES = 24
"""Images of either kind that a page shows."""


class LivePredictions:
    """Classifications and comparisons of trials. May be used from any thread."""

    def __init__(self, trials: LiveTrials, records: StudyRecords, cache: VersionedCache) -> None:
        self._trials, self._records, self._cache = trials, records, cache

    def metrics(self, trial: TrialRecord) -> dict[str, float]:
        """The recorded metrics of a trial besides its accuracy, by key."""
        read = partial(self._trials.store.metrics.read, self._trials.study)
        # The version of the cache counts the trials of the search only.
        in_search = not trial.confirms and trial.alternative is None
        recorded = self._cache.get("metrics", read) if in_search else read()
        return recorded.get(trial.number, {})

    def classification(self, trial: TrialRecord) -> Classification | str | None:
        """How a complete trial classifies, or why that is not known; None while it is computed.

        Raises:
            ComputationError: it cannot be computed.
        """
        read = partial(read_classification, self._trials.store, self._trials.study, trial)
        return self._cache.get_in_background(("classification", trial.number, trial.state), read)

    def comparison(self, trial: TrialRecord) -> BareComparison | None:
        """A trial's architecture compared with the bare backbone; None while it is computed.

        Raises:
            ComputationError: it cannot be computed.
        """
        trials = [t for t in self._comparable(trial) if t.state == "complete"]
        # The version of the cache does not count confirming trials.
        name = ("comparison", trial.number, len(trials))
        store, study = self._trials.store, self._trials.study
        compare = partial(compare_with_bare, store, study, trial, trials, MAX_IMAGES)
        return self._cache.get_in_background(name, compare)

    def pair(
        self, first: Sequence[TrialRecord], second: Sequence[TrialRecord]
    ) -> BareComparison | None:
        """Two architectures compared image by image; None while it is computed.

        Args:
            first, second: complete trials of either architecture.

        Raises:
            ComputationError: it cannot be computed.
        """
        numbers = tuple(tuple(t.number for t in trials) for trials in (first, second))
        store, study = self._trials.store, self._trials.study
        compare = partial(compare_architectures, store, study, first, second, MAX_IMAGES)
        return self._cache.get_in_background(("pair", numbers), compare)

    def bare_of_same_seed(self, trial: TrialRecord) -> TrialRecord | None:
        """The complete bare trial with the role and the seed of a trial with attention."""
        if trial.parsed.bare:
            return None
        bare = (t for t in self._comparable(trial) if t.parsed.bare and t.seed == trial.seed)
        return next((t for t in bare if t.state == "complete"), None)

    def _comparable(self, trial: TrialRecord) -> list[TrialRecord]:
        """The trials of an architecture and of the bare backbone, of the role of a trial."""
        if trial.confirms:
            trials = self._trials.store.trials.read(self._trials.study, confirming=True)
            return [t for t in trials if t.key == trial.key or t.parsed.bare]
        numbers = [*self._trials.numbers_of(trial.key), *self._trials.bare_numbers()]
        return self._records.trials(numbers)
