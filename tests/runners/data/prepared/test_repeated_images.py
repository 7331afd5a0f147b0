"""Equal and nearly equal images are recognised, and different ones are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from attentune.runners.data.prepared.repeated_images import (
    count_repeated,
    equal_pairs,
    find_similar_pairs,
    hash_pixels,
    perceptual_hashes,
    thumbnails,
)
from PIL import Image, ImageFilter

SIDE = 64


def photographs(count: int) -> np.ndarray:
    """Smooth random images, (count, 64, 64, 3)."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count, 9, 9, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(i).resize((SIDE, SIDE))) for i in small])


def as_jpeg(image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer))


CHANGES = {
    "written as JPEG": as_jpeg,
    "a little brighter": lambda image: np.clip(image.astype(int) + 4, 0, 255).astype(np.uint8),
    "resized": lambda image: np.asarray(
        Image.fromarray(image).resize((40, 40)).resize((SIDE, SIDE))
    ),
    "blurred": lambda image: np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_nearly_equal_and_no_other_image_is(change):
    originals = photographs(30)
    images = np.concatenate([originals, [CHANGES[change](image) for image in originals[:10]]])
    pairs = find_similar_pairs(perceptual_hashes(images), thumbnails(images))
    assert pairs == [(index, 30 + index) for index in range(10)]


def test_the_hash_is_the_sign_of_low_frequencies_around_their_median():
    scipy_fft = pytest.importorskip("scipy.fft")
    (image,) = photographs(1)
    grey = np.asarray(image, float).reshape(32, 2, 32, 2, 3).mean((1, 3)) @ [0.299, 0.587, 0.114]
    low = scipy_fft.dctn(grey, type=2)[1:9, 1:9].ravel()
    bits = np.packbits(low > np.median(low)).view(np.uint64)
    assert perceptual_hashes(image[None])[0] == bits[0]


def test_equal_images_have_equal_hashes():
    first, second = photographs(2)
    hashes = [hash_pixels(image) for image in (first, second, first.copy(), first)]
    assert list(equal_pairs(hashes)) == [(0, 2), (0, 3)]


def test_images_that_an_earlier_split_has_are_counted():
    def hashes(*values: int) -> np.ndarray:
        return np.array(values, np.uint64)

    counts = count_repeated(
        {"train": hashes(1, 2, 3), "val": hashes(1, 4, 4), "test": hashes(4, 3, 5)}
    )
    assert counts == {"val": 1, "test": 2}
    assert count_repeated({"train": hashes(1), "val": hashes(2), "test": hashes(3)}) == {}
