"""The right to run a study: a lease with a heartbeat, which can be taken over from a dead owner.

Only one coordinator runs a study at a time. Optuna's heartbeat does not work with ask and tell, so
this is attentune's own. A lease names host and process; the owner is dead when its process has
ended on this host, or when its last heartbeat is older than `STALE_SECONDS` by the database's
clock.
"""

from __future__ import annotations

import os
import secrets
import socket

import psutil
from sqlalchemy import Connection, delete, insert, select, update

from ...errors import StudyError
from ..records import Lease, StudyRecord
from .connection import Database
from .schema import LeaseRow, StudyRow
from .studies import Study, StudyRepository

STALE_SECONDS = 30.0


class LeaseRepository:
    """The leases of one database."""

    def __init__(self, database: Database, studies: StudyRepository) -> None:
        self._database, self._studies = database, studies

    def acquire(self, study_or_name: Study) -> Lease:
        """Take the right to run a study.

        Raises:
            StudyError: another process has it, or the study has been removed.
        """
        study = self._studies.record_of(study_or_name)
        token, host, pid = secrets.token_hex(16), socket.gethostname(), os.getpid()
        with self._database.begin("commit") as connection:
            # On PostgreSQL this row is what two coordinators queue for; SQLite has one writer.
            lock = select(StudyRow.id).where(StudyRow.id == study.id).with_for_update()
            if connection.execute(lock).first() is None:
                raise StudyError(f"the study {study.name!r} has been removed.")
            holder = self._find(connection, study)
            if holder is not None and alive(holder):
                raise StudyError(
                    f"the study {study.name!r} is being run by process {holder.pid} on "
                    f"{holder.host} (last sign of life {holder.age:.0f} s ago); stop that process "
                    f"first, or wait until it is done."
                )
            connection.execute(delete(LeaseRow).where(LeaseRow.study_id == study.id))
            now = self._database.clock(connection)
            values = {"token": token, "host": host, "pid": pid, "heartbeat": now}
            connection.execute(insert(LeaseRow).values(study_id=study.id, **values))
        return Lease(study.id, study.name, token, host, pid)

    def heartbeat(self, lease: Lease) -> None:
        """Record that the owner is alive; StudyError if another process has taken over."""
        with self._database.begin("write") as connection:
            now = self._database.clock(connection)
            own_row = (LeaseRow.study_id == lease.study_id, LeaseRow.token == lease.token)
            if connection.execute(update(LeaseRow).where(*own_row).values(heartbeat=now)).rowcount:
                return
        raise StudyError(
            f"another process has taken over the study {lease.study!r}, because this one showed no "
            f"sign of life for {STALE_SECONDS:.0f} s; this process stops."
        )

    def release(self, lease: Lease) -> None:
        """End a lease. Nothing happens if another process has taken over."""
        with self._database.begin("write") as connection:
            own_row = (LeaseRow.study_id == lease.study_id, LeaseRow.token == lease.token)
            connection.execute(delete(LeaseRow).where(*own_row))

    def holder(self, study: Study) -> Lease | None:
        """The lease of the process that runs a study now; None if there is none, or it is dead."""
        record = self._studies.record_of(study)
        with self._database.begin("read") as connection:
            lease = self._find(connection, record)
        return lease if lease is not None and alive(lease) else None

    def _find(self, connection: Connection, study: StudyRecord) -> Lease | None:
        query = select(LeaseRow.token, LeaseRow.host, LeaseRow.pid, LeaseRow.heartbeat)
        row = connection.execute(query.where(LeaseRow.study_id == study.id)).first()
        if row is None:
            return None
        age = max(0.0, self._database.clock(connection) - row.heartbeat)
        return Lease(study.id, study.name, row.token, row.host, row.pid, age)


def alive(lease: Lease) -> bool:
    """Whether the owner of a lease may still be running; True if that cannot be determined."""
    if lease.age > STALE_SECONDS:
        return False
    if lease.host != socket.gethostname():
        return True
    try:
        return bool(psutil.Process(lease.pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
