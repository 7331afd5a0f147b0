"""Random erasing (Zhong et al., arXiv 1708.04896): a rectangle of an image loses its content.

Areas and ratios of sides are those of torchvision and timm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .random_draws import Draw, ImageDraws

MIN_AREA, MAX_AREA = 0.02, 1 / 3
"""Of the rectangle, as fractions of the image."""
MAX_LOG_RATIO = math.log(1 / 0.3)
"""Logarithm of the largest ratio of its width to its height."""


def erase_rectangles(
    images: Tensor, draws: ImageDraws, index: Tensor, probability: float, colour: Tensor
) -> Tensor:
    """Fill a rectangle that lies inside the image, in some of the images.

    Args:
        images: uint8 (n, H, W, C).
        draws: of the epoch.
        index: numbers of the images, (n,).
        probability: the fraction of the images that lose a rectangle.
        colour: what the rectangle is filled with, uint8 (C,).
    """
    area = draws.uniform(Draw.ERASED_AREA, index, MIN_AREA, MAX_AREA)
    log_ratio = draws.uniform(Draw.ERASED_RATIO, index, -MAX_LOG_RATIO, MAX_LOG_RATIO)
    sides = ((area * (-log_ratio).exp()).sqrt(), (area * log_ratio.exp()).sqrt())
    is_erased = (draws.uniform(Draw.ERASING, index) < probability)[:, None, None]
    for axis, draw in enumerate((Draw.ERASED_ROW, Draw.ERASED_COLUMN)):
        length, side = images.shape[1 + axis], sides[axis].clamp(max=1.0)
        centre = side / 2 + draws.uniform(draw, index) * (1 - side)
        interval = cover_interval(centre * length, side * length, length)
        is_erased = is_erased & interval.unsqueeze(2 - axis)
    return torch.where(is_erased[..., None], colour, images)


def cover_interval(centre: Tensor, width: Tensor, length: int) -> Tensor:
    """Which of `length` pixels lie within `width` around a point, bool (n, length).

    Args:
        centre: the point, in pixels, (n,).
        width: in pixels, (n,).
        length: pixels in a row or column.
    """
    pixels = torch.arange(length, device=centre.device) + 0.5
    return (pixels - centre[:, None]).abs() < width[:, None] / 2
