"""How large an image may be, and the option that reads larger ones."""

from __future__ import annotations

import io

import pytest
from attentune.errors import DataError
from attentune.runners.data import SourceOptions, inspect_data, prepare_data
from attentune.runners.data.image_limits import DEFAULT_LIMITS, ImageLimits, LargeImageError
from attentune.runners.data.images import open_pillow_image
from PIL import Image

from .image_files import TWENTY, files, pack, recipe

SMALL = 100
"""Fewer pixels than the images of pets have, 10 × 12."""


@pytest.mark.parametrize("packing", ["folder", "tar.gz", "zip"])
def test_larger_images_are_refused_with_the_option_that_reads_them(packing, tmp_path):
    path = pack(tmp_path, packing, files(TWENTY))
    with pytest.raises(DataError, match=r"10 × 12 pixels; an image may have 100; --max-pixels 1M"):
        prepare_data(recipe(path, max_pixels=SMALL))
    info = prepare_data(recipe(path, max_pixels=120))
    assert sum(info.counts.values()) == 60


def test_the_limit_decides_what_is_read_where_broken_images_are_left_out(tmp_path):
    contents = files(TWENTY)
    buffer = io.BytesIO()
    Image.new("RGB", (30, 30)).save(buffer, "PNG")
    contents["cats/large.png"] = buffer.getvalue()
    path = pack(tmp_path, "folder", contents)
    limited = prepare_data(recipe(path, max_pixels=200, skip_broken=True))
    whole = prepare_data(recipe(path, skip_broken=True))
    assert (len(limited.broken), len(whole.broken)) == (1, 0)
    assert sum(whole.counts.values()) == sum(limited.counts.values()) + 1
    assert limited.key != whole.key


def test_the_scale_of_deep_images_follows_from_those_that_are_decoded(tmp_path):
    folder = tmp_path / "scans"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            Image.new("I;16", (4, 4), 4000 + number).save(folder / name / f"{number}.tif")
    Image.new("I;16", (30, 30), 60_000).save(folder / "a" / "large.tif")
    limited = inspect_data(str(folder), SourceOptions(max_pixels=100))
    whole = inspect_data(str(folder))
    assert limited.value_range != whole.value_range


def test_a_file_of_too_many_bytes_is_refused_with_the_option_that_reads_it():
    limits = DEFAULT_LIMITS
    with pytest.raises(LargeImageError, match="--max-pixels 180M reads it"):
        limits.check_bytes(limits.max_file_bytes + 1)
    ImageLimits(180_000_000).check_bytes(limits.max_file_bytes + 1)


def test_a_larger_limit_lets_pillow_open_what_it_refuses(monkeypatch):
    buffer = io.BytesIO()
    Image.new("1", (400, 300)).save(buffer, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)
    with pytest.raises(
        LargeImageError, match=r"more than 100,000 pixels; .* a larger --max-pixels"
    ):
        open_pillow_image(buffer.getvalue())
    with open_pillow_image(buffer.getvalue(), ImageLimits(100_000_000)) as image:
        assert image.size == (400, 300)
