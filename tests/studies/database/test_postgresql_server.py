"""A PostgreSQL server that drops connections, restarts, stays away, or loses an acknowledgement."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from attentune.errors import InterruptedWaitError, StoreError, StudyError
from attentune.runners.results import EpochReport, TrialResult
from attentune.spaces.architecture import parse
from attentune.studies.database import postgresql_server
from attentune.studies.database.connection import Database
from attentune.studies.database.store import Store
from attentune.studies.records import BASELINE, StudyRecord

POSTGRES = os.environ.get("ATTENTUNE_TEST_POSTGRES")
psycopg = pytest.importorskip("psycopg")
pytestmark = pytest.mark.skipif(not POSTGRES, reason="ATTENTUNE_TEST_POSTGRES is not set")

BARE = parse("resnet18")
CHUNK_BYTES = 65536


class Proxy:
    """A server's socket that passes everything on, and cuts connections when it is told to.

    Attributes:
        folder: the folder of its socket, which is a host for PostgreSQL.
        refuses: whether connections are closed at once, as by a server that is away.
        cuts_after_commit: how many COMMITs still reach the server while their answers are lost.
        cuts_before_commit: how many COMMITs are lost themselves.
        cuts_at: a connection is cut instead of passing on a statement that contains this.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder, self._server = folder, str(server)
        self.refuses, self.cuts_after_commit, self.cuts_before_commit = False, 0, 0
        self.cuts_at: bytes | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refuses:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._pairs.append((client, server))
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            answers = threading.Thread(target=self._pass_on, args=(server, client, False))
            answers.start()
            self._pass_on(client, server, True)
            answers.join()

    def _pass_on(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                commits = from_client and b"COMMIT" in chunk
                if from_client and self.cuts_at and self.cuts_at in chunk:
                    self.cuts_at = None
                    break
                if commits and self.cuts_before_commit:
                    self.cuts_before_commit -= 1
                    break
                if commits and self.cuts_after_commit:
                    self.cuts_after_commit -= 1
                    # The server's answer meets a client that is gone.
                    source.shutdown(socket.SHUT_RDWR)
                    target.sendall(chunk)
                    threading.Event().wait(0.1)
                    break
                target.sendall(chunk)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Cut all connections."""
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def close(self) -> None:
        """Cut all connections and accept no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()


@pytest.fixture
def admin() -> Iterator[sqlalchemy.Connection]:
    """A connection to the server itself."""
    assert POSTGRES
    url = sqlalchemy.make_url(POSTGRES).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def proxy(tmp_path: Path, admin: sqlalchemy.Connection) -> Iterator[Proxy]:
    host = admin.engine.url.query.get("host")
    assert isinstance(host, str), "the server listens to a socket in a folder"
    proxy = Proxy(tmp_path, Path(host) / ".s.PGSQL.5432")
    yield proxy
    proxy.close()


@pytest.fixture
def store(proxy: Proxy, admin: sqlalchemy.Connection) -> Iterator[Store]:
    """A store whose connections go through the proxy, in a database of its own."""
    name = f"test_{secrets.token_hex(6)}"
    admin.exec_driver_sql(f"create database {name}")
    url = admin.engine.url.set(database=name, query={"host": str(proxy.folder)})
    try:
        with Store.open(url.render_as_string(hide_password=False), create=True) as store:
            yield store
    finally:
        admin.exec_driver_sql(f"drop database if exists {name} with (force)")


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_server, "MIN_RETRY_SECONDS", 0.02)


Outage = Callable[[Proxy], None]


def idle(proxy: Proxy) -> None:
    proxy.cut()


def before_commit(proxy: Proxy) -> None:
    proxy.cuts_before_commit = 1


def after_commit(proxy: Proxy) -> None:
    proxy.cuts_after_commit = 1


def twice(proxy: Proxy) -> None:
    proxy.cuts_before_commit = 2


def mixed(proxy: Proxy) -> None:
    proxy.cuts_before_commit, proxy.cuts_after_commit = 1, 1


OUTAGES = [idle, before_commit, after_commit, twice, mixed]


@pytest.mark.parametrize("outage", OUTAGES)
def test_every_write_takes_effect_exactly_once(
    store: Store,
    proxy: Proxy,
    outage: Outage,
    epoch: Callable[..., EpochReport],
    result: Callable[..., TrialResult],
) -> None:
    def during_outage(write: Callable[[], Any]) -> Any:
        outage(proxy)
        value = write()
        assert (proxy.cuts_before_commit, proxy.cuts_after_commit) == (0, 0)
        return value

    def create() -> StudyRecord:
        return store.studies.create(
            "first", backbone="resnet18", objectives=("accuracy",), config={}, seed=0
        )

    study = during_outage(create)
    lease = during_outage(lambda: store.leases.acquire(study))
    store.leases.set_fence(lease)
    during_outage(lambda: store.leases.heartbeat(lease))
    during_outage(lambda: store.trials.start(study, 0, BARE, seed=0, role=BASELINE))
    during_outage(lambda: store.trials.add_seconds(study, 0, 5.0))
    assert store.trials.get(study, 0).seconds == 5.0, "not twice"
    for number in (1, 2):
        during_outage(lambda number=number: store.epochs.record(study, 0, epoch(number)))
    during_outage(lambda: store.trials.finish(study, 0, result(0.75)))
    during_outage(lambda: store.trials.start(study, 1, BARE, seed=1))
    during_outage(lambda: store.trials.reject(study, BARE, "too large", number=1))
    during_outage(lambda: store.studies.set_spent_seconds(study, 9.0))
    assert [(trial.number, trial.accuracy) for trial in store.trials.read(study)] == [(0, 0.75)]
    assert [record.report.epoch for record in store.epochs.read(study)] == [1, 2]
    assert len(store.trials.read_rejections(study)) == 1
    with pytest.raises(StudyError, match="exists already"):
        create()
    with pytest.raises(StudyError, match="its number is taken"):
        store.trials.start(study, 0, BARE, seed=3)
    store.leases.remove_fence(lease)
    during_outage(lambda: store.leases.release(lease))
    during_outage(lambda: store.delete_study("first"))
    assert store.studies.read_all() == []


def in_a_part_of_a_transaction(proxy: Proxy) -> None:
    proxy.cuts_at = b"SAVEPOINT"


@pytest.mark.parametrize("outage", [*OUTAGES, in_a_part_of_a_transaction])
def test_optunas_tables_are_written_exactly_once(
    store: Store, proxy: Proxy, outage: Outage
) -> None:
    import optuna
    from attentune.search.run.optuna_study import OptunaStudy

    keys = ("accuracy", "params")
    record = store.studies.create("s", backbone="r", objectives=keys, config={}, seed=0)
    outage(proxy)
    study = OptunaStudy(keys, store, record)
    for number in range(3):
        study.save(study.ask(), {"params": -0.5})
        outage(proxy)
        study.write()
        study.tell(number, [0.5, 10.0])
        outage(proxy)
        study.write()
    assert (proxy.cuts_before_commit, proxy.cuts_after_commit) == (0, 0)
    trials = OptunaStudy(keys, store, record).trials
    assert [trial.number for trial in trials] == [0, 1, 2]
    stored = optuna.load_study(study_name="s", storage=store.url).trials
    assert [trial.values for trial in stored] == [[0.5, 10.0]] * 3


def test_a_server_that_is_away_is_waited_for(
    store: Store, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    study = store.studies.create(
        "first", backbone="resnet18", objectives=("accuracy",), config={}, seed=0
    )
    proxy.refuses = True
    proxy.cut()
    timer = threading.Timer(0.5, lambda: setattr(proxy, "refuses", False))
    timer.start()
    store.trials.start(study, 0, BARE, seed=0)
    timer.join()
    assert store.trials.get(study, 0).state == "running"
    assert "cannot be reached" in caplog.text
    assert "can be reached again" in caplog.text


def test_a_server_that_stays_away_ends_with_a_sentence(
    store: Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = store.studies.create(
        "first", backbone="resnet18", objectives=("accuracy",), config={}, seed=0
    )
    monkeypatch.setattr(postgresql_server, "RECONNECT_SECONDS", 0.2)
    proxy.refuses = True
    proxy.cut()
    for _ in range(2):  # The second write does not wait again.
        with pytest.raises(StoreError, match=r"could not be reached for .*continue with"):
            store.trials.start(study, 0, BARE, seed=0)
        monkeypatch.setattr(postgresql_server, "RECONNECT_SECONDS", 3600.0)


def test_a_process_that_stops_waits_for_seconds_only(
    store: Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    study = store.studies.create(
        "first", backbone="resnet18", objectives=("accuracy",), config={}, seed=0
    )
    monkeypatch.setattr(postgresql_server, "STOPPING_SECONDS", 0.3)
    monkeypatch.setattr(postgresql_server, "PAUSE_SECONDS", 0.02)
    store.stop_waiting()  # Much earlier than the server goes away: each wait has its time.
    threading.Event().wait(0.4)
    proxy.refuses = True
    proxy.cut()
    timer = threading.Timer(0.1, lambda: setattr(proxy, "refuses", False))
    timer.start()
    store.trials.start(study, 0, BARE, seed=0)
    proxy.refuses = True
    proxy.cut()
    for _ in range(2):  # The second write does not wait again.
        with pytest.raises(InterruptedWaitError, match=r"cannot be reached .* was interrupted"):
            store.trials.start(study, 1, BARE, seed=1)
    assert caplog.text.count("another Ctrl-C ends at once") == 1


def test_an_interrupt_ends_every_wait(
    store: Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of another thread, such as the one that sends heartbeats."""
    study = store.studies.create(
        "first", backbone="resnet18", objectives=("accuracy",), config={}, seed=0
    )
    proxy.refuses = True
    proxy.cut()
    errors: list[Exception] = []

    def write() -> None:
        try:
            store.studies.set_spent_seconds(study, 1.0)
        except StoreError as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    sleep = postgresql_server.time.sleep

    def interrupted_sleep(seconds: float) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        sleep(seconds)

    monkeypatch.setattr(postgresql_server.time, "sleep", interrupted_sleep)
    with pytest.raises(KeyboardInterrupt):
        store.trials.start(study, 0, BARE, seed=0)
    thread.start()
    thread.join(5)
    assert [type(error) for error in errors] == [InterruptedWaitError]


def test_a_server_that_starts_is_waited_for_when_a_database_is_opened(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that cannot be reached at all is not: the address may be wrong."""
    refusals = ["FATAL:  the database system is starting up", "Connection refused"]
    prepare = Database._prepare

    def refuse_first(database: Database, *, create: bool) -> None:
        with database.explained_errors():
            if refusals:
                cause = psycopg.OperationalError(refusals.pop(0))
                raise sqlalchemy.exc.OperationalError("connect", {}, cause)
        prepare(database, create=create)

    monkeypatch.setattr(Database, "_prepare", refuse_first)
    with pytest.raises(StoreError, match="cannot be used: Connection refused"):
        Store.open(store.url)
    refusals.append("FATAL:  the database system is in recovery mode")
    Store.open(store.url).close()
    assert refusals == []


def test_a_reader_does_not_wait(store: Store, proxy: Proxy) -> None:
    with Store.open(store.url, read_only=True) as reader:
        proxy.cut()
        assert reader.studies.read_all() == []
        proxy.refuses = True
        proxy.cut()
        with pytest.raises(StoreError, match="cannot be used"):
            reader.studies.read_all()
        proxy.refuses = False


def test_a_database_that_is_dropped_ends_with_a_sentence(
    store: Store, admin: sqlalchemy.Connection
) -> None:
    study = store.studies.create(
        "first", backbone="resnet18", objectives=("accuracy",), config={}, seed=0
    )
    name = sqlalchemy.make_url(store.url).database
    admin.exec_driver_sql(f"drop database {name} with (force)")
    with pytest.raises(StoreError, match="does not exist"):
        store.trials.start(study, 0, BARE, seed=0)


def test_a_backend_that_the_server_ends_is_replaced(
    store: Store, admin: sqlalchemy.Connection
) -> None:
    study = store.studies.create(
        "first", backbone="resnet18", objectives=("accuracy",), config={}, seed=0
    )
    name = sqlalchemy.make_url(store.url).database
    end = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"

    def write() -> None:
        with store.begin("write"):
            store.trials.start(study, 0, BARE, seed=0)
            if not ended:
                ended.append(True)
                admin.exec_driver_sql(end)
            store.trials.set_worker(study, 0, "w1")

    ended: list[bool] = []
    store.retry(write)
    assert store.trials.get(study, 0).worker == "w1"


def test_artifacts_stay_where_they_were_when_the_program_changes_its_folder(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.artifacts
    monkeypatch.chdir(tmp_path)
    assert store.artifacts == before


def test_nothing_is_left_of_a_writer(store: Store) -> None:
    def writers() -> int:
        with store.begin("read") as connection:
            return int(
                connection.exec_driver_sql("select count(*) from attentune_writers").scalar_one()
            )

    with Store.open(store.url) as other:
        other.probes.put({"a": "b"}, {"c": 1})
        other.probes.put({"a": "b"}, {"c": 2})
        assert writers() == 1
    assert writers() == 0
