"""The contract of stores, for a folder and for URLs, and what a URL adds: retries and copies."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from attentune.errors import MachineError, UsageError
from attentune.files import atomic_write
from attentune.runners.artifacts import copies, remote_store
from attentune.runners.artifacts.local_store import LocalStore
from attentune.runners.artifacts.remote_store import RemoteStore, hide_secrets
from attentune.runners.artifacts.store import ArtifactStore, open_store

STUDY, TRIAL = "study-0123abcd", "study-0123abcd/trial-00007"
WEIGHTS = f"{TRIAL}/model.safetensors"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(remote_store, "FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(remote_store, "MAX_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(remote_store, "LISTING_SECONDS", 0.0)
    monkeypatch.setattr(remote_store, "ABSENT_SECONDS", 0.0)


@pytest.fixture
def memory_url(tmp_path):
    url = f"memory:/{tmp_path}/attentune.artifacts"
    yield url
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists(url):
        filesystem.rm(url, recursive=True)


@pytest.fixture(params=["folder", "file", "memory"])
def store(request, tmp_path, cache) -> ArtifactStore:
    del cache
    if request.param == "folder":
        return LocalStore(tmp_path / "attentune.artifacts")
    if request.param == "file":
        return RemoteStore(f"file://{tmp_path}/attentune.artifacts", retry_seconds=0.1)
    return RemoteStore(request.getfixturevalue("memory_url"), retry_seconds=0.1)


def write(store: ArtifactStore, key: str, content: bytes, tmp_path: Path) -> None:
    """As a worker does: in place, or from its copy."""
    if isinstance(store, RemoteStore):
        source = tmp_path / "source"
        source.write_bytes(content)
        store.upload(source, key)
    else:
        with atomic_write(store.folder / key) as draft:
            draft.write_bytes(content)


def test_a_check_leaves_nothing(store):
    store.check()
    assert store.files("") == {}


def test_a_file_is_replaced_and_read(store, tmp_path):
    assert not store.exists(WEIGHTS)
    assert not store.local_copy(WEIGHTS).exists()
    for content in (b"first", b"other"):
        write(store, WEIGHTS, content, tmp_path)
        assert store.local_copy(WEIGHTS).read_bytes() == content
        assert store.local_copy(WEIGHTS).name == "model.safetensors"
    assert store.exists(WEIGHTS)
    assert store.exists(STUDY)


def test_files_are_listed_with_their_sizes_and_versions(store, tmp_path):
    write(store, WEIGHTS, b"12345", tmp_path)
    write(store, f"{TRIAL}/files/a/b.txt", b"1", tmp_path)
    write(store, "study-01234567/trial-00000/x", b"of another study", tmp_path)
    files = store.files(STUDY)
    assert {name: file.size for name, file in files.items()} == {
        "trial-00007/model.safetensors": 5,
        "trial-00007/files/a/b.txt": 1,
    }
    assert store.files(STUDY) == files
    write(store, WEIGHTS, b"54321", tmp_path)
    assert (
        store.files(STUDY)["trial-00007/model.safetensors"]
        != files["trial-00007/model.safetensors"]
    )
    assert store.files("study-01234567/trial-00001") == {}


def test_a_folder_is_read(store, tmp_path):
    write(store, f"{TRIAL}/files/a/b.txt", b"1", tmp_path)
    write(store, f"{TRIAL}/files/c.txt", b"2", tmp_path)
    folder = store.local_copy(f"{TRIAL}/files")
    texts = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.txt")}
    assert texts == {"a/b.txt": b"1", "c.txt": b"2"}
    assert not store.local_copy(f"{TRIAL}/file").exists()


def test_files_and_folders_are_deleted_and_their_neighbours_are_not(store, tmp_path):
    for key in (WEIGHTS, f"{TRIAL}/files/a.txt", f"{TRIAL}0/x", "study-01234567/trial-00000/x"):
        write(store, key, b"1", tmp_path)
    assert store.delete(f"{TRIAL}/files")
    assert store.delete(f"{TRIAL}/missing")
    assert [*store.files(TRIAL)] == ["model.safetensors"]
    assert store.delete(WEIGHTS)
    assert not store.local_copy(WEIGHTS).exists()
    assert [*store.files(STUDY)] == ["trial-000070/x"]
    assert store.delete(STUDY)
    assert [*store.files("")] == ["study-01234567/trial-00000/x"]


def test_tasks_that_were_put_off_are_done_in_turn(store):
    done: list[int] = []
    for number in range(20):
        store.later(lambda number=number: done.append(number))
    store.await_tasks()
    assert done == list(range(20))


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    folders = [tmp_path / "file" / "inner", tmp_path / ("n" * 300)]
    if sys.platform == "linux":
        folders.append(Path("/proc/new"))
    for folder in folders:
        with pytest.raises(MachineError, match="choose another folder with --artifacts"):
            LocalStore(folder).check()
    LocalStore(tmp_path / "new" / "inner").check()
    assert not (tmp_path / "new").exists()


# What a URL adds.


class Unreliable(fsspec.AbstractFileSystem):
    """The memory's file system with errors."""

    protocol = "unreliable"
    errors: ClassVar[list[Exception]] = []
    calls = 0

    def __getattribute__(self, name):
        if name in ("put_file", "get_file", "find", "rm", "makedirs", "mv", "info", "isdir"):
            cls = Unreliable
            cls.calls += 1
            if cls.errors:
                raise cls.errors.pop(0)
            return getattr(fsspec.filesystem("memory"), name)
        return super().__getattribute__(name)


@pytest.fixture
def unreliable(tmp_path, cache):
    del cache
    fsspec.register_implementation("unreliable", Unreliable, clobber=True)
    Unreliable.errors, Unreliable.calls = [], 0
    yield RemoteStore(f"unreliable:/{tmp_path}/attentune.artifacts", retry_seconds=0.05)
    memory = fsspec.filesystem("memory")
    if memory.exists(str(tmp_path)):
        memory.rm(str(tmp_path), recursive=True)


def test_what_fails_is_tried_again(unreliable, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    Unreliable.errors = [ConnectionResetError("reset"), TimeoutError("slow"), OSError("503")]
    write(unreliable, WEIGHTS, b"weights", tmp_path)
    assert unreliable.local_copy(WEIGHTS).read_bytes() == b"weights"
    assert "is tried again: reset" in caplog.text


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionResetError("reset by peer"), r"reset by peer"),
        (PermissionError("Access Denied"), r"Access Denied"),
        (FileNotFoundError("The specified bucket does not exist"), r"it does not exist"),
        (type("NoCredentialsError", (Exception,), {})("Unable to locate"), r"Unable to locate"),
    ],
)
def test_what_goes_on_failing_is_a_fault_of_the_machine(unreliable, tmp_path, error, reason):
    Unreliable.errors = [error] * 1000
    with pytest.raises(MachineError, match=rf"^cannot write unreliable://.*\({reason}\); check"):
        write(unreliable, WEIGHTS, b"weights", tmp_path)
    assert (1000 - len(Unreliable.errors) > 3) == isinstance(error, ConnectionResetError)
    Unreliable.errors = []
    assert not unreliable.exists(WEIGHTS)


def test_a_storage_that_is_away_is_not_waited_for_again_and_again(unreliable, monkeypatch):
    monkeypatch.setattr(remote_store, "ABSENT_SECONDS", 60.0)
    Unreliable.errors = [ConnectionResetError("reset by peer")] * 1000
    for _ in range(3):
        with pytest.raises(MachineError, match="reset by peer"):
            unreliable.local_copy(WEIGHTS)
    calls = Unreliable.calls
    with pytest.raises(MachineError, match="reset by peer"):
        unreliable.local_copy(WEIGHTS)
    assert Unreliable.calls == calls


def test_a_full_disk_of_this_machine_is_told_from_a_fault_of_the_storage(unreliable, tmp_path):
    write(unreliable, WEIGHTS, b"weights", tmp_path)
    assert unreliable.files(TRIAL)
    Unreliable.errors = [OSError(errno.ENOSPC, "No space left on device")]
    with pytest.raises(OSError, match="No space left") as caught:
        unreliable.download(WEIGHTS, tmp_path / "copy")
    assert caught.value.errno == errno.ENOSPC


def test_what_cannot_be_deleted_is_a_warning(unreliable, tmp_path, caplog):
    write(unreliable, WEIGHTS, b"weights", tmp_path)
    Unreliable.errors = [PermissionError("Access Denied")]
    assert not unreliable.delete(STUDY)
    assert "is not deleted, and takes space only: cannot read unreliable://" in caplog.text
    assert unreliable.exists(WEIGHTS)


def test_a_check_fails_at_once(unreliable):
    Unreliable.errors = [OSError("no route to host")] * 1000
    with pytest.raises(MachineError, match="no route to host"):
        unreliable.check()
    assert Unreliable.calls < 10


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense://bucket", r"nonsense://bucket cannot be used .*; choose a folder, or a URL"),
        ("gs://bucket", r"gs://bucket needs a package that is not installed; run `pip install gcs"),
    ],
)
def test_a_url_that_needs_another_package_says_which(url, message, cache):
    del cache
    with pytest.raises(UsageError, match=message):
        RemoteStore(url).check()


def test_messages_show_no_secrets(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abcdefgh12345678")
    text = "PUT https://me:hunter2@host/a?X-Amz-Signature=123 abcdefgh12345678 sig=77 failed\nmore"
    assert hide_secrets(text) == "PUT https://me:***@host/a*** *** *** failed"


def test_what_has_not_changed_is_copied_once(tmp_path, cache, monkeypatch):
    del cache
    store = RemoteStore(f"file://{tmp_path}/attentune.artifacts")
    write(store, WEIGHTS, b"weights", tmp_path)
    first = store.local_copy(WEIGHTS)
    monkeypatch.setattr(store, "download", None)
    assert store.local_copy(WEIGHTS) == first


def test_old_copies_make_room(tmp_path, cache, monkeypatch):
    del cache
    monkeypatch.setattr(copies, "MAX_COPIES_BYTES", 10)
    store = RemoteStore(f"file://{tmp_path}/attentune.artifacts")
    write(store, WEIGHTS, b"12345678", tmp_path)
    write(store, f"{TRIAL}/predictions.npz", b"12345678", tmp_path)
    first = store.local_copy(WEIGHTS)
    second = store.local_copy(f"{TRIAL}/predictions.npz")
    assert first.exists(), "a copy that was used just now is kept"
    os.utime(first.parent, (time.time() - 2 * copies.UNUSED_SECONDS,) * 2)
    write(store, f"{TRIAL}/checkpoint", b"12345678", tmp_path)
    assert store.local_copy(f"{TRIAL}/checkpoint").exists()
    assert (first.exists(), second.exists()) == (False, True)


def test_one_process_has_one_store_of_a_location(tmp_path):
    assert open_store(f"file://{tmp_path}") is open_store(f"file://{tmp_path}")
    assert isinstance(open_store(str(tmp_path)), LocalStore)
