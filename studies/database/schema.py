"""The tables that attentune keeps beside Optuna's own, as SQLAlchemy models.

Every name starts with `attentune_`, so that Optuna's tables (`studies`, `trials`, …) in the same
database stay as Optuna made them. `migrations/` builds what is described here; a test compares
the two. SQLite cannot store NaN, so a NaN in a float column is stored as NULL.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ...sanitize import MAX_TRACEBACK_LENGTH
from ..records import STATES
from ..trial_marks import MAX_NOTE_LENGTH
from .column_types import (
    ArchitectureText,
    BigWhole,
    CleanName,
    CleanText,
    Json,
    Real,
    UtcDateTime,
    Whole,
)

PREFIX = "attentune_"
VERSION_TABLE = "attentune_alembic_version"
ARCHITECTURE_NOT_FAILED = "state <> 'failed' and role = replace(role, ':', '')"
ALTERNATIVE_NOT_FAILED = "state <> 'failed' and role <> replace(role, ':', '')"
"""Conditions of the indexes that let a trial run only once."""
HEAD = "0014"
"""The revision that this code reads and writes; revisions are numbered, so they can be compared."""
READABLE = "0001"
"""The oldest revision that can be read without a migration: later ones add no results."""


class Base(DeclarativeBase):
    """The declarative base; its metadata holds only our tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Real()}


class StudyRow(Base):
    """One study. `folder` is the folder of its artifacts, which no other study ever has."""

    __tablename__ = "attentune_studies"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(CleanName(100), unique=True)
    folder: Mapped[str] = mapped_column(CleanName(40), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    version: Mapped[str] = mapped_column(CleanName(40))
    backbone: Mapped[str] = mapped_column(CleanName(200))
    objectives: Mapped[list[str]] = mapped_column(Json(list))
    config: Mapped[dict[str, Any]] = mapped_column(Json(dict))
    seed: Mapped[int] = mapped_column(BigWhole)
    spent_seconds: Mapped[float] = mapped_column(Real(0), default=0.0)


class ArchitectureRow(Base):
    """One architecture, shared by all studies; `key` is the hash of `text`."""

    __tablename__ = "attentune_architectures"

    key: Mapped[str] = mapped_column(CleanName(12), primary_key=True)
    text: Mapped[str] = mapped_column(ArchitectureText)
    backbone: Mapped[str] = mapped_column(String(200))


class EnvironmentRow(Base):
    """What trials ran on, stored once for all trials that ran on the same."""

    __tablename__ = "attentune_environments"

    digest: Mapped[str] = mapped_column(String(16), primary_key=True)
    facts: Mapped[dict[str, str]] = mapped_column(Json(dict))


class TrialRow(Base):
    """One trial. `number` is Optuna's number in the study of the same name.

    An architecture is trained once with each seed in a study, and so is each alternative; only the
    roles of alternatives contain a colon. A failed trial may be repeated, so these are partial
    indexes and not plain constraints.
    """

    __tablename__ = "attentune_trials"
    __table_args__ = (
        UniqueConstraint("study_id", "number", name="attentune_trials_number"),
        Index(
            "attentune_trials_once",
            "study_id",
            "architecture_key",
            "seed",
            unique=True,
            sqlite_where=text(ARCHITECTURE_NOT_FAILED),
            postgresql_where=text(ARCHITECTURE_NOT_FAILED),
        ),
        Index(
            "attentune_trials_alternative_once",
            "study_id",
            "role",
            "seed",
            unique=True,
            sqlite_where=text(ALTERNATIVE_NOT_FAILED),
            postgresql_where=text(ALTERNATIVE_NOT_FAILED),
        ),
        Index("attentune_trials_state", "study_id", "state"),
        Index("attentune_trials_architecture", "architecture_key"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("attentune_studies.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(Whole)
    architecture_key: Mapped[str] = mapped_column(ForeignKey("attentune_architectures.key"))
    seed: Mapped[int] = mapped_column(BigWhole)
    role: Mapped[str] = mapped_column(CleanName(20))
    state: Mapped[str] = mapped_column(CleanName(10, STATES))
    epochs: Mapped[int] = mapped_column(Whole, default=0)
    accuracy: Mapped[float | None] = mapped_column(Real(0, 1))
    metric_score: Mapped[float | None]
    params: Mapped[int | None] = mapped_column(BigWhole)
    macs: Mapped[int | None] = mapped_column(BigWhole)
    latency_ms: Mapped[float | None] = mapped_column(Real(0))
    latency_ratio: Mapped[float | None] = mapped_column(Real(0))
    latency_ms_error: Mapped[float | None] = mapped_column(Real(0))
    latency_ratio_error: Mapped[float | None] = mapped_column(Real(0))
    memory_mib: Mapped[float | None] = mapped_column(Real(0))
    seconds: Mapped[float | None] = mapped_column(Real(0))
    device_seconds: Mapped[float | None] = mapped_column(Real(0))
    peak_memory_mib: Mapped[float | None] = mapped_column(Real(0))
    cpu_load: Mapped[float | None] = mapped_column(Real(0, 1))
    gpu_load: Mapped[float | None] = mapped_column(Real(0, 1))
    worker: Mapped[str | None] = mapped_column(CleanName(200))
    note: Mapped[str | None] = mapped_column(CleanText)
    environment: Mapped[str | None] = mapped_column(
        CleanName(16), ForeignKey("attentune_environments.digest")
    )
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class EpochRow(Base):
    """One epoch of one trial. `id` only grows, so that a live reader can ask for newer rows."""

    __tablename__ = "attentune_epochs"
    __table_args__ = (
        UniqueConstraint("trial_id", "epoch", name="attentune_epochs_once"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    trial_id: Mapped[int] = mapped_column(ForeignKey("attentune_trials.id", ondelete="CASCADE"))
    epoch: Mapped[int] = mapped_column(Whole)
    train_loss: Mapped[float | None]
    accuracy: Mapped[float | None]
    val_loss: Mapped[float | None]
    lr: Mapped[float | None]
    seconds: Mapped[float | None]
    metric_score: Mapped[float | None]


class MetricRow(Base):
    """A metric of a complete trial besides its accuracy, by its key."""

    __tablename__ = "attentune_metrics"

    trial_id: Mapped[int] = mapped_column(
        ForeignKey("attentune_trials.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    name: Mapped[str] = mapped_column(CleanName(40), primary_key=True)
    value: Mapped[float | None]


class FailureRow(Base):
    """Why a trial failed."""

    __tablename__ = "attentune_failures"

    trial_id: Mapped[int] = mapped_column(
        ForeignKey("attentune_trials.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    kind: Mapped[str] = mapped_column(CleanName(20))
    message: Mapped[str] = mapped_column(CleanText)
    traceback: Mapped[str] = mapped_column(CleanText(MAX_TRACEBACK_LENGTH, keep_end=True))


class RejectionRow(Base):
    """An architecture that a cost limit rejected before it was trained."""

    __tablename__ = "attentune_rejections"
    __table_args__ = (Index("attentune_rejections_study", "study_id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("attentune_studies.id", ondelete="CASCADE"))
    number: Mapped[int | None] = mapped_column(Whole)
    architecture_key: Mapped[str] = mapped_column(CleanName(12))
    architecture: Mapped[str] = mapped_column(ArchitectureText)
    reason: Mapped[str] = mapped_column(CleanText)
    rejected_at: Mapped[datetime] = mapped_column(UtcDateTime)


class InsertionRow(Base):
    """What the model of a study has to know about an insertion of one of its architectures."""

    __tablename__ = "attentune_insertions"
    __table_args__ = (Index("attentune_insertions_study", "study_id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("attentune_studies.id", ondelete="CASCADE"))
    text: Mapped[str] = mapped_column(CleanText)
    facts: Mapped[dict[str, Any]] = mapped_column(Json(dict))


class DataRecordRow(Base):
    """What a study was searched on; see `runners.data.prepared.record.DataRecord`.

    `images` is the list of the images, as the content of an `.npz` file.
    """

    __tablename__ = "attentune_data_records"

    study_id: Mapped[int] = mapped_column(
        ForeignKey("attentune_studies.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    facts: Mapped[dict[str, Any]] = mapped_column(Json(dict))
    images: Mapped[bytes] = mapped_column(LargeBinary)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TrialMarkRow(Base):
    """What a reader has marked of a trial: a star, tags, a note; see `trial_marks.TrialMarks`."""

    __tablename__ = "attentune_trial_marks"

    study_id: Mapped[int] = mapped_column(
        ForeignKey("attentune_studies.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    number: Mapped[int] = mapped_column(Whole, primary_key=True, autoincrement=False)
    starred: Mapped[bool] = mapped_column(Boolean)
    tags: Mapped[list[Any]] = mapped_column(Json(list))
    note: Mapped[str] = mapped_column(CleanText(MAX_NOTE_LENGTH))
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ProbeRow(Base):
    """What was measured once for all studies, such as the fastest precision on a device.

    `question` holds everything that the result in `answer` depends on; `digest` is its hash.
    """

    __tablename__ = "attentune_probes"

    digest: Mapped[str] = mapped_column(String(16), primary_key=True)
    question: Mapped[dict[str, Any]] = mapped_column(Json(dict))
    answer: Mapped[dict[str, Any]] = mapped_column(Json(dict))
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LeaseRow(Base):
    """The process that runs a study. `heartbeat` is in seconds since 1970, by the database.

    The last three columns are those of a `ProcessIdentity`. They are NULL where the operating
    system does not say, and in rows of older versions.
    """

    __tablename__ = "attentune_leases"

    study_id: Mapped[int] = mapped_column(
        ForeignKey("attentune_studies.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    token: Mapped[str] = mapped_column(CleanName(32))
    host: Mapped[str] = mapped_column(CleanName(255))
    pid: Mapped[int] = mapped_column(BigWhole)
    heartbeat: Mapped[float]
    boot_id: Mapped[str | None] = mapped_column(CleanName(64))
    pid_namespace: Mapped[str | None] = mapped_column(CleanName(64))
    process_start: Mapped[float | None]


class WriterRow(Base):
    """The last transaction of a thread that writes to PostgreSQL; see `postgresql_server`.

    `written_at` is in seconds since 1970, by the database.
    """

    __tablename__ = "attentune_writers"

    writer: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    written_at: Mapped[float]
