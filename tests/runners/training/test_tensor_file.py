"""Files of tensors with a checksum."""

from __future__ import annotations

import os

import pytest
import torch
from attentune.errors import DamagedFileError
from attentune.runners.training.tensor_file import read_tensors, verify_tensors, write_tensors

TENSORS = {"a": torch.arange(12.0).reshape(3, 4), "b": torch.zeros(0), "c": torch.ones(5).half()}


def test_what_is_written_is_read_and_verified(tmp_path):
    path = tmp_path / "tensors"
    write_tensors(path, TENSORS, {"note": 'with "crc32":"00000000" in it'})
    assert verify_tensors(path)["note"] == 'with "crc32":"00000000" in it'
    assert all(torch.equal(value, TENSORS[name]) for name, value in read_tensors(path).items())


def test_every_byte_counts(tmp_path):
    path = tmp_path / "tensors"
    write_tensors(path, TENSORS, {})
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(DamagedFileError):
            verify_tensors(path)


@pytest.mark.skipif(os.name != "posix", reason="permissions of files are those of Unix")
def test_it_is_written_under_its_own_name_and_for_all_whom_the_umask_lets_read(tmp_path):
    path, before = tmp_path / "tensors", os.umask(0o022)
    path.touch()
    inode = path.stat().st_ino
    try:
        write_tensors(path, TENSORS, {})
    finally:
        os.umask(before)
    assert path.stat().st_ino == inode  # A temporary file would have replaced it.
    assert path.stat().st_mode & 0o777 == 0o644
