"""Results of measurements that are made once for all studies."""

from __future__ import annotations

from pathlib import Path

from attentune.runners.results import Costs
from attentune.spaces.architecture import Architecture
from attentune.studies.analysis.trial_table import TRIAL_COLUMNS
from attentune.studies.database.store import Store
from attentune.studies.records import COST_ERROR_KEYS, LOADS
from sqlalchemy import create_engine, text

QUESTION = {"backbone": "resnet18", "device": "cpu"}


def test_a_result_is_stored_under_its_question(target: str) -> None:
    with Store.open(target, create=True) as store:
        assert store.probes.get(QUESTION) is None
        store.probes.put(QUESTION, {"precision": "bf16"})
        store.probes.put(QUESTION, {"precision": "float32", "ms": {"float32": 1.5}})
        store.probes.put({**QUESTION, "device": "cuda"}, {"precision": "bf16"})
    with Store.open(target) as store:
        other_order = dict(reversed(QUESTION.items()))
        assert store.probes.get(other_order) == {"precision": "float32", "ms": {"float32": 1.5}}


def test_a_database_without_the_table_can_be_read_and_is_migrated(
    tmp_path: Path,
) -> None:
    path = tmp_path / "old.db"
    with Store.open(path, create=True) as store:
        study = store.studies.create("s", backbone="b", objectives=("accuracy",), config={}, seed=0)
        costs = Costs(7, 8, latency_ms=9.0)
        store.trials.start(study, 0, Architecture("b"), seed=0, costs=costs)
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("drop table attentune_probes"))
        connection.execute(text("drop table attentune_writers"))
        connection.execute(text("drop table attentune_trial_marks"))
        connection.execute(text("drop table attentune_metrics"))
        connection.execute(text("drop table attentune_insertions"))
        connection.execute(text("drop table attentune_data_records"))
        connection.execute(text("drop index attentune_trials_alternative_once"))
        for column in ("boot_id", "pid_namespace", "process_start"):
            connection.execute(text(f"alter table attentune_leases drop column {column}"))
        for column in (*COST_ERROR_KEYS, *LOADS):
            connection.execute(text(f"alter table attentune_trials drop column {column}"))
        for table in ("attentune_trials", "attentune_epochs"):
            connection.execute(text(f"alter table {table} drop column metric_score"))
        connection.execute(text("update attentune_alembic_version set version_num = '0001'"))
    engine.dispose()
    with Store.open(path, read_only=True) as store:
        assert [study.name for study in store.studies.read_all()] == ["s"]
        assert [trial.costs for trial in store.trials.read("s")] == [Costs(7, 8, 9.0)]
        [rows] = store.trials.read_changed("s", 0, [])
        assert len(rows[0]) == len(TRIAL_COLUMNS)
    with Store.open(path) as store:
        assert [trial.costs for trial in store.trials.read("s")] == [Costs(7, 8, 9.0)]
        store.probes.put(QUESTION, {"precision": "bf16"})
        assert [study.name for study in store.studies.read_all()] == ["s"]
