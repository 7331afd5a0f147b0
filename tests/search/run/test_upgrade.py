"""A study of the previous release is brought up to date, with a backup, and goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from attentune.errors import StoreError
from attentune.search.run.session import delete_study
from attentune.studies.database import schema
from attentune.studies.database.connection import Database
from attentune.studies.database.store import Store

EARLIER_RELEASE = Path(__file__).parents[2] / "studies" / "database" / "earlier_release.sql"
"""Five complete trials of eight, and one after its first epoch; of revision 0002."""


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A database as the previous release has left it."""
    database = tmp_path / "bench.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(EARLIER_RELEASE.read_text("utf-8"))
        connection.execute("pragma journal_mode=wal")
    return database


def dump(database: Path) -> str:
    with closing(sqlite3.connect(f"file:{database}?immutable=1", uri=True)) as connection:
        return "\n".join(connection.iterdump())


def test_a_study_of_the_previous_release_goes_on(earlier: Path, bench: Any) -> None:
    before = bench.store.trials.read("earlier")
    run = bench.run("earlier", 8)
    after = bench.store.trials.read("earlier")
    assert run.done == 8
    assert after[:5] == before[:5]
    assert [trial.number for trial in after] == list(range(8))
    assert (after[5].key, after[5].seed, after[5].state) == (before[5].key, 0, "complete")
    assert {trial.state for trial in after} == {"complete"}
    trials = optuna.load_study(study_name="earlier", storage=f"sqlite:///{earlier}").trials
    assert [trial.user_attrs["key"] for trial in trials] == [trial.key for trial in after]


def test_the_database_is_copied_before_it_is_changed(earlier: Path, tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    before = dump(earlier)
    Store.open(earlier, read_only=True).close()
    assert [path.name for path in tmp_path.iterdir()] == ["bench.db"], "a reader changes nothing"
    Store.open(earlier).close()
    Store.open(earlier).close()
    backup = tmp_path / "bench.db.0002.backup"
    assert {path.name for path in tmp_path.iterdir()} == {"bench.db", backup.name}
    assert dump(backup) == before
    assert f"{backup.name} is a copy of it as it was" in caplog.text
    with Store.open(earlier) as store:
        assert len(store.trials.read("earlier")) == 6
    backup.rename(earlier)
    Store.open(earlier).close()
    assert dump(tmp_path / backup.name) == before, "a backup can be put back, and migrated again"


def test_a_second_backup_replaces_no_earlier_one(earlier: Path, tmp_path: Path) -> None:
    (tmp_path / "bench.db.0002.backup").write_text("precious")
    Store.open(earlier).close()
    assert (tmp_path / "bench.db.0002.backup").read_text() == "precious"
    assert (tmp_path / "bench.db.0002-2.backup").stat().st_size


def test_without_a_backup_nothing_is_changed(
    earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(earlier)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("attentune.files.sync_file", fail)
    with pytest.raises(StoreError, match=r"cannot be copied.*No space left on device"):
        Store.open(earlier)
    monkeypatch.undo()
    assert dump(earlier) == before
    assert [path.name for path in earlier.parent.iterdir()] == ["bench.db"]


def test_a_migration_that_is_killed_leaves_the_earlier_revision(
    earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(earlier)
    monkeypatch.setattr(Database, "_check_fences", lambda *_: None)

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("alembic.op.add_column", kill)
    with pytest.raises(Killed):
        Store.open(earlier)
    monkeypatch.undo()
    assert dump(earlier) == before
    with Store.open(earlier) as store, store.begin("read") as connection:
        revision = connection.exec_driver_sql(f"select version_num from {schema.VERSION_TABLE}")
        assert revision.scalar() == schema.HEAD


def test_a_study_of_the_previous_release_can_be_removed(earlier: Path) -> None:
    with Store.open(earlier) as store:
        delete_study(store, "earlier")
        assert store.studies.read_all() == []
        assert optuna.get_all_study_names(store.url) == []


def test_a_study_that_optuna_has_lost_is_restored_from_the_records(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    config = bench.config(limits={"params": 1_200_000})
    bench.run("s", 8, config, on_epoch=lambda study, trial, _: trial.number < 7 or study.stop())

    def contents() -> list[tuple[object, ...]]:
        study = optuna.load_study(study_name="s", storage=bench.store.url)
        return [(t.number, t.state, t.values, t.params, t.user_attrs) for t in study.trials]

    before, rows = contents(), bench.rows("s")
    assert rows[-1][3] == "running"
    optuna.delete_study(study_name="s", storage=bench.store.url)
    proposer = bench.proposer("s")
    proposer.recover()
    proposer.study.write()
    assert contents() == before
    assert "lacks the trials from 0 to 7" in caplog.text
    bench.run("s", 10)
    assert len(contents()) == 10
