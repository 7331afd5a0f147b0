"""RandAugment: each operation does what Pillow's does, to its own image only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attentune.runners.augmentation.randaugment import (
    Layer,
    Operation,
    change_colours,
    draw_layers,
    move_pixels,
)
from attentune.runners.augmentation.random_draws import ImageDraws
from attentune.runners.augmentation.warps import warp_images
from PIL import Image, ImageEnhance, ImageOps

PIXEL_OPERATIONS = [o for o in Operation if Operation.ROTATE != o < Operation.SHEAR_X and o]


def photographs(side=24):
    draw = torch.Generator().manual_seed(0)
    noise = torch.randint(30, 200, (len(Operation), side, side, 3), generator=draw)
    return noise.to(torch.uint8)


def layer_of_all(sign=1.0):
    count = len(Operation)
    return Layer(torch.arange(count), torch.full((count,), sign))


def by_pillow(operation: Operation, image: Image.Image, sign: float) -> Image.Image:
    factor = 1 + sign * 0.9 * 0.6
    match operation:
        case Operation.AUTOCONTRAST:
            return ImageOps.autocontrast(image)
        case Operation.EQUALIZE:
            return ImageOps.equalize(image)
        case Operation.SOLARIZE:
            return ImageOps.solarize(image, 256 * 0.4)
        case Operation.POSTERIZE:
            return ImageOps.posterize(image, 8 - 2)
        case Operation.SATURATION:
            return ImageEnhance.Color(image).enhance(factor)
        case Operation.CONTRAST:
            return ImageEnhance.Contrast(image).enhance(factor)
        case Operation.BRIGHTNESS:
            return ImageEnhance.Brightness(image).enhance(factor)
        case _:
            return ImageEnhance.Sharpness(image).enhance(factor)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_operations_on_colours_are_those_of_pillow(sign):
    images = photographs()
    changed = change_colours(images, layer_of_all(sign), 6.0)
    for operation in PIXEL_OPERATIONS:
        image = Image.fromarray(images[operation].numpy())
        expected = torch.from_numpy(np.asarray(by_pillow(operation, image, sign)).astype(np.int32))
        assert (changed[operation].int() - expected).abs().max() <= 1, operation.name
        assert not torch.equal(changed[operation], images[operation]), operation.name
    others = [o for o in Operation if o not in PIXEL_OPERATIONS]
    assert torch.equal(changed[others], images[others])


@pytest.mark.parametrize("channels", [1, 5])
def test_operations_on_colours_change_each_channel_of_other_images(channels):
    images = photographs()[..., :1].repeat(1, 1, 1, channels)
    changed = change_colours(images, layer_of_all(), 6.0)
    in_rgb = change_colours(images[..., :1].repeat(1, 1, 1, 3), layer_of_all(), 6.0)
    assert torch.equal(changed, in_rgb[..., :1].repeat(1, 1, 1, channels))
    assert torch.equal(changed[Operation.SATURATION], images[Operation.SATURATION])


def test_operations_on_pixels_move_their_own_image_only():
    images = photographs()
    moved = warp_images(images, move_pixels(layer_of_all(), 6.0))
    for operation in Operation:
        is_moved = not torch.equal(moved[operation], images[operation])
        assert is_moved == (operation not in (0, *PIXEL_OPERATIONS)), operation.name


def test_translations_are_a_fraction_of_the_side():
    images = photographs(20)
    moved = warp_images(images, move_pixels(layer_of_all(), 10.0))
    row = moved[Operation.TRANSLATE_X][:, :11]
    assert torch.equal(row, images[Operation.TRANSLATE_X][:, 9:])


def test_constant_images_and_magnitude_zero_are_safe():
    flat = torch.full((len(Operation), 8, 8, 3), 77, dtype=torch.uint8)
    changed = change_colours(flat, layer_of_all(), 10.0)
    assert torch.equal(changed[Operation.AUTOCONTRAST], flat[0])
    assert torch.equal(changed[Operation.EQUALIZE], flat[0])
    images = photographs()
    unchanged = [o for o in Operation if o not in (Operation.AUTOCONTRAST, Operation.EQUALIZE)]
    zero = change_colours(images, layer_of_all(), 0.0)
    assert torch.equal(zero[unchanged], images[unchanged])


def test_the_two_operations_of_an_image_are_drawn_independently():
    first, second = draw_layers(ImageDraws(0, 0), torch.arange(14 * 14 * 20))
    pairs = (first.operations * 14 + second.operations).bincount(minlength=14 * 14)
    assert pairs.min() > 2
    assert pairs.max() < 50
