"""One scale for all images of a data set with more than 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attentune.errors import DataError
from attentune.runners.data import inspect_data, load_data, prepare_data
from attentune.runners.data.value_range import choose_value_range
from PIL import Image
from unusual_images import write_unusual_images

from .image_files import TWENTY, archive, files, folder, recipe
from .timm_stand_ins import IndexedSet


@pytest.mark.parametrize(
    ("low", "high", "is_float", "expected"),
    [
        (1440, 4080, False, (0, 4095)),  # 12 bits in a file of 16
        (3, 255, False, (0, 255)),
        (0, 65_535, False, (0, 65_535)),
        (0, 65_536, False, (0, 131_071)),
        (29_300, 31_000, False, (29_300, 31_000)),  # hundredths of a kelvin
        (-1024, 3071, False, (-1024, 3071)),  # Hounsfield units
        (0.1, 0.9, True, (0, 1)),
        (-0.9, 0.8, True, (-1, 1)),
        (-0.3, 1.2, True, (-0.3, 1.2)),
        (2.0, 251.0, True, (0, 255)),
        (0.001, 0.01, True, (0.001, 0.01)),
        (7, 7, False, (7, 8)),
    ],
)
def test_the_smallest_usual_range_is_taken_unless_it_would_be_nearly_empty(
    low, high, is_float, expected
):
    assert choose_value_range(low, high, is_float=is_float) == expected


def grey_levels(path: Path) -> set[int]:
    value_range = inspect_data(str(path)).value_range
    return set(np.unique(load_data(recipe(path, 48, value_range=value_range)).train.images))


def test_12_bits_in_files_of_16_keep_their_grey_values(tmp_path):
    path = write_unusual_images(tmp_path / "deep", "deep")
    assert inspect_data(str(path)).value_range == (0, 4095)
    (first, *_), (last, *_) = (sorted((path / name).glob("0.png")) for name in ("disc", "ring"))
    levels = grey_levels(path)
    for file in (first, last):
        original = set(np.rint(np.asarray(Image.open(file)) / 16 * (4080 / 4095)).astype(int).flat)
        assert len(original - levels) <= len(original) / 4
    assert len(levels) > 20, "the ground alone has 20 levels; 4095 / 65 535 would leave 16"


def test_float_images_have_the_scale_of_the_data_and_not_their_own(tmp_path):
    path = write_unusual_images(tmp_path / "float", "float")
    low, high = inspect_data(str(path)).value_range
    assert low == pytest.approx(-0.3, abs=0.05)
    assert 1 < high <= 1.2
    data = load_data(recipe(path, 48, value_range=(low, high)))
    disc, ring = (data.train.images[data.train.labels == label] for label in (0, 1))
    # The same grey of the ground is 0.47 in one class and −0.22 in the other.
    assert np.median(disc) > np.median(ring) + 80


def test_the_range_is_that_of_all_images_also_in_archives(tmp_path):
    contents = files(TWENTY)
    deep = write_unusual_images(tmp_path / "deep", "deep", 1)
    contents["cats/deep.png"] = (deep / "disc" / "0.png").read_bytes()
    for name in ("pets.zip", "pets.tar.gz"):
        assert inspect_data(str(archive(tmp_path / name, contents))).value_range == (0, 4095)
    assert inspect_data(str(folder(tmp_path / "plain", files(TWENTY)))).value_range is None


def test_integers_beside_floating_point_numbers_are_refused(tmp_path):
    path = write_unusual_images(tmp_path / "both", "float", 2)
    Image.fromarray(np.full((9, 9), 4000, np.uint16)).save(path / "disc" / "deep.png")
    with pytest.raises(DataError, match=r"0\.tif holds floating-point .*deep\.png integers"):
        inspect_data(str(path))


def test_the_range_is_part_of_the_prepared_data(tmp_path):
    path = write_unusual_images(tmp_path / "deep", "deep")
    first = prepare_data(recipe(path))
    second = prepare_data(recipe(path, value_range=(0, 4095)))
    assert first.key != second.key
    assert (first.preprocessing.value_range, second.preprocessing.value_range) == (None, (0, 4095))
    assert prepare_data(recipe(path, value_range=(0, 4095))) == second


class DeepSet(IndexedSet):
    def __getitem__(self, index: int):
        values = np.full((32, 32), 1000 + 30 * index, np.uint16)
        return Image.fromarray(values), self.targets[index]


def test_sets_of_timm_have_a_range_too(timm_sets):
    timm_sets(lambda _, split: DeepSet(60 if split == "train" else 12, 0))
    assert inspect_data("torch/deep").value_range == (0, 4095)
    timm_sets(lambda _, split: IndexedSet(60 if split == "train" else 12, 0))
    assert inspect_data("torch/plain").value_range is None
