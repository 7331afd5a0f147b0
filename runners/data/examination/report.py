"""What a search would see of its data: classes, splits, what is left out, and what is repeated.

All images are decoded once, and none of them is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from ...recipe import RGB_CHANNELS, Recipe
from ..dataset import SPLITS, Images, Labels, SplitName
from ..files.file_names import LeftOutFiles
from ..images import BrokenImage
from ..prepared.prepare import Progress, preprocessing_of
from ..prepared.repeated_images import (
    MAX_COMPARED_IMAGES,
    THUMBNAIL_VALUES,
    Hashes,
    count_repeated,
    equal_pairs,
    find_similar_pairs,
    hash_pixels,
    perceptual_hashes,
    thumbnails,
)
from ..prepared.splits import SplitPlan, plan_splits
from ..sources.resolve import describe_choice, open_source
from ..sources.source import DataSource, SourceOptions

_IMAGES_PER_BLOCK = 256


@dataclass(frozen=True)
class RepeatedImage:
    """Two images that are equal, or nearly equal, in two splits or in two classes.

    Attributes:
        first, second: their names.
        splits: the split of each.
        classes: the class of each.
        equal: whether they are equal as they are trained on; else their perceptual hashes are near.
    """

    first: str
    second: str
    splits: tuple[str, str]
    classes: tuple[str, str]
    equal: bool


@dataclass(frozen=True)
class ImageSizes:
    """Sizes of a sample of images, pixels; `kept` is the mean share of an image in its square."""

    smallest: tuple[int, int]
    median_shorter_side: int
    largest: tuple[int, int]
    kept: float


@dataclass(frozen=True)
class DataReport:
    """What a search would see.

    Attributes:
        name: of the data.
        classes: names of the classes, in the order of the labels.
        counts: the number of images of each class that can be decoded, by split.
        held_out: the splits that are taken out of the training images.
        image_size: the side that images are trained at, pixels.
        channels: of the images that are trained on.
        is_grey: whether all images are grey, although they are trained on in RGB.
        max_pixels: of the largest image that is decoded.
        sizes: of a sample of the images.
        remarks: sentences that a search begins with.
        left_out: files that are no images of the data, counted.
        broken: images that cannot be decoded.
        repeated: images that are in two splits or in two classes.
        repeated_counts: how many images of `val` are in `train`, and of `test` in `train` or `val`.
        is_compared: whether nearly equal images were searched for.
    """

    name: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    held_out: tuple[str, ...]
    image_size: int
    channels: int
    is_grey: bool
    max_pixels: int
    sizes: ImageSizes
    remarks: tuple[str, ...]
    left_out: tuple[LeftOutFiles, ...]
    broken: tuple[BrokenImage, ...]
    repeated: tuple[RepeatedImage, ...]
    repeated_counts: dict[str, int]
    is_compared: bool

    @property
    def majority(self) -> dict[str, tuple[str, float]]:
        """The most frequent class of each split, and its share, which is the accuracy of chance."""
        largest = {split: int(np.argmax(counts)) for split, counts in self.counts.items()}
        return {
            split: (self.classes[number], self.counts[split][number] / sum(self.counts[split]))
            for split, number in largest.items()
            if sum(self.counts[split])
        }

    def to_json(self) -> dict[str, Any]:
        """Plain types only."""
        majority = {s: {"class": name, "share": x} for s, (name, x) in self.majority.items()}
        return {**asdict(self), "majority": majority}


def report_data(recipe: Recipe, progress: Progress | None = None) -> DataReport:
    """Read the data of a recipe and report what a search with it would see.

    Args:
        recipe: chooses the source, the preprocessing and the splits.
        progress: called with the number of images done and of all images.

    Raises:
        DataError: there is no such source, or it has no images to train on.
    """
    options = SourceOptions.of(recipe)
    source = open_source(recipe.data, options)
    labels = source.read_labels()
    plan = plan_splits(labels, source.classes, recipe, source.read_groups())
    images = _ReadImages(source, recipe, plan, labels, progress)
    choice = describe_choice(recipe.data)
    return DataReport(
        name=source.name,
        classes=source.classes,
        counts=images.count_classes(),
        held_out=plan.held_out,
        image_size=recipe.image_size,
        channels=recipe.in_chans,
        is_grey=recipe.in_chans == RGB_CHANNELS and images.are_equal_in_all_channels,
        max_pixels=options.limits.max_pixels,
        sizes=_describe_sizes(source.sample_sizes()),
        remarks=(*([choice] if choice else []), *source.remarks),
        left_out=source.left_out,
        broken=tuple(images.broken),
        repeated=tuple(images.find_repeated()),
        repeated_counts=count_repeated({s: images.hashes[images.split == s] for s in SPLITS}),
        is_compared=images.is_compared,
    )


class _ReadImages:
    """Facts about the images of all splits, in the order train, val, test.

    Attributes:
        split, origin: the split of each image, and that of the source, (N,).
        rows: its row in the split of the source, (N,).
        labels: its class, (N,).
        hashes: of its pixels, (N,).
        broken: the images that cannot be decoded, which are not among these.
        is_compared: whether there are few enough images to search for nearly equal ones.
        are_equal_in_all_channels: whether the channels of each image are equal.
    """

    def __init__(
        self,
        source: DataSource,
        recipe: Recipe,
        plan: SplitPlan,
        labels: Mapping[SplitName, Labels],
        progress: Progress | None,
    ) -> None:
        self.source = source
        selections = [(s, plan.selections[s]) for s in SPLITS]
        lengths = [len(selection.rows) for _, selection in selections]
        self.split = np.repeat([split for split, _ in selections], lengths)
        self.origin = np.repeat([selection.split for _, selection in selections], lengths)
        self.rows = np.concatenate([selection.rows for _, selection in selections])
        self.labels = np.concatenate([labels[sel.split][sel.rows] for _, sel in selections])
        self.hashes: Hashes = np.zeros(len(self.rows), np.uint64)
        self._perceptual: Hashes = np.zeros(len(self.rows), np.uint64)
        self.is_compared = len(self.rows) <= MAX_COMPARED_IMAGES
        compared = len(self.rows) if self.is_compared else 0
        self._thumbnails: Images = np.zeros((compared, THUMBNAIL_VALUES), np.uint8)
        self.broken: list[BrokenImage] = []
        self.are_equal_in_all_channels = True
        self._read(recipe, progress)

    def _read(self, recipe: Recipe, progress: Progress | None) -> None:
        is_read = np.zeros(len(self.rows), bool)
        done = 0
        for positions, images in self._blocks(recipe):
            self.hashes[positions] = [hash_pixels(image) for image in images]
            self._perceptual[positions] = perceptual_hashes(images)
            if self.is_compared:
                self._thumbnails[positions] = thumbnails(images)
            if self.are_equal_in_all_channels:
                self.are_equal_in_all_channels = bool((images == images[..., :1]).all())
            is_read[positions] = True
            done += len(positions)
            if progress:
                progress(done, len(self.rows))
        for name in ("split", "origin", "rows", "labels", "hashes", "_perceptual"):
            setattr(self, name, getattr(self, name)[is_read])
        if self.is_compared:
            self._thumbnails = self._thumbnails[is_read]
        self.broken.sort(key=lambda image: image.label)

    def _blocks(self, recipe: Recipe) -> Iterator[tuple[list[int], Images]]:
        """Positions of some images with their pixels (n, S, S, C), until all are read."""
        preprocessing = preprocessing_of(recipe)
        positions: list[int] = []
        images: list[Images] = []
        for origin in SPLITS:
            chosen = np.flatnonzero(self.origin == origin)
            if not len(chosen):
                continue
            for index, image in self.source.read_images(origin, self.rows[chosen], preprocessing):
                if isinstance(image, BrokenImage):
                    self.broken.append(image)
                    continue
                positions.append(int(chosen[index]))
                images.append(image)
                if len(images) == _IMAGES_PER_BLOCK:
                    yield positions, np.stack(images)
                    positions, images = [], []
        if images:
            yield positions, np.stack(images)

    def count_classes(self) -> dict[str, tuple[int, ...]]:
        """The number of images of each class, by split."""
        num_classes = len(self.source.classes)
        labels = {split: self.labels[self.split == split] for split in SPLITS}
        return {
            split: tuple(np.bincount(numbers, minlength=num_classes).tolist())
            for split, numbers in labels.items()
        }

    def find_repeated(self) -> Iterator[RepeatedImage]:
        """Pairs of images in two splits or classes: first the equal, then the nearly equal ones."""
        pairs = [(pair, True) for pair in equal_pairs(self.hashes.tolist())]
        if self.is_compared:
            similar = find_similar_pairs(self._perceptual, self._thumbnails)
            pairs += [(pair, False) for pair in similar]
        for (first, second), equal in pairs:
            if not equal and self.hashes[first] == self.hashes[second]:
                continue
            if self.split[first] != self.split[second] or self.labels[first] != self.labels[second]:
                yield self._pair(first, second, equal=equal)

    def _pair(self, first: int, second: int, *, equal: bool) -> RepeatedImage:
        pair = (first, second)
        names = [self.source.describe_image(self.origin[i], int(self.rows[i])) for i in pair]
        classes = [self.source.classes[self.labels[i]] for i in pair]
        splits = (str(self.split[first]), str(self.split[second]))
        return RepeatedImage(names[0], names[1], splits, (classes[0], classes[1]), equal)


def _describe_sizes(sizes: list[tuple[int, int]]) -> ImageSizes:
    in_order = sorted(sizes, key=lambda size: size[0] * size[1])
    return ImageSizes(
        smallest=in_order[0],
        median_shorter_side=round(median(min(size) for size in sizes)),
        largest=in_order[-1],
        kept=float(np.mean([min(size) / max(size) for size in sizes])),
    )
