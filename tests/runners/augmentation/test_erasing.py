"""Random erasing: a rectangle inside some of the images has one colour."""

from __future__ import annotations

import torch
from attentune.runners.augmentation.erasing import erase_rectangles
from attentune.runners.augmentation.random_draws import ImageDraws


def test_rectangles_of_the_right_areas_are_erased_in_a_fraction_of_the_images():
    images = torch.zeros(2000, 30, 30, 3, dtype=torch.uint8)
    colour = torch.tensor([9, 8, 7], dtype=torch.uint8)
    erased = erase_rectangles(images, ImageDraws(0, 0), torch.arange(2000), 0.25, colour)
    covered = (erased == colour).all(3)
    assert torch.equal(covered, erased.any(3))
    areas = covered.flatten(1).sum(1)
    assert 420 < (areas > 0).sum() < 580
    assert areas.max() <= 900 / 3 * 1.15  # whole pixels
    heights, widths = covered.any(2).sum(1), covered.any(1).sum(1)
    assert torch.equal(heights * widths, areas)
    assert covered.any(0)[3:-3, 3:-3].all()
    assert covered.any(0).any(0).all()
    assert covered.any(0).any(1).all()
    nothing = erase_rectangles(images, ImageDraws(0, 0), torch.arange(2000), 0.0, colour)
    assert torch.equal(nothing, images)
