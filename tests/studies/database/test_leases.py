"""The right to run a study: one owner at a time, and nothing is written without the lease."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from attentune.errors import StoreError, StudyError
from attentune.runners.results import EpochReport, TrialResult
from attentune.spaces.architecture import parse
from attentune.studies.database import leases, schema
from attentune.studies.database.schema import LeaseRow
from attentune.studies.database.store import Store
from attentune.studies.records import Lease, StudyRecord

SE = parse("resnet18+se(r=16)@all.residual")
TAKEN_OVER = "another process has taken over the study 'first'"
Elsewhere = dict[str, Any]
OTHER_HOST: Elsewhere = {"host": "node7", "boot_id": "another boot"}
OTHER_CONTAINER: Elsewhere = {"pid_namespace": "another namespace"}
OLD_VERSION: Elsewhere = {"boot_id": None, "pid_namespace": None, "process_start": None}


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "STALE_SECONDS", 0.6)
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.02)


@pytest.fixture
def long_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner may be silent for longer than a busy machine delays a heartbeat of these tests."""
    monkeypatch.setattr(leases, "STALE_SECONDS", 30.0)


def change_row(store: Store, **values: Any) -> None:
    """Let the lease look as if another process, or another clock, had written it."""
    with store._database.engine.begin() as connection:
        connection.execute(sqlalchemy.update(LeaseRow).values(**values))


def move_heartbeat(store: Store, seconds: float) -> None:
    """Let the heartbeat be that of a clock that is ahead of this one by some seconds."""
    change_row(store, heartbeat=LeaseRow.heartbeat + seconds)


@contextmanager
def beating(store: Store, lease: Lease, ahead: float) -> Iterator[None]:
    """An owner that is alive, and whose clock is ahead of this one by some seconds."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.1):
            now = time.time() + ahead
            with store._database.engine.begin() as connection:
                row = sqlalchemy.update(LeaseRow).where(LeaseRow.token == lease.token)
                connection.execute(row.values(heartbeat=now))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_only_one_coordinator_runs_a_study(store: Store, study: StudyRecord) -> None:
    lease = store.leases.acquire(study)
    with pytest.raises(StudyError, match=rf"run by process {os.getpid()} on .*0 s ago"):
        store.leases.acquire(study)
    with pytest.raises(StudyError, match="is being run"):
        store.delete_study("first")
    holder = store.leases.holder(study)
    assert holder is not None
    assert holder.pid == os.getpid()
    store.leases.heartbeat(lease)
    store.leases.release(lease)
    assert store.leases.holder(study) is None
    store.leases.release(store.leases.acquire("first"))


def test_a_dead_coordinator_is_replaced_at_once(
    store: Store, study: StudyRecord, target: str
) -> None:
    script = (
        "import sys; from attentune.studies.database.store import Store;"
        "Store.open(sys.argv[1]).leases.acquire('first')"
    )
    subprocess.run([sys.executable, "-c", script, target], check=True)
    assert store.leases.holder(study) is None
    store.leases.heartbeat(store.leases.acquire(study))


def test_a_stopped_coordinator_is_alive_however_long_it_is_silent(
    store: Store, study: StudyRecord
) -> None:
    store.leases.acquire(study)
    move_heartbeat(store, -3600.0)
    with pytest.raises(StudyError, match=rf"run by process {os.getpid()} .*36\d\d s ago"):
        store.leases.acquire(study)
    assert store.leases.holder(study) is not None


def test_another_process_with_the_same_number_is_not_mistaken_for_the_owner(
    store: Store, study: StudyRecord
) -> None:
    lost = store.leases.acquire(study)
    change_row(store, process_start=LeaseRow.process_start - 1.0)
    assert store.leases.holder(study) is None
    started = time.monotonic()
    new = store.leases.acquire(study)
    assert time.monotonic() - started < leases.STALE_SECONDS
    store.leases.heartbeat(new)
    with pytest.raises(StudyError, match=TAKEN_OVER):
        store.leases.heartbeat(lost)
    store.leases.release(lost)
    store.leases.heartbeat(new)


@pytest.mark.usefixtures("long_silence")
@pytest.mark.parametrize("elsewhere", [OTHER_HOST, OTHER_CONTAINER, OLD_VERSION])
@pytest.mark.parametrize("ahead", [-3600.0, 0.0, 3600.0])
def test_a_coordinator_elsewhere_is_alive_while_its_heartbeat_changes(
    store: Store, study: StudyRecord, elsewhere: Elsewhere, ahead: float
) -> None:
    """Whatever the clocks say. On PostgreSQL there is one clock, which cannot be behind itself."""
    if ahead < 0 and store._database.has_one_clock:
        pytest.skip("hosts do not differ in the clock of a server")
    lease = store.leases.acquire(study)
    change_row(store, **elsewhere)
    move_heartbeat(store, ahead)
    name = elsewhere.get("host", lease.host)
    with (
        beating(store, lease, ahead),
        pytest.raises(StudyError, match=f"run by process {os.getpid()} on {name}"),
    ):
        store.leases.acquire(study)
    with beating(store, lease, ahead), pytest.raises(StudyError, match="is being run"):
        store.delete_study("first")
    store.leases.heartbeat(lease)


@pytest.mark.parametrize("elsewhere", [OTHER_HOST, OTHER_CONTAINER, OLD_VERSION])
@pytest.mark.parametrize("ahead", [-3600.0, 0.0, 3600.0])
def test_a_silent_coordinator_elsewhere_is_taken_over_after_a_wait(
    store: Store,
    study: StudyRecord,
    elsewhere: Elsewhere,
    ahead: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A container that is restarted is never refused, and never told to stop itself."""
    caplog.set_level("INFO", "attentune")
    silent = store.leases.acquire(study)
    change_row(store, **elsewhere)
    move_heartbeat(store, ahead)
    started = time.monotonic()
    new = store.leases.acquire(study)
    waited = time.monotonic() - started
    if ahead < 0 and store._database.has_one_clock:
        assert waited < leases.STALE_SECONDS
    else:  # A server's clock counts from the heartbeat, which was a little earlier.
        assert waited > leases.STALE_SECONDS * (0.5 if store._database.has_one_clock else 1.0)
        assert f"to see whether process {os.getpid()} on" in caplog.text
    with pytest.raises(StudyError, match=TAKEN_OVER):
        store.leases.heartbeat(silent)
    store.leases.heartbeat(new)


@pytest.mark.usefixtures("long_silence")
def test_readers_never_wait_for_a_coordinator_elsewhere(store: Store, study: StudyRecord) -> None:
    store.leases.acquire(study)
    change_row(store, **OTHER_HOST)
    assert store.leases.holder(study) is not None
    for ahead in (-3600.0, 7200.0):
        move_heartbeat(store, ahead)
        assert store.leases.holder(study) is None


@pytest.fixture
def lost(store: Store, study: StudyRecord, target: str) -> Iterator[Lease]:
    """A fenced lease of this process, which another process has taken over."""
    store.trials.start(study, 0, SE, seed=0)
    lost = store.leases.acquire(study)
    store.leases.set_fence(lost)
    change_row(store, **OTHER_HOST)
    with Store.open(target) as other_process:
        other_process.leases.acquire(study)
        yield lost


def test_a_coordinator_that_was_taken_over_writes_nothing_more(
    store: Store,
    study: StudyRecord,
    lost: Lease,
    epoch: Callable[..., EpochReport],
    result: Callable[..., TrialResult],
) -> None:
    writes: list[Callable[[], object]] = [
        lambda: store.trials.start(study, 1, SE, seed=1),
        lambda: store.trials.set_worker(study, 0, "w"),
        lambda: store.epochs.record(study, 0, epoch(1)),
        lambda: store.trials.finish(study, 0, result()),
        lambda: store.trials.prune(study, 0, "pruned"),
        lambda: store.trials.reject(study, SE, "too large", number=0),
        lambda: store.studies.set_spent_seconds(study, 9.0),
        lambda: store.studies.change_config(study, lambda _: {}),
        lambda: store.probes.put({}, {}),
        lambda: store.leases.heartbeat(lost),
    ]
    before = store.trials.read(study), store.studies.get("first")
    for write in writes:
        with pytest.raises(StudyError, match=TAKEN_OVER):
            write()
    assert (store.trials.read(study), store.studies.get("first")) == before
    assert store.epochs.read(study) == store.trials.read_rejections(study) == []


def test_a_stopped_process_that_continues_after_it_was_taken_over_has_no_effect(
    store: Store, study: StudyRecord, target: str, epoch: Callable[..., EpochReport]
) -> None:
    script = (
        "import os, signal, sys\n"
        "from attentune.runners.results import EpochReport\n"
        "from attentune.studies.database.store import Store\n"
        "store = Store.open(sys.argv[1])\n"
        "store.leases.set_fence(store.leases.acquire('first'))\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
        "store.epochs.record('first', 0, EpochReport(1, 1.0, 0.5, 1.0, 0.1, 1.0))\n"
    )
    store.trials.start(study, 0, SE, seed=0)
    process = subprocess.Popen(
        [sys.executable, "-c", script, target], stderr=subprocess.PIPE, text=True
    )
    os.waitpid(process.pid, os.WUNTRACED)
    change_row(store, **OTHER_HOST)
    store.leases.acquire(study)
    process.send_signal(signal.SIGCONT)
    assert TAKEN_OVER in process.communicate()[1]
    assert store.epochs.read(study) == []


def test_a_lease_of_an_older_schema_is_shown(
    store: Store, study: StudyRecord, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "STALE_SECONDS", 30.0)
    store.leases.acquire(study)
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    with store.begin("commit") as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
    with Store.open(target, read_only=True) as reader:
        holder = reader.leases.holder("first")
        assert holder is not None
        assert holder.boot_id is None
    monkeypatch.setattr(leases, "STALE_SECONDS", 0.1)
    with Store.open(target) as upgraded:
        assert upgraded.leases.acquire("first").study == "first"


def test_a_lease_that_could_not_be_released_does_not_block_its_own_process(
    store: Store, study: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server was away; a notebook that has given up goes on once it can be reached."""
    lease = store.leases.acquire(study)
    with monkeypatch.context() as patch:
        patch.setattr(store._database, "begin", lambda _: (_ for _ in ()).throw(StoreError("away")))
        with pytest.raises(StoreError, match="away"):
            store.leases.release(lease)
    assert store.leases.holder(study) is None
    store.leases.release(store.leases.acquire(study))


@pytest.mark.parametrize("skew", [-86400.0, 86400.0])
def test_clocks_of_hosts_do_not_matter_where_a_server_has_one(
    store: Store, study: StudyRecord, skew: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator and those who ask for it differ by a day; the owner is on another host."""
    if not store._database.has_one_clock:
        pytest.skip("SQLite reads the clock of its host")
    real = time.time
    monkeypatch.setattr(leases, "STALE_SECONDS", 30.0)
    monkeypatch.setattr(time, "time", lambda: real() + skew)
    lease = store.leases.acquire(study)
    store.leases.heartbeat(lease)
    change_row(store, **OTHER_HOST)
    monkeypatch.setattr(time, "time", real)
    holder = store.leases.holder(study)
    assert holder is not None
    assert 0 <= holder.age < 10
    move_heartbeat(store, -31.0)
    assert store.leases.holder(study) is None
    store.leases.release(store.leases.acquire(study))
