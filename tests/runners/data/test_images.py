"""From files to arrays of pixels: every mode, size and rotation; and broken images."""

from __future__ import annotations

import io

import numpy as np
import pytest
from attentune.errors import DataError
from attentune.runners.data import load_data
from PIL import Image

from .image_files import TWENTY, files, files_by_split, pack, recipe


def deep_grey() -> Image.Image:
    return Image.fromarray(np.full((9, 9), 128 * 257, np.uint16))


def half_clear() -> Image.Image:
    return Image.new("RGBA", (9, 9), (0, 0, 0, 0))


def palette_with_hole() -> Image.Image:
    image = Image.new("P", (9, 9), 1)
    image.putpalette([9, 9, 9, 250, 0, 0])
    image.info["transparency"] = 1
    return image


MODES = [
    ("grey.png", lambda: Image.new("L", (9, 9), 100), (100, 100, 100)),
    ("bits.png", lambda: Image.new("1", (9, 9), 1), (255, 255, 255)),
    ("deep.png", deep_grey, (128, 128, 128)),
    ("deep.tif", deep_grey, (128, 128, 128)),
    ("float.tif", lambda: Image.new("F", (9, 9), 0.5), (128, 128, 128)),
    ("clear.png", half_clear, (255, 255, 255)),
    ("solid.png", lambda: Image.new("RGBA", (9, 9), (10, 20, 30, 255)), (10, 20, 30)),
    ("grey-alpha.png", lambda: Image.new("LA", (9, 9), (60, 255)), (60, 60, 60)),
    ("palette.gif", lambda: Image.new("RGB", (9, 9), (255, 0, 0)).convert("P"), (255, 0, 0)),
    ("hole.png", palette_with_hole, (255, 255, 255)),
    ("print.jpg", lambda: Image.new("CMYK", (9, 9), (0, 255, 255, 0)), (255, 0, 0)),
    ("photo.webp", lambda: Image.new("RGB", (9, 9), (10, 20, 30)), (10, 20, 30)),
    ("web.jfif", lambda: Image.new("RGB", (9, 9), (10, 20, 30)), (10, 20, 30)),
    ("shots.apng", lambda: Image.new("RGB", (9, 9), (10, 20, 30)), (10, 20, 30)),
    ("grey.pnm", lambda: Image.new("L", (9, 9), 100), (100, 100, 100)),
    ("bits.dib", lambda: Image.new("RGB", (9, 9), (10, 20, 30)), (10, 20, 30)),
    ("scan.j2k", lambda: Image.new("RGB", (9, 9), (10, 20, 30)), (10, 20, 30)),
    ("phone.mpo", lambda: Image.new("RGB", (9, 9), (10, 20, 30)), (10, 20, 30)),
    ("big.jpg", lambda: Image.new("RGB", (900, 700), (10, 20, 30)), (10, 20, 30)),
    ("PHOTO.JPEG", lambda: Image.new("RGB", (1, 1), (10, 20, 30)), (10, 20, 30)),
]


@pytest.mark.parametrize(("name", "make", "colour"), MODES, ids=[mode[0] for mode in MODES])
def test_every_mode_becomes_rgb(name, make, colour, tmp_path):
    path = tmp_path / "modes"
    for label in ("a", "b"):
        for number in range(3):
            file = path / label / f"{number}{name}"
            file.parent.mkdir(parents=True, exist_ok=True)
            make().save(file)
    data = load_data(recipe(path, 6))
    assert data.train.images.shape == (2, 6, 6, 3)
    difference = np.abs(data.train.images.astype(int) - np.array(colour))
    assert difference.max() <= 3


def test_the_middle_square_is_kept_and_reduced_without_aliasing(tmp_path):
    stripes = np.zeros((40, 80, 3), np.uint8)
    stripes[:, ::2] = 255  # one pixel wide: any aliasing would show
    stripes[:, :20] = stripes[:, 60:] = (255, 0, 0)  # outside the middle
    for label in ("a", "b"):
        for number in range(3):
            file = tmp_path / "wide" / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(stripes).save(file)
    images = load_data(recipe(tmp_path / "wide", 10)).train.images
    assert np.abs(images[:, 1:-1, 1:-1].astype(int) - 127).max() < 20
    assert (images[:, :, :, 0].astype(int) - images[:, :, :, 1] < 60).all(), "no red border"


def test_a_cameras_rotation_is_obeyed(tmp_path):
    upright = np.zeros((8, 8, 3), np.uint8)
    upright[:4] = 255
    for label in ("a", "b"):
        for number in range(3):
            file = tmp_path / "phone" / label / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            exif = Image.Exif()
            exif[0x0112] = 3  # upside down
            Image.fromarray(upright).save(file, exif=exif, quality=95)
    images = load_data(recipe(tmp_path / "phone", 8)).train.images
    assert images[:, 0].mean() < 20
    assert images[:, 7].mean() > 235


# --- broken images ------------------------------------------------------------------------------


def png() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (30, 30, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


BROKEN = {
    "empty": b"",
    "text": b"this is no image",
    "cut short": png()[:-700],
    "header only": png()[:40],
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("packing", ["folder", "tar.gz", "zip"])
def test_a_broken_image_is_named_or_left_out(kind, packing, tmp_path):
    contents = {**files(TWENTY), "dogs/007.png": BROKEN[kind]}
    path = pack(tmp_path, packing, contents)
    with pytest.raises(DataError, match=r"dogs/007\.png cannot be decoded .*--skip-broken"):
        load_data(recipe(path))
    data = load_data(recipe(path, skip_broken=True))
    (broken,) = data.broken
    assert broken.endswith("dogs/007.png")
    assert sum(map(len, files_by_split(data).values())) == 59
