"""Sockets have short paths, whatever TMPDIR is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from attentune.errors import MachineError
from attentune.runners.workers import socket_folders
from attentune.runners.workers.ray_cluster import SESSION_BYTES
from attentune.runners.workers.socket_folders import (
    MAX_SOCKET_PATH_BYTES,
    MULTIPROCESSING_BYTES,
    short_temporary_folder,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sockets have paths on Unix only")

PROGRAM = """
import os, tempfile
from multiprocessing import connection, current_process, forkserver
from attentune.runners.workers import processes

if __name__ == "__main__":
    processes.PRELOAD_MODULE = "json"  # Nothing that takes seconds.
    processes.warm_up()
    address = forkserver._forkserver._forkserver_address
    connection.Listener(family="AF_UNIX").close()  # As another library may do.
    print(len(os.fsencode(address)) <= 107, tempfile.gettempdir() == os.environ["TMPDIR"])
"""


@pytest.fixture
def long_folder(tmp_path) -> Path:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    return folder


def test_workers_start_with_a_long_tmpdir_and_keep_it_for_files(tmp_path, long_folder):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    process = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"TMPDIR": str(long_folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.stdout.split() == ["True", "True"], process.stderr
    assert list(long_folder.iterdir()) == []


@pytest.mark.parametrize("needed", [MULTIPROCESSING_BYTES, SESSION_BYTES])
def test_the_folder_of_temporary_files_is_used_if_its_path_is_short_enough(
    needed, monkeypatch, long_folder, tmp_path
):
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert short_temporary_folder(needed) == Path("/tmp")
    monkeypatch.setattr(tempfile, "tempdir", str(long_folder))
    folder = short_temporary_folder(needed)
    assert len(os.fsencode(folder)) + needed <= MAX_SOCKET_PATH_BYTES
    assert os.access(folder, os.W_OK)


def test_without_a_short_folder_a_sentence_says_what_to_set(monkeypatch, long_folder):
    monkeypatch.setattr(tempfile, "tempdir", str(long_folder))
    monkeypatch.setattr(socket_folders, "SHORT_FOLDERS", ("/missing", "relative"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long_folder))
    with pytest.raises(MachineError, match=r"set TMPDIR to a folder with a shorter path"):
        short_temporary_folder(MULTIPROCESSING_BYTES)
