"""The rows of Optuna's tables are those that Optuna's own storage writes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import optuna
import pytest
from attentune.errors import StudyError
from attentune.search.run.optuna_tables import OptunaTables
from attentune.studies.database.optuna_rows import (
    OptunaEnd,
    OptunaParameter,
    OptunaRows,
    OptunaTrial,
)
from attentune.studies.database.store import Store
from optuna.distributions import CategoricalDistribution, distribution_to_json
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import MetaData, select

CHOICES = CategoricalDistribution(["none", "se", 8, None])
VALUES = {
    0: OptunaEnd(0, "COMPLETE", [0.5, float("inf")]),
    2: OptunaEnd(2, "PRUNED", None),
    3: OptunaEnd(3, "COMPLETE", [float("-inf"), 3.0]),
}
ADDED = {"constraints": [1.5, -2.0], "fixed_params": {"s1": "se"}}


def running_trial(number: int) -> FrozenTrial:
    params = {f"stage {i}": CHOICES.choices[(number + i) % 4] for i in range(number)}
    trial = create_trial(
        state=TrialState.RUNNING,
        params=params,
        distributions=dict.fromkeys(params, CHOICES),
        user_attrs={"architecture": f"r18 / {number}", "seed": number, "ключ": "値"},
        system_attrs={"nested": {"a": [1, None]}},
    )
    trial.number, trial.datetime_start = number, datetime(2026, 1, 2, 3, 4, 5, 678)
    return trial


def as_row(trial: FrozenTrial) -> OptunaTrial:
    parameters = {
        name: OptunaParameter(CHOICES.to_internal_repr(value), distribution_to_json(CHOICES))
        for name, value in trial.params.items()
    }
    attributes = (trial.user_attrs, trial.system_attrs)
    return OptunaTrial(trial.number, trial.datetime_start, parameters, *attributes)


def create(tables: OptunaTables, name: str) -> int:
    with tables.begin("commit") as storage:
        optuna.create_study(study_name=name, storage=storage, directions=["maximize", "minimize"])
        return int(storage.get_study_id_from_name(name))


def write_with_optuna(tables: OptunaTables) -> int:
    study_id = create(tables, "reference")
    with tables.begin("write") as storage:
        ids = {n: storage.create_new_trial(study_id, running_trial(n)) for n in range(5)}
        for key, value in ADDED.items():
            storage.set_trial_system_attr(ids[1], key, value)
        for end in VALUES.values():
            state = TrialState[end.state]
            storage.set_trial_state_values(ids[end.number], state, end.values)
    return study_id


def write_in_bulk(store: Store, tables: OptunaTables) -> int:
    study_id = create(tables, "bulk")
    with store.begin("write") as connection:
        rows = OptunaRows(connection, study_id, "bulk")
        ids = rows.add(connection, [as_row(running_trial(n)) for n in range(3)])
    rows.remember(ids)
    with store.begin("write") as connection:
        ids = rows.add(connection, [as_row(running_trial(n)) for n in range(3, 5)])
        rows.add_system_attributes(connection, [(1, ADDED)], ids)
        rows.end(connection, list(VALUES.values()), ids)
    rows.remember(ids)
    return study_id


def contents(store: Store, study_id: int) -> dict[str, list[tuple]]:
    """All rows of a study's trials, with the trial's number in place of ids."""
    metadata = MetaData()
    with store.begin("read") as connection:
        metadata.reflect(connection)
        trials = metadata.tables["trials"]
        of_study = connection.execute(select(trials).where(trials.c.study_id == study_id))
        rows = of_study.mappings().all()
        numbers = {row["trial_id"]: row["number"] for row in rows}
        found = {
            "trials": [
                (r["number"], r["state"], r["datetime_start"], r["datetime_complete"] is None)
                for r in rows
            ]
        }
        for name, table in metadata.tables.items():
            if name.startswith("trial_"):
                primary = {column.name for column in table.primary_key}
                kept = [c for c in table.c if c.name not in primary | {"trial_id"}]
                query = select(table.c.trial_id, *kept).where(table.c.trial_id.in_(numbers))
                found[name] = sorted(
                    (numbers[i], *map(repr, values)) for i, *values in connection.execute(query)
                )
    return found


def test_rows_written_in_bulk_are_those_that_optuna_writes(store: Store) -> None:
    tables = OptunaTables(store)
    reference = contents(store, write_with_optuna(tables))
    assert contents(store, write_in_bulk(store, tables)) == reference
    assert len(reference["trial_params"]) == 10
    assert len(reference["trial_values"]) == 4
    loaded = [
        [(t.state, t.values, t.params, t.user_attrs, t.system_attrs) for t in study.trials]
        for study in (
            optuna.load_study(study_name=n, storage=store.url) for n in ("bulk", "reference")
        )
    ]
    assert loaded[0] == loaded[1]


def test_a_trial_that_another_program_has_ended_stops_the_study(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db", create=True) as store:
        tables = OptunaTables(store)
        study_id = create(tables, "s")
        with store.begin("write") as connection:
            rows = OptunaRows(connection, study_id, "s")
            rows.remember(rows.add(connection, [as_row(running_trial(n)) for n in range(2)]))
        optuna.load_study(study_name="s", storage=store.url).tell(1, state=TrialState.FAIL)
        ends = [OptunaEnd(0, "PRUNED", None), OptunaEnd(1, "PRUNED", None)]
        with (
            pytest.raises(StudyError, match="another program has ended trials"),
            store.begin("write") as connection,
        ):
            rows.end(connection, ends, {})
        study = optuna.load_study(study_name="s", storage=store.url)
        assert [t.state for t in study.trials] == [TrialState.RUNNING, TrialState.FAIL]
