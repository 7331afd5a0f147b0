"""The right to run a study, which one process has at a time, and the time that the runs take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ...studies.database.store import Store
from ...studies.records import Lease, StudyRecord


@dataclass
class StudyLease:
    """A lease while it is held.

    Attributes:
        lease: as the database has it.
        counted: whether the time counts as the search's.
        device_seconds: how long devices have been busy, over all runs.
    """

    store: Store
    record: StudyRecord
    lease: Lease
    counted: bool = True

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._earlier_seconds = (
            self.store.studies.spent_seconds(self.record) if self.counted else 0.0
        )
        self.device_seconds = (
            self.store.studies.device_seconds(self.record) if self.counted else 0.0
        )

    @property
    def wall_seconds(self) -> float:
        """Wall time over all runs."""
        return self._earlier_seconds + time.monotonic() - self._started

    def renew(self) -> None:
        """Show that this process lives, and record the time.

        Raises:
            StudyError: another process has taken the study over.
        """
        self.store.leases.heartbeat(self.lease)
        if self.counted:
            self.store.studies.set_spent_seconds(self.record, self.wall_seconds)


@contextlib.contextmanager
def hold_lease(store: Store, record: StudyRecord, *, counted: bool = True) -> Iterator[StudyLease]:
    """Hold a study's lease while the block lasts.

    Args:
        store: the database.
        record: the study.
        counted: whether the time counts as the search's.

    Raises:
        StudyError: a live process holds it; the message names it.
    """
    lease = store.leases.acquire(record)
    try:
        yield StudyLease(store, record, lease, counted)
    finally:
        store.leases.release(lease)
