"""The batches of an epoch: order of the images, and augmentation.

All random numbers of an epoch are drawn on the device from (seed, epoch, image) alone, so that all
architectures that are trained with one seed see the same images. On a CPU each batch is gathered
just before its step, so that it is in the processor's cache. On a GPU many batches are gathered at
once, because gathering launches dozens of small kernels, which would delay each captured step.
No operation waits for the device, and no shape depends on what was drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from ..augmentation.colours import jitter_colours
from ..augmentation.erasing import erase_rectangles
from ..augmentation.mixing import mix_images, mixes_images, partners_in_batches
from ..augmentation.randaugment import Layer, change_colours, draw_layers, move_pixels
from ..augmentation.random_draws import ImageDraws, mix_seed
from ..augmentation.warps import Warps, random_resized_crops, warp_images
from ..recipe import Recipe
from .balanced_sampling import draw_balanced
from .device_data import DeviceData
from .read_ahead import TakeImages, read_ahead
from .task import Task, task_of

MAX_GATHERED_BYTES = 2**27
"""Bytes of images that a GPU gathers at once; never less than a batch."""
MAX_RESAMPLED_BYTES = 2**24
"""The same where images are resampled or recoloured, which needs floats and tables of positions."""


class EpochBatches:
    """The batches of one epoch, augmented by the recipe, in this order:

    crop      a random resized crop of at least `crop_scale` of the image (`warps`)
    shift     by up to `crop` pixels each way, edges reflected
    mirror    half of the images in one epoch, the other half in the next, so that in two epochs
              each image is seen from both sides (Jordan, "94% on CIFAR-10 in 3.29 seconds",
              arXiv 2404.00498)
    colours   jitter by `color_jitter` (`colours`)
    two random operations of the magnitude `randaugment` (`randaugment`)
    cover     a square of `cutout` pixels around a point anywhere, with the mean colour (DeVries and
              Taylor, "Cutout", arXiv 1708.04552)
    erase     a rectangle in a fraction `erasing` of the images (`erasing`)
    mix       each image with another of its batch, by `mixup` and `cutmix` (`mixing`)

    Args:
        data: the images to train on, and their mean colour.
        recipe: its settings of the augmentation are used.
        seed: the trial's seed.
        epoch: counted from 0.
        task: says what the targets of mixtures are; default: the recipe's task.
        positions: of the images to train on in the order of the epoch, (n,); None: all.
    """

    def __init__(
        self,
        data: DeviceData,
        recipe: Recipe,
        *,
        seed: int,
        epoch: int,
        task: Task | None = None,
        positions: Tensor | None = None,
    ) -> None:
        self.data, self.recipe, self.task = data, recipe, task or task_of(recipe)
        self.split, self.image_draws = data.train, ImageDraws(seed, epoch)
        self.colour = data.mean.round().to(torch.uint8)
        device, count = data.train.labels.device, len(data.train)
        generator = torch.Generator(device).manual_seed(mix_seed(seed, epoch))
        self.order, self.draws = _draw_images(self.split.labels, recipe, generator)
        if positions is not None:
            self.order, self.draws = self.order[positions], self.draws[positions]
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
        bytes_at_once = MAX_RESAMPLED_BYTES if _computes_colours(recipe) else MAX_GATHERED_BYTES
        self.max_gathered_bytes = bytes_at_once if gathers_ahead else 0
        self._gathered: _GatheredImages | None = None
        self._take_images: TakeImages = self.split.take

    @contextmanager
    def reading_ahead(self, plan: Iterable[tuple[int, int]]) -> Iterator[None]:
        """Inside the context, images that are not on the device are read ahead of their batches.

        Args:
            plan: position of the first image and size of each batch; they are taken in this order.
        """
        if isinstance(self.split.images, Tensor):
            yield
            return
        self._gathered = None  # It may be a batch of the plan, which the thread reads too.
        batches = [self.order[first : first + size] for first, size in plan]
        with read_ahead(self.split, batches) as take:
            self._take_images = take
            try:
                yield
            finally:
                self._take_images = self.split.take

    def batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        """The images and targets of a step, counted from 0, where all steps have `size` images."""
        return self.take(step * size, size)

    def take(self, first: int, size: int) -> tuple[Tensor, Tensor]:
        """The images, uint8 (size, H, W, C), and targets (size, …) of one batch.

        Args:
            first: the position of its first image in the order of the epoch.
            size: images in the batch.
        """
        if self._gathered is None or not self._gathered.covers(first, size):
            image_bytes = math.prod(self.split.images.shape[1:])
            batches = max(1, self.max_gathered_bytes // (size * image_bytes))
            batches = min(batches, (len(self.order) - first) // size)
            positions = slice(first, first + batches * size)
            self._gathered = _GatheredImages(first, size, *self._gather(positions, size))
        return self._gathered.batch(first)

    def _gather(self, positions: slice, size: int) -> tuple[Tensor, Tensor]:
        """The augmented images (n, H, W, C) and targets of some batches.

        Args:
            positions: those of their images in the epoch.
            size: images in each batch.
        """
        recipe, index, draws = self.recipe, self.order[positions], self.draws[positions]
        targets = self.split.labels[index]
        if self.split.weights is not None:
            targets = self.task.weight_targets(targets, self.split.weights[index])
        layers = draw_layers(self.image_draws, draws) if recipe.randaugment else ()
        images = self._move(index, draws, layers)
        if recipe.color_jitter:
            images = jitter_colours(images, self.image_draws, draws, recipe.color_jitter)
        for layer in layers:
            images = change_colours(images, layer, recipe.randaugment)
        if recipe.cutout:
            images = self._cover(images, draws)
        if recipe.erasing:
            images = erase_rectangles(images, self.image_draws, draws, recipe.erasing, self.colour)
        if mixes_images(recipe):
            images, shares = mix_images(images, self.image_draws, draws, recipe, size)
            partners = partners_in_batches(targets, size)
            targets = self.task.mix_targets(targets, partners, shares)
        return images, targets

    def _move(self, index: Tensor, draws: Tensor, layers: tuple[Layer, ...]) -> Tensor:
        """The images with their pixels moved; resampled only where pixels are not just copied."""
        if self.recipe.crop_scale == 1 and not layers:
            return self._shift_and_mirror(index, draws)
        warps = Warps.identity(len(index), index.device)
        if self.recipe.crop_scale < 1:
            warps = random_resized_crops(self.image_draws, draws, self.recipe.crop_scale)
        if self.recipe.crop:
            height, width = self.split.images.shape[1:3]
            rows, columns = self.shifts[:, draws].float()
            warps = warps.shifted(2 * columns / width, 2 * rows / height)
        if self.recipe.flip:
            warps = warps.mirrored(self.is_mirrored[draws])
        for layer in layers:
            warps = warps.after(move_pixels(layer, self.recipe.randaugment))
        return warp_images(self._take_images(index), warps)

    def _shift_and_mirror(self, index: Tensor, draws: Tensor) -> Tensor:
        images = self.split.images
        if not (self.recipe.crop or self.recipe.flip):
            return self._take_images(index)
        if isinstance(images, Tensor):
            numbers, source = index, images
        else:
            numbers = torch.arange(len(index), device=index.device)
            source = self._take_images(index)
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
        # Coordinates beyond an edge are reflected back without repeating the edge itself, again and
        # again if the shift is larger than the image.
        period = max(1, 2 * (side - 1))
        return (side - 1) - ((side - 1) - shifted.abs() % period).abs()

    def _cover(self, images: Tensor, draws: Tensor) -> Tensor:
        covered = []
        for axis, side in enumerate(images.shape[1:3]):
            centre = (self.hole_centres[axis, draws, None] * side).long()
            first = centre - self.recipe.cutout // 2
            coordinates = torch.arange(side, device=draws.device)
            covered.append((coordinates >= first) & (coordinates < first + self.recipe.cutout))
        hole = covered[0][:, :, None, None] & covered[1][:, None, :, None]
        return torch.where(hole, self.colour, images)


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
    """Images and targets of batches of one size, from position `begin` in the epoch's order."""

    begin: int
    size: int
    images: Tensor
    targets: Tensor

    def covers(self, first: int, size: int) -> bool:
        offset = first - self.begin
        is_batch = size == self.size and offset % size == 0
        return is_batch and offset >= 0 and offset + size <= len(self.targets)

    def batch(self, first: int) -> tuple[Tensor, Tensor]:
        chosen = slice(first - self.begin, first - self.begin + self.size)
        return self.images[chosen], self.targets[chosen]


def _gather_pixels(source: Tensor, numbers: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Rows and columns of some images, (n, H, W, C).

    Args:
        source: images, uint8 (N, H, W, C).
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


def _computes_colours(recipe: Recipe) -> bool:
    """Whether images are resampled or recoloured, and not only copied."""
    return recipe.crop_scale < 1 or bool(
        recipe.color_jitter or recipe.randaugment or mixes_images(recipe)
    )
