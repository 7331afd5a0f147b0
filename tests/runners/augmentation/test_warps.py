"""Random resized crops: parts of the image, enlarged; and maps that follow one another."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.augmentation.random_draws import ImageDraws
from attentune.runners.augmentation.warps import Warps, random_resized_crops, warp_images

CPU = torch.device("cpu")


def images_of(count=4, side=12):
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, side, side, 3), generator=draw, dtype=torch.uint8)


def test_the_identity_and_mirroring_copy_pixels():
    images, identity = images_of(), Warps.identity(4, CPU)
    assert torch.equal(warp_images(images, identity), images)
    is_mirrored = torch.tensor([True, False, True, False])
    mirrored = warp_images(images, identity.mirrored(is_mirrored))
    assert torch.equal(mirrored[is_mirrored], images[is_mirrored].flip(2))
    assert torch.equal(mirrored[~is_mirrored], images[~is_mirrored])


def test_shifts_by_whole_pixels_copy_pixels_and_reflect_edges():
    images = images_of()
    shift = torch.full((4,), 2 * 3 / 12)
    shifted = warp_images(images, Warps.identity(4, CPU).shifted(shift, torch.zeros(4)))
    assert torch.equal(shifted[:, :, :9], images[:, :, 3:])
    assert torch.equal(shifted[:, :, 9:], images[:, :, 9:].flip(2))


@pytest.mark.parametrize("min_area", [0.08, 0.35, 0.99])
def test_crops_lie_inside_the_image_and_have_the_areas_and_ratios_they_should(min_area):
    crops = random_resized_crops(ImageDraws(0, 0), torch.arange(5000), min_area)
    assert (crops.x0.abs() + crops.xx).max() <= 1 + 1e-6
    assert (crops.y0.abs() + crops.yy).max() <= 1 + 1e-6
    areas, ratios = crops.xx * crops.yy, crops.xx / crops.yy
    assert areas.max() <= 1
    # A crop whose longer side does not fit is cut off, to three quarters of its area at least.
    assert areas.min() >= min_area * 0.74
    assert ratios.max() <= 4 / 3 + 1e-5
    assert ratios.min() >= 3 / 4 - 1e-5
    if min_area < 0.5:
        assert abs(areas.mean() - (1 + min_area) / 2) < 0.06
        assert areas.min() < min_area + 0.02


def test_a_crop_enlarges_a_part_of_the_image():
    ramp = torch.arange(64, dtype=torch.uint8)[None, None, :, None].expand(1, 64, 64, 3)
    quarter = Warps(*(torch.tensor([v]) for v in (0.5, 0.0, -0.5, 0.0, 0.5, -0.5)))
    enlarged = warp_images(ramp, quarter)[0, 5, :, 0].int()
    assert (enlarged[0], enlarged[-1]) == (0, 31)
    assert enlarged.diff().min() >= 0


def test_maps_follow_one_another_as_images_do():
    images = images_of(1)
    half_turn = Warps(*(torch.tensor([v]) for v in (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)))
    shift = Warps.identity(1, CPU).shifted(torch.tensor([2 * 3 / 12]), torch.zeros(1))
    both = warp_images(images, shift.after(half_turn))
    assert torch.equal(both, warp_images(warp_images(images, shift), half_turn))
