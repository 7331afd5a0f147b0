"""The studies of a database: created, looked up, summarised, removed."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from ... import __version__
from ...errors import StoreError, StudyError, did_you_mean
from ..objectives import is_objective
from ..records import STATES, State, StudyRecord, StudySummary, check_study_name
from ..stored_config import ExpectedGain, StoredConfig
from .column_types import DamagedValueError
from .connection import Database, retries_lost_connections
from .schema import ArchitectureRow, EnvironmentRow, EpochRow, StudyRow, TrialRow
from .trial_queries import check_present, in_search, of_alternative

_REQUIRED_FIELDS = ("name", "folder", "created_at", "version", "backbone", "objectives", "config")
Study = StudyRecord | str
"""A study by its record, or by its name."""

_COLUMNS = (
    StudyRow.id,
    StudyRow.name,
    StudyRow.folder,
    StudyRow.created_at,
    StudyRow.version,
    StudyRow.backbone,
    StudyRow.objectives,
    StudyRow.config,
    StudyRow.seed,
)


@retries_lost_connections
class StudyRepository:
    """The studies of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        *,
        backbone: str,
        objectives: Sequence[str],
        config: Mapping[str, Any],
        seed: int,
    ) -> StudyRecord:
        """Create a study.

        Args:
            name: has to be new in this database.
            backbone: a timm model name.
            objectives: names of objectives.
            config: the JSON that a `StoredConfig` reads.
            seed: of the study.

        Raises:
            UsageError: the name is not allowed.
            StudyError: a study of that name exists.
        """
        check_study_name(name)
        values = {
            "name": name,
            "backbone": backbone,
            "objectives": list(objectives),
            "config": dict(config),
            "seed": seed,
            # The folder is random, because artifacts of a deleted database may still be there.
            "folder": new_folder_name(),
            "created_at": datetime.now(UTC),
            "version": __version__,
            "spent_seconds": 0.0,
        }
        try:
            with self._database.begin("commit") as connection:
                connection.execute(insert(StudyRow).values(**values))
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            raise self._name_taken(name) from None
        return self.get(name)

    def check_new(self, name: str) -> None:
        """Check that a study of this name can be created.

        Raises:
            UsageError: the name is not allowed.
            StudyError: a study of that name exists.
        """
        check_study_name(name)
        if any(study.name == name for study in self.read_all()):
            raise self._name_taken(name)

    def get(self, name: str) -> StudyRecord:
        """The study of that name.

        Raises:
            StudyError: there is none; the message names similar ones, or how to start one.
        """
        with self._database.begin("read") as connection:
            row = connection.execute(select(*_COLUMNS).where(StudyRow.name == name)).first()
            if row is not None:
                return _record(row)
            names = list(filter(None, connection.execute(select(StudyRow.name)).scalars()))
        if not names:
            raise StudyError(
                f"{self._database.shown} holds no studies yet; start one with "
                f"`attentune search NAME --backbone resnet18 --data FOLDER`."
            )
        raise StudyError(
            f"there is no study {name!r} in {self._database.shown}{did_you_mean(name, names)}"
        )

    def record_of(self, study: Study) -> StudyRecord:
        """The study itself if it is a record, else the one of that name."""
        return study if isinstance(study, StudyRecord) else self.get(study)

    def read_all(self) -> list[StudyRecord]:
        """All studies, oldest first."""
        with self._database.begin("read") as connection:
            return _read_all(connection)

    def read_all_added(self) -> list[StudyRecord]:
        """All studies, those included whose transactions have not ended yet; it waits for them."""
        with self._database.begin("write") as connection:  # SQLite has one writer at a time.
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"lock table {StudyRow.__tablename__} in share mode"))
            return _read_all(connection)

    def summarize(self) -> list[StudySummary]:
        """All studies with the counts of their search trials by state, oldest first."""
        query = select(
            TrialRow.study_id,
            TrialRow.state,
            func.count().label("trials"),
            func.max(TrialRow.started_at).label("started"),
            func.max(TrialRow.finished_at).label("finished"),
        )
        query = query.where(in_search()).group_by(TrialRow.study_id, TrialRow.state)
        by_study: dict[int, dict[State, Row[Any]]] = {}
        with self._database.begin("read") as connection:
            rows: Iterable[Row[Any]] = connection.execute(query)
            for row in rows:
                by_study.setdefault(row.study_id, {})[row.state] = row
            studies = _read_all(connection)
        return [_summary(record, by_study.get(record.id, {})) for record in studies]

    def change_config(
        self, study: Study, change: Callable[[dict[str, Any]], Mapping[str, Any]]
    ) -> StudyRecord:
        """Change the config of a study; it is read and written in one transaction.

        Args:
            study: by record or name.
            change: returns the new config for the present one. What it leaves as it is keeps the
                form in which it was stored, fields of other versions included.

        Raises:
            StudyError: the study has been removed.
        """
        record = self.record_of(study)
        query = select(StudyRow.config).where(StudyRow.id == record.id).with_for_update()
        with self._database.begin("commit") as connection:
            row = connection.execute(query).first()
            if row is None:
                raise StudyError(f"the study {record.name!r} has been removed.")
            config = dict(change(dict(row.config)))
            if config != row.config:
                where = StudyRow.id == record.id
                connection.execute(update(StudyRow).where(where).values(config=config))
        return self.get(record.name)

    def record_expected_gain(self, study: Study, forecast: ExpectedGain) -> None:
        """Record a forecast of what more trials of a search will add."""
        self.change_config(study, forecast.stored_in)

    def spent_seconds(self, study: Study) -> float:
        """Wall time spent on a study so far, over all resumes."""
        query = select(StudyRow.spent_seconds).where(StudyRow.id == self.record_of(study).id)
        with self._database.begin("read") as connection:
            return float(connection.execute(query).scalar_one() or 0.0)

    def set_spent_seconds(self, study: Study, seconds: float) -> None:
        """Record how much wall time a study has taken so far, over all resumes."""
        record = self.record_of(study)
        with self._database.begin("write") as connection:
            where = StudyRow.id == record.id
            connection.execute(update(StudyRow).where(where).values(spent_seconds=seconds))

    def device_seconds(self, study: Study) -> float:
        """Seconds that devices spent on the epochs of a search so far, over all resumes.

        Those of alternatives count, and those of confirming trials do not.
        """
        query = select(func.coalesce(func.sum(EpochRow.seconds), 0.0))
        query = query.join(TrialRow, TrialRow.id == EpochRow.trial_id)
        counted = or_(in_search(), of_alternative(confirming=False))
        query = query.where(TrialRow.study_id == self.record_of(study).id, counted)
        with self._database.begin("read") as connection:
            return float(connection.execute(query).scalar_one() or 0.0)

    def delete(self, study: Study) -> None:
        """Remove a study from attentune's tables, and shared rows that no other study refers to.

        Optuna's tables and the artifacts are left to the caller.
        """
        record = self.record_of(study)
        with self._database.begin("commit") as connection:
            # On PostgreSQL, a coordinator that takes its lease now waits, and finds it removed.
            lock = select(StudyRow.id).where(StudyRow.id == record.id).with_for_update()
            connection.execute(lock)
            connection.execute(delete(StudyRow).where(StudyRow.id == record.id))
            used = select(TrialRow.architecture_key)
            connection.execute(delete(ArchitectureRow).where(ArchitectureRow.key.not_in(used)))
            ran_on = select(TrialRow.environment).where(TrialRow.environment.is_not(None))
            connection.execute(delete(EnvironmentRow).where(EnvironmentRow.digest.not_in(ran_on)))

    def _name_taken(self, name: str) -> StudyError:
        return StudyError(
            f"the study {name!r} exists already in {self._database.shown}; continue it with "
            f"`attentune resume {shlex.quote(name)}`, or choose another name."
        )


def new_folder_name() -> str:
    """A name for the folder of a study that no other study has."""
    return f"study-{secrets.token_hex(4)}"


def _read_all(connection: Connection) -> list[StudyRecord]:
    return [_record(row) for row in connection.execute(select(*_COLUMNS).order_by(StudyRow.id))]


def _record(row: Row[Any]) -> StudyRecord:
    check_present(row._mapping, _REQUIRED_FIELDS)
    if not row.objectives or len(set(map(str, row.objectives))) < len(row.objectives):
        raise DamagedValueError.of(row.objectives, "a list of objectives")
    for key in row.objectives:
        if not isinstance(key, str) or not is_objective(key):
            raise DamagedValueError.of(key, "an objective")
    return StudyRecord(
        id=row.id,
        name=row.name,
        folder=row.folder,
        created_at=row.created_at,
        version=row.version,
        backbone=row.backbone,
        objectives=tuple(row.objectives),
        config=StoredConfig(row.config, row.name, row.version),
        seed=row.seed,
    )


def _summary(record: StudyRecord, by_state: Mapping[State, Row[Any]]) -> StudySummary:
    moments = [m for row in by_state.values() for m in (row.started, row.finished) if m is not None]
    return StudySummary(
        study=record,
        counts={state: by_state[state].trials if state in by_state else 0 for state in STATES},
        last_activity=max(moments, default=record.created_at),
    )
