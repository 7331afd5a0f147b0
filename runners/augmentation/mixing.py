"""Augmentations with two images: mixup and CutMix. The second one is another of the same batch.

- *mixup* (Zhang et al., arXiv 1710.09412): the weighted mean of two images.
- *CutMix* (Yun et al., arXiv 1905.04899): a rectangle of the other image in the first.

The share of the first image is drawn for each image from a Beta(α, α) distribution, through a table
of its quantiles, because the usual generators draw a random number of random numbers. What a
mixture of two targets is, the task decides.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..recipe import Recipe
from .erasing import cover_interval
from .random_draws import Draw, ImageDraws

QUANTILES = 4096
"""Number of equally probable shares."""


def mixes_images(recipe: Recipe) -> bool:
    """Whether training images are mixtures of two, and their targets too."""
    return recipe.mixup > 0 or recipe.cutmix > 0


def partners_in_batches(index: Tensor, batch_size: int) -> Tensor:
    """The partner of each image: that at the mirrored position of its batch.

    Args:
        index: one entry for each image of whole batches, (n, …).
        batch_size: images in each batch.
    """
    return index.view(-1, batch_size, *index.shape[1:]).flip(1).flatten(0, 1)


def mix_images(
    images: Tensor, draws: ImageDraws, index: Tensor, recipe: Recipe, batch_size: int
) -> tuple[Tensor, Tensor]:
    """Mix each image with its partner.

    Args:
        images: whole batches, uint8 (n, H, W, C).
        draws: of the epoch.
        index: numbers of the images, (n,).
        recipe: its `mixup` and `cutmix` are α; with both, either is used with equal probability.
        batch_size: images in each batch.

    Returns:
        The mixtures, uint8 (n, H, W, C), and the share of the first image in each, float32 (n,).
    """
    partners = partners_in_batches(images, batch_size)
    position = draws.choice(Draw.MIXING_SHARE, index, QUANTILES)
    if not recipe.cutmix:
        return _blended(images, partners, _shares(recipe.mixup, position))
    cut, cut_shares = _cut(images, partners, _shares(recipe.cutmix, position), draws, index)
    if not recipe.mixup:
        return cut, cut_shares
    blended, shares = _blended(images, partners, _shares(recipe.mixup, position))
    is_cut = draws.uniform(Draw.MIXING_KIND, index) < 0.5
    return (
        torch.where(is_cut[:, None, None, None], cut, blended),
        torch.where(is_cut, cut_shares, shares),
    )


def _blended(images: Tensor, partners: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    weights = shares[:, None, None, None]
    mixed = weights * images.float() + (1 - weights) * partners.float()
    return mixed.round_().to(torch.uint8), shares


def _cut(
    images: Tensor, partners: Tensor, shares: Tensor, draws: ImageDraws, index: Tensor
) -> tuple[Tensor, Tensor]:
    """Images with a rectangle of their partners, and the share of pixels that remain."""
    side = (1 - shares).sqrt()
    covered = []
    for draw, length in zip((Draw.CUT_ROW, Draw.CUT_COLUMN), images.shape[1:3], strict=True):
        centre = draws.uniform(draw, index) * length
        covered.append(cover_interval(centre, side * length, length))
    is_cut = covered[0][:, :, None] & covered[1][:, None, :]
    pixels = is_cut[0].numel()
    remaining = 1 - is_cut.flatten(1).sum(1).float() / pixels
    return torch.where(is_cut[..., None], partners, images), remaining


def _shares(alpha: float, position: Tensor) -> Tensor:
    return _quantiles(alpha, position.device)[position]


@lru_cache(maxsize=8)
def _quantiles(alpha: float, device: torch.device) -> Tensor:
    """The quantiles of Beta(α, α), float32 (QUANTILES,)."""
    from scipy.special import betaincinv

    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return torch.from_numpy(betaincinv(alpha, alpha, levels).astype(np.float32)).to(device)
