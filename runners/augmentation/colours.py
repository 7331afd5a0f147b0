"""Augmentations that change colours: jitter, and what RandAugment does to pixels.

Sums are of whole numbers, which are exact in any order, so that an image looks the same whatever
other images are augmented with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .random_draws import Draw, ImageDraws

GREY_WEIGHTS = (19595, 38470, 7471)
"""Weights of red, green and blue in a grey value, in 65536ths (ITU-R 601-2, as in Pillow)."""
LEVELS = 256


def jitter_colours(images: Tensor, draws: ImageDraws, index: Tensor, strength: float) -> Tensor:
    """Change brightness, contrast and saturation, each by a factor of 1 ± `strength` at most.

    The factors are those of torchvision's `ColorJitter`, applied in this order. Only images in RGB
    have a saturation.

    Args:
        images: uint8 (n, H, W, C).
        draws: of the epoch.
        index: numbers of the images, (n,).
        strength: at most 1, where an image may become black.
    """
    kinds = (Draw.BRIGHTNESS, Draw.CONTRAST, Draw.SATURATION)
    brightness, contrast, saturation = (
        draws.uniform(kind, index, 1 - strength, 1 + strength)[:, None, None, None]
        for kind in kinds
    )
    if not has_colours(images):
        saturation = torch.ones_like(saturation)
    grey = grey_values(images)
    mean = mean_grey(grey)[:, None, None, None]
    factor = brightness * contrast
    offset = brightness * (1 - contrast) * mean
    greyish = factor * (1 - saturation) * grey[..., None] + offset
    return to_uint8(factor * saturation * images.float() + greyish)


def has_colours(images: Tensor) -> bool:
    """Whether images (n, H, W, C) are RGB; other channels have no hue and no saturation."""
    return images.shape[3] == len(GREY_WEIGHTS)


def grey_values(images: Tensor) -> Tensor:
    """Grey values, float32 whole numbers (n, H, W), of images uint8 (n, H, W, C).

    Those of other images than RGB are the rounded means of their channels.
    """
    if not has_colours(images):
        channels = images.shape[3]
        return ((2 * images.int().sum(3) + channels) // (2 * channels)).float()
    red, green, blue = (images[..., channel].int() for channel in range(3))
    weighted = red * GREY_WEIGHTS[0] + green * GREY_WEIGHTS[1] + blue * GREY_WEIGHTS[2]
    return ((weighted + 2**15) >> 16).float()


def mean_grey(grey: Tensor) -> Tensor:
    """The mean grey value of each image, float32 (n,)."""
    total = grey.long().flatten(1).sum(1)
    return total.float() / grey[0].numel()


def to_uint8(pixels: Tensor) -> Tensor:
    """Pixels rounded and clipped to 0..255."""
    return pixels.round().clamp(0, 255).to(torch.uint8)
