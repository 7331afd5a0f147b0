"""Augmentations that move pixels, as one affine map and one bilinear resampling per image.

- *Random resized crop* (Szegedy et al., arXiv 1409.4842): a part of the image with a random area
  and a ratio of sides between 3:4 and 4:3, enlarged to the side of the image.
- *RandAugment's* rotations, shears and translations.
- Shifts and mirroring, where they come together with one of these.

Coordinates run from -1 to 1 over the image, as in `torch.nn.functional.grid_sample`. Pixels beyond
an edge are reflected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .random_draws import Draw, ImageDraws

MAX_LOG_RATIO = math.log(4 / 3)
"""Logarithm of the largest ratio of a crop's width to its height, as in torchvision and timm."""


@dataclass(frozen=True)
class Warps:
    """Affine maps from a place in the output to its place in the source, one for each image.

    source x = xx·x + xy·y + x0 and source y = yx·x + yy·y + y0; all are float32 (n,).
    """

    xx: Tensor
    xy: Tensor
    x0: Tensor
    yx: Tensor
    yy: Tensor
    y0: Tensor

    @classmethod
    def identity(cls, count: int, device: torch.device) -> Warps:
        """Maps that leave images as they are."""
        ones, zeros = torch.ones(count, device=device), torch.zeros(count, device=device)
        return cls(ones, zeros, zeros, zeros, ones, zeros)

    def after(self, inner: Warps) -> Warps:
        """The maps that apply `inner` first, and then these."""
        return Warps(
            self.xx * inner.xx + self.xy * inner.yx,
            self.xx * inner.xy + self.xy * inner.yy,
            self.xx * inner.x0 + self.xy * inner.y0 + self.x0,
            self.yx * inner.xx + self.yy * inner.yx,
            self.yx * inner.xy + self.yy * inner.yy,
            self.yx * inner.x0 + self.yy * inner.y0 + self.y0,
        )

    def mirrored(self, is_mirrored: Tensor) -> Warps:
        """These maps with the chosen outputs mirrored; `is_mirrored` is bool (n,)."""
        sign = torch.where(is_mirrored, -1.0, 1.0)
        return Warps(self.xx * sign, self.xy, self.x0, self.yx * sign, self.yy, self.y0)

    def shifted(self, columns: Tensor, rows: Tensor) -> Warps:
        """These maps with their sources shifted, in the units of the coordinates, (n,)."""
        return Warps(self.xx, self.xy, self.x0 + columns, self.yx, self.yy, self.y0 + rows)


def random_resized_crops(draws: ImageDraws, index: Tensor, min_area: float) -> Warps:
    """A crop for each image, with an area between `min_area` and 1 as a fraction of the image.

    Args:
        draws: of the epoch.
        index: numbers of the images, (n,).
        min_area: the smallest area. Sides longer than the image are cut off.
    """
    area = draws.uniform(Draw.CROP_AREA, index, min_area, 1.0)
    log_ratio = draws.uniform(Draw.CROP_RATIO, index, -MAX_LOG_RATIO, MAX_LOG_RATIO)
    width = (area * log_ratio.exp()).sqrt().clamp(max=1.0)
    height = (area * (-log_ratio).exp()).sqrt().clamp(max=1.0)
    column = draws.uniform(Draw.CROP_COLUMN, index, -1.0, 1.0) * (1 - width)
    row = draws.uniform(Draw.CROP_ROW, index, -1.0, 1.0) * (1 - height)
    zeros = torch.zeros_like(width)
    return Warps(width, zeros, column, zeros, height, row)


def warp_images(images: Tensor, warps: Warps) -> Tensor:
    """Resample images, uint8 (n, H, W, C), bilinearly."""
    height, width = images.shape[1:3]
    x = _pixel_centres(width, images.device)[None, None, :]
    y = _pixel_centres(height, images.device)[None, :, None]

    def of_pixels(values: Tensor) -> Tensor:
        return values[:, None, None]

    # Not `affine_grid`, whose matrix product has a precision that depends on the device.
    columns = of_pixels(warps.xx) * x + of_pixels(warps.xy) * y + of_pixels(warps.x0)
    rows = of_pixels(warps.yx) * x + of_pixels(warps.yy) * y + of_pixels(warps.y0)
    maps = images.permute(0, 3, 1, 2).float()
    sampled = F.grid_sample(
        maps, torch.stack((columns, rows), 3), padding_mode="reflection", align_corners=False
    )
    return sampled.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _pixel_centres(side: int, device: torch.device) -> Tensor:
    return (2 * torch.arange(side, device=device).float() + 1) / side - 1
