"""The trials of a study in memory, kept up to date by reading only what is new.

Only the rows after the last known row id are read, and again the few that were running.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import StudyError
from ...spaces.architecture import Architecture
from ..analysis.trial_table import RUNNING, TrialTable
from ..database.store import Store
from ..estimator.study_model import StudyModel
from ..records import EpochRecord, State, StudyRecord
from .cache import VersionedCache

REFRESH_SECONDS = 0.3
"""The database is not read again within this time."""


class LiveTrials:
    """The rows of a study's trials, and the latest epoch of those that are running.

    All methods may be called from any thread.

    Attributes:
        store: the database.
        study: whose trials they are.
        table: all trials; read it with the cache's lock held.
        model: of the study, with the same trials.
        latest_epochs: of the running trials, by number.
        has_coordinator: whether a coordinator runs the study now.
    """

    def __init__(self, store: Store, study: StudyRecord, cache: VersionedCache) -> None:
        self.store, self.study, self._cache = store, study, cache
        self.table = TrialTable()
        self.model = self._new_model()
        self._last_insertion_id = 0
        self.latest_epochs: dict[int, EpochRecord] = {}
        self.has_coordinator = False
        self._last_epoch_id = store.epochs.last_id()
        self._refreshed_at = -math.inf

    def refresh(self) -> bool:
        """Read what is new, unless that was done a moment ago; whether the database was read."""
        with self._cache.lock:
            if time.monotonic() - self._refreshed_at < REFRESH_SECONDS:
                return False
            self._follow_setup()
            self._read_insertions()
            started, changed = self._read_trials()
            changed |= self._read_epochs(started)
            has_coordinator = self.store.leases.holder(self.study) is not None
            changed |= has_coordinator != self.has_coordinator
            self.has_coordinator = has_coordinator
            counts, versions = self.table.counts(), self._cache.versions
            versions["any"] += changed
            versions["ended"] = len(self.table) - counts["running"]
            versions["complete"] = counts["complete"]
            self._refreshed_at = time.monotonic()
            return True

    def _read_trials(self) -> tuple[list[int], bool]:
        """Update the table; numbers of new trials that are running, and whether rows changed."""
        table = self.table
        running, last_id = table.running, table.last_id
        before = table.rows[np.isin(table.rows["id"], running)].tobytes()
        missing = set(running)
        for part in self.store.trials.read_changed(self.study, last_id, running):
            table.update(part)
            if missing:
                missing -= {row.id for row in part}
        table.remove(missing)
        after = table.rows[np.isin(table.rows["id"], running)].tobytes()
        new = table.rows[table.rows["id"] > last_id]
        return new["number"][new["state"] == RUNNING].tolist(), bool(len(new)) or before != after

    def _follow_setup(self) -> None:
        """Use the configuration of a study that was being set up, once it is decided."""
        if not self.study.config.is_being_set_up:
            return
        with suppress(StudyError):  # It may have been removed.
            self.study = self.store.studies.get(self.study.name)
            if not self.study.config.is_being_set_up:
                self.model, self._last_insertion_id = self._new_model(), 0

    def _new_model(self) -> StudyModel:
        """The model of the study, with the epochs of earlier trials."""
        model = StudyModel.of(self.study)
        if model.observed_epochs:
            model.add_epochs(self.store.epochs.read(self.study, at=model.observed_epochs))
        return model

    def _read_insertions(self) -> None:
        """Update the model's facts of insertions; those of a trial precede the trial."""
        facts, last_id = self.store.insertions.read(self.study, self._last_insertion_id)
        self.model.add_insertions(facts)
        self._last_insertion_id = last_id

    def _read_epochs(self, started: list[int]) -> bool:
        """Update the latest epochs; whether there are new ones."""
        epochs = self.store.epochs.read(self.study, after_id=self._last_epoch_id)
        if epochs:
            self._last_epoch_id = epochs[-1].id
            self.model.add_epochs(epochs)
        if started:
            epochs = [*self.store.epochs.read_of_trials(self.study, started), *epochs]
        rows = self.table.rows
        running = set(rows["number"][rows["state"] == RUNNING].tolist())
        latest = self.latest_epochs | {record.number: record for record in epochs}
        # A new dictionary, because other threads may be reading the present one.
        self.latest_epochs = {n: record for n, record in latest.items() if n in running}
        return bool(epochs)

    def rows(self, last: int | None = None) -> npt.NDArray[Any]:
        """A copy of the rows of the table, or of the `last` ones."""
        with self._cache.lock:
            rows = self.table.rows
            return rows.copy() if last is None else rows[-last:].copy()

    def counts(self) -> dict[State, int]:
        """Trials by state, all states present."""
        with self._cache.lock:
            return self.table.counts()

    def numbers_of(self, key: str) -> list[int]:
        """The trials of the architecture with this key, whatever their state."""
        with self._cache.lock:
            rows = self.table.rows
            return sorted(rows["number"][rows["architecture"] == self.table.index_of(key)].tolist())

    def bare_numbers(self) -> list[int]:
        """The trials of the bare backbone."""
        return self.numbers_of(Architecture(self.study.backbone).key)
