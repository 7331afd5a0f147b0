"""The metrics of complete trials besides accuracy: written with a result, read by trial."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, insert, select

from ...runners.metrics import in_order
from ..records import StudyRecord
from .connection import Database, retries_lost_connections
from .schema import MetricRow, TrialRow
from .studies import Study, StudyRepository

FIRST_REVISION = "0010"
"""Databases of an earlier revision, which are only read, have no metrics."""


def insert_metrics(connection: Connection, trial_id: int, metrics: Mapping[str, float]) -> None:
    """Write the metrics of a trial.

    Args:
        connection: in the transaction of its result.
        trial_id: its row id.
        metrics: by key.
    """
    rows = [{"trial_id": trial_id, "name": name, "value": value} for name, value in metrics.items()]
    if rows:
        connection.execute(insert(MetricRow), rows)


def read_metrics(connection: Connection, study: StudyRecord) -> dict[int, dict[str, float]]:
    """The metrics of all complete trials of a study by number; see `MetricRepository.read`.

    Args:
        connection: inside a transaction.
        study: whose trials they are.
    """
    query = (
        select(TrialRow.number, MetricRow.name, MetricRow.value)
        .join(TrialRow, TrialRow.id == MetricRow.trial_id)
        .where(TrialRow.study_id == study.id, TrialRow.state == "complete")
        .order_by(TrialRow.number)
    )
    metrics: dict[int, dict[str, float]] = {}
    for number, name, value in connection.execute(query):
        if value is not None:
            metrics.setdefault(number, {})[name] = value
    return {
        number: {name: values[name] for name in in_order(values)}
        for number, values in metrics.items()
    }


@retries_lost_connections
class MetricRepository:
    """The metrics of one database."""

    def __init__(self, database: Database, studies: StudyRepository) -> None:
        self._database, self._studies = database, studies

    def read(self, study: Study) -> dict[int, dict[str, float]]:
        """The metrics of all complete trials by number, each in the order of `METRICS`.

        Those of a user's own evaluation follow. Trials of earlier versions have none.
        """
        if self._database.revision < FIRST_REVISION:
            return {}
        record = self._studies.record_of(study)
        with self._database.begin("read") as connection:
            return read_metrics(connection, record)
