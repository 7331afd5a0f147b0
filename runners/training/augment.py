"""The batches of an epoch: order of the images, and augmentation.

All random numbers of an epoch are drawn at its beginning, on the device, from (seed, epoch) alone,
so that all architectures that are trained with one seed see the same images. On a CPU each batch is
gathered just before its step, so that it is in the processor's cache. On a GPU many batches are
gathered at once, because gathering launches two dozen small kernels, which would delay each
captured step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..recipe import Recipe
from .balanced_sampling import draw_balanced
from .device_data import DeviceData

MAX_GATHERED_BYTES = 2**27
"""Bytes of images that a GPU gathers at once; never less than a batch."""


class EpochBatches:
    """The batches of one epoch, augmented by the recipe.

    shift   by up to `crop` pixels each way, edges reflected
    mirror  half of the images in one epoch, the other half in the next, so that in two epochs each
            image is seen from both sides (Jordan, "94% on CIFAR-10 in 3.29 seconds",
            arXiv 2404.00498)
    cover   a square of `cutout` pixels around a point anywhere, with the mean colour (DeVries and
            Taylor, "Cutout", arXiv 1708.04552)

    Args:
        data: the images to train on, and their mean colour.
        recipe: its `crop`, `flip` and `cutout` are used.
        seed: the trial's seed.
        epoch: counted from 0.
    """

    def __init__(self, data: DeviceData, recipe: Recipe, *, seed: int, epoch: int) -> None:
        self.data, self.recipe = data, recipe
        self.split = data.train
        device, count = data.train.labels.device, len(data.train)
        generator = torch.Generator(device).manual_seed(mix_seed(seed, epoch))
        self.order, self.draws = _draw_images(self.split.labels, recipe, generator)
        if recipe.crop:
            low, high = -recipe.crop, recipe.crop + 1
            self.shifts = torch.randint(low, high, (2, count), generator=generator, device=device)
        if recipe.flip:
            sides = torch.Generator(device).manual_seed(mix_seed(seed, -1))
            first = torch.randint(0, 2, (count,), generator=sides, device=device)
            self.is_mirrored = (first + epoch) % 2 == 1
        if recipe.cutout:
            self.hole_centres = torch.rand((2, count), generator=generator, device=device)
        gathers_ahead = device.type == "cuda" and isinstance(data.train.images, Tensor)
        self.max_gathered_bytes = MAX_GATHERED_BYTES if gathers_ahead else 0
        self._gathered = _GatheredImages(0, *self._gather(slice(0, 0)))

    def batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        """The images, uint8 (size, H, W, 3), and labels (size,) of a step counted from 0."""
        first = step * size
        if not self._gathered.covers(first, size):
            image_bytes = math.prod(self.split.images.shape[1:])
            count = max(1, self.max_gathered_bytes // (size * image_bytes)) * size
            self._gathered = _GatheredImages(first, *self._gather(slice(first, first + count)))
        return self._gathered.batch(first, size)

    def _gather(self, positions: slice) -> tuple[Tensor, Tensor]:
        """The augmented images (n, H, W, 3) and labels at some positions of the epoch."""
        index, draws = self.order[positions], self.draws[positions]
        images = self._shift_and_mirror(index, draws)
        if self.recipe.cutout:
            images = self._cover(images, draws)
        return images, self.split.labels[index]

    def _shift_and_mirror(self, index: Tensor, draws: Tensor) -> Tensor:
        images = self.split.images
        if not (self.recipe.crop or self.recipe.flip):
            return self.split.take(index)
        if isinstance(images, Tensor):
            numbers, source = index, images
        else:
            numbers = torch.arange(len(index), device=index.device)
            source = self.split.take(index)
        rows, columns = (
            self._source_coordinates(side, draws, axis)
            for axis, side in enumerate(source.shape[1:3])
        )
        if self.recipe.flip:
            columns = torch.where(self.is_mirrored[draws, None], columns.flip(1), columns)
        return _gather_pixels(source, numbers, rows, columns)

    def _source_coordinates(self, side: int, draws: Tensor, axis: int) -> Tensor:
        """The source rows (axis 0) or columns (axis 1) of the shifted images, (n, side)."""
        coordinates = torch.arange(side, device=draws.device)
        if not self.recipe.crop:
            return coordinates.expand(len(draws), -1)
        shifted = coordinates + self.shifts[axis, draws, None]
        # Coordinates beyond an edge are reflected back without repeating the edge itself.
        return (side - 1) - ((side - 1) - shifted.abs()).abs()

    def _cover(self, images: Tensor, draws: Tensor) -> Tensor:
        covered = []
        for axis, side in enumerate(images.shape[1:3]):
            centre = (self.hole_centres[axis, draws, None] * side).long()
            first = centre - self.recipe.cutout // 2
            coordinates = torch.arange(side, device=draws.device)
            covered.append((coordinates >= first) & (coordinates < first + self.recipe.cutout))
        hole = covered[0][:, :, None, None] & covered[1][:, None, :, None]
        return torch.where(hole, self.data.mean.round().to(torch.uint8), images)


def _draw_images(
    labels: Tensor, recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The image at each position of an epoch, (N,), and which random numbers it has, (N,).

    Every image has random numbers of its own. With balanced sampling an image can be repeated, so
    every position has its own instead.

    Args:
        labels: of the training images, (N,).
        recipe: its `balanced_sampling` is used.
        generator: of the epoch.
    """
    if recipe.balanced_sampling:
        return draw_balanced(labels, generator), torch.arange(len(labels), device=labels.device)
    order = torch.randperm(len(labels), generator=generator, device=labels.device)
    return order, order


@dataclass(frozen=True)
class _GatheredImages:
    """Images and labels of an epoch, from position `begin` in its order."""

    begin: int
    images: Tensor
    labels: Tensor

    def covers(self, first: int, size: int) -> bool:
        return self.begin <= first and first + size <= self.begin + len(self.labels)

    def batch(self, first: int, size: int) -> tuple[Tensor, Tensor]:
        chosen = slice(first - self.begin, first - self.begin + size)
        return self.images[chosen], self.labels[chosen]


def _gather_pixels(source: Tensor, numbers: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Rows and columns of some images, (n, H, W, 3).

    Args:
        source: images, uint8 (N, H, W, 3).
        numbers: which images, (n,).
        rows: which rows of each, (n, H).
        columns: which columns of each, (n, W).
    """
    if source.is_cuda:  # A list of pixel numbers would take memory and not be faster.
        return source[numbers[:, None, None], rows[:, :, None], columns[:, None, :]]
    # On a CPU, copying whole pixels is five times as fast as copying single bytes.
    height, width, channels = source.shape[1:]
    pixels = (numbers[:, None] * height + rows)[:, :, None] * width + columns[:, None, :]
    gathered = source.reshape(-1, channels).index_select(0, pixels.view(-1))
    return gathered.view(*pixels.shape, channels)


def mix_seed(seed: int, epoch: int) -> int:
    """One 63-bit seed from a seed and an epoch.

    A step of splitmix64 (Steele, Lea and Flood, OOPSLA 2014) decorrelates neighbouring seeds and
    epochs.
    """
    z = (seed * 0x9E3779B97F4A7C15 + (epoch + 1) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (z ^ (z >> 31)) >> 1
