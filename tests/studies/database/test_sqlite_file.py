"""A database in one file: complete in itself when it is closed, and noticed when it goes away."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from attentune.errors import StoreError
from attentune.runners.results import TrialResult
from attentune.spaces.architecture import parse
from attentune.studies.database.store import Store
from attentune.studies.records import StudyRecord

BARE = parse("resnet18")


def create(store: Store, name: str = "first") -> StudyRecord:
    return store.studies.create(
        name, backbone="resnet18", objectives=("accuracy",), config={}, seed=0
    )


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def read_names(database: Path) -> list[str]:
    """The studies in a file alone, copied without what is beside it."""
    copy = database.with_name("copied-alone.db")
    shutil.copy(database, copy)
    with closing(sqlite3.connect(f"file:{copy}?immutable=1", uri=True)) as connection:
        rows = connection.execute("select name from attentune_studies").fetchall()
    copy.unlink()
    return [name for (name,) in rows]


def test_a_closed_database_is_one_file(tmp_path: Path) -> None:
    with Store.open(tmp_path / "x.db", create=True) as store:
        create(store)
        assert "x.db-wal" in names_in(tmp_path)
    assert names_in(tmp_path) == {"x.db"}
    assert read_names(tmp_path / "x.db") == ["first"]


def test_an_error_closes_a_database_too(tmp_path: Path) -> None:
    with (
        contextlib.suppress(KeyboardInterrupt),
        Store.open(tmp_path / "x.db", create=True) as store,
    ):
        create(store)
        raise KeyboardInterrupt
    assert names_in(tmp_path) == {"x.db"}


def test_a_reader_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    Store.open(tmp_path / "x.db", create=True).close()
    with Store.open(tmp_path / "x.db", read_only=True) as store:
        assert store.studies.read_all() == []
        with pytest.raises(StoreError, match="reading only"):
            create(store)
    assert names_in(tmp_path) == {"x.db"}


def test_the_file_is_complete_while_a_reader_has_it_open(tmp_path: Path) -> None:
    with Store.open(tmp_path / "x.db", create=True) as store:
        create(store)
        reader = Store.open(tmp_path / "x.db", read_only=True)
        reader.studies.read_all()
        create(store, "second")
    assert read_names(tmp_path / "x.db") == ["first", "second"]
    assert [study.name for study in reader.studies.read_all()] == ["first", "second"]
    reader.close()
    assert names_in(tmp_path) == {"x.db"}


FORGOTTEN = """
import sys
from attentune.studies.database.store import Store
store = Store.open(sys.argv[1], create=True)
store.studies.create("first", backbone="r", objectives=("accuracy",), config={}, seed=0)
sys.exit(130)
"""


def test_a_database_that_nobody_closed_is_one_file_when_python_ends(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", FORGOTTEN, str(tmp_path / "x.db")], check=False)
    assert ended.returncode == 130
    assert names_in(tmp_path) == {"x.db"}
    assert read_names(tmp_path / "x.db") == ["first"]


KILLED = """
import os, signal, sys
from attentune.studies.database.store import Store
store = Store.open(sys.argv[1])
store.studies.create("killed", backbone="r", objectives=("accuracy",), config={}, seed=0)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("read_only", [True, False])
def test_what_a_killed_process_left_is_read_and_moved_into_the_file(
    tmp_path: Path, read_only: bool
) -> None:
    Store.open(tmp_path / "x.db", create=True).close()
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "x.db")], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (tmp_path / "x.db-wal").stat().st_size
    with Store.open(tmp_path / "x.db", read_only=read_only) as store:
        assert [study.name for study in store.studies.read_all()] == ["killed"]
    assert names_in(tmp_path) == {"x.db"}
    assert read_names(tmp_path / "x.db") == ["killed"]


def test_compacting_gives_space_back(tmp_path: Path) -> None:
    with Store.open(tmp_path / "x.db", create=True) as store:
        store.studies.create(
            "large", backbone="r", objectives=("accuracy",), config={"x": "y" * 10**6}, seed=0
        )
        create(store)
        store.delete_study("large")
        before, after = store.compact()
        assert before - after > 900_000
        assert (tmp_path / "x.db").stat().st_size == after
        assert [study.name for study in store.studies.read_all()] == ["first"]


def test_a_database_is_not_compacted_while_a_study_runs(tmp_path: Path) -> None:
    with Store.open(tmp_path / "x.db", create=True) as store:
        lease = store.leases.acquire(create(store))
        with pytest.raises(StoreError, match="'first' is being run by process"):
            store.compact()
        store.leases.release(lease)
        store.compact()


def remove(path: Path) -> None:
    path.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def replace(path: Path) -> None:
    with Store.open(path.with_name("new.db"), create=True) as store:
        create(store, "of another")
    path.with_name("new.db").replace(path)


@pytest.mark.parametrize("attack", [remove, move, move_folder, replace])
def test_a_file_that_goes_away_is_noticed_at_the_next_write(
    tmp_path: Path, attack: Callable[[Path], None], result: Callable[..., TrialResult]
) -> None:
    folder = tmp_path / "studies"
    folder.mkdir()
    with Store.open(folder / "x.db", create=True) as store:
        study = create(store)
        lease = store.leases.acquire(study)
        store.trials.start(study, 0, BARE, seed=0)
        attack(folder / "x.db")
        for write in (
            lambda: store.leases.heartbeat(lease),
            lambda: store.trials.finish(study, 0, result()),
            lambda: store.leases.release(lease),
        ):
            with pytest.raises(
                StoreError, match=r"was (removed or moved|replaced by another file)"
            ):
                write()
    if attack is replace:
        assert read_names(folder / "x.db") == ["of another"]
    else:
        assert not (folder / "x.db").exists(), "no empty database takes its place"


def test_a_file_that_is_moved_without_its_journal_is_whole(tmp_path: Path) -> None:
    with Store.open(tmp_path / "x.db", create=True) as store:
        create(store)
        (tmp_path / "x.db").rename(tmp_path / "moved.db")
    assert read_names(tmp_path / "moved.db") == ["first"]
    assert (tmp_path / "x.db-wal").stat().st_size == 0


def test_a_file_that_replaces_another_one_does_not_get_its_journal(tmp_path: Path) -> None:
    with Store.open(tmp_path / "x.db", create=True) as store:
        create(store)
        replace(tmp_path / "x.db")
    with Store.open(tmp_path / "x.db") as store:
        assert [study.name for study in store.studies.read_all()] == ["of another"]


def test_a_moved_folder_holds_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with Store.open(tmp_path / "a" / "x.db", create=True) as store:
        create(store)
        (tmp_path / "a").rename(tmp_path / "b")
    with Store.open(tmp_path / "b" / "x.db") as store:
        assert [study.name for study in store.studies.read_all()] == ["first"]


def test_a_link_stands_for_the_file_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "x.db").symlink_to(tmp_path / "disk" / "real.db")
    with Store.open(tmp_path / "x.db", create=True) as store:
        artifacts = store.artifacts
        assert {"real.db", "real.db-wal"} <= names_in(tmp_path / "disk")
    assert artifacts == tmp_path / "disk" / "attentune.artifacts"
    with Store.open(tmp_path / "disk" / "real.db") as store:
        assert store.artifacts == artifacts
    assert names_in(tmp_path) == {"x.db", "disk"}


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "says"),
    [(make_loop, "cannot be the path of a database"), (make_pipe, "is not a regular file")],
)
def test_what_is_no_file_is_refused_in_a_sentence(
    tmp_path: Path, make: Callable[[Path], None], says: str
) -> None:
    make(tmp_path / "x.db")
    with pytest.raises(StoreError, match=says):
        Store.open(tmp_path / "x.db", create=True)


def test_a_null_character_in_a_path_is_refused_in_a_sentence() -> None:
    with pytest.raises(StoreError, match="cannot be the path of a database"):
        Store.open("x\0.db", create=True)


def test_a_database_can_be_closed_while_another_thread_uses_it(tmp_path: Path) -> None:
    with Store.open(tmp_path / "x.db", create=True) as store:
        create(store)
        ended = threading.Event()

        def read() -> None:
            while not ended.is_set():
                store.studies.read_all()

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            store.close()
        ended.set()
        for thread in threads:
            thread.join()
    assert names_in(tmp_path) == {"x.db"}
