"""One coordinator a study: a lease with a heartbeat, taken over when its owner is gone.

Optuna's heartbeat is not meant for ask and tell, so this is our own. The lease says host and pid;
an owner is gone when its process is dead on this host, or when its heart has not beaten for
`STALE_SECONDS` by the database's clock.
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

STALE_SECONDS = 30.0


class Leases:
    """The leases of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(self, study: StudyRecord) -> Lease:
        """The right to run this study; StudyError names who has it, if somebody alive does."""
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
                    f"{holder.host} (last sign of life {holder.age:.0f} s ago); stop that one "
                    f"first, or wait until it is done."
                )
            connection.execute(delete(LeaseRow).where(LeaseRow.study_id == study.id))
            now = self._database.clock(connection)
            values = {"token": token, "host": host, "pid": pid, "heartbeat": now}
            connection.execute(insert(LeaseRow).values(study_id=study.id, **values))
        return Lease(study.id, study.name, token, host, pid)

    def heartbeat(self, lease: Lease) -> None:
        """Say that the owner lives; StudyError if somebody else has taken over meanwhile."""
        with self._database.begin("write") as connection:
            now = self._database.clock(connection)
            mine = (LeaseRow.study_id == lease.study_id, LeaseRow.token == lease.token)
            if connection.execute(update(LeaseRow).where(*mine).values(heartbeat=now)).rowcount:
                return
        raise StudyError(
            f"another coordinator has taken over the study {lease.study!r}, since this one showed "
            f"no sign of life for {STALE_SECONDS:.0f} s; this one stops."
        )

    def release(self, lease: Lease) -> None:
        """Give the study free; nothing happens if it is no longer ours."""
        with self._database.begin("write") as connection:
            mine = (LeaseRow.study_id == lease.study_id, LeaseRow.token == lease.token)
            connection.execute(delete(LeaseRow).where(*mine))

    def holder(self, study: StudyRecord) -> Lease | None:
        """Who runs this study now, alive as far as can be told; None if nobody does."""
        with self._database.begin("read") as connection:
            found = self._find(connection, study)
        return found if found is not None and alive(found) else None

    def _find(self, connection: Connection, study: StudyRecord) -> Lease | None:
        query = select(LeaseRow.token, LeaseRow.host, LeaseRow.pid, LeaseRow.heartbeat)
        row = connection.execute(query.where(LeaseRow.study_id == study.id)).first()
        if row is None:
            return None
        age = max(0.0, self._database.clock(connection) - row.heartbeat)
        return Lease(study.id, study.name, row.token, row.host, row.pid, age)


def alive(lease: Lease) -> bool:
    """Whether the owner may still be running."""
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
