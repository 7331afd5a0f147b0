"""What queries for trials share: columns, conditions, and the record of a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, null, select, type_coerce
from sqlalchemy.types import NullType

from ...errors import StudyError
from ...runners.results import Failure
from ..alternatives import ALTERNATIVE_ROLES, CONFIRMING_ALTERNATIVE_ROLES
from ..records import CONFIRM, COST_ERROR_KEYS, COST_KEYS, LOADS, StudyRecord, TrialRecord
from .column_types import DamagedValueError
from .schema import ArchitectureRow, FailureRow, TrialRow

RECORD_COLUMNS = (
    TrialRow.number,
    ArchitectureRow.text.label("architecture"),
    ArchitectureRow.key,
    TrialRow.seed,
    TrialRow.role,
    TrialRow.state,
    TrialRow.epochs,
    TrialRow.accuracy,
    TrialRow.params,
    TrialRow.macs,
    TrialRow.latency_ms,
    TrialRow.latency_ratio,
    TrialRow.latency_ms_error,
    TrialRow.latency_ratio_error,
    TrialRow.memory_mib,
    TrialRow.seconds,
    TrialRow.device_seconds,
    TrialRow.peak_memory_mib,
    TrialRow.worker,
    TrialRow.note,
    TrialRow.environment,
    TrialRow.started_at,
    TrialRow.finished_at,
    FailureRow.kind,
    FailureRow.message,
    FailureRow.traceback,
    TrialRow.metric_score,
    *(getattr(TrialRow, load) for load in LOADS),
)
TABLE_COLUMNS = (
    TrialRow.id,
    TrialRow.number,
    ArchitectureRow.key,
    ArchitectureRow.text,
    TrialRow.seed,
    TrialRow.role,
    TrialRow.state,
    TrialRow.epochs,
    TrialRow.accuracy,
    TrialRow.metric_score,
    *(getattr(TrialRow, cost) for cost in (*COST_KEYS, *COST_ERROR_KEYS)),
    TrialRow.seconds,
    *(getattr(TrialRow, load) for load in LOADS),
    TrialRow.worker,
    TrialRow.started_at,
    TrialRow.finished_at,
)
"""`trial_table.TRIAL_COLUMNS`, in that order."""
_ADDED_COLUMNS = {"0007": COST_ERROR_KEYS, "0011": ("metric_score",), "0014": LOADS}
"""Columns of trials (that of "0011" of epochs too) by the revision that has added them."""

_REQUIRED_FIELDS = (
    *("number", "architecture", "key", "seed", "role"),
    *("state", "epochs", "started_at"),
)


def record_columns(revision: str) -> tuple[ColumnElement[Any], ...]:
    """`RECORD_COLUMNS` in a database of some revision; NULL for columns that it lacks."""
    return tuple(_without_missing(RECORD_COLUMNS, revision))


def table_columns(revision: str) -> tuple[ColumnElement[Any], ...]:
    """`TABLE_COLUMNS` in a database of some revision; NULL for columns that it lacks.

    The values are as the driver returns them, because checking and parsing those of a hundred
    thousand trials one by one takes a second; the table checks whole columns.
    """
    columns = _without_missing(TABLE_COLUMNS, revision)
    return tuple(type_coerce(column, NullType()) for column in columns)


def epoch_columns(columns: Iterable[Any], revision: str) -> list[ColumnElement[Any]]:
    """Columns of epochs in a database of some revision; NULL for those that it lacks."""
    return _without_missing(columns, revision)


def _without_missing(columns: Iterable[Any], revision: str) -> list[ColumnElement[Any]]:
    added = [names for first, names in _ADDED_COLUMNS.items() if revision < first]
    missing = {name for names in added for name in names}
    return [null().label(c.key) if c.key in missing else c for c in columns]


def running_trial_id(connection: Connection, study: StudyRecord, number: int) -> int:
    """The row id of a running trial.

    Args:
        connection: inside a transaction.
        study: the trial's study.
        number: the trial's number in the study.

    Raises:
        StudyError: the trial is not running.
    """
    return running_trial_ids(connection, study, [number])[number]


def running_trial_ids(
    connection: Connection, study: StudyRecord, numbers: Sequence[int]
) -> dict[int, int]:
    """The row ids of running trials by number.

    Args:
        connection: inside a transaction.
        study: the trials' study.
        numbers: of the trials in the study.

    Raises:
        StudyError: one of the trials is not running.
    """
    query = select(TrialRow.number, TrialRow.id, TrialRow.state).where(
        TrialRow.study_id == study.id, TrialRow.number.in_(numbers)
    )
    rows = {row.number: row for row in connection.execute(query)}
    for number in numbers:
        if number not in rows or rows[number].state != "running":
            reason = f"is {rows[number].state} already" if number in rows else "was never started"
            raise StudyError(f"trial {number} of {study.name!r} {reason}.")
    return {number: int(row.id) for number, row in rows.items()}


_ROLES_OUTSIDE_SEARCH = (
    *(CONFIRM, *ALTERNATIVE_ROLES.values(), *CONFIRMING_ALTERNATIVE_ROLES.values()),
)


def in_search() -> ColumnElement[bool]:
    """The condition that a trial belongs to the search: it neither confirms nor is an
    alternative's."""
    return TrialRow.role.not_in(_ROLES_OUTSIDE_SEARCH)


def with_role(confirming: bool) -> ColumnElement[bool]:
    """The condition that a trial confirms an architecture, or that it belongs to the search."""
    return TrialRow.role == CONFIRM if confirming else in_search()


def of_alternative(confirming: bool) -> ColumnElement[bool]:
    """The condition that a trial is an alternative's, and confirms it or does not."""
    roles = CONFIRMING_ALTERNATIVE_ROLES if confirming else ALTERNATIVE_ROLES
    return TrialRow.role.in_(list(roles.values()))


def in_study_by_row_id(study: StudyRecord) -> ColumnElement[bool]:
    """The condition that a trial belongs to a study, for queries that select by row id.

    The `+ 0` keeps SQLite from using the index over studies, with which it would read every row of
    the study.
    """
    return TrialRow.study_id + 0 == study.id


def check_present(fields: Mapping[Any, Any] | RowMapping, required: Iterable[str]) -> None:
    """Raise DamagedValueError if one of the required fields of a row is None."""
    for name in required:
        if fields[name] is None:
            raise DamagedValueError(f"{name} is missing in a row")


def trial_record(row: RowMapping, metric: str) -> TrialRecord:
    """The record of a row of `RECORD_COLUMNS`; `metric` is what its study searches for."""
    fields: dict[str, Any] = dict(row)
    kind, message, traceback = fields.pop("kind"), fields.pop("message"), fields.pop("traceback")
    failure = None if kind is None else Failure(kind, message or "", traceback or "")
    check_present(fields, _REQUIRED_FIELDS)
    return TrialRecord(**fields, failure=failure, metric=metric)
