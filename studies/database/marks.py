"""The marks of trials, which readers of the dashboard make."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import delete, func, insert, select

from ...errors import StudyError
from ..trial_marks import NO_MARKS, TrialMarks
from .connection import Database, retries_lost_connections
from .schema import TrialMarkRow, TrialRow
from .studies import Study, StudyRepository

FIRST_REVISION = "0013"


@retries_lost_connections
class MarkRepository:
    """The marks of one database."""

    def __init__(self, database: Database, studies: StudyRepository) -> None:
        self._database, self._studies = database, studies

    @property
    def exists(self) -> bool:
        """Whether the database has a table for marks: those of earlier versions have none."""
        return self._database.revision >= FIRST_REVISION

    def read(self, study: Study) -> dict[int, TrialMarks]:
        """The marks of a study's trials by their number; trials without any are left out."""
        if not self.exists:
            return {}
        row = TrialMarkRow
        query = select(row.number, row.starred, row.tags, row.note).where(
            row.study_id == self._studies.record_of(study).id
        )
        with self._database.begin("read") as connection:
            rows = connection.execute(query.order_by(row.number)).all()
        return {
            number: TrialMarks(bool(starred), tuple(map(str, tags)), note)
            for number, starred, tags, note in rows
        }

    def version(self, study: Study) -> str:
        """A text that changes when a mark of the study does."""
        if not self.exists:
            return ""
        row = TrialMarkRow
        query = select(func.count(), func.max(row.changed_at)).where(
            row.study_id == self._studies.record_of(study).id
        )
        with self._database.begin("read") as connection:
            return " ".join(map(str, connection.execute(query).one()))

    def put(self, study: Study, number: int, marks: TrialMarks) -> None:
        """Store the marks of a trial in place of earlier ones.

        Args:
            study: by record or name.
            number: of the trial.
            marks: without any, the row is removed.

        Raises:
            StudyError: there is no such trial.
        """
        record, row = self._studies.record_of(study), TrialMarkRow
        with self._database.begin("commit") as connection:
            is_trial = (TrialRow.study_id == record.id, TrialRow.number == number)
            if connection.execute(select(TrialRow.id).where(*is_trial)).first() is None:
                raise StudyError(f"the study {record.name!r} has no trial {number}.")
            where = (row.study_id == record.id, row.number == number)
            connection.execute(delete(row).where(*where))
            if marks != NO_MARKS:
                values = {
                    "study_id": record.id,
                    "number": number,
                    "starred": marks.starred,
                    "tags": list(marks.tags),
                    "note": marks.note,
                    "changed_at": datetime.now(UTC),
                }
                connection.execute(insert(row).values(**values))
