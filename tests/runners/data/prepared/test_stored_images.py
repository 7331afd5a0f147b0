"""Images are read from the file behind a map; a damaged file is an error and never a signal."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.errors import DataError
from attentune.runners.data.prepared.stored_images import read_images

SHAPE = (20, 5, 4, 3)


@pytest.fixture
def stored(tmp_path):
    """Images, and a map of the file that they are stored in."""
    images = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    np.save(tmp_path / "images.npy", images)
    return images, np.load(tmp_path / "images.npy", mmap_mode="r")


@pytest.mark.parametrize(
    "numbers", [[3], [7, 2, 2, 19, 0], range(20), [4, 5, 6, 1, 2], []], ids=str
)
def test_images_are_those_of_the_array(stored, numbers):
    images, mapped = stored
    rows = np.array(numbers, np.int64)
    for source in (mapped, images, mapped[2:]):
        rows = rows[rows < len(source)]
        out = np.empty((len(rows), *SHAPE[1:]), np.uint8)
        read_images(source, rows, out)
        assert np.array_equal(out, source[rows])


def test_a_file_that_was_cut_off_or_deleted_is_an_error_with_advice(stored, tmp_path):
    _, mapped = stored
    file = tmp_path / "images.npy"
    file.write_bytes(file.read_bytes()[:-30])
    out = np.empty((1, *SHAPE[1:]), np.uint8)
    read_images(mapped, np.array([18]), out)
    with pytest.raises(DataError, match=r"images\.npy cannot be read \(the file has been cut off"):
        read_images(mapped, np.array([19]), out)
    file.unlink()
    with pytest.raises(DataError, match=r"No such file.*; start again, what is gone or damaged is"):
        read_images(mapped, np.array([0]), out)
