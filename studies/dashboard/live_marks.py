"""The marks of a live study's trials: the one thing that the dashboard writes."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import StoreError
from ..database.connection import Database
from ..database.store import Store
from ..records import StudyRecord
from ..trial_marks import NO_MARKS, TrialMarks
from .cache import VersionedCache


class LiveMarks:
    """The marks of a study. May be used from any thread.

    Attributes:
        version: changes with the marks.
        by_number: of the trials that have marks.
    """

    def __init__(self, store: Store, study: StudyRecord, cache: VersionedCache) -> None:
        self._store, self._study, self._cache = store, study, cache
        self.version = ""
        self.by_number: Mapping[int, TrialMarks] = {}

    def refresh(self) -> None:
        """Read the marks if they have changed."""
        with self._cache.lock:
            version = self._store.marks.version(self._study)
            if version != self.version:
                self.version, self.by_number = version, self._store.marks.read(self._study)
                self._cache.versions["any"] += 1

    def of(self, number: int) -> TrialMarks:
        """The marks of a trial."""
        return self.by_number.get(number, NO_MARKS)

    def write(self, number: int, marks: TrialMarks) -> None:
        """Store the marks of a trial, by a connection of their own that is closed afterwards.

        Args:
            number: of the trial.
            marks: in place of earlier ones.

        Raises:
            StoreError: an earlier version has written the database, or it cannot be written.
            StudyError: there is no such trial.
        """
        if not self._store.marks.exists:
            raise StoreError(
                f"{self._store.name} is of an earlier version of attentune, which had no stars and "
                "notes; any command that writes, such as `attentune resume`, brings it up to date. "
                "Then start the dashboard again."
            )
        writer = Store(Database.open(self._store.url))
        try:
            writer.marks.put(self._study.name, number, marks)
        finally:
            writer.close()
        self.refresh()
