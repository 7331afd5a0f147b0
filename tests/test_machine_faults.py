"""What is the machine's fault, and what a trial's own."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest
import torch
from attentune.errors import MachineError, StoreError
from attentune.machine_faults import machine_fault
from safetensors import SafetensorError
from safetensors.torch import save_file

STUDY = Path("/data/attentune.artifacts")


def os_error(name: str, path: str | None = "/data/file") -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    "name", ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "ENAMETOOLONG"]
)
def test_what_the_system_refuses_is_the_machines_fault(name):
    assert machine_fault(os_error(name)) == f"{os.strerror(getattr(errno, name))}: /data/file"


@pytest.mark.parametrize("name", ["ENOENT", "ENOTDIR", "ESTALE"])
def test_a_missing_path_is_the_machines_fault_only_if_it_is_the_studys(name):
    error = os_error(name, f"{STUDY}/study/trial-00001/model.safetensors")
    assert machine_fault(error, [STUDY])
    assert machine_fault(os_error(name, "/home/user/masks.npy"), [STUDY]) is None
    assert machine_fault(os_error(name, None), [STUDY]) is None


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no space for 3 heads"),
        RuntimeError("shape mismatch"),
        KeyError("weights"),
        os_error("EINVAL"),
        sqlite3.IntegrityError("UNIQUE constraint failed"),
        RuntimeError("operation failed (os error 22)"),
    ],
)
def test_an_error_of_the_program_is_not(error):
    assert machine_fault(error) is None


def test_a_cause_is_recognised_behind_other_exceptions():
    try:
        try:
            raise os_error("ENOSPC")
        except OSError as error:
            raise ValueError("the checkpoint was not written") from error
    except ValueError as error:
        wrapped = ExceptionGroup("two", [KeyError("x"), error])
    assert machine_fault(wrapped) == "No space left on device: /data/file"
    assert machine_fault(MachineError("The disk is gone.")) == "The disk is gone"


def test_what_an_exception_replaces_on_purpose_does_not_count():
    def open_cache():
        try:
            raise os_error("EACCES", "/home/user/.triton")
        except OSError:
            raise ValueError("no kernel for this shape") from None

    with pytest.raises(ValueError, match="no kernel") as caught:
        open_cache()
    assert machine_fault(caught.value) is None


def test_a_full_database_is_recognised(tmp_path):
    from attentune.studies.database.store import Store

    with Store.open(tmp_path / "a.db", create=True) as store:
        with store._database.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreError, match="disk is full") as caught:
            store.probes.put({"question": "?"}, {"answer": "x" * 10_000})
    assert machine_fault(caught.value) == "database or disk is full"


@pytest.fixture
def small_files():
    """Files of more than a kilobyte cannot be written."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("save", [save_file, torch.save])
def test_what_libraries_raise_where_nothing_can_be_written_is_recognised(
    save, tmp_path, small_files
):
    with pytest.raises((OSError, RuntimeError, SafetensorError)) as caught:
        save({"x": torch.zeros(100_000)}, tmp_path / "file")
    assert machine_fault(caught.value)


def test_a_lost_folder_is_recognised_in_the_text_of_safetensors(tmp_path):
    with pytest.raises(SafetensorError) as caught:
        save_file({"x": torch.zeros(10)}, tmp_path / "gone" / "file")
    assert machine_fault(caught.value, [tmp_path])
    assert machine_fault(caught.value, [STUDY]) is None
