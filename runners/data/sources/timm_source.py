"""Data sets by timm's names: `torch/cifar10`, `hfds/owner/name`, `hfids/owner/name`, `tfds/name`.

`timm.data.create_dataset` finds, downloads and opens them; here they are read once into the cache.
The sets of torchvision (`torch/`) have two splits, and the second is used as the test split. The
other families are opened with the splits `validation` and `test`. Sets that can only be streamed
are read twice, for their labels and for their images, so that they need not fit into memory.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from ....cache_folders import cache_folder
from ....errors import AttentuneError, DataError
from ....spaces.backbones.timm_compat import import_timm
from ..content_hashes import (
    NUM_FACTS,
    UNREADABLE_HASH,
    ImageHashes,
    ListedImages,
    hash_content,
)
from ..dataset import Images, Labels, Rows, SplitName, Weights
from ..image_limits import ImageLimits
from ..images import (
    BrokenImage,
    check_format,
    disable_ghostscript,
    open_pillow_image,
    preprocess_image,
)
from ..preprocessing import Preprocessing, ValueRange, is_deep
from ..value_range import ImageValues, combine_values, measure_image
from .source import DEFAULT_OPTIONS, SourceOptions, allows_flips, sensible_size

TIMM_PREFIXES = ("torch/", "hfds/", "hfids/", "tfds/")
_SAMPLED_IMAGES = 32
"""Images that are read to find the typical size."""
_DOWNLOADING_FAMILIES = ("torch", "tfds", "hfids")
"""The families that take the argument `download`."""
_HUGGING_FACE_FAMILIES = ("hfds", "hfids")
"""The families whose images are files of any mode, which timm would convert to RGB itself."""
_PACKAGES = {"hfds": "datasets", "hfids": "datasets", "tfds": "tensorflow-datasets"}


class TimmSource:
    """A data set that timm opens, as a `DataSource`.

    Args:
        spec: its name.
        options: how it is read.
    """

    crop = None
    remarks = ()
    left_out = ()

    def __init__(self, spec: str, options: SourceOptions = DEFAULT_OPTIONS) -> None:
        self.name = self.place = spec
        self._limits = options.limits
        self._limits.raise_pillow_limit()  # torchvision opens images itself.
        self._family = spec.partition("/")[0].lower()

    detects_any_change = True

    @property
    def fingerprint(self) -> str:
        """The name of the set, and a digest of the files that were downloaded for it."""
        return f"timm:{self.name}{self._describe_downloads()}"

    @property
    def listing_fingerprint(self) -> str:
        """The fingerprint."""
        return self.fingerprint

    @property
    def earlier_fingerprint(self) -> str:
        """What attentune 0.1 has computed."""
        return f"timm:{self.name}"

    @property
    def _download_folder(self) -> Path:
        return cache_folder("downloads") / self.name.replace("/", "-")

    def _describe_downloads(self) -> str:
        """A digest of the names, sizes and times of the downloaded files; empty if none are."""
        files = []
        for folder, _, names in os.walk(self._download_folder):
            for name in names:
                if not name.endswith(".lock"):
                    path = Path(folder, name)
                    status = path.lstat()
                    files.append((str(path), status.st_size, status.st_mtime_ns))
        return f":{hashlib.sha256(repr(sorted(files)).encode()).hexdigest()}" if files else ""

    @cached_property
    def hashes(self) -> ImageHashes:
        """Those of the pixels; an image is named by its number in its split."""
        facts = np.zeros(NUM_FACTS, np.int64)
        facts[0] = hash_content(self.fingerprint.encode()) >> 1
        images = {
            split: ListedImages(
                list(map(str, range(len(labels)))), np.tile(facts, (len(labels), 1))
            )
            for split, labels in self._labels.items()
        }
        return ImageHashes(self.place, images, time.time_ns())

    @cached_property
    def _sets(self) -> dict[SplitName, Any]:
        train = self._open("train")
        if train is None:
            raise DataError(f"{self.name} has no split called 'train'")
        sets: dict[SplitName, Any] = {"train": train}
        names: dict[SplitName, str] = {"val": "validation", "test": "test"}
        if self._family == "torch":
            names = {"test": "validation"}
        for split, name in names.items():
            opened = self._open(name)
            if opened is not None:
                sets[split] = opened
        return sets

    def _open(self, split: str) -> Any | None:
        """timm's data set for one split; None if the set has no such split."""
        disable_ghostscript()  # timm's readers open images of every format of Pillow's.
        root = self._download_folder
        try:
            root.mkdir(parents=True, exist_ok=True)
            is_converted = self._family not in _HUGGING_FACE_FAMILIES
            opened = import_timm().data.create_dataset(
                self.name,
                root=str(root),
                split=split,
                download=self._family in _DOWNLOADING_FAMILIES,
                input_img_mode="RGB" if is_converted else "",
            )
            if hasattr(opened, "load_bytes"):
                # timm would replace an image that it cannot decode by the next one.
                opened.load_bytes = True
            return opened
        except AttentuneError:
            raise
        except ImportError as error:
            package = _PACKAGES.get(self._family, error.name or "the missing one")
            raise DataError(
                f"{self.name} needs a package that is not installed ({error}); "
                f"pip install {package}"
            ) from error
        except Exception as error:  # Each family raises other types of exception.
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            if split != "train" and isinstance(error, ValueError) and "split" in reason.lower():
                return None
            raise DataError(
                f"{self.name} cannot be loaded ({reason}); check its name and the network, "
                "or give a folder or an archive"
            ) from error

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The set's own class names, or numbers if it has none."""
        train = self._sets["train"]
        reader = getattr(train, "reader", None)
        numbers = getattr(reader, "class_to_idx", None)
        if isinstance(numbers, dict):
            return tuple(map(str, sorted(numbers, key=numbers.__getitem__)))
        names = getattr(train, "classes", None)
        if names:
            return tuple(map(str, names))
        highest = max(int(labels.max(initial=0)) for labels in self._labels.values())
        return tuple(map(str, range(highest + 1)))

    def sample_sizes(self) -> list[tuple[int, int]]:
        """Width and height of the first images."""
        return [image.size for image in self._sample()]

    @cached_property
    def native_size(self) -> int:
        """Median of the shorter sides of the first images."""
        sizes = self.sample_sizes()
        if not sizes:
            raise DataError(f"{self.name} holds no images")
        return round(median(min(size) for size in sizes))

    @property
    def default_size(self) -> int:
        """The native size, rounded, at most 224."""
        return sensible_size(self.native_size)

    @property
    def flip(self) -> bool:
        """False for sets of characters."""
        return allows_flips(self.name, self.classes)

    @cached_property
    def _labels(self) -> dict[SplitName, Labels]:
        return {split: _labels_of(self.name, dataset) for split, dataset in self._sets.items()}

    def _sample(self) -> Iterator[Image.Image]:
        for image, _ in islice(_iterate(self._sets["train"]), _SAMPLED_IMAGES):
            yield _open(image, self._limits)

    def count_images(self) -> dict[str, int]:
        """The number of images in each split that the set has."""
        return {
            split: len(dataset) if hasattr(dataset, "__len__") else len(self._labels[split])
            for split, dataset in self._sets.items()
        }

    def read_labels(self) -> dict[SplitName, Labels]:
        """The labels of each split that the set has."""
        return self._labels

    def read_groups(self) -> dict[SplitName, Rows]:
        """timm says nothing about groups."""
        return {}

    def read_weights(self) -> dict[SplitName, Weights]:
        """timm says nothing about weights."""
        return {}

    def count_channels(self) -> None:
        """None: timm opens image files."""

    def measure_value_range(self) -> ValueRange | None:
        """See `DataSource.measure_value_range`. None if the first images have 8 bits."""
        if not any(map(is_deep, self._sample())):
            return None
        return combine_values(
            (self.describe_image(split, row), self._measure(image))
            for split, dataset in self._sets.items()
            for row, (image, _) in enumerate(_iterate(dataset))
        )

    def _measure(self, image: bytes | Image.Image) -> ImageValues | None:
        return measure_image(_open(image, self._limits), self._limits)

    def describe_image(self, split: SplitName, row: int) -> str:
        """The name of an image in messages."""
        return f"{self.name} {split} image {row}"

    def read_images(
        self, split: SplitName, rows: Rows, preprocessing: Preprocessing
    ) -> Iterator[tuple[int, Images | BrokenImage]]:
        """See `DataSource.read_images`."""
        indices = {row: index for index, row in enumerate(rows.tolist())}
        dataset = self._sets[split]
        if hasattr(dataset, "__getitem__"):
            for row in sorted(indices):
                yield indices[row], self._read_image(split, row, preprocessing)
            return
        for row, (image, _) in enumerate(_iterate(dataset)):
            if row in indices:
                yield indices[row], self._preprocess(split, row, image, preprocessing)

    def read_hashes(self, split: SplitName, rows: Rows) -> None:
        """See `DataSource.read_hashes`."""
        for index, image in self.read_images(split, rows, Preprocessing(1)):
            if isinstance(image, BrokenImage):
                self.hashes.record(split, int(rows[index]), UNREADABLE_HASH)

    def _read_image(
        self, split: SplitName, row: int, preprocessing: Preprocessing
    ) -> Images | BrokenImage:
        try:
            image = self._sets[split][row][0]
        except Exception as error:  # Decoders raise anything on damaged input.
            return BrokenImage(self.describe_image(split, row), str(error))
        return self._preprocess(split, row, image, preprocessing)

    def _preprocess(
        self, split: SplitName, row: int, image: Any, preprocessing: Preprocessing
    ) -> Images | BrokenImage:
        try:
            self.hashes.record(split, row, _hash_image(image))
            opened = _open(image, self._limits)
            if not is_deep(opened):
                opened.load()  # So that no JPEG is decoded at a fraction of its size.
            return preprocess_image(opened, preprocessing, self._limits)
        except Exception as error:  # Some data sets decode an image when its pixels are read.
            return BrokenImage(self.describe_image(split, row), str(error))


def _open(image: bytes | Image.Image, limits: ImageLimits) -> Image.Image:
    """An image of a data set, which may be the content of a file."""
    return open_pillow_image(image, limits) if isinstance(image, bytes) else check_format(image)


def _hash_image(image: bytes | Image.Image) -> int:
    """The hash of an image's file, or of its pixels if it was loaded before."""
    if isinstance(image, bytes):
        return hash_content(image)
    file = getattr(image, "fp", None)
    if file is not None and getattr(image, "tile", None):
        position = file.tell()
        file.seek(0)
        content = file.read()
        file.seek(position)
        return hash_content(content)
    palette = repr(image.getpalette()) if image.mode == "P" else ""
    return hash_content(f"{image.mode}{image.size}{palette}".encode() + image.tobytes())


def _iterate(dataset: Any) -> Iterator[tuple[Any, Any]]:
    """Images and labels in order; some sets have an index but cannot be iterated."""
    if hasattr(dataset, "__getitem__"):
        return (dataset[index] for index in range(len(dataset)))
    return iter(dataset)


def _labels_of(source: str, dataset: Any) -> Labels:
    """Labels of a split, without decoding its images if the data set stores labels separately.

    Raises:
        DataError: they are no classes, of which every image has one.
    """
    for name in ("targets", "_labels"):
        labels = getattr(dataset, name, None)
        if labels is not None:
            return _as_classes(source, labels)
    reader = getattr(dataset, "reader", None)
    table, key = getattr(reader, "dataset", None), getattr(reader, "label_key", None)
    if table is not None and key is not None and hasattr(table, "column_names"):
        return _as_classes(source, table[key])
    return _as_classes(source, [label for _, label in _iterate(dataset)])


def _as_classes(source: str, labels: Any) -> Labels:
    """The labels as numbers of classes; DataError if they are something else."""
    try:
        values = np.asarray(labels)
        numbers = values.astype(np.int64)
        is_right = values.dtype.kind in "biuf" and values.ndim == 1
        is_right = is_right and bool((numbers == values).all() and (numbers >= 0).all())
    except (TypeError, ValueError):  # Images have different numbers of labels, or texts.
        is_right = False
    if not is_right:
        raise DataError(
            f"the labels of {source} are not one class for each image, numbered from 0; attentune "
            "trains for nothing else"
        )
    return numbers
