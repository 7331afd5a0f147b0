"""Rows of Optuna's tables, written in bulk.

Optuna's storage writes each parameter, attribute and value of a trial with statements of its own,
and counts all earlier trials for each new one: some 40 ms for a trial, in which a search of many
workers waits. Here the rows of several trials are one statement for each table. They are the rows
that Optuna writes; `tests/studies/database/test_optuna_rows.py` compares them. The tables are read
from the database, so no private part of Optuna is used.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, MetaData, Table, func, insert, select, update

from ...errors import StudyError

_RUNNING = "RUNNING"
_TABLES = (
    "studies",
    "trials",
    "trial_params",
    "trial_user_attributes",
    "trial_system_attributes",
    "trial_values",
)


@dataclass(frozen=True)
class OptunaParameter:
    """A parameter of a trial as Optuna stores it.

    Attributes:
        value: the index of a category, or the number.
        distribution: what it was drawn from, as JSON.
    """

    value: float
    distribution: str


@dataclass(frozen=True)
class OptunaTrial:
    """A running trial.

    Attributes:
        number: in its study.
        started: a local time if it has no time zone.
        parameters: by name.
        user_attributes, system_attributes: by key; what JSON can hold.
    """

    number: int
    started: datetime | None
    parameters: Mapping[str, OptunaParameter]
    user_attributes: Mapping[str, Any]
    system_attributes: Mapping[str, Any]


@dataclass(frozen=True)
class OptunaEnd:
    """How a trial ended.

    Attributes:
        number: in its study.
        state: Optuna's name of it: COMPLETE, PRUNED or FAIL.
        values: of the objectives, for a complete trial.
    """

    number: int
    state: str
    values: Sequence[float] | None


class OptunaRows:
    """The rows of the trials of one Optuna study.

    Args:
        connection: to the database, inside a transaction.
        study_id: of the study, in Optuna's table.
        name: of the study, for messages.
    """

    def __init__(self, connection: Connection, study_id: int, name: str) -> None:
        metadata = MetaData()
        metadata.reflect(connection, only=_TABLES)
        self._tables = metadata.tables
        self._study_id, self._name = study_id, name
        rows = self._table("trials")
        stored = select(rows.c.number, rows.c.trial_id).where(rows.c.study_id == study_id)
        self._ids: dict[int, int] = dict(map(tuple, connection.execute(stored)))

    def add(self, connection: Connection, trials: Sequence[OptunaTrial]) -> dict[int, int]:
        """Add running trials with their parameters and attributes.

        Args:
            connection: inside a transaction.
            trials: in the order of their numbers, which follow those that are stored.

        Returns:
            The ids of their rows by number, for `remember` once the transaction is committed.

        Raises:
            StudyError: somebody else has added trials to the study, so that the numbers differ.
        """
        if not trials:
            return {}
        ids = self._add_trials(connection, trials)
        of_trials = [(ids[trial.number], trial) for trial in trials]
        self._insert(
            connection,
            "trial_params",
            [
                {
                    "trial_id": trial_id,
                    "param_name": name,
                    "param_value": parameter.value,
                    "distribution_json": parameter.distribution,
                }
                for trial_id, trial in of_trials
                for name, parameter in trial.parameters.items()
            ],
        )
        attributes = [(trial_id, trial.user_attributes) for trial_id, trial in of_trials]
        self._insert(connection, "trial_user_attributes", _attribute_rows(attributes))
        attributes = [(trial_id, trial.system_attributes) for trial_id, trial in of_trials]
        self._insert(connection, "trial_system_attributes", _attribute_rows(attributes))
        return ids

    def _add_trials(self, connection: Connection, trials: Sequence[OptunaTrial]) -> dict[int, int]:
        """Add the rows of trials themselves; return their ids by number."""
        rows, last = self._table("trials"), max(self._ids.values(), default=0)
        self._lock(connection)
        in_study = (rows.c.study_id == self._study_id, rows.c.trial_id > last)
        foreign = connection.execute(select(func.count()).where(*in_study)).scalar_one()
        if foreign or trials[0].number != len(self._ids):
            raise StudyError(
                f"another program has added trials to the Optuna study {self._name!r} while it "
                "ran; attentune stops, because the numbers of trials no longer agree."
            )
        values = [
            {
                "number": trial.number,
                "study_id": self._study_id,
                "state": _RUNNING,
                "datetime_start": _utc(trial.started),
            }
            for trial in trials
        ]
        connection.execute(insert(rows), values)
        query = select(rows.c.number, rows.c.trial_id).where(*in_study)
        return dict(map(tuple, connection.execute(query)))

    def remember(self, ids: Mapping[int, int]) -> None:
        """Know the rows of trials whose transaction is committed."""
        self._ids.update(ids)

    def add_system_attributes(
        self,
        connection: Connection,
        attributes: Iterable[tuple[int, Mapping[str, Any]]],
        new: Mapping[int, int],
    ) -> None:
        """Add attributes that the trials do not have yet.

        Args:
            connection: inside a transaction.
            attributes: of trials by number.
            new: the ids of trials that this transaction has added.
        """
        ids = {**self._ids, **new}
        rows = _attribute_rows([(ids[number], values) for number, values in attributes])
        self._insert(connection, "trial_system_attributes", rows)

    def end(
        self, connection: Connection, ends: Sequence[OptunaEnd], new: Mapping[int, int]
    ) -> None:
        """Record how running trials ended.

        Args:
            connection: inside a transaction.
            ends: of the trials.
            new: the ids of trials that this transaction has added.

        Raises:
            StudyError: another program has ended one of them.
        """
        ids, rows = {**self._ids, **new}, self._table("trials")
        by_state: defaultdict[str, list[int]] = defaultdict(list)
        for end in ends:
            by_state[end.state].append(ids[end.number])
        for state, trial_ids in by_state.items():
            is_running = (rows.c.trial_id.in_(trial_ids), rows.c.state == _RUNNING)
            ended = update(rows).where(*is_running)
            values = {"state": state, "datetime_complete": _utc(datetime.now(UTC))}
            if connection.execute(ended.values(values)).rowcount != len(trial_ids):
                raise StudyError(
                    f"another program has ended trials of the Optuna study {self._name!r} while it "
                    "ran; attentune stops, because the two no longer agree."
                )
        self._insert(
            connection,
            "trial_values",
            [
                {"trial_id": ids[end.number], "objective": objective, **_stored_value(value)}
                for end in ends
                for objective, value in enumerate(end.values or ())
            ],
        )

    def _table(self, name: str) -> Table:
        return self._tables[name]

    def _lock(self, connection: Connection) -> None:
        """Keep other programs from adding trials until the transaction ends, as Optuna does."""
        studies = self._table("studies")
        is_study = studies.c.study_id == self._study_id
        connection.execute(select(studies.c.study_id).where(is_study).with_for_update())

    def _insert(self, connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
        if rows:
            connection.execute(insert(self._table(table)), rows)


def _attribute_rows(attributes: Iterable[tuple[int, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for trial_id, values in attributes
        for key, value in values.items()
    ]


def _stored_value(value: float) -> dict[str, Any]:
    """The columns of a value: databases hold no infinite numbers."""
    kinds = {float("inf"): "INF_POS", float("-inf"): "INF_NEG"}
    kind = kinds.get(value, "FINITE")
    return {"value": value if kind == "FINITE" else None, "value_type": kind}


def _utc(time: datetime | None) -> datetime | None:
    """A time as Optuna stores it: UTC without saying so. It gives local times in the same way."""
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None)
