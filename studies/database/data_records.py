"""What studies were searched on, one record a study; see `runners/data/prepared/record.py`."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import delete, insert, select, update

from ...runners.data.dataset import DataInfo
from ...runners.data.prepared.record import DataRecord
from .column_types import DamagedValueError
from .connection import Database, retries_lost_connections
from .schema import DataRecordRow
from .studies import Study, StudyRepository

_FIRST_REVISION = "0012"


@retries_lost_connections
class DataRecordRepository:
    """The records of the data of one database's studies."""

    def __init__(self, database: Database, studies: StudyRepository) -> None:
        self._database, self._studies = database, studies

    def get(self, study: Study) -> DataRecord | None:
        """What a study was searched on; None for a study of a version that recorded nothing.

        Raises:
            DamagedValueError: the record is damaged.
        """
        if self._database.revision < _FIRST_REVISION:
            return None
        study_id = self._studies.record_of(study).id
        query = select(DataRecordRow.facts, DataRecordRow.images)
        with self._database.begin("read") as connection:
            row = connection.execute(query.where(DataRecordRow.study_id == study_id)).first()
        if row is None:
            return None
        try:
            return DataRecord.from_stored(row.facts, bytes(row.images))
        except (ValueError, TypeError) as error:
            raise DamagedValueError.of(str(error), "the record of a study's data") from None

    def read_classes(self, study: Study) -> tuple[str, ...] | None:
        """The names of the classes of a study, without its images; None without a record.

        Raises:
            DamagedValueError: the record is damaged.
        """
        if self._database.revision < _FIRST_REVISION:
            return None
        study_id = self._studies.record_of(study).id
        query = select(DataRecordRow.facts).where(DataRecordRow.study_id == study_id)
        with self._database.begin("read") as connection:
            facts = connection.execute(query).scalar_one_or_none()
        if facts is None:
            return None
        try:
            return DataInfo.from_json(dict(facts["info"])).classes
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedValueError.of(str(error), "the record of a study's data") from None

    def put(self, study: Study, record: DataRecord) -> None:
        """Store what a study was searched on; it replaces an earlier record."""
        study_id = self._studies.record_of(study).id
        row = {
            "study_id": study_id,
            "facts": record.to_json(),
            "images": record.image_list.to_bytes(),
            "recorded_at": datetime.now(UTC),
        }
        with self._database.begin("commit") as connection:
            connection.execute(delete(DataRecordRow).where(DataRecordRow.study_id == study_id))
            connection.execute(insert(DataRecordRow).values(**row))

    def change_facts(self, study: Study, record: DataRecord) -> None:
        """Store the place and further data of a record; its images stay as they are."""
        study_id = self._studies.record_of(study).id
        where = DataRecordRow.study_id == study_id
        with self._database.begin("commit") as connection:
            connection.execute(update(DataRecordRow).where(where).values(facts=record.to_json()))
