"""The right to run a study, which only one process has at a time, and the time spent on it."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import AttentuneError, StoreError
from ...studies.config import RunPlan
from ...studies.database import leases
from ...studies.database.artifacts import FolderWatch
from ...studies.database.store import Store
from ...studies.records import Lease, StudyRecord

logger = logging.getLogger(__name__)


@dataclass
class StudyLease:
    """A lease while it is held.

    Attributes:
        lease: the row in the database.
        counts_time: whether the time is added to that of the search.
        device_seconds: busy time of all devices, over all runs.
    """

    store: Store
    record: StudyRecord
    lease: Lease
    counts_time: bool = True

    def __post_init__(self) -> None:
        self._folder = FolderWatch(self.store.artifact_folders, self.record)
        self._started = time.monotonic()
        self._renewed_at = 0.0
        self._earlier_seconds = (
            self.store.studies.spent_seconds(self.record) if self.counts_time else 0.0
        )
        self.device_seconds = (
            self.store.studies.device_seconds(self.record) if self.counts_time else 0.0
        )

    @property
    def wall_seconds(self) -> float:
        """Wall time over all runs."""
        return self._earlier_seconds + time.monotonic() - self._started

    def seconds_left(self, plan: RunPlan, busy_workers: int) -> float:
        """Seconds until the first time budget of a plan is used up, if as many workers stay busy.

        Args:
            plan: of the run.
            busy_workers: their number.
        """
        budgets = [math.inf]
        if plan.budget is not None:
            budgets.append(plan.budget - self.wall_seconds)
        if plan.device_budget is not None:
            budgets.append((plan.device_budget - self.device_seconds) / max(1, busy_workers))
        return max(0.0, min(budgets))

    def renew_when_due(self) -> None:
        """Renew the lease if the last time is long enough ago; raises as `renew`."""
        if time.monotonic() - self._renewed_at >= leases.HEARTBEAT_SECONDS:
            self.renew()

    def renew(self) -> None:
        """Record that this process is alive, and the time spent so far.

        Raises:
            StudyError: another process has taken over the study.
            MissingStorageError: the database or the folder of the study is gone.
        """
        self._renewed_at = time.monotonic()
        self.store.leases.heartbeat(self.lease)
        self._folder.check()
        if self.counts_time:
            self.store.studies.set_spent_seconds(self.record, self.wall_seconds)


@contextlib.contextmanager
def hold_lease(
    store: Store, record: StudyRecord, *, counts_time: bool = True
) -> Iterator[StudyLease]:
    """Hold a study's lease during a `with` block. Inside it, nothing can be written without it.

    A thread sends the heartbeats, so that a process is known to be alive while it decodes images,
    tunes a learning rate or waits for a sampler.

    Args:
        store: the database.
        record: the study.
        counts_time: whether the time is added to that of the search.

    Raises:
        StudyError: another process holds it; the message names the process.
    """
    lease = store.leases.acquire(record)
    store.leases.set_fence(lease)
    try:
        with _heartbeats(store, lease):
            yield StudyLease(store, record, lease, counts_time)
    except BaseException:
        store.leases.remove_fence(lease)
        # What ended the run has to be reported. The lease of a process that has ended is void.
        with contextlib.suppress(StoreError):
            store.leases.release(lease)
        raise
    store.leases.remove_fence(lease)
    store.leases.release(lease)


@contextlib.contextmanager
def _heartbeats(store: Store, lease: Lease) -> Iterator[None]:
    """Send heartbeats from another thread during a `with` block."""
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(leases.HEARTBEAT_SECONDS):
            try:
                store.leases.heartbeat(lease)
            except AttentuneError as error:
                # If the lease is lost, or the database, the next write of the coordinator says so.
                logger.debug("no heartbeat: %s", error)

    thread = threading.Thread(target=send, name="attentune-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(leases.HEARTBEAT_SECONDS)
