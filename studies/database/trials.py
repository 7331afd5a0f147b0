"""The trials of a database: written as they run, and read in records or rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    delete,
    func,
    insert,
    not_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from ...errors import StoreError, StudyError
from ...runners.results import Costs, Failure, TrialResult
from ...spaces.architecture import Architecture
from ..records import (
    LOADS,
    SEARCH,
    RejectionRecord,
    State,
    StudyRecord,
    TrialRecord,
    TrialStart,
    clean_facts,
    digest_of,
)
from .connection import (
    Database,
    TransientError,
    insert_all_if_new,
    insert_if_new,
    retries_lost_connections,
)
from .metrics import insert_metrics, read_metrics
from .schema import ArchitectureRow, EnvironmentRow, EpochRow, FailureRow, RejectionRow, TrialRow
from .studies import Study, StudyRepository
from .trial_queries import (
    check_present,
    in_search,
    in_study_by_row_id,
    of_alternative,
    record_columns,
    running_trial_id,
    table_columns,
    trial_record,
    with_role,
)

Facts = Mapping[str, str]

MAX_COLUMN_INTEGER = 2**31 - 1
"""The greatest number that a column of PostgreSQL takes; a query with a greater one is an error."""
MAX_ROWS_PER_PART = 4000
"""Rows that are fetched at once; fetching tens of thousands at once is slower."""


@retries_lost_connections
class TrialRepository:
    """The trials of one database, with what was rejected before training."""

    def __init__(self, database: Database, studies: StudyRepository) -> None:
        self._database, self._studies = database, studies

    # Writing

    def start(
        self,
        study: Study,
        number: int,
        architecture: Architecture,
        *,
        seed: int,
        role: str = SEARCH,
        costs: Costs | None = None,
        worker: str | None = None,
    ) -> None:
        """Record that a trial begins. A resumed trial is running already and is not started again.

        Args:
            study: by record or name.
            number: of the trial in the study.
            architecture: what is trained.
            seed: of the trial.
            role: one of the roles in `studies.records`.
            costs: None if they are not known yet.
            worker: the worker that trains it; None if that is not known yet.

        Raises:
            StudyError: the number is taken, or this architecture has run with this seed before and
                did not fail.
        """
        self.start_all(study, [TrialStart(number, architecture, seed, role, costs, worker)])

    def start_all(self, study: Study, trials: Sequence[TrialStart]) -> None:
        """Record in one transaction that trials begin; as `start`.

        Args:
            study: by record or name.
            trials: that begin.

        Raises:
            StudyError: one of them cannot start, so none is recorded.
        """
        record = self._studies.record_of(study)
        architectures = {trial.architecture.key: trial.architecture for trial in trials}
        rows = [
            {"key": key, "text": str(architecture), "backbone": architecture.backbone}
            for key, architecture in architectures.items()
        ]
        try:
            with self._database.begin("write") as connection:
                insert_all_if_new(connection, ArchitectureRow, rows)
                values = [_start_row(record, trial) for trial in trials]
                connection.execute(insert(TrialRow), values)
        except StoreError as error:
            if isinstance(error, TransientError) or not isinstance(error.__cause__, IntegrityError):
                raise
            raise _start_error(record, trials) from None

    def set_worker(self, study: Study, number: int, worker: str) -> None:
        """Record which worker trains a running trial now.

        Args:
            study: by record or name.
            number: the trial's number in the study.
            worker: the worker's name.
        """
        self._update(study, number, worker=worker)

    def set_costs(self, study: Study, number: int, costs: Costs) -> None:
        """Record what the network of a running trial costs.

        Args:
            study: by record or name.
            number: the trial's number in the study.
            costs: None where something was not measured.
        """
        self._update(study, number, **asdict(costs))

    def add_seconds(self, study: Study, number: int, seconds: float) -> None:
        """Add the time of an interrupted trial, which stays running.

        Args:
            study: by record or name.
            number: the trial's number in the study.
            seconds: wall time since the trial was started or resumed.
        """
        self._update(study, number, seconds=func.coalesce(TrialRow.seconds, 0.0) + seconds)

    def finish(self, study: Study, number: int, result: TrialResult) -> None:
        """Complete a running trial. The result is on the disk when this returns.

        Args:
            study: by record or name.
            number: of the trial.
            result: accuracy, costs, durations and environment.

        Raises:
            StoreError: the accuracy is not a fraction, so the trial has to be recorded as failed.
        """
        has_accuracy = not math.isnan(result.accuracy) or result.metric_score is None
        if has_accuracy and not 0 <= result.accuracy <= 1:
            raise StoreError(
                f"trial {number} ended with accuracy {result.accuracy}, which is no fraction; "
                f"record it as failed."
            )
        record = self._studies.record_of(study)
        measured = (
            *("accuracy", "metric_score", "epochs"),
            *("seconds", "device_seconds", "peak_memory_mib", *LOADS),
        )
        values = asdict(result.costs) | {name: getattr(result, name) for name in measured}
        with self._database.begin("commit") as connection:
            trial_id = _close(connection, record, number, "complete", result.environment, **values)
            insert_metrics(connection, trial_id, result.metrics)

    def prune(
        self,
        study: Study,
        number: int,
        reason: str,
        *,
        seconds: float | None = None,
        device_seconds: float | None = None,
        environment: Facts | None = None,
        cpu_load: float | None = None,
        gpu_load: float | None = None,
    ) -> None:
        """Record that a running trial was stopped early, with the accuracy of its last epoch.

        Args:
            study: by record or name.
            number: of the trial in the study.
            reason: why it was pruned.
            seconds, device_seconds: that it took; by default the sum of its epochs.
            environment: what it ran on.
            cpu_load, gpu_load: as in a `TrialResult`.
        """
        record = self._studies.record_of(study)
        with self._database.begin("commit") as connection:
            trial_id = running_trial_id(connection, record, number)
            reached = (EpochRow.accuracy, EpochRow.metric_score)
            last = select(*reached).where(EpochRow.trial_id == trial_id)
            epoch = connection.execute(last.order_by(EpochRow.epoch.desc()).limit(1)).first()
            values = {
                "note": reason,
                "accuracy": _finite(epoch and epoch.accuracy),
                "metric_score": _finite(epoch and epoch.metric_score),
                "seconds": seconds,
                "device_seconds": device_seconds,
                "cpu_load": cpu_load,
                "gpu_load": gpu_load,
            }
            _close(connection, record, number, "pruned", environment, **values)

    def fail(
        self,
        study: Study,
        number: int,
        failure: Failure,
        *,
        seconds: float | None = None,
        environment: Facts | None = None,
    ) -> None:
        """Record that a running trial failed. Its architecture and seed may be tried again.

        Args:
            study: by record or name.
            number: of the trial in the study.
            failure: its kind, message and traceback.
            seconds: that it took; by default the sum of its epochs.
            environment: what it ran on.
        """
        record = self._studies.record_of(study)
        with self._database.begin("commit") as connection:
            trial_id = _close(connection, record, number, "failed", environment, seconds=seconds)
            connection.execute(insert(FailureRow).values(trial_id=trial_id, **asdict(failure)))

    def reject(
        self,
        study: Study,
        architecture: Architecture,
        reason: str,
        *,
        number: int | None = None,
    ) -> None:
        """Record that a cost limit rejected an architecture before training.

        Args:
            study: by record or name.
            architecture: what was rejected.
            reason: which limit it exceeds.
            number: of the trial that was started to measure it, which is removed.
        """
        record = self._studies.record_of(study)
        values = {
            "study_id": record.id,
            "number": number,
            "architecture": str(architecture),
            "architecture_key": architecture.key,
            "reason": reason,
            "rejected_at": datetime.now(UTC),
        }
        with self._database.begin("write") as connection:
            connection.execute(insert(RejectionRow).values(**values))
            if number is not None:
                measured = (TrialRow.study_id == record.id, TrialRow.number == number)
                connection.execute(delete(TrialRow).where(*measured, TrialRow.state == "running"))

    def _update(self, study: Study, number: int, **values: Any) -> None:
        record = self._studies.record_of(study)
        with self._database.begin("write") as connection:
            trial_id = running_trial_id(connection, record, number)
            connection.execute(update(TrialRow).where(TrialRow.id == trial_id).values(**values))

    # Reading

    def read(
        self, study: Study, *, state: State | None = None, confirming: bool = False
    ) -> list[TrialRecord]:
        """The trials of a search, or its confirming trials, by number.

        Confirming trials are evaluated on the test split, so they are never returned together.

        Args:
            study: by record or name.
            state: only trials in that state; by default all.
            confirming: read the confirming trials instead.
        """
        query = select(*record_columns(self._database.revision)).where(with_role(confirming))
        if state is not None:
            query = query.where(TrialRow.state == state)
        return self._read(study, query)

    def read_alternatives(self, study: Study, *, confirming: bool = False) -> list[TrialRecord]:
        """The trials of a study's alternatives to attention, by number.

        They are no architectures of the search space, so `read` never returns them.

        Args:
            study: by record or name.
            confirming: read those that are evaluated on the test split instead.
        """
        return self._read(
            study,
            select(*record_columns(self._database.revision)).where(of_alternative(confirming)),
        )

    def read_outside_search(self, study: Study) -> list[TrialRecord]:
        """All trials that `read` does not return for a search, by number: confirming trials, and
        those of alternatives."""
        return self._read(
            study, select(*record_columns(self._database.revision)).where(not_(in_search()))
        )

    def get(self, study: Study, number: int) -> TrialRecord:
        """One trial; StudyError if the study has no such number."""
        trials = self.get_many(study, [number])
        if trials:
            return trials[0]
        record = self._studies.record_of(study)
        numbers = [trial.number for trial in self.read(record)]
        known = f"its trials are {numbers[0]} to {numbers[-1]}" if numbers else "it has none yet"
        raise StudyError(f"the study {record.name!r} has no trial {number}; {known}.")

    def get_many(self, study: Study, numbers: Sequence[int]) -> list[TrialRecord]:
        """The trials with these numbers, by number; unknown numbers are ignored."""
        possible = [number for number in numbers if 0 <= number <= MAX_COLUMN_INTEGER]
        return self._read(
            study,
            select(*record_columns(self._database.revision)).where(TrialRow.number.in_(possible)),
        )

    def _read(self, study: Study, query: Any) -> list[TrialRecord]:
        record = self._studies.record_of(study)
        query = (
            query.join(ArchitectureRow, ArchitectureRow.key == TrialRow.architecture_key)
            .outerjoin(FailureRow, FailureRow.trial_id == TrialRow.id)
            .where(TrialRow.study_id == record.id)
            .order_by(TrialRow.number)
        )
        metric = record.metric.stored_name
        further = record.further_metrics
        with self._database.begin("read") as connection:
            trials = [trial_record(row, metric) for row in connection.execute(query).mappings()]
            if not further:
                return trials
            recorded = read_metrics(connection, record)
        return [
            replace(trial, further={o.key: recorded[trial.number][o.key] for o in further})
            if all(o.key in recorded.get(trial.number, {}) for o in further)
            else trial
            for trial in trials
        ]

    def read_changed(
        self, study: Study, after_id: int, running: Sequence[int]
    ) -> Iterator[Sequence[Row[Any]]]:
        """Rows for `trial_table.TrialTable`, in parts: trials of the search that have changed.

        Args:
            study: by record or name.
            after_id: trials with a higher row id are new.
            running: row ids of trials that were running, which are read again.
        """
        record = self._studies.record_of(study)
        query = (
            select(*table_columns(self._database.revision))
            .join(ArchitectureRow, ArchitectureRow.key == TrialRow.architecture_key)
            .where(in_study_by_row_id(record), with_role(confirming=False))
            .order_by(TrialRow.id)
        )
        with self._database.begin("read") as connection:
            if running:
                yield connection.execute(query.where(TrialRow.id.in_(running))).all()
            new = connection.execute(query.where(TrialRow.id > after_id))
            yield from new.partitions(MAX_ROWS_PER_PART)

    def read_complete(self, study: Study) -> Iterator[Sequence[Row[Any]]]:
        """Rows for `trial_table.TrialTable`, in parts: the complete trials of a search."""
        query = (
            select(*table_columns(self._database.revision))
            .join(ArchitectureRow, ArchitectureRow.key == TrialRow.architecture_key)
            .where(TrialRow.study_id == self._studies.record_of(study).id)
            .where(TrialRow.state == "complete", with_role(confirming=False))
            .order_by(TrialRow.id)
        )
        with self._database.begin("read") as connection:
            yield from connection.execute(query).partitions(MAX_ROWS_PER_PART)

    def read_rejections(self, study: Study) -> list[RejectionRecord]:
        """The architectures that cost limits rejected, in order."""
        query = select(
            RejectionRow.architecture,
            RejectionRow.architecture_key,
            RejectionRow.reason,
            RejectionRow.number,
            RejectionRow.rejected_at,
        ).where(RejectionRow.study_id == self._studies.record_of(study).id)
        with self._database.begin("read") as connection:
            rows = connection.execute(query.order_by(RejectionRow.id)).all()
            for row in rows:
                check_present(
                    row._mapping, ("architecture", "architecture_key", "reason", "rejected_at")
                )
            return [RejectionRecord(*row) for row in rows]

    def read_environments(self, study: Study) -> dict[str, dict[str, str]]:
        """What the trials of a study ran on, by the digest in `TrialRecord.environment`."""
        record = self._studies.record_of(study)
        used = select(TrialRow.environment).where(TrialRow.study_id == record.id)
        query = select(EnvironmentRow.digest, EnvironmentRow.facts)
        query = query.where(EnvironmentRow.digest.in_(used))
        with self._database.begin("read") as connection:
            return {row.digest: clean_facts(row.facts or {}) for row in connection.execute(query)}


def _finite(value: float | None) -> float | None:
    """A number that SQLite may have stored as NULL, or None if it is not a number."""
    return None if value is None or math.isnan(value) else value


def _start_error(study: StudyRecord, trials: Sequence[TrialStart]) -> StudyError:
    if len(trials) == 1:
        trial = trials[0]
        return StudyError(
            f"trial {trial.number} of {study.name!r} cannot start: its number is taken, or "
            f"{trial.architecture} has run with seed {trial.seed} already."
        )
    numbers = ", ".join(str(trial.number) for trial in trials)
    return StudyError(
        f"trials {numbers} of {study.name!r} cannot start: the number of one of them is taken, or "
        "its architecture has run with its seed already."
    )


def _start_row(study: StudyRecord, trial: TrialStart) -> dict[str, Any]:
    """The columns of a running trial."""
    costs = trial.costs
    known = {f.name: costs and getattr(costs, f.name) for f in fields(Costs)}
    return known | {
        "study_id": study.id,
        "number": trial.number,
        "architecture_key": trial.architecture.key,
        "seed": trial.seed,
        "role": trial.role,
        "state": "running",
        "epochs": 0,
        "worker": trial.worker,
        "started_at": datetime.now(UTC),
    }


def _close(
    connection: Connection,
    study: StudyRecord,
    number: int,
    state: str,
    environment: Facts | None,
    **values: Any,
) -> int:
    """Record that a running trial has ended in a state; return its row id."""
    trial_id = running_trial_id(connection, study, number)
    if values.get("seconds") is None:
        spent = select(func.sum(EpochRow.seconds)).where(EpochRow.trial_id == trial_id)
        values["seconds"] = connection.execute(spent).scalar()
    if environment is not None:
        facts = clean_facts(environment)
        values["environment"] = digest_of(facts)
        insert_if_new(connection, EnvironmentRow, digest=values["environment"], facts=facts)
    values |= {"state": state, "finished_at": datetime.now(UTC)}
    connection.execute(update(TrialRow).where(TrialRow.id == trial_id).values(**values))
    return trial_id
