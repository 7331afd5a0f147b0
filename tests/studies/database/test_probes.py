"""Results of measurements that are made once for all studies."""

from __future__ import annotations

from pathlib import Path

from attentune.studies.database.store import Store
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
        store.studies.create("s", backbone="b", objectives=("accuracy",), config={}, seed=0)
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("drop table attentune_probes"))
        connection.execute(text("drop table attentune_writers"))
        connection.execute(text("drop table attentune_metrics"))
        connection.execute(text("drop index attentune_trials_alternative_once"))
        for column in ("boot_id", "pid_namespace", "process_start"):
            connection.execute(text(f"alter table attentune_leases drop column {column}"))
        connection.execute(text("update attentune_alembic_version set version_num = '0001'"))
    engine.dispose()
    with Store.open(path, read_only=True) as store:
        assert [study.name for study in store.studies.read_all()] == ["s"]
    with Store.open(path) as store:
        store.probes.put(QUESTION, {"precision": "bf16"})
        assert [study.name for study in store.studies.read_all()] == ["s"]
