"""Changes to what the database holds. Every function runs inside a transaction of its caller."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ... import __version__
from ...errors import StoreError, StudyError
from ...runners.results import Costs, EpochReport, Failure, TrialResult
from ...spaces.architecture import Architecture
from ..records import StudyRecord, digest_of
from .schema import (
    ArchitectureRow,
    Base,
    EnvironmentRow,
    EpochRow,
    FailureRow,
    ProbeRow,
    RejectionRow,
    StudyRow,
    TrialRow,
)


def create_study(connection: Connection, **values: Any) -> None:
    """Insert a study; IntegrityError if its name is taken."""
    # A random folder: one left behind by a database since removed is never taken for this
    # study's, checkpoints and all.
    folder = f"study-{secrets.token_hex(4)}"
    origin = {"folder": folder, "created_at": datetime.now(UTC), "version": __version__}
    connection.execute(insert(StudyRow).values(**origin, spent_seconds=0.0, **values))


def delete_study(connection: Connection, study: StudyRecord) -> None:
    """Remove a study with all that belongs to it, and what then nobody refers to."""
    connection.execute(delete(StudyRow).where(StudyRow.id == study.id))
    architectures = select(TrialRow.architecture_key)
    connection.execute(delete(ArchitectureRow).where(ArchitectureRow.key.not_in(architectures)))
    environments = select(TrialRow.environment).where(TrialRow.environment.is_not(None))
    connection.execute(delete(EnvironmentRow).where(EnvironmentRow.digest.not_in(environments)))


def start_trial(
    connection: Connection,
    study: StudyRecord,
    number: int,
    architecture: Architecture,
    costs: Costs | None,
    **values: Any,
) -> None:
    """Insert a running trial; IntegrityError if its number, or architecture and seed, are taken."""
    key, text = architecture.key, str(architecture)
    _insert_new(connection, ArchitectureRow, key=key, text=text, backbone=architecture.backbone)
    values |= {"architecture_key": key, "state": "running", "epochs": 0}
    values |= asdict(costs) if costs else {}
    values |= {"study_id": study.id, "number": number, "started_at": datetime.now(UTC)}
    connection.execute(insert(TrialRow).values(**values))


def update_trial(connection: Connection, study: StudyRecord, number: int, **values: Any) -> None:
    """Change columns of a running trial."""
    trial_id = _running(connection, study, number)
    connection.execute(update(TrialRow).where(TrialRow.id == trial_id).values(**values))


def add_seconds(connection: Connection, study: StudyRecord, number: int, seconds: float) -> None:
    """Count time that an interrupted trial has taken."""
    spent = func.coalesce(TrialRow.seconds, 0.0) + seconds
    update_trial(connection, study, number, seconds=spent)


def record_epoch(
    connection: Connection, study: StudyRecord, number: int, report: EpochReport
) -> None:
    """Insert an epoch, or replace it with a new row id, so that live readers see it again."""
    trial_id = _running(connection, study, number)
    again = (EpochRow.trial_id == trial_id, EpochRow.epoch == report.epoch)
    connection.execute(delete(EpochRow).where(*again))
    connection.execute(insert(EpochRow).values(trial_id=trial_id, **asdict(report)))
    behind = (TrialRow.id == trial_id, TrialRow.epochs < report.epoch)
    connection.execute(update(TrialRow).where(*behind).values(epochs=report.epoch))


def finish_trial(
    connection: Connection, study: StudyRecord, number: int, result: TrialResult
) -> None:
    """Complete a running trial; StoreError for an accuracy that is no fraction."""
    if not 0 <= result.accuracy <= 1:
        raise StoreError(
            f"trial {number} ended with accuracy {result.accuracy}, which is no fraction; "
            f"record it as failed."
        )
    measured = ("accuracy", "epochs", "seconds", "device_seconds", "peak_memory_mib")
    values = asdict(result.costs) | {name: getattr(result, name) for name in measured}
    _close(connection, study, number, "complete", result.environment, **values)


def prune_trial(
    connection: Connection,
    study: StudyRecord,
    number: int,
    reason: str,
    environment: Mapping[str, str] | None,
    **spent: float | None,
) -> None:
    """Stop a running trial early, with the accuracy of its last epoch."""
    trial_id = _running(connection, study, number)
    last = select(EpochRow.accuracy).where(EpochRow.trial_id == trial_id)
    accuracy = connection.execute(last.order_by(EpochRow.epoch.desc()).limit(1)).scalar()
    reached = None if accuracy is None or math.isnan(accuracy) else accuracy
    values: dict[str, Any] = {"note": reason, "accuracy": reached, **spent}
    _close(connection, study, number, "pruned", environment, **values)


def fail_trial(
    connection: Connection,
    study: StudyRecord,
    number: int,
    failure: Failure,
    seconds: float | None,
    environment: Mapping[str, str] | None,
) -> None:
    """Fail a running trial."""
    trial_id = _close(connection, study, number, "failed", environment, seconds=seconds)
    connection.execute(insert(FailureRow).values(trial_id=trial_id, **asdict(failure)))


def reject(
    connection: Connection,
    study: StudyRecord,
    architecture: Architecture,
    reason: str,
    number: int | None,
) -> None:
    """Record a rejection. A trial of that number, started only to be measured, is withdrawn."""
    values = {
        "study_id": study.id,
        "number": number,
        "architecture": str(architecture),
        "architecture_key": architecture.key,
        "reason": reason,
        "rejected_at": datetime.now(UTC),
    }
    connection.execute(insert(RejectionRow).values(**values))
    if number is not None:
        measured = (TrialRow.study_id == study.id, TrialRow.number == number)
        connection.execute(delete(TrialRow).where(*measured, TrialRow.state == "running"))


def _running(connection: Connection, study: StudyRecord, number: int) -> int:
    query = select(TrialRow.id, TrialRow.state).where(
        TrialRow.study_id == study.id, TrialRow.number == number
    )
    row = connection.execute(query).first()
    if row is None or row.state != "running":
        what = f"is {row.state} already" if row else "was never started"
        raise StudyError(f"trial {number} of {study.name!r} {what}.")
    return int(row.id)


def _close(
    connection: Connection,
    study: StudyRecord,
    number: int,
    state: str,
    environment: Mapping[str, str] | None,
    **values: Any,
) -> int:
    trial_id = _running(connection, study, number)
    if values.get("seconds") is None:
        values["seconds"] = _seconds_of_epochs(connection, trial_id)
    if environment is not None:
        values["environment"] = _environment(connection, environment)
    values |= {"state": state, "finished_at": datetime.now(UTC)}
    connection.execute(update(TrialRow).where(TrialRow.id == trial_id).values(**values))
    return trial_id


def _seconds_of_epochs(connection: Connection, trial_id: int) -> float | None:
    spent = select(func.sum(EpochRow.seconds)).where(EpochRow.trial_id == trial_id)
    return connection.execute(spent).scalar()


def _environment(connection: Connection, environment: Mapping[str, str]) -> str:
    facts = {str(key): str(value) for key, value in environment.items()}
    digest = digest_of(facts)
    _insert_new(connection, EnvironmentRow, digest=digest, facts=facts)
    return digest


def put_probe(
    connection: Connection, question: Mapping[str, str], answer: Mapping[str, Any]
) -> None:
    """Keep an answer for all studies, in the place of an earlier one."""
    digest = digest_of(question)
    connection.execute(delete(ProbeRow).where(ProbeRow.digest == digest))
    given = {"question": dict(question), "answer": dict(answer), "asked_at": datetime.now(UTC)}
    _insert_new(connection, ProbeRow, digest=digest, **given)


def _insert_new(connection: Connection, row: type[Base], **values: Any) -> None:
    """Insert unless it is there: two coordinators may meet over a shared row."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(row).values(**values).on_conflict_do_nothing())
