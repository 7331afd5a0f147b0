"""RandAugment (Cubuk et al., arXiv 1909.13719): two random operations on each image.

The operations are the paper's, with the ranges of timm at magnitude 10. Those that move pixels
become an affine map (`move_pixels`). Those that change colours run for whole batches
(`change_colours`): contrast, brightness, posterize, solarize, autocontrast and equalize are tables
of 256 values for each image and channel, and sharpness and saturation blend an image with
another version of itself, with a factor of 1 where nothing is to be done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from .colours import LEVELS, grey_values, has_colours, mean_grey, to_uint8
from .random_draws import Draw, ImageDraws
from .warps import Warps

MAX_MAGNITUDE = 10.0
MAX_ROTATION_DEGREES = 30.0
MAX_SHEAR = 0.3
MAX_TRANSLATION = 0.45
"""As a fraction of the side."""
MAX_ENHANCEMENT = 0.9
"""What the factor of an enhancement differs from 1 by."""
MAX_DROPPED_BITS = 4
_LAYERS = ((Draw.FIRST_OPERATION, Draw.FIRST_SIGN), (Draw.SECOND_OPERATION, Draw.SECOND_SIGN))


class Operation(IntEnum):
    """The operations, in the order in which they are numbered by the random draws."""

    IDENTITY = 0
    AUTOCONTRAST = 1
    EQUALIZE = 2
    ROTATE = 3
    SOLARIZE = 4
    SATURATION = 5
    POSTERIZE = 6
    CONTRAST = 7
    BRIGHTNESS = 8
    SHARPNESS = 9
    SHEAR_X = 10
    SHEAR_Y = 11
    TRANSLATE_X = 12
    TRANSLATE_Y = 13


@dataclass(frozen=True)
class Layer:
    """One operation for each image: `operations` int64 (n,), and `signs` float32 (n,), -1 or 1.

    The sign decides the direction of a movement, and whether an enhancement is more or less.
    """

    operations: Tensor
    signs: Tensor

    def amounts(self, operation: Operation, amount: float, otherwise: float = 0.0) -> Tensor:
        """Amounts with the signs of the layer, float32 (n,).

        Args:
            operation: the images that have it get an amount.
            amount: above zero.
            otherwise: what the other images get.
        """
        return torch.where(self.operations == operation, self.signs * amount, otherwise)


def draw_layers(draws: ImageDraws, index: Tensor) -> tuple[Layer, ...]:
    """The operations of each image, numbered by `index` (n,), one layer after the other."""
    return tuple(
        Layer(draws.choice(operation, index, len(Operation)), draws.sign(sign, index))
        for operation, sign in _LAYERS
    )


def move_pixels(layer: Layer, magnitude: float) -> Warps:
    """The affine maps of a layer; the identity where its operation changes colours."""
    strength = magnitude / MAX_MAGNITUDE
    angles = layer.amounts(Operation.ROTATE, strength * math.radians(MAX_ROTATION_DEGREES))
    cosines, sines = angles.cos(), angles.sin()
    return Warps(
        cosines,
        -sines + layer.amounts(Operation.SHEAR_X, strength * MAX_SHEAR),
        layer.amounts(Operation.TRANSLATE_X, strength * 2 * MAX_TRANSLATION),
        sines + layer.amounts(Operation.SHEAR_Y, strength * MAX_SHEAR),
        cosines,
        layer.amounts(Operation.TRANSLATE_Y, strength * 2 * MAX_TRANSLATION),
    )


def change_colours(images: Tensor, layer: Layer, magnitude: float) -> Tensor:
    """The images with the layer's operation on colours; unchanged where it moves pixels.

    Args:
        images: uint8 (n, H, W, C). Only those in RGB have a saturation.
        layer: the operation of each.
        magnitude: from 0 to 10.
    """
    strength = magnitude / MAX_MAGNITUDE
    grey = grey_values(images)
    images = _look_up(images, _tables(images, grey, layer, strength))
    enhancement = strength * MAX_ENHANCEMENT
    saturation = 1 + layer.amounts(Operation.SATURATION, enhancement)
    sharpness = 1 + layer.amounts(Operation.SHARPNESS, enhancement)
    pixels = images.float()
    if has_colours(images):
        pixels = _blend(grey[..., None], pixels, saturation)
    return to_uint8(_blend(_smoothed(pixels), pixels, sharpness))


def _blend(other: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """From another version of the images (factor 0) to the images (1) and beyond."""
    mixed = other + factor[:, None, None, None] * (images - other)
    # The sum of differences need not be the number itself.
    return torch.where(factor[:, None, None, None] == 1, images, mixed)


def _smoothed(pixels: Tensor) -> Tensor:
    """Pillow's smoothing, with weights of 5 in the middle and 1 around; edges stay as they are."""
    if min(pixels.shape[1:3]) < 3:
        return pixels
    rows = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    squares = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    smoothed = pixels.clone()
    smoothed[:, 1:-1, 1:-1] = (squares + 4 * pixels[:, 1:-1, 1:-1]) / 13
    return smoothed


def _tables(images: Tensor, grey: Tensor, layer: Layer, strength: float) -> Tensor:
    """What each value becomes, uint8 (n, C, 256)."""
    shape = (len(images), images.shape[3], LEVELS)
    levels = torch.arange(LEVELS, device=images.device).float().expand(shape)
    histogram = _histogram(images)

    def of_images(values: Tensor) -> Tensor:
        return values[:, None, None]

    enhancement = 1 + layer.signs * strength * MAX_ENHANCEMENT
    mean = of_images((mean_grey(grey) + 0.5).floor())
    threshold = LEVELS * (1 - strength)
    kept = 2 ** round(strength * MAX_DROPPED_BITS)
    tables = {
        Operation.BRIGHTNESS: levels * of_images(enhancement),
        Operation.CONTRAST: mean + (levels - mean) * of_images(enhancement),
        Operation.SOLARIZE: torch.where(levels < threshold, levels, LEVELS - 1 - levels),
        Operation.POSTERIZE: (levels / kept).floor() * kept,
        Operation.AUTOCONTRAST: _stretched(histogram, levels),
        Operation.EQUALIZE: _equalised(histogram),
    }
    result = levels
    for operation, table in tables.items():
        result = torch.where(of_images(layer.operations == operation), table, result)
    return to_uint8(result)


def _histogram(images: Tensor) -> Tensor:
    """How many pixels have each value, int32 (n, C, 256)."""
    shape = (len(images), images.shape[3], LEVELS)
    values = images.flatten(1, 2).permute(0, 2, 1).long()
    histogram = torch.zeros(shape, dtype=torch.int32, device=images.device)
    ones = torch.ones((), dtype=torch.int32, device=images.device).expand(values.shape)
    return histogram.scatter_add_(2, values, ones)


def _stretched(histogram: Tensor, levels: Tensor) -> Tensor:
    """Tables that stretch the values of each channel to 0..255 (Pillow's `autocontrast`)."""
    has_pixels = histogram > 0
    lowest = torch.where(has_pixels, levels, float(LEVELS)).amin(2, keepdim=True)
    highest = torch.where(has_pixels, levels, -1.0).amax(2, keepdim=True)
    extent = highest - lowest
    stretched = (levels - lowest) * ((LEVELS - 1) / extent.clamp(min=1))
    return torch.where(extent > 0, stretched, levels)


def _equalised(histogram: Tensor) -> Tensor:
    """Tables that make the values of each channel equally frequent (Pillow's `equalize`)."""
    below = histogram.cumsum(2) - histogram
    last = torch.where(histogram > 0, below, -1).amax(2, keepdim=True)  # below the highest value
    step = torch.div(last, LEVELS - 1, rounding_mode="floor")
    table = torch.div(
        torch.div(step, 2, rounding_mode="floor") + below, step.clamp(min=1), rounding_mode="floor"
    ).clamp(max=LEVELS - 1)
    levels = torch.arange(LEVELS, device=histogram.device)
    return torch.where(step > 0, table, levels).float()


def _look_up(images: Tensor, tables: Tensor) -> Tensor:
    """The table's entry for each value: images uint8 (n, H, W, C), tables uint8 (n, C, 256)."""
    count, channels = len(images), images.shape[3]
    first = torch.arange(count * channels, device=images.device).view(count, 1, 1, channels)
    positions = first * LEVELS + images
    return tables.reshape(-1).index_select(0, positions.view(-1)).view(images.shape)
