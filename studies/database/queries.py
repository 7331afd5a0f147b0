"""Questions to the database, answered with records. Every function runs inside a transaction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, RowMapping, func, select, type_coerce
from sqlalchemy.types import NullType

from ...errors import StudyError, did_you_mean
from ...runners.results import EpochReport, Failure
from ..records import (
    CONFIRM,
    COSTS,
    STATES,
    EpochRecord,
    RejectionRecord,
    State,
    StudyRecord,
    StudySummary,
    TrialRecord,
    digest_of,
)
from .schema import (
    ArchitectureRow,
    EnvironmentRow,
    EpochRow,
    FailureRow,
    ProbeRow,
    RejectionRow,
    StudyRow,
    TrialRow,
)

ROWS = 4000
"""Of a part, where many are read."""
_STUDY = (
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
_TRIAL = (
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
    TrialRow.memory_mib,
    TrialRow.seconds,
    TrialRow.device_seconds,
    TrialRow.peak_memory_mib,
    TrialRow.worker,
    TrialRow.note,
    TrialRow.environment,
    TrialRow.started_at,
    TrialRow.finished_at,
)
_FAILURE = (FailureRow.kind, FailureRow.message, FailureRow.traceback)
_EPOCH = (
    EpochRow.id,
    TrialRow.number,
    EpochRow.epoch,
    EpochRow.train_loss,
    EpochRow.accuracy,
    EpochRow.val_loss,
    EpochRow.lr,
    EpochRow.seconds,
)


def study(connection: Connection, name: str, where: str) -> StudyRecord:
    """The study of that name; StudyError names the closest, or says how to start one."""
    row = connection.execute(select(*_STUDY).where(StudyRow.name == name)).first()
    if row is not None:
        return _study(row)
    known = connection.execute(select(StudyRow.name)).scalars().all()
    if not known:
        raise StudyError(
            f"{where} holds no studies yet; start one with "
            f"`attentune search NAME --backbone resnet18 --data FOLDER`."
        )
    raise StudyError(f"there is no study {name!r} in {where}{did_you_mean(name, known)}")


def studies(connection: Connection) -> list[StudyRecord]:
    """All studies, oldest first."""
    return [_study(row) for row in connection.execute(select(*_STUDY).order_by(StudyRow.id))]


def summaries(connection: Connection) -> list[StudySummary]:
    """All studies with their searches' trials by state, best accuracy, and last change."""
    query = select(
        TrialRow.study_id,
        TrialRow.state,
        func.count().label("trials"),
        func.max(TrialRow.accuracy).label("best"),
        func.max(TrialRow.started_at).label("started"),
        func.max(TrialRow.finished_at).label("finished"),
    )
    query = query.where(_of(confirming=False)).group_by(TrialRow.study_id, TrialRow.state)
    found: dict[int, dict[State, Row[Any]]] = {}
    rows: Iterable[Row[Any]] = connection.execute(query)
    for row in rows:
        found.setdefault(row.study_id, {})[row.state] = row
    return [_summary(record, found.get(record.id, {})) for record in studies(connection)]


def _summary(record: StudyRecord, rows: Mapping[State, Row[Any]]) -> StudySummary:
    moments = [m for row in rows.values() for m in (row.started, row.finished) if m is not None]
    return StudySummary(
        study=record,
        counts={state: rows[state].trials if state in rows else 0 for state in STATES},
        best_accuracy=rows["complete"].best if "complete" in rows else None,
        last_activity=max(moments, default=record.created_at),
    )


def trials(
    connection: Connection,
    study: StudyRecord,
    *,
    numbers: Sequence[int] | None = None,
    state: State | None = None,
    confirming: bool = False,
) -> list[TrialRecord]:
    """Trials by number: of the search or those that confirm, all or in one state; or just some."""
    query = (
        select(*_TRIAL, *_FAILURE)
        .join(ArchitectureRow, ArchitectureRow.key == TrialRow.architecture_key)
        .outerjoin(FailureRow, FailureRow.trial_id == TrialRow.id)
        .where(TrialRow.study_id == study.id)
        .order_by(TrialRow.number)
    )
    if numbers is not None:
        query = query.where(TrialRow.number.in_(numbers))
    else:
        query = query.where(_of(confirming))
    if state is not None:
        query = query.where(TrialRow.state == state)
    return [_trial(row) for row in connection.execute(query).mappings()]


_CHANGING = (
    TrialRow.id,
    TrialRow.number,
    ArchitectureRow.key,
    ArchitectureRow.text,
    TrialRow.seed,
    TrialRow.role,
    TrialRow.state,
    TrialRow.epochs,
    TrialRow.accuracy,
    *(getattr(TrialRow, cost) for cost in COSTS),
    TrialRow.seconds,
    TrialRow.worker,
    # As the driver gives them: making moments of a hundred thousand texts takes a second.
    type_coerce(TrialRow.started_at, NullType()),
    type_coerce(TrialRow.finished_at, NullType()),
)


def changed_trials(
    connection: Connection, study: StudyRecord, after_id: int, running: Sequence[int]
) -> Iterator[Sequence[Row[Any]]]:
    """`TRIAL_COLUMNS` of the search's trials that are new since `after_id` or were `running`.

    In parts: ten thousands of rows at once are slower to read.
    """
    query = (
        select(*_CHANGING)
        .join(ArchitectureRow, ArchitectureRow.key == TrialRow.architecture_key)
        .where(_by_row_id(study), _of(confirming=False))
        .order_by(TrialRow.id)
    )
    if running:
        yield connection.execute(query.where(TrialRow.id.in_(running))).all()
    yield from connection.execute(query.where(TrialRow.id > after_id)).partitions(ROWS)


def _by_row_id(study: StudyRecord) -> ColumnElement[bool]:
    """Trials of a study, where row ids choose among them.

    The sum keeps SQLite from the index of studies, which would read the study's every row.
    """
    return TrialRow.study_id + 0 == study.id


def last_epoch_id(connection: Connection) -> int:
    """The highest row id of any study's epochs: a bookmark for a reader that begins now."""
    return int(connection.execute(select(func.coalesce(func.max(EpochRow.id), 0))).scalar_one())


def epochs_of(
    connection: Connection, study: StudyRecord, numbers: Sequence[int]
) -> list[EpochRecord]:
    """All epochs of some trials, in the order of recording."""
    query = (
        select(*_EPOCH)
        .join(TrialRow, TrialRow.id == EpochRow.trial_id)
        .where(TrialRow.study_id == study.id, TrialRow.number.in_(numbers))
        .order_by(EpochRow.id)
    )
    return [_epoch(row) for row in connection.execute(query).mappings()]


def _of(confirming: bool) -> ColumnElement[bool]:
    return TrialRow.role == CONFIRM if confirming else TrialRow.role != CONFIRM


def _trial(row: RowMapping) -> TrialRecord:
    facts: dict[str, Any] = dict(row)
    kind, message, traceback = facts.pop("kind"), facts.pop("message"), facts.pop("traceback")
    failure = None if kind is None else Failure(kind, message, traceback)
    return TrialRecord(**facts, failure=failure)


def epochs(
    connection: Connection,
    study: StudyRecord,
    number: int | None,
    after_id: int | None,
    confirming: bool,
) -> list[EpochRecord]:
    """Epochs in the order of recording; a NULL is the NaN that it was."""
    query = (
        select(*_EPOCH)
        .join(TrialRow, TrialRow.id == EpochRow.trial_id)
        .where(TrialRow.study_id == study.id if after_id is None else _by_row_id(study))
        .order_by(EpochRow.id)
    )
    if number is not None:
        query = query.where(TrialRow.number == number)
    else:
        query = query.where(_of(confirming))
    if after_id is not None:
        query = query.where(EpochRow.id > after_id)
    return [_epoch(row) for row in connection.execute(query).mappings()]


def _epoch(row: RowMapping) -> EpochRecord:
    facts: dict[str, Any] = {name: math.nan if v is None else v for name, v in row.items()}
    return EpochRecord(facts.pop("id"), facts.pop("number"), EpochReport(**facts))


def device_seconds(connection: Connection, study: StudyRecord) -> float:
    """Seconds of all epochs of the search."""
    query = select(func.coalesce(func.sum(EpochRow.seconds), 0.0))
    query = query.join(TrialRow, TrialRow.id == EpochRow.trial_id)
    query = query.where(TrialRow.study_id == study.id, _of(confirming=False))
    return float(connection.execute(query).scalar_one() or 0.0)


def rejections(connection: Connection, study: StudyRecord) -> list[RejectionRecord]:
    """What cost limits turned away, in order."""
    query = select(
        RejectionRow.architecture,
        RejectionRow.architecture_key,
        RejectionRow.reason,
        RejectionRow.number,
        RejectionRow.rejected_at,
    ).where(RejectionRow.study_id == study.id)
    return [RejectionRecord(*row) for row in connection.execute(query.order_by(RejectionRow.id))]


def environments(connection: Connection, study: StudyRecord) -> dict[str, dict[str, str]]:
    """What the study's trials ran on, by digest."""
    used = select(TrialRow.environment).where(TrialRow.study_id == study.id)
    query = select(EnvironmentRow.digest, EnvironmentRow.facts)
    rows = connection.execute(query.where(EnvironmentRow.digest.in_(used)))
    return {row.digest: dict(row.facts) for row in rows}


def _study(row: Row[Any]) -> StudyRecord:
    return StudyRecord(
        id=row.id,
        name=row.name,
        folder=row.folder,
        created_at=row.created_at,
        version=row.version,
        backbone=row.backbone,
        objectives=tuple(row.objectives),
        config=row.config,
        seed=row.seed,
    )


def get_probe(connection: Connection, question: Mapping[str, str]) -> dict[str, Any] | None:
    """What was remembered under this question; None if nothing was."""
    query = select(ProbeRow.answer).where(ProbeRow.digest == digest_of(question))
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else dict(found)
