"""Decode a source's images into arrays in the cache, once for all trials of a study."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ....cache_folders import write_cached_json
from ....errors import DataError
from ....sanitize import clean_text
from ...recipe import Recipe
from ..content_hashes import UNKNOWN_HASH, UNREADABLE_HASH
from ..dataset import SPLITS, DataInfo, Images, SplitName
from ..images import BrokenImage
from ..preprocessing import Channels, Preprocessing, ValueRange
from ..sources.source import DataSource
from .record import IMAGES_FILE, KEY_DIGITS, ImageList, RecordedImages
from .repeated_images import count_repeated
from .split_writer import SplitWriter
from .splits import SplitPlan

Progress = Callable[[int, int], None]
"""Called repeatedly with the number of images done and of all images."""

Normalisation = tuple[Channels, Channels]
"""Mean and standard deviation of the channels, in [0, 1]."""

KEY_FORMAT = 2
"""Part of every key. Raise it when the meaning of prepared data changes."""
_IMAGES_PER_REPORT = 256
"""Images between two calls of progress."""
_IMAGES_PER_SUM = 256
"""Images whose pixels are summed at once."""
_BYTES_PER_READ = 2**22
MAX_NAMED_BROKEN = 8
"""Images that an error names; if there are more, all are logged."""
MAX_LOGGED_BROKEN = 1000

logger = logging.getLogger(__name__)


def preprocessing_of(recipe: Recipe) -> Preprocessing:
    """The preprocessing that a recipe asks for, before the mean and deviation are known."""
    return Preprocessing(
        image_size=recipe.image_size,
        fit=recipe.fit,
        interpolation=recipe.interpolation,
        value_range=None if recipe.value_range is None else ValueRange(*recipe.value_range),
        mean=(0.0,) * recipe.in_chans,
        std=(1.0,) * recipe.in_chans,
        channels=recipe.in_chans,
    )


@dataclass(frozen=True)
class Preparation:
    """Which images are prepared, and how.

    Attributes:
        source: where the images come from.
        plan: which of them make up the splits.
        recipe: chooses the preprocessing.
        key: of the prepared data; None: it follows from the content of the images.
        normalisation: mean and deviation; None: those of the training images.
    """

    source: DataSource
    plan: SplitPlan
    recipe: Recipe
    key: str | None = None
    normalisation: Normalisation | None = None

    def read_hashes(self) -> None:
        """Read those of the used images whose content is not known."""
        hashes = self.source.hashes
        for selection in self.plan.selections.values():
            unknown = hashes.unknown_rows(selection.split, selection.rows)
            if len(unknown):
                self.source.read_hashes(selection.split, np.sort(unknown))

    @property
    def knows_hashes(self) -> bool:
        """Whether the content of all used images is known."""
        hashes = self.source.hashes
        return not any(
            len(hashes.unknown_rows(selection.split, selection.rows))
            for selection in self.plan.selections.values()
        )

    def list_images(self) -> ImageList:
        """All images of the source, with the hashes of those that are used, as far as known."""
        all_labels, groups = self.source.read_labels(), self.source.read_groups()
        weights, hashes = self.source.read_weights(), self.source.hashes
        used = {split: np.zeros(len(labels), bool) for split, labels in all_labels.items()}
        for selection in self.plan.selections.values():
            used[selection.split][selection.rows] = True
        images = {
            split: RecordedImages(
                hashes.names(split),
                labels,
                np.where(used[split], hashes.of(split), np.uint64(UNKNOWN_HASH)),
                groups.get(split),
                weights.get(split),
            )
            for split, labels in all_labels.items()
        }
        return ImageList(images, self.plan)

    @property
    def content_key(self) -> str:
        """The key that follows from the content of the images, all of which has to be known."""
        return data_key(self.source, self.list_images(), self.recipe)


def prepare_arrays(
    preparation: Preparation, scratch: Path, progress: Progress | None = None
) -> DataInfo:
    """Write `<split>.images.npy`, `<split>.labels.npy`, `images.npz` and `info.json`.

    If images have weights, those of the training images are written to `train.weights.npy`.

    Args:
        preparation: which images, and how.
        scratch: an empty folder to write to; the caller will give it the name of the result's
            folder, which is beside it.
        progress: called every `_IMAGES_PER_REPORT` images.

    Raises:
        DataError: the data cannot be used.
    """
    source, plan, recipe = preparation.source, preparation.plan, preparation.recipe
    labels = source.read_labels()
    writers = {
        split: SplitWriter(
            scratch, split, labels[selection.split], selection.rows, preprocessing_of(recipe)
        )
        for split, selection in plan.selections.items()
    }
    broken = _decode_splits(preparation, writers, progress)
    _report_broken(broken, source.name, skip=recipe.skip_broken)
    counts = _close_writers(writers, source.classes, broken)
    origin = plan.selections["train"].split
    if (weights := source.read_weights().get(origin)) is not None:
        writers["train"].write_weights(weights, source.classes)
    mean, std = preparation.normalisation or compute_mean_and_std(
        np.load(scratch / "train.images.npy", mmap_mode="r")
    )
    image_list = preparation.list_images()
    (scratch / IMAGES_FILE).write_bytes(image_list.to_bytes())
    info = DataInfo(
        name=source.name,
        classes=source.classes,
        counts=counts,
        held_out=plan.held_out,
        preprocessing=replace(preprocessing_of(recipe), mean=mean, std=std),
        flip=source.flip,
        crop=default_crop(source, recipe.image_size),
        folder=scratch.parent / (preparation.key or data_key(source, image_list, recipe)),
        broken=tuple(image.label for image in broken),
        repeated=count_repeated({split: writers[split].hashes for split in SPLITS}),
        checksums={file.name: compute_checksum(file) for file in scratch.glob("*.np[yz]")},
    )
    write_cached_json(scratch / "info.json", info.to_json())
    return info


def data_key(source: DataSource, image_list: ImageList, recipe: Recipe) -> str:
    """A digest of all that determines prepared data, among them the content of the images.

    Args:
        source: gives the name, the classes, and suitable augmentation.
        image_list: the images with their hashes.
        recipe: gives the preprocessing, and which images are left out as broken.
    """
    crop = default_crop(source, recipe.image_size)
    facts = [KEY_FORMAT, source.name, source.classes, source.flip, crop, image_list.digest]
    settings = [preprocessing_of(recipe).to_json(), recipe.skip_broken]
    if recipe.max_pixels is not None:  # It decides which images are left out.
        settings.append(recipe.max_pixels)
    text = json.dumps([*facts, *settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def compute_checksum(file: Path) -> int:
    """The CRC-32 of a file, which takes a second for some gigabytes."""
    checksum = 0
    with file.open("rb") as content:
        while chunk := content.read(_BYTES_PER_READ):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def default_crop(source: DataSource, size: int) -> int:
    """Shift in pixels: an eighth of the side, as is usual on CIFAR, or what the source asks for.

    The latter is for its default size, and follows the size in use.
    """
    if source.crop is None:
        return size // 8
    return round(source.crop * size / source.default_size)


def compute_mean_and_std(images: Images) -> tuple[Channels, Channels]:
    """Mean and deviation of every channel of (N, H, W, C), in [0, 1]; deviations at least 1/255."""
    channels = images.shape[3]
    total, squares = np.zeros(channels), np.zeros(channels)
    for start in range(0, len(images), _IMAGES_PER_SUM):
        pixels = images[start : start + _IMAGES_PER_SUM].reshape(-1, channels).astype(np.float32)
        total += pixels.sum(0, dtype=np.float64)
        squares += np.square(pixels).sum(0, dtype=np.float64)
    count = max(1, images.size // channels)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1))
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


class _ImageCounter:
    """Counts images and reports the progress."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def advance(self) -> None:
        self.done += 1
        due = self.done % _IMAGES_PER_REPORT == 0 or self.done == self.total
        if self.progress and due:
            self.progress(self.done, self.total)


def _decode_splits(
    preparation: Preparation, writers: Mapping[SplitName, SplitWriter], progress: Progress | None
) -> list[BrokenImage]:
    """Decode all images of a preparation; returns the broken ones.

    Args:
        preparation: which images, and how.
        writers: of the splits.
        progress: called every `_IMAGES_PER_REPORT` images.
    """
    source, selections = preparation.source, preparation.plan.selections
    counter = _ImageCounter(sum(len(writer.rows) for writer in writers.values()), progress)
    broken: list[BrokenImage] = []
    for origin in source.read_labels():
        # Archives are slow, so each split of the source is read once for all writers.
        split_writers = [writers[s] for s in selections if selections[s].split == origin]
        broken += _decode_split(split_writers, source, origin, preparation.recipe, counter)
    return broken


def _close_writers(
    writers: Mapping[SplitName, SplitWriter], classes: tuple[str, ...], broken: list[BrokenImage]
) -> dict[str, int]:
    """Save what was written; returns the number of images in each split.

    Raises:
        DataError: nothing is left of a split or class; the message names a broken image.
    """
    try:
        return {split: writer.close(classes) for split, writer in writers.items()}
    except DataError as error:
        if not broken:
            raise
        example = f"{broken[0].label} ({broken[0].reason})"
        raise DataError(
            f"{error}. {len(broken):,} images cannot be decoded, such as {example}"
        ) from None


def _decode_split(
    writers: list[SplitWriter],
    source: DataSource,
    origin: SplitName,
    recipe: Recipe,
    counter: _ImageCounter,
) -> list[BrokenImage]:
    """Decode the images of one split of the source that `writers` need.

    Returns the broken images, sorted by name.
    """
    if not writers:
        return []
    rows = np.concatenate([writer.rows for writer in writers])
    targets = [(writer, index) for writer in writers for index in range(len(writer.rows))]
    broken: list[BrokenImage] = []
    num_read = 0
    for position, image in source.read_images(origin, rows, preprocessing_of(recipe)):
        num_read += 1
        counter.advance()
        if isinstance(image, BrokenImage):
            broken.append(image)
            if source.hashes.of(origin)[rows[position]] == UNKNOWN_HASH:
                source.hashes.record(origin, int(rows[position]), UNREADABLE_HASH)
        else:
            writer, index = targets[position]
            writer.write(index, image)
    if num_read != len(rows):
        raise DataError(f"{source.name} changed while it was read; start again")
    return sorted(broken, key=lambda image: image.label)


def _report_broken(broken: Sequence[BrokenImage], name: str, *, skip: bool) -> None:
    """Log the images that cannot be decoded, with reasons; DataError unless they are skipped.

    Args:
        broken: the images.
        name: of the source.
        skip: whether they are left out.
    """
    if len(broken) > (0 if skip else MAX_NAMED_BROKEN):
        for image in broken[:MAX_LOGGED_BROKEN]:
            logger.warning("%s cannot be decoded (%s)", clean_text(image.label), image.reason)
        if len(broken) > MAX_LOGGED_BROKEN:
            logger.warning(
                "%s more images cannot be decoded; attentune data lists all of them",
                f"{len(broken) - MAX_LOGGED_BROKEN:,}",
            )
    if not broken or skip:
        return
    if len(broken) == 1:
        raise DataError(
            f"{broken[0].label} cannot be decoded ({broken[0].reason}); repair or remove it, "
            "or leave such images out with --skip-broken"
        )
    named = "; ".join(f"{image.label} ({image.reason})" for image in broken[:MAX_NAMED_BROKEN])
    rest = len(broken) - MAX_NAMED_BROKEN
    raise DataError(
        f"{len(broken):,} images of {name} cannot be decoded: {named}"
        f"{f'; and {rest:,} more, listed above' if rest > 0 else ''}. Repair or remove them, or "
        "leave such images out with --skip-broken"
    )
