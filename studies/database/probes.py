"""Results of measurements that are made once for all studies of a database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select

from ..records import digest_of
from .connection import Database, insert_if_new, retries_lost_connections
from .schema import ProbeRow


@retries_lost_connections
class ProbeRepository:
    """The measurements of one database.

    The key of a measurement is its `question`: everything that the result depends on, by name.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, question: Mapping[str, str]) -> dict[str, Any] | None:
        """The recorded result; None if there is none."""
        query = select(ProbeRow.answer).where(ProbeRow.digest == digest_of(question))
        with self._database.begin("read") as connection:
            result = connection.execute(query).scalar_one_or_none()
        return None if result is None else dict(result)

    def put(self, question: Mapping[str, str], result: Mapping[str, Any]) -> None:
        """Record a result, replacing an earlier one."""
        digest = digest_of(question)
        values = {"question": dict(question), "answer": dict(result), "asked_at": datetime.now(UTC)}
        with self._database.begin("write") as connection:
            connection.execute(delete(ProbeRow).where(ProbeRow.digest == digest))
            insert_if_new(connection, ProbeRow, digest=digest, **values)
