"""The epochs of a database: written as trials train, and followed by live readers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from sqlalchemy import RowMapping, Table, bindparam, delete, func, insert, select, update

from ...runners.results import EpochReport
from ..records import EpochRecord
from .connection import Database, retries_lost_connections
from .schema import EpochRow, TrialRow
from .studies import Study, StudyRepository
from .trial_queries import (
    check_present,
    epoch_columns,
    in_study_by_row_id,
    running_trial_ids,
    with_role,
)

_COLUMNS = (
    EpochRow.id,
    TrialRow.number,
    EpochRow.epoch,
    EpochRow.train_loss,
    EpochRow.accuracy,
    EpochRow.val_loss,
    EpochRow.lr,
    EpochRow.seconds,
    EpochRow.metric_score,
)

_TRIALS = cast(Table, TrialRow.__table__)
_ADVANCE = (
    update(_TRIALS)
    .where(_TRIALS.c.id == bindparam("trial"), _TRIALS.c.epochs < bindparam("epoch"))
    .values(epochs=bindparam("epoch"))
)


@retries_lost_connections
class EpochRepository:
    """The epochs of one database."""

    def __init__(self, database: Database, studies: StudyRepository) -> None:
        self._database, self._studies = database, studies

    def record(self, study: Study, number: int, report: EpochReport) -> bool:
        """Record an epoch of a running trial; return whether it is new.

        An epoch that is repeated after a resume replaces the earlier one, in a row with a new id,
        so that live readers see it again.

        Args:
            study: by record or name.
            number: of the trial.
            report: what the epoch showed.
        """
        return bool(self.record_all(study, [(number, report)]))

    def record_all(
        self, study: Study, reports: Sequence[tuple[int, EpochReport]]
    ) -> set[tuple[int, int]]:
        """Record epochs of running trials in one transaction; as `record`.

        Args:
            study: by record or name.
            reports: the number of the trial and what the epoch showed, for each.

        Returns:
            Those that are new: the number of the trial, and the epoch.

        Raises:
            StudyError: one of the trials is not running.
        """
        study_record = self._studies.record_of(study)
        with self._database.begin("write") as connection:
            numbers = [number for number, _ in reports]
            ids = running_trial_ids(connection, study_record, numbers)
            rows = {(ids[number], report.epoch): report for number, report in reports}
            # SQLite uses its index for a list of trials, but not for a list of pairs.
            known = select(EpochRow.id, EpochRow.trial_id, EpochRow.epoch).where(
                EpochRow.trial_id.in_(set(ids.values()))
            )
            earlier = {
                (row.trial_id, row.epoch): row.id
                for row in connection.execute(known)
                if (row.trial_id, row.epoch) in rows
            }
            if earlier:
                connection.execute(delete(EpochRow).where(EpochRow.id.in_(earlier.values())))
            values = [{"trial_id": i, **asdict(report)} for (i, _), report in rows.items()]
            connection.execute(insert(EpochRow), values)
            connection.execute(_ADVANCE, [{"trial": i, "epoch": epoch} for i, epoch in rows])
        return {(n, r.epoch) for n, r in reports if (ids[n], r.epoch) not in earlier}

    def read(
        self,
        study: Study,
        number: int | None = None,
        after_id: int | None = None,
        *,
        confirming: bool = False,
        at: Sequence[int] | None = None,
    ) -> list[EpochRecord]:
        """Epochs in the order in which they were recorded.

        Args:
            study: by record or name.
            number: of one trial; by default those of all trials of the search.
            after_id: only epochs with a higher row id, which are new since then.
            confirming: without a number, those of the confirming trials instead.
            at: only these epochs of every trial, such as the rungs.
        """
        record = self._studies.record_of(study)
        in_study = TrialRow.study_id == record.id
        query = (
            select(*epoch_columns(_COLUMNS, self._database.revision))
            .join(TrialRow, TrialRow.id == EpochRow.trial_id)
            .where(in_study if after_id is None else in_study_by_row_id(record))
            .order_by(EpochRow.id)
        )
        if number is not None:
            query = query.where(TrialRow.number == number)
        else:
            query = query.where(with_role(confirming))
        if after_id is not None:
            query = query.where(EpochRow.id > after_id)
        if at is not None:
            query = query.where(EpochRow.epoch.in_(at))
        with self._database.begin("read") as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def read_of_trials(self, study: Study, numbers: Sequence[int]) -> list[EpochRecord]:
        """All epochs of the trials of those numbers, in the order in which they were recorded."""
        query = (
            select(*epoch_columns(_COLUMNS, self._database.revision))
            .join(TrialRow, TrialRow.id == EpochRow.trial_id)
            .where(TrialRow.study_id == self._studies.record_of(study).id)
            .where(TrialRow.number.in_(numbers))
            .order_by(EpochRow.id)
        )
        with self._database.begin("read") as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def longest_seconds(self, study: Study) -> float | None:
        """Seconds of the longest epoch of a study, confirming trials included; None without any."""
        query = (
            select(func.max(EpochRow.seconds))
            .join(TrialRow, TrialRow.id == EpochRow.trial_id)
            .where(TrialRow.study_id == self._studies.record_of(study).id)
        )
        with self._database.begin("read") as connection:
            longest: float | None = connection.execute(query).scalar()
        return longest

    def last_id(self) -> int:
        """The highest row id in the database; `read(study, after_id=…)` reads the later ones."""
        query = select(func.coalesce(func.max(EpochRow.id), 0))
        with self._database.begin("read") as connection:
            return int(connection.execute(query).scalar_one())


def _record(row: RowMapping) -> EpochRecord:
    check_present(row, ("id", "number", "epoch"))
    # SQLite stores NaN as NULL.
    fields: dict[str, Any] = {name: math.nan if v is None else v for name, v in row.items()}
    fields["metric_score"] = row["metric_score"]
    return EpochRecord(fields.pop("id"), fields.pop("number"), EpochReport(**fields))
