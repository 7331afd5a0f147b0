"""Opening a database: what can be wrong, how it is written, and living beside Optuna."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from attentune.errors import StoreError
from attentune.runners.results import EpochReport, Failure, TrialResult
from attentune.spaces.architecture import parse
from attentune.studies.database import schema
from attentune.studies.database.connection import Database, Mode
from attentune.studies.database.sqlite_file import SqliteFile
from attentune.studies.database.store import Store
from attentune.studies.records import StudyRecord

SE = parse("resnet18+se(r=16)@all.residual")


def make_nothing(path: Path) -> None:
    pass


def make_folder(path: Path) -> None:
    path.mkdir()


def make_text(path: Path) -> None:
    path.write_text("a,b,c\n1,2,3\n" * 100, encoding="utf-8")


def make_short_text(path: Path) -> None:
    path.write_text("hi", encoding="utf-8")


def make_empty(path: Path) -> None:
    path.touch()


def make_other_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table songs (title)")
    connection.close()


def make_newer(path: Path) -> None:
    Store.open(path, create=True).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"update {schema.VERSION_TABLE} set version_num = '0999'")
    connection.close()


def make_broken(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)


@pytest.mark.parametrize(
    ("make", "create", "says"),
    [
        (make_nothing, False, "there is no database .*x.db; start a study with `attentune search`"),
        (make_folder, True, "x.db is a folder; name a file in it"),
        (make_text, True, "x.db is no SQLite database; name another file"),
        (make_short_text, True, "x.db is no SQLite database"),
        (make_empty, False, "holds no attentune studies; start one"),
        (make_other_database, False, "holds no attentune studies; start one"),
        (make_newer, True, r"written by a newer attentune \(schema 0999.*pip install -U"),
        (make_broken, True, "is damaged, or it is not an SQLite database"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(
    tmp_path: Path, make: Callable[[Path], None], create: bool, says: str
) -> None:
    make(tmp_path / "x.db")
    with pytest.raises(StoreError, match=says):
        Store.open(tmp_path / "x.db", create=create)


def test_a_damaged_schema_that_is_no_text_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    with Store.open(path, create=True):
        pass
    content, statement = path.read_bytes(), b"CREATE TABLE attentune_leases ("
    assert content.count(statement) == 1
    path.write_bytes(content.replace(statement, statement.replace(b"TABLE", b"TABL\xee")))
    with pytest.raises(StoreError, match="is damaged"):
        Store.open(path)


def test_an_interrupt_waits_until_a_database_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, close, closed = Store.open(tmp_path / "s.db", create=True), SqliteFile.close, []

    def close_while_interrupted(self: SqliteFile) -> None:
        signal.raise_signal(signal.SIGINT)
        close(self)
        closed.append(self)

    monkeypatch.setattr(SqliteFile, "close", close_while_interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.close()
    assert closed


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("missing/deep/x.db", "the folder .*missing/deep does not exist; make it first"),
        ("sqlite://", "would be lost when the process ends; name a file"),
        ("sqlite:///:memory:", "would be lost when the process ends"),
        ("mysql://me@host/db", "mysql is not supported; use an SQLite path or a postgresql://"),
        ("postgresql://me@host:port/db", "the database URL cannot be read; it looks like"),
        ("://", "the database URL cannot be read"),
        ("postgresql://me@host", "names no database"),
    ],
)
def test_a_wrong_target_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=says):
        Store.open(target, create=True)


def test_a_missing_postgresql_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'attentune\[postgres\]'"):
        Store.open("postgres://me:secret@localhost/db")


def as_nobody(act: Callable[[], list[str]]) -> list[str]:
    """What `act` says in a child process that has no special rights."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            os.write(writing, "\n".join(act()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        return answer.read().splitlines()


def test_a_folder_that_cannot_be_written_can_still_be_read() -> None:
    folder = Path(tempfile.mkdtemp())

    def act() -> list[str]:
        said = []
        for name in ("new.db", "old.db"):
            try:
                Store.open(folder / name, create=True)
            except StoreError as error:
                said.append(str(error))
        with Store.open(folder / "old.db", read_only=True) as store:
            return [*said, *(study.name for study in store.studies.read_all())]

    try:
        with Store.open(folder / "old.db", create=True) as store:
            store.studies.create("kept", backbone="r", objectives=("accuracy",), config={}, seed=0)
        folder.chmod(0o555)
        new, old, name = as_nobody(act)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    assert new.endswith("is not writable; choose another with --db.")
    assert "is not writable; change its permissions, or copy" in old
    assert name == "kept"


def test_the_default_is_the_environment_then_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Store.open(create=True).close()
    assert (tmp_path / "attentune.db").is_file()
    monkeypatch.setenv("ATTENTUNE_DB", str(tmp_path / "other.db"))
    with Store.open(create=True) as store:
        assert store.name == str(tmp_path / "other.db")
        assert store.artifacts == tmp_path / "attentune.artifacts"
    assert (tmp_path / "other.db").is_file()


@pytest.mark.parametrize("name", ["with space.db", "50%.db", "a#b.db", "größe.db", "it's.db"])
def test_odd_file_names_work_for_us_and_for_optuna(tmp_path: Path, name: str) -> None:
    with Store.open(tmp_path / name, create=True) as store, optuna_storage(store.url) as storage:
        optuna.create_study(storage=storage, study_name="s")
    assert {p.name for p in tmp_path.iterdir()} >= {name}
    with sqlite3.connect(tmp_path / name) as connection:
        assert connection.execute("select study_name from studies").fetchall() == [("s",)]
    connection.close()


@contextmanager
def optuna_storage(url: str) -> Iterator[optuna.storages.RDBStorage]:
    storage = optuna.storages.RDBStorage(url)
    yield storage
    storage.remove_session()
    storage.engine.dispose()


def optuna_tables(url: str) -> dict[str, list[str]]:
    engine = sqlalchemy.create_engine(url)
    inspector = sqlalchemy.inspect(engine)
    found = {
        name: [column["name"] for column in inspector.get_columns(name)]
        for name in inspector.get_table_names()
        if not name.startswith(schema.PREFIX)
    }
    engine.dispose()
    return found


@pytest.mark.parametrize("optuna_first", [True, False])
def test_optuna_lives_in_the_same_database(target: str, tmp_path: Path, optuna_first: bool) -> None:
    url = target if "://" in target else f"sqlite:///{target}"
    before: dict[str, list[str]] = {}
    if optuna_first:
        with optuna_storage(url):
            pass
        before = optuna_tables(url)
        assert {"studies", "trials", "alembic_version"} <= set(before)
    with Store.open(target, create=True) as store:
        store.studies.create("s", backbone="r", objectives=("accuracy",), config={}, seed=0)
        with optuna_storage(store.url) as storage:
            study = optuna.create_study(
                storage=storage, study_name="s", directions=["maximize", "minimize"]
            )
            study.tell(study.ask({"x": optuna.distributions.IntDistribution(0, 9)}), [0.5, 3.0])
    with Store.open(target) as store, optuna_storage(store.url) as storage:
        loaded = optuna.load_study(storage=storage, study_name="s")
        assert [trial.values for trial in loaded.trials] == [[0.5, 3.0]]
        assert [s.name for s in store.studies.read_all()] == ["s"]
    if optuna_first:
        assert optuna_tables(url) == before


def test_migrations_build_what_the_models_say(target: str) -> None:
    Store.open(target, create=True).close()
    database = Database.open(target)
    with database.begin("read") as connection:
        options = {
            "version_table": schema.VERSION_TABLE,
            "include_object": lambda _, name, kind, *__: (
                kind != "table" or name.startswith(schema.PREFIX)
            ),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.Base.metadata) == []
    database.close()


def test_the_newest_revision_is_the_one_the_code_expects() -> None:
    scripts = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert scripts.get_current_head() == schema.HEAD


def test_many_may_create_one_database_at_once(target: str) -> None:
    errors: list[BaseException] = []

    def create() -> None:
        try:
            Store.open(target, create=True).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_sqlite_is_in_wal_mode_with_foreign_keys(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    Store.open(path, create=True).close()
    database = Database.open(path)
    with database.begin("read") as connection:
        pragma = {
            name: connection.exec_driver_sql(f"pragma {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    assert pragma == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000}
    levels = {}
    modes: tuple[Mode, ...] = ("commit", "write", "commit")
    for mode in modes:
        with database.begin(mode) as connection:
            levels[mode] = connection.exec_driver_sql("pragma synchronous").scalar()
    assert levels == {"commit": 2, "write": 1}, "FULL for results, NORMAL for epochs"
    database.close()


def test_results_are_committed_in_full_and_epochs_are_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    epoch: Callable[..., EpochReport],
    result: Callable[..., TrialResult],
) -> None:
    used: list[Mode] = []
    begin = Database.begin

    @contextmanager
    def spy(self: Database, mode: Mode) -> Iterator[sqlalchemy.Connection]:
        used.append(mode)
        with begin(self, mode) as connection:
            yield connection

    store = Store.open(tmp_path / "x.db", create=True)
    monkeypatch.setattr(Database, "begin", spy)

    def modes(act: Callable[[], object]) -> set[Mode]:
        used.clear()
        act()
        return set(used) - {"read"}

    study: list[StudyRecord] = []

    def create() -> None:
        study.append(
            store.studies.create("s", backbone="r", objectives=("accuracy",), config={}, seed=0)
        )

    assert modes(create) == {"commit"}
    for number in range(3):
        store.trials.start(study[0], number, SE, seed=number)
    assert modes(lambda: store.epochs.record(study[0], 0, epoch(1))) == {"write"}
    assert modes(lambda: store.trials.finish(study[0], 0, result())) == {"commit"}
    assert modes(lambda: store.trials.fail(study[0], 1, Failure("error", "x"))) == {"commit"}
    assert modes(lambda: store.trials.prune(study[0], 2, "x")) == {"commit"}
    store.close()


KILLED = """
import os, signal, sys
from attentune.runners.results import Costs, EpochReport, TrialResult
from attentune.spaces.architecture import parse
from attentune.studies.database.store import Store
store = Store.open(sys.argv[1], create=True)
study = store.studies.create("s", backbone="r", objectives=("accuracy",), config={}, seed=0)
store.trials.start(study, 0, parse("resnet18"), seed=0)
store.epochs.record(study, 0, EpochReport(
    epoch=1, train_loss=1.0, accuracy=0.4, val_loss=1.0, lr=0.1, seconds=1.0))
store.trials.finish(study, 0, TrialResult(0.5, 1, Costs(1, 1), 1.0, 1.0, 1.0, {}))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)])
    assert done.returncode == -9
    with Store.open(path, read_only=True) as store:
        assert store.trials.get("s", 0).accuracy == 0.5
        assert len(store.epochs.read("s")) == 1


def test_a_reader_in_the_middle_of_reading_does_not_stop_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store.open(path, create=True) as store:
        study = store.studies.create("s", backbone="r", objectives=("accuracy",), config={}, seed=0)
        reader = Database.open(path, read_only=True)
        with reader.begin("read") as connection:
            count = sqlalchemy.text("select count(*) from attentune_trials")
            assert connection.execute(count).scalar() == 0
            store.trials.start(study, 0, SE, seed=0)
            assert connection.execute(count).scalar() == 0, "a reader sees one moment"
        with reader.begin("read") as connection:
            assert connection.execute(count).scalar() == 1
        reader.close()


def test_reading_a_study_needs_no_heavy_library(tmp_path: Path) -> None:
    Store.open(tmp_path / "x.db", create=True).close()
    script = (
        "import sys; from attentune.studies import analysis, records;"
        "from attentune.studies.database.store import Store;"
        "Store.open(sys.argv[1]).studies.summarize();"
        "heavy = {'torch', 'timm', 'torchvision', 'optuna', 'plotly', 'alembic'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "x.db")], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
