"""Classes that are each other's mirror image are found in the images, and ordinary ones are not."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.runners.data.examination import mirrored_classes
from attentune.runners.data.examination.mirrored_classes import find_mirrored_classes
from PIL import Image, ImageDraw

SIDE = 48


def arrow(draw, rng, direction):
    """An arrow of any size anywhere, to the right (1) or to the left (-1)."""
    length, top = int(rng.integers(12, 24)), int(rng.integers(10, SIDE - 10))
    left = int(rng.integers(2, SIDE - length - 2))
    tip = left + length if direction > 0 else left
    colour = tuple(int(v) for v in rng.integers(150, 255, 3))
    draw.line((left, top, left + length, top), fill=colour, width=3)
    draw.polygon(
        [(tip, top), (tip - direction * 6, top - 5), (tip - direction * 6, top + 5)], colour
    )


def right_arrow(draw, rng):
    arrow(draw, rng, 1)


def left_arrow(draw, rng):
    arrow(draw, rng, -1)


def near_right(draw, rng):
    """A mark on one side, in nearly one place."""
    draw.rectangle((34, 20 + int(rng.integers(-2, 3)), 42, 30), fill=(250, 240, 230))


def near_left(draw, rng):
    draw.rectangle((5, 20 + int(rng.integers(-2, 3)), 13, 30), fill=(250, 240, 230))


def disc(draw, rng):
    x, y = rng.integers(12, 20, 2).tolist()
    draw.ellipse((x, y, x + 18, y + 18), fill=(200, 180, 90))


def ring(draw, rng):
    x, y = rng.integers(12, 20, 2).tolist()
    draw.ellipse((x, y, x + 18, y + 18), outline=(200, 180, 90), width=3)


def images_of(*shapes, counts=None):
    rng = np.random.default_rng(0)
    images, labels = [], []
    for number, shape in enumerate(shapes):
        for _ in range((counts or [40] * len(shapes))[number]):
            image = Image.fromarray(rng.integers(90, 130, (SIDE, SIDE, 3), dtype=np.uint8))
            shape(ImageDraw.Draw(image), rng)
            images.append(np.asarray(image))
            labels.append(number)
    return np.stack(images), np.array(labels), len(shapes)


@pytest.mark.parametrize(
    ("shapes", "pair"),
    [
        ((left_arrow, right_arrow), (0, 1)),
        ((near_left, near_right), (0, 1)),
        ((left_arrow, disc, right_arrow, ring), (0, 2)),
    ],
)
def test_classes_that_are_mirror_images_of_each_other_are_found(shapes, pair):
    (found,) = find_mirrored_classes(*images_of(*shapes))
    assert (found.first, found.second) == pair
    assert found.images == 80
    assert found.exchanged > 60


@pytest.mark.parametrize("counts", [(40, 40), (95, 5), (20, 60)])
def test_ordinary_classes_are_left_alone(counts):
    assert find_mirrored_classes(*images_of(disc, ring, counts=counts)) == ()


def test_a_mark_on_one_side_of_all_images_changes_nothing():
    images, labels, classes = images_of(disc, ring)
    images[:, 2:8, 2:12] = 255
    assert find_mirrored_classes(images, labels, classes) == ()


def test_images_that_no_classifier_tells_apart_are_left_alone():
    images, labels, _ = images_of(right_arrow, right_arrow)
    assert find_mirrored_classes(images, labels, 2) == ()


def test_few_images_and_many_classes_are_no_obstacle(monkeypatch):
    images, labels, classes = images_of(left_arrow, right_arrow, disc, counts=[2, 2, 40])
    assert find_mirrored_classes(images, labels, classes) == ()
    monkeypatch.setattr(mirrored_classes, "MAX_CLASSES_FOR_ALL_PAIRS", 1)
    images, labels, classes = images_of(left_arrow, disc, right_arrow, ring)
    assert [(p.first, p.second) for p in find_mirrored_classes(images, labels, classes)] == [(0, 2)]
