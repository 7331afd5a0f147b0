"""Images as arrays of NumPy: any number of channels, one for the whole data set."""

from __future__ import annotations

import io

import numpy as np
import pytest
from attentune.errors import DataError
from attentune.runners.data import inspect_data, load_data
from attentune.runners.data.array_files import read_array, read_array_header
from attentune.runners.data.preprocessing import Preprocessing, ValueRange
from attentune.runners.data.sources.photographs import why_no_photographs

from .image_files import PACKINGS, TWENTY, files, folder, pack, recipe

RNG = np.random.default_rng(0)


def encode(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def arrays(channels: int, dtype: str = "uint16", count: int = 5) -> dict[str, bytes]:
    """Arrays of 12 bits in two class folders."""
    return {
        f"{name}/{number}.npy": encode(RNG.integers(0, 4096, (12, 14, channels)).astype(dtype))
        for name in ("cells", "debris")
        for number in range(count)
    }


@pytest.mark.parametrize("packing", PACKINGS)
def test_arrays_are_trained_on_with_all_their_channels_and_one_scale(packing, tmp_path):
    contents = arrays(5)
    path = pack(tmp_path, packing, contents)
    info = inspect_data(str(path))
    assert (info.channels, info.default_channels) == (5, 5)
    assert info.value_range == (0, 4095)
    assert info.native_size == 12
    data = load_data(recipe(path, in_chans=5, value_range=info.value_range))
    assert data.train.images.shape == (6, 8, 8, 5)
    assert len(data.mean) == len(data.std) == data.preprocessing.channels == 5
    chosen = {image.tobytes() for image in data.train.images}
    prepared = [data.preprocessing.apply(read_array(content)) for content in contents.values()]
    assert chosen < {image.tobytes() for image in prepared}


def test_one_array_may_be_grey_and_become_rgb_as_grey_files_do(tmp_path):
    contents = {
        f"{name}/{number}.npy": encode(RNG.random((12, 12)))
        for name in ("cells", "debris")
        for number in range(5)
    }
    path = folder(tmp_path / "grey", contents)
    info = inspect_data(str(path))
    assert (info.channels, info.default_channels, info.value_range) == (1, 3, (0, 1))
    rgb, grey = (
        load_data(recipe(path, in_chans=channels, value_range=info.value_range))
        for channels in (3, 1)
    )
    assert grey.train.images.shape == (6, 8, 8, 1)
    np.testing.assert_array_equal(grey.train.images.repeat(3, 3), rgb.train.images)


def test_different_numbers_of_channels_are_refused_with_an_example_of_each(tmp_path):
    contents = arrays(4)
    contents["cells/1.npy"] = encode(np.zeros((12, 12, 3), np.uint16))
    with pytest.raises(DataError, match=r"9 with 4 \(.*0.npy\), 1 with 3 \(.*cells/1.npy\)"):
        inspect_data(str(folder(tmp_path / "mixed", contents)))


def test_arrays_beside_image_files_are_left_out_and_said(tmp_path):
    path = folder(tmp_path / "pets", {**files(TWENTY), "cats/mask.npy": encode(np.zeros((9, 9)))})
    info = inspect_data(str(path))
    assert info.counts == {"train": 60}
    assert info.channels is None
    assert info.remarks == ("left out of pets: 1 .npy that are arrays beside image files",)


NO_IMAGES = {
    "channels first": (np.zeros((4, 40, 40)), "channels are last"),
    "a vector": (np.zeros(512), "an array 512 of float64"),
    "a film": (np.zeros((4, 8, 8, 3)), "H × W"),
    "complex numbers": (np.zeros((8, 8), complex), "complex128"),
    "objects": (np.full((8, 8), None), "cannot|object"),
    "nothing": (np.zeros((0, 8)), "H × W"),
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_an_array_that_is_no_image_is_refused_by_its_shape(name, tmp_path):
    array, message = NO_IMAGES[name]
    for read in (read_array, read_array_header):
        with pytest.raises(ValueError, match=message):
            read(encode(array))
    contents = dict.fromkeys(arrays(3), encode(array))
    with pytest.raises(DataError, match=r"no array of cells is an image, such as .*0.npy"):
        inspect_data(str(folder(tmp_path / "cells", contents)))


def test_a_broken_array_is_named_and_others_are_used(tmp_path):
    contents = arrays(2)
    contents["cells/1.npy"] = contents["cells/1.npy"][:200]
    path = folder(tmp_path / "cells", contents)
    assert inspect_data(str(path)).channels == 2
    with pytest.raises(DataError, match=r"cells/1.npy cannot be decoded"):
        load_data(recipe(path, in_chans=2))
    with pytest.raises(DataError, match=r"cells/0.npy \(it has 2 channels, not 3\)"):
        load_data(recipe(path))


def test_no_memory_is_taken_for_what_a_header_only_claims():
    claimed = np.broadcast_to(np.zeros((), np.uint8), (10**6, 10**6))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(claimed))
    for content in (header.getvalue(), encode(np.zeros((9, 9, 4)))[:-1]):
        with pytest.raises(ValueError, match="shorter than its header says"):
            read_array(content)


def test_images_with_more_channels_than_colours_are_no_photographs(tmp_path):
    path = folder(tmp_path / "cells", arrays(5))
    assert why_no_photographs(str(path)) == "the images of cells have 5 channels"


def test_floating_point_colours_are_those_of_bytes():
    image = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    scaled = Preprocessing(16, value_range=ValueRange(0, 1)).apply(image / np.float32(255))
    np.testing.assert_array_equal(scaled, Preprocessing(16).apply(image))
