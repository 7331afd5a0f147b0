"""Photographs are told from handwriting and drawings by a sample of them."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.runners.data.sources.photographs import why_no_photographs
from PIL import Image


def write_images(folder, make_image):
    rng = np.random.default_rng(0)
    for name in ("first", "second"):
        (folder / name).mkdir(parents=True)
        for number in range(4):
            Image.fromarray(make_image(rng)).save(folder / name / f"{number}.png")
    return str(folder)


def photograph(rng):
    return rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)


def grey_photograph(rng):
    return rng.integers(0, 256, (96, 96), dtype=np.uint8)


def drawing(rng):
    image = np.full((96, 96), 255, np.uint8)
    image[40:56, 8:88] = rng.integers(0, 60)
    return image


def symbol(rng):
    return rng.integers(0, 256, (28, 28), dtype=np.uint8)


@pytest.mark.parametrize("make_image", [photograph, grey_photograph])
def test_photographs_may_be_grey(tmp_path, make_image):
    assert why_no_photographs(write_images(tmp_path / "photos", make_image)) is None


@pytest.mark.parametrize("make_image", [drawing, symbol])
def test_drawings_and_symbols_are_no_photographs(tmp_path, make_image):
    reason = why_no_photographs(write_images(tmp_path / "photos", make_image))
    assert reason == "the images of photos look like drawings or symbols, not like photographs"


def test_names_say_what_is_no_photograph(tmp_path):
    assert why_no_photographs("cued-digits") == "cued-digits is no set of photographs"
    folder = write_images(tmp_path / "my-MNIST", photograph)
    assert why_no_photographs(folder).endswith("to judge by its name")
