"""Images with boxes, as a detector reads them."""

from __future__ import annotations

import numpy as np
from attentune.benchmarks.scattered_digits import (
    DIGIT_SIDES,
    STROKE,
    draw_scattered_digits,
    write_detection_data,
)
from PIL import Image

SIDE = 64


def test_boxes_are_around_strokes_and_do_not_overlap():
    covered = bright = 0
    for image, boxes in draw_scattered_digits("train", 20, SIDE):
        assert boxes
        taken = np.zeros((SIDE, SIDE), int)
        for box in boxes:
            inside = image[box.top : box.bottom, box.left : box.right]
            assert inside.size
            assert max(inside.shape) <= DIGIT_SIDES[1]
            taken[box.top : box.bottom, box.left : box.right] += 1
            # The outermost rows and columns hold strokes.
            for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
                assert edge.max() > 255 * STROKE / 2
        assert taken.max() == 1
        covered += (image[taken > 0] > 128).sum()
        bright += (image > 128).sum()
    assert 0.5 < covered / bright < 1  # The rest are fragments, which have no boxes.


def test_images_are_the_same_in_every_run_and_differ_between_splits():
    first, second, other = (
        [image for image, _ in draw_scattered_digits(split, 3, SIDE)]
        for split in ("val", "val", "test")
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_labels_are_written_in_fractions_of_the_image(tmp_path):
    data = write_detection_data(tmp_path / "digits", {"train": 2, "val": 1}, SIDE)
    assert "val: images/val" in data.read_text()
    folder = data.parent
    assert Image.open(folder / "images/train/0001.png").size == (SIDE, SIDE)
    _, [box, *_] = next(draw_scattered_digits("train", 1, SIDE))
    digit, x, y, width, height = (folder / "labels/train/0000.txt").read_text().split()[:5]
    assert int(digit) == box.digit
    left = (float(x) - float(width) / 2) * SIDE
    bottom = (float(y) + float(height) / 2) * SIDE
    np.testing.assert_allclose((left, bottom), (box.left, box.bottom), atol=1e-3)
