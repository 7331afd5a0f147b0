"""The right to run a study: a lease with a heartbeat, which can be taken over from a dead owner.

Only one coordinator runs a study at a time. Optuna's heartbeat does not work with ask and tell, so
this is attentune's own. There are three ways to tell whether the owner of a lease is alive:

1. It runs in this process's own PID namespace, under the same kernel. Then the process table says
   so at once and with certainty (`process_identity.py`). A process that is stopped, or hangs, is
   alive.
2. Otherwise its heartbeat, of which one is due every `HEARTBEAT_SECONDS`. On PostgreSQL there is
   one clock, the server's, and a heartbeat that is older than `STALE_SECONDS` by it is the last.
3. On SQLite each host reads its own clock, and a heartbeat that seems old, or lies in the future,
   only shows that two clocks differ. So `acquire` waits and watches, by this process's monotonic
   clock: if the heartbeat changes, its owner is alive; if it does not for `STALE_SECONDS`, it is
   dead. The same is done on PostgreSQL for a recent heartbeat, or for one that lies in the future.

So a container that is restarted waits a little, but is never refused because of the process that
ran in it before.

The last two are not certain: an owner that was stopped, or cut off from the network, may wake up
after it was taken over. Therefore every write of a coordinator checks in the same transaction that
the token of its lease is still in the table (`Database.set_fence`). The owner that was taken over
writes nothing more, and stops.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from ...errors import StudyError
from ..records import Lease, StudyRecord
from .connection import Database, Fence, retries_lost_connections
from .process_identity import ProcessIdentity
from .schema import LeaseRow, StudyRow
from .studies import Study, StudyRepository
from .trial_queries import check_present

HEARTBEAT_SECONDS = 5.0
"""Time between two heartbeats."""
STALE_SECONDS = 30.0
"""An owner without a heartbeat for so long is dead."""
POLL_SECONDS = 0.5
"""Time between two readings of a heartbeat that is watched."""
_FIRST_REVISION_WITH_PROCESS = "0003"
_held_tokens: set[str] = set()
"""The tokens of the leases that this process holds. One that it could not release, because the
server was away, is not among them."""

logger = logging.getLogger(__name__)


@dataclass
class _Watch:
    """What has been seen of a lease whose owner cannot be checked directly.

    Attributes:
        lease: as it was first read.
        since: when that was, in seconds of `time.monotonic`.
    """

    lease: Lease
    since: float

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since


@retries_lost_connections
class LeaseRepository:
    """The leases of one database."""

    def __init__(self, database: Database, studies: StudyRepository) -> None:
        self._database, self._studies = database, studies

    def acquire(self, study_or_name: Study) -> Lease:
        """Take the right to run a study.

        If an earlier owner cannot be checked directly, this waits for up to `STALE_SECONDS` to see
        whether it is alive, and logs that it does.

        Raises:
            StudyError: another process has it, or the study has been removed.
        """
        study = self._studies.record_of(study_or_name)
        watch: _Watch | None = None
        while True:
            with self._database.begin("commit") as connection:
                # On PostgreSQL this row is what two coordinators queue for; SQLite has one writer.
                lock = select(StudyRow.id).where(StudyRow.id == study.id).with_for_update()
                if connection.execute(lock).first() is None:
                    raise StudyError(f"the study {study.name!r} has been removed.")
                owner = self._find(connection, study)
                alive = None if owner is None else self._is_alive(owner, watch)
                if owner is None or alive is False:
                    return self._insert(connection, study)
            if alive:
                raise busy(owner)
            if watch is None or watch.lease.token != owner.token:
                watch = _Watch(owner, time.monotonic())
                logger.info(
                    "waiting for up to %.0f s to see whether process %d on %s, which ran the study "
                    "%r last, is still alive",
                    STALE_SECONDS,
                    owner.pid,
                    owner.host,
                    study.name,
                )
            time.sleep(POLL_SECONDS)

    def heartbeat(self, lease: Lease) -> None:
        """Record that the owner is alive; StudyError if another process has taken over."""
        with self._database.begin("write") as connection:
            now = self._database.clock(connection)
            own_row = (LeaseRow.study_id == lease.study_id, LeaseRow.token == lease.token)
            if connection.execute(update(LeaseRow).where(*own_row).values(heartbeat=now)).rowcount:
                return
        raise Fence(lease.study_id, lease.study, lease.token).error()

    def release(self, lease: Lease) -> None:
        """End a lease. Nothing happens if another process has taken over.

        If the row cannot be removed, the lease has ended all the same for this process.
        """
        _held_tokens.discard(lease.token)
        with self._database.begin("write") as connection:
            own_row = (LeaseRow.study_id == lease.study_id, LeaseRow.token == lease.token)
            connection.execute(delete(LeaseRow).where(*own_row))

    def set_fence(self, lease: Lease) -> None:
        """Refuse all writes to this database once another process has taken over this lease."""
        self._database.set_fence(Fence(lease.study_id, lease.study, lease.token))

    def remove_fence(self, lease: Lease) -> None:
        """Undo `set_fence`."""
        self._database.remove_fence(lease.study_id)

    def holder(self, study: Study) -> Lease | None:
        """The lease of the process that runs a study now; None if there is none, or it is dead.

        This never waits. An owner that cannot be checked directly counts as alive if its last
        heartbeat is less than `STALE_SECONDS` away from now by this database's clock.
        """
        record = self._studies.record_of(study)
        with self._database.begin("read") as connection:
            owner = self._find(connection, record)
        if owner is None:
            return None
        alive = _is_process_alive(owner)
        if alive is None:
            alive = abs(owner.age) <= STALE_SECONDS
        return owner if alive else None

    def _is_alive(self, owner: Lease, watch: _Watch | None) -> bool | None:
        """Whether the owner of a lease is alive; None if that is not known yet.

        Args:
            owner: the lease as it is now.
            watch: what was seen of the lease so far; None at first.
        """
        alive = _is_process_alive(owner)
        if alive is not None:
            return alive
        silent_seconds = owner.age if self._database.has_one_clock else 0.0
        if watch is not None and watch.lease.token == owner.token:
            if watch.lease.heartbeat != owner.heartbeat:
                return True
            silent_seconds = max(silent_seconds, watch.seconds)
        return False if silent_seconds > STALE_SECONDS else None

    def _insert(self, connection: Connection, study: StudyRecord) -> Lease:
        """Replace the lease of a study by one of this process."""
        connection.execute(delete(LeaseRow).where(LeaseRow.study_id == study.id))
        token, process = secrets.token_hex(16), ProcessIdentity.current()
        now = self._database.clock(connection)
        row = insert(LeaseRow).values(
            study_id=study.id,
            token=token,
            host=process.host,
            pid=process.pid,
            heartbeat=now,
            boot_id=process.boot_id,
            pid_namespace=process.pid_namespace,
            process_start=process.start,
        )
        connection.execute(row)
        _held_tokens.add(token)
        return Lease(study.id, study.name, token, process.host, process.pid, now)

    def _find(self, connection: Connection, study: StudyRecord) -> Lease | None:
        columns: list[Any] = [LeaseRow.token, LeaseRow.host, LeaseRow.pid, LeaseRow.heartbeat]
        if self._database.revision >= _FIRST_REVISION_WITH_PROCESS:
            columns += [LeaseRow.boot_id, LeaseRow.pid_namespace, LeaseRow.process_start]
        query = select(*columns).where(LeaseRow.study_id == study.id)
        row = connection.execute(query).mappings().first()
        if row is None:
            return None
        check_present(row, ("token", "host", "pid", "heartbeat"))
        age = self._database.clock(connection) - row["heartbeat"]
        return Lease(study.id, study.name, age=age, **row)


def _is_process_alive(lease: Lease) -> bool | None:
    """Whether the process that owns a lease runs and holds it; None if that is not known here."""
    owner = ProcessIdentity(
        lease.host, lease.pid, lease.boot_id, lease.pid_namespace, lease.process_start
    )
    if owner == ProcessIdentity.current():
        return lease.token in _held_tokens
    return owner.is_alive()


def busy(owner: Lease) -> StudyError:
    """The error of a process that needs a study which another one runs."""
    return StudyError(
        f"the study {owner.study!r} is being run by process {owner.pid} on {owner.host} (last sign "
        f"of life {max(0.0, owner.age):.0f} s ago); stop that process first, or wait until it is "
        "done."
    )
