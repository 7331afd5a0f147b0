"""Which pictures an epoch shows, in which order, and how they are shifted, mirrored and covered.

All of an epoch's chances are drawn at its beginning, on the device, from (seed, epoch) alone, so
that every architecture trained with one seed sees the same pictures. A CPU gathers a batch when its
turn comes, so that it is in the cache. A GPU gathers many at once: it takes two dozen small
kernels, which a captured step should not have to wait for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..recipe import Recipe
from .device_data import DeviceData

AT_ONCE = 2**27
"""Bytes of resident pictures that a GPU gathers at once; never less than a batch."""


class EpochBatches:
    """The batches of one epoch, augmented by the recipe.

    shift   by up to `crop` pixels each way, edges reflected
    mirror  half of the pictures in one epoch, the other half in the next, so that in two epochs
            every picture is seen from both sides (Jordan, "94% on CIFAR-10 in 3.29 seconds",
            arXiv 2404.00498)
    cover   a square of `cutout` pixels around a point anywhere, with the mean colour (DeVries and
            Taylor, "Cutout", arXiv 1708.04552)
    """

    def __init__(self, data: DeviceData, recipe: Recipe, *, seed: int, epoch: int) -> None:
        self.data, self.recipe = data, recipe
        self.pictures = data.train
        device, count = data.train.labels.device, len(data.train)
        draw = torch.Generator(device).manual_seed(mix_seed(seed, epoch))
        self.order = torch.randperm(count, generator=draw, device=device)
        reach = recipe.crop
        if reach:
            self.shift = torch.randint(-reach, reach + 1, (2, count), generator=draw, device=device)
        if recipe.flip:
            sides = torch.Generator(device).manual_seed(mix_seed(seed, -1))
            first = torch.randint(0, 2, (count,), generator=sides, device=device)
            self.mirrored = (first + epoch) % 2 == 1
        if recipe.cutout:
            self.holes = torch.rand((2, count), generator=draw, device=device)
        self.ahead = (
            AT_ONCE if device.type == "cuda" and isinstance(data.train.images, Tensor) else 0
        )
        self._gathered = _Gathered(0, *self._gather(self.order[:0]))

    def batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        """The pictures uint8 (size, H, W, 3) and labels (size,) of one step."""
        first = step * size
        if not self._gathered.holds(first, size):
            picture = math.prod(self.pictures.images.shape[1:])
            count = max(1, self.ahead // (size * picture)) * size
            self._gathered = _Gathered(first, *self._gather(self.order[first : first + count]))
        return self._gathered.part(first, size)

    def _gather(self, index: Tensor) -> tuple[Tensor, Tensor]:
        images = self._moved(index)
        if self.recipe.cutout:
            images = self._covered(images, index)
        return images, self.pictures.labels[index]

    def _moved(self, index: Tensor) -> Tensor:
        images = self.pictures.images
        if not (self.recipe.crop or self.recipe.flip):
            return self.pictures.take(index)
        if isinstance(images, Tensor):
            which, source = index, images
        else:
            which, source = torch.arange(len(index), device=index.device), self.pictures.take(index)
        rows, columns = (
            self._axis(side, index, axis) for axis, side in enumerate(source.shape[1:3])
        )
        if self.recipe.flip:
            columns = torch.where(self.mirrored[index, None], columns.flip(1), columns)
        return _pixels(source, which, rows, columns)

    def _axis(self, side: int, index: Tensor, axis: int) -> Tensor:
        """Where each picture's rows (or columns) come from, (n, side)."""
        places = torch.arange(side, device=index.device)
        if not self.recipe.crop:
            return places.expand(len(index), -1)
        moved = places + self.shift[axis, index, None]
        # Beyond an edge, reflected back without repeating the edge itself.
        return (side - 1) - ((side - 1) - moved.abs()).abs()

    def _covered(self, images: Tensor, index: Tensor) -> Tensor:
        hidden = []
        for axis, side in enumerate(images.shape[1:3]):
            first = (self.holes[axis, index, None] * side).long() - self.recipe.cutout // 2
            places = torch.arange(side, device=index.device)
            hidden.append((places >= first) & (places < first + self.recipe.cutout))
        hole = hidden[0][:, :, None, None] & hidden[1][:, None, :, None]
        return torch.where(hole, self.data.mean.round().to(torch.uint8), images)


@dataclass(frozen=True)
class _Gathered:
    """Pictures and labels of an epoch from its `begin`-th on."""

    begin: int
    images: Tensor
    labels: Tensor

    def holds(self, first: int, size: int) -> bool:
        return self.begin <= first and first + size <= self.begin + len(self.labels)

    def part(self, first: int, size: int) -> tuple[Tensor, Tensor]:
        chosen = slice(first - self.begin, first - self.begin + size)
        return self.images[chosen], self.labels[chosen]


def _pixels(source: Tensor, which: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Of the pictures `which` (n,) those rows (n, H) and columns (n, W): (n, H, W, 3)."""
    if source.is_cuda:  # which needs no list of places, and may gather a million at once
        return source[which[:, None, None], rows[:, :, None], columns[:, None, :]]
    # A CPU copies whole pixels five times as fast as it finds bytes one by one.
    height, width, channels = source.shape[1:]
    places = (which[:, None] * height + rows)[:, :, None] * width + columns[:, None, :]
    found = source.reshape(-1, channels).index_select(0, places.view(-1))
    return found.view(*places.shape, channels)


def mix_seed(seed: int, epoch: int) -> int:
    """One 63-bit number from a seed and an epoch (a splitmix64 step keeps neighbours apart)."""
    z = (seed * 0x9E3779B97F4A7C15 + (epoch + 1) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (z ^ (z >> 31)) >> 1
