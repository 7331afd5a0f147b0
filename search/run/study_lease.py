"""The right to run one study, and the time that it takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ...studies.database.store import Store
from ...studies.records import Lease, StudyRecord


@dataclass
class StudyLease:
    """Held by the one process that runs a study; `counted` if its time is the search's.

    `device` is how many seconds devices were busy, over all resumes.
    """

    store: Store
    record: StudyRecord
    lease: Lease
    counted: bool = True

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._before = self.store.studies.spent_seconds(self.record) if self.counted else 0.0
        self.device = self.store.studies.device_seconds(self.record) if self.counted else 0.0

    @property
    def wall(self) -> float:
        """Seconds of wall time, over all resumes."""
        return self._before + time.monotonic() - self._began

    def beat(self) -> None:
        """Say that this process lives, and keep the time; StudyError if another took over."""
        self.store.leases.heartbeat(self.lease)
        if self.counted:
            self.store.studies.set_spent_seconds(self.record, self.wall)


@contextlib.contextmanager
def hold_lease(store: Store, record: StudyRecord, *, counted: bool = True) -> Iterator[StudyLease]:
    """Run this study while the block lasts; StudyError names who does, if somebody alive does."""
    lease = store.leases.acquire(record)
    try:
        yield StudyLease(store, record, lease, counted)
    finally:
        store.leases.release(lease)
