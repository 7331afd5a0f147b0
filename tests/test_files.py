"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest
from attentune.files import atomic_write, find_path, is_draft, replace_folder


def test_a_file_is_replaced_at_the_end_and_only_by_a_whole_one(tmp_path):
    path = tmp_path / "folder" / "report.html"
    with atomic_write(path) as draft:
        draft.write_text("first")
        assert not path.exists()
    with pytest.raises(UnicodeEncodeError), atomic_write(path) as draft:
        draft.write_text("half of it é", "ascii")
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_whom_the_users_umask_lets_read_may_read_it(tmp_path, umask):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "weights") as draft:
            draft.write_bytes(b"")
    finally:
        os.umask(before)
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.fixture
def disk_operations(monkeypatch):
    """What is flushed and renamed, in order: ("flush" or "rename", name)."""
    operations = []
    replace, rename, fsync = os.replace, os.rename, os.fsync

    def record_fsync(descriptor):
        operations.append(("flush", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def record_rename(source, target):
        operations.append(("rename", Path(target).name))
        rename(source, target)

    def record_replace(source, target):
        operations.append(("rename", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "rename", record_rename)
    monkeypatch.setattr(os, "replace", record_replace)
    return operations


@pytest.mark.skipif(sys.platform != "linux", reason="reads the names of descriptors from /proc")
def test_content_is_flushed_before_the_rename_and_the_folder_after_it(tmp_path, disk_operations):
    path = tmp_path / "new" / "folder" / "weights"
    with atomic_write(path) as draft:
        assert disk_operations == [("flush", "new"), ("flush", tmp_path.name)]
        disk_operations.clear()
        draft.write_bytes(b"content")
    expected = [("flush", draft.name), ("rename", "weights"), ("flush", "folder")]
    assert disk_operations == expected


@pytest.mark.skipif(sys.platform != "linux", reason="reads the names of descriptors from /proc")
def test_a_folder_is_flushed_with_its_files_before_it_gets_its_name(tmp_path, disk_operations):
    draft, folder = tmp_path / "draft", tmp_path / "export"
    draft.mkdir()
    folder.mkdir()
    (draft / "weights").write_bytes(b"content")
    replace_folder(draft, folder)
    assert disk_operations == [
        ("flush", "weights"),
        ("flush", "draft"),
        ("rename", "export"),
        ("flush", tmp_path.name),
    ]
    assert (folder / "weights").read_bytes() == b"content"


def test_a_folder_that_the_file_system_cannot_flush_is_no_failure(tmp_path, monkeypatch):
    fsync = os.fsync

    def refuse_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    with atomic_write(tmp_path / "new" / "file") as draft:
        draft.write_text("x")
    assert (tmp_path / "new" / "file").read_text() == "x"


def test_an_error_of_the_disk_while_flushing_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.write_text("old")

    def fail(_descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"), atomic_write(path) as draft:
        draft.write_text("new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["model.safetensors", "é" * 120, "a b", ".hidden", "x.1.0123abcd"])
def test_a_draft_is_known_by_its_name(tmp_path, name):
    path = tmp_path / name
    assert not is_draft(path)
    with atomic_write(path) as draft:
        draft.write_text("x")
        assert is_draft(draft)
    assert path.read_text() == "x"


@pytest.mark.parametrize(
    "text", ["absent", "x" * 5000, "x/" * 5000, "a\x00b", "~nobody-of-this-name/x"]
)
def test_a_text_that_can_be_no_path_finds_nothing(text):
    assert find_path(text) is None


def test_a_path_that_exists_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    assert find_path(str(tmp_path / "data")) == find_path("~/data") == tmp_path / "data"
