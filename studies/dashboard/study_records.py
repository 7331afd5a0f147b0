"""Records of a live study: read from the database when a page needs them in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...errors import StudyError
from ...runners.recipe import Recipe
from ..config import RunPlan
from ..records import EpochRecord, RejectionRecord, TrialRecord
from ..stored_config import StoredConfig
from .cache import VersionedCache
from .live_trials import LiveTrials


class StudyRecords:
    """Trials, epochs, failures and settings of a study.

    All methods may be called from any thread.
    """

    def __init__(self, trials: LiveTrials, cache: VersionedCache) -> None:
        self._trials, self._cache = trials, cache
        self._store, self._study = trials.store, trials.study

    @property
    def config(self) -> StoredConfig:
        """The study's config, which `resume` and `confirm` may change."""
        return self._cache.get(
            "config", lambda: self._store.studies.get(self._study.name), "any"
        ).config

    @property
    def plan(self) -> RunPlan | None:
        """How long the study is to run; None if another version wrote it in another form."""
        try:
            return self.config.plan
        except StudyError:
            return None

    @property
    def recipe(self) -> Recipe | None:
        """How trials are trained; None if another version wrote it in another form."""
        try:
            return self.config.recipe
        except StudyError:
            return None

    def trial(self, number: int) -> TrialRecord | None:
        """A trial in full; None if the study has no such number."""
        try:
            return self._store.trials.get(self._study, number)
        except StudyError:
            return None

    def trials(self, numbers: Sequence[int]) -> list[TrialRecord]:
        """Several trials in full, with one query."""
        return self._store.trials.get_many(self._study, numbers)

    def trials_of_same_architecture(self, trial: TrialRecord) -> list[TrialRecord]:
        """All trials of the search with the architecture of a trial, in full."""
        return self.trials(self._trials.numbers_of(trial.key)) or [trial]

    def epochs(self, numbers: Sequence[int]) -> list[EpochRecord]:
        """All epochs of several trials."""
        return self._store.epochs.read_of_trials(self._study, numbers)

    def failed_trials(self) -> list[TrialRecord]:
        """The trials that failed."""
        return self._cache.get(
            "failed trials", lambda: self._store.trials.read(self._study, state="failed"), "ended"
        )

    def rejections(self) -> list[RejectionRecord]:
        """The architectures that a cost limit rejected, in order."""
        return self._cache.get(
            "rejections", lambda: self._store.trials.read_rejections(self._study), "any"
        )

    def environments(self) -> Mapping[str, Mapping[str, str]]:
        """What the trials ran on, by the digest in `TrialRecord.environment`."""
        return self._cache.get(
            "environments", lambda: self._store.trials.read_environments(self._study), "ended"
        )

    def spent_seconds(self) -> float:
        """Wall time of the search so far, over all resumes."""
        return self._store.studies.spent_seconds(self._study)
