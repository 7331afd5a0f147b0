"""The facts of insertions, which a search records for the model of its study."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import insert, select

from ..insertion_facts import InsertionFacts
from .column_types import DamagedValueError
from .connection import Database, retries_lost_connections
from .schema import InsertionRow
from .studies import Study, StudyRepository

_FIRST_REVISION = "0005"


@retries_lost_connections
class InsertionRepository:
    """The facts of the insertions of one database."""

    def __init__(self, database: Database, studies: StudyRepository) -> None:
        self._database, self._studies = database, studies

    def record(self, study: Study, facts: Mapping[str, InsertionFacts]) -> None:
        """Record the facts of insertions that are not recorded yet.

        Args:
            study: by record or name.
            facts: by the text of the insertion.
        """
        study_id = self._studies.record_of(study).id
        rows = [
            {"study_id": study_id, "text": text, "facts": value.to_json()}
            for text, value in facts.items()
        ]
        with self._database.begin("write") as connection:
            connection.execute(insert(InsertionRow), rows)

    def read(self, study: Study, after_id: int = 0) -> tuple[dict[str, InsertionFacts], int]:
        """The facts of a study's insertions, and the last row id.

        Args:
            study: by record or name.
            after_id: only rows with a higher id, which are new since then.

        Returns:
            By the text of the insertion; empty if another version has written the study.
        """
        if self._database.revision < _FIRST_REVISION:
            return {}, after_id
        query = (
            select(InsertionRow.id, InsertionRow.text, InsertionRow.facts)
            .where(InsertionRow.study_id == self._studies.record_of(study).id)
            .where(InsertionRow.id > after_id)
            .order_by(InsertionRow.id)
        )
        with self._database.begin("read") as connection:
            rows = connection.execute(query).all()
        return {row.text: _facts(row.facts) for row in rows}, rows[-1].id if rows else after_id


def _facts(stored: Mapping[str, object]) -> InsertionFacts:
    try:
        return InsertionFacts.from_json(stored)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        raise DamagedValueError.of(stored, "facts of an insertion") from None
