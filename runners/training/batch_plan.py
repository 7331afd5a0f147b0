"""How the images of an epoch are divided into batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import TrialError
from ..recipe import Recipe

MIN_BATCH_IMAGES = 2
"""Batch normalisation of 1×1 maps needs two images."""


@dataclass(frozen=True)
class BatchPlan:
    """The batches of an epoch: `larger` of them have one image more than `size`, and come first.

    Attributes:
        steps: number of batches.
        size: images in a batch.
        larger: batches with one more.
    """

    steps: int
    size: int
    larger: int = 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """The different sizes, the largest first."""
        candidates = ((self.size + 1, self.larger), (self.size, self.steps - self.larger))
        return tuple(size for size, count in candidates if count)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The position of the first image in the epoch's order, and the size, of each batch."""
        first = 0
        for step in range(self.steps):
            size = self.size + (step < self.larger)
            yield first, size
            first += size


def plan_batches(recipe: Recipe, images: int) -> BatchPlan:
    """The batches of an epoch of `images` images.

    With `drop_last`, all have the recipe's size, and images that do not fill a batch are left out.
    Without it, every image is used: there are as many steps as the recipe's size requires, and the
    images are divided among them as evenly as possible. A small last batch would have a gradient
    and batch statistics of few images, and a captured step would be needed for it too.

    Args:
        recipe: its `batch_size` and `drop_last` are used.
        images: number of training images.

    Raises:
        TrialError: `invalid`, there are fewer than two images.
    """
    if images < MIN_BATCH_IMAGES:
        raise TrialError("invalid", "there are fewer than two images to train on")
    size = min(recipe.batch_size, images)
    if recipe.drop_last:
        return BatchPlan(images // size, size)
    steps = min(-(-images // size), images // MIN_BATCH_IMAGES)
    return BatchPlan(steps, images // steps, images % steps)
