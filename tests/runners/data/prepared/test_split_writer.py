"""Writing the images of a split: room on the disk, and images that are left out."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from attentune.errors import DataError
from attentune.runners.data import prepare_data
from attentune.runners.data.prepared import split_writer
from attentune.runners.data.prepared.split_writer import reserve_space

from ..image_files import TWENTY, files, folder, recipe


def test_broken_images_are_left_out_of_files_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr("attentune.runners.data.prepared.split_writer._IMAGES_PER_MOVE", 4)
    path = folder(tmp_path / "pets", files(TWENTY))
    for number in (0, 3, 4, 19):
        (path / "dogs" / f"{number:03}.png").write_bytes(b"broken")
    file = prepare_data(recipe(path, skip_broken=True)).folder / "train.images.npy"
    np.save(tmp_path / "saved.npy", np.load(file))
    assert (tmp_path / "saved.npy").read_bytes() == file.read_bytes()


def test_space_is_reserved_before_images_are_written_through_a_memory_map(tmp_path, monkeypatch):
    """Else a full disk would end the process with SIGBUS."""
    file = tmp_path / "images.npy"
    for reserve in ("by the system", "by writing"):
        if reserve == "by writing":
            monkeypatch.delattr(os, "posix_fallocate", raising=False)
        np.lib.format.open_memmap(file, "w+", np.uint8, (500, 16, 16, 3))
        reserve_space(file)
        assert file.stat().st_blocks * 512 >= 500 * 16 * 16 * 3
        images = np.load(file)
        assert images.shape == (500, 16, 16, 3)
        assert not images.any()
        file.unlink()


def test_a_disk_too_small_for_the_images_is_said_in_a_sentence(tmp_path, monkeypatch):
    def reserve(_file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(split_writer, "reserve_space", reserve)
    with pytest.raises(DataError, match=r"cannot write prepared data to .* \(No space left"):
        prepare_data(recipe(folder(tmp_path / "pets", files(TWENTY))))
