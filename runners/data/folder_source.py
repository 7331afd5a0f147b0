"""Class folders, in a folder or an archive, with or without splits.

    cats/1.jpg  dogs/2.jpg                      classes; validation and test are held out
    train/cats/1.jpg  val/cats/2.jpg  test/…    splits of classes (also `validation`, `valid`, …)
    train.tar.gz  test.tar.gz                   a folder with one archive per split

A single folder around everything is ignored. Images in folders below a class folder belong to that
class. A split without class folders (such as the unlabelled `test/` of a contest) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np

from ...errors import DataError
from .dataset import SPLIT_NAMES, SPLITS, Images, Labels, Rows, SplitName
from .file_stores import (
    ARCHIVE_SUFFIXES,
    FileStore,
    FolderStore,
    open_store,
    raising_data_errors,
)
from .images import BrokenImage, EncodedImage, decode_images, read_shorter_side
from .preprocessing import Preprocessing, ValueRange
from .source import allows_flips, sensible_size
from .value_range import EIGHT_BIT_SUFFIXES, measure_files

_SAMPLED_FILES = 64
"""Images whose size is read to find the typical one."""


@dataclass(frozen=True, order=True)
class ImageFile:
    """One image: the name of its class, its path inside its store, and the store's number."""

    class_name: str
    path: str
    store: int = 0


FilesBySplit = dict[SplitName, list[ImageFile]]


def open_file_source(path: Path) -> FileSource:
    """The source at a path that exists.

    Raises:
        DataError: it is neither a folder nor an archive of a known format.
    """
    if path.is_dir():
        archives = _split_archives(path)
        if archives and not FolderStore(path).names:
            return FileSource(path, {split: open_store(file) for split, file in archives.items()})
    return FileSource(path, {"train": open_store(path)})


def arrange_files(names: Iterable[str]) -> FilesBySplit:
    """Assign images to splits and classes, by the rules at the head of this module."""
    paths = [(name.split("/"), name) for name in names]
    while len({folders[0] for folders, _ in paths}) == 1 and any(len(p) > 2 for p, _ in paths):
        paths = [(folders[1:], name) for folders, name in paths]
    tops = {folders[0] for folders, _ in paths if len(folders) > 1}
    splits = {top: SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    if any(splits.get(folders[0]) == "train" and len(folders) > 2 for folders, _ in paths):
        files: FilesBySplit = {}
        for folders, name in paths:
            if folders[0] in splits and len(folders) > 2:
                files.setdefault(splits[folders[0]], []).append(ImageFile(folders[1], name))
        return {split: sorted(split_files) for split, split_files in files.items()}
    return {
        "train": sorted(ImageFile(folders[0], name) for folders, name in paths if len(folders) > 1)
    }


class FileSource:
    """Images in files, as a `DataSource`.

    Args:
        path: the folder or archive that the user specified.
        stores: one store with everything, under "train", or one store for each split.
    """

    crop = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """None: everything follows from the folders."""
        return ()

    def __init__(self, path: Path, stores: dict[SplitName, FileStore]) -> None:
        self.path = path
        self.name = path.resolve().name
        self.stores = list(stores.values())
        self._splits_of_stores = tuple(stores)

    @cached_property
    def fingerprint(self) -> str:
        """The stores' fingerprints."""
        return "|".join(store.fingerprint for store in self.stores)

    @cached_property
    def _files(self) -> FilesBySplit:
        files: FilesBySplit = {}
        stores = zip(self._splits_of_stores, self.stores, strict=True)
        for number, (split, store) in enumerate(stores):
            arranged = arrange_files(store.names)
            if len(self.stores) > 1:
                arranged = {split: arranged["train"]}
            for name, split_files in arranged.items():
                files[name] = [ImageFile(f.class_name, f.path, number) for f in split_files]
        self._check(files)
        return files

    def _check(self, files: FilesBySplit) -> None:
        classes = {file.class_name for file in files.get("train", [])}
        if not classes:
            images = sum(len(store.names) for store in self.stores)
            content = f"{images} images but no class folders" if images else "no images"
            raise DataError(
                f"{self.path} holds {content}; put every class into a folder of its own, "
                "as in cats/1.jpg and dogs/2.jpg"
            )
        if len(classes) == 1:
            raise DataError(
                f"{self.path} holds only one class, {classes.pop()!r}; "
                "at least two class folders are needed"
            )
        for split, split_files in files.items():
            unknown = sorted({file.class_name for file in split_files} - classes)
            if unknown:
                raise DataError(
                    f"{self.path}: {split} has a class {unknown[0]!r} that train does not have; "
                    "use the same class folders in every split"
                )

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the training split's class folders, sorted."""
        return tuple(sorted({file.class_name for file in self._files["train"]}))

    @cached_property
    def native_size(self) -> int:
        """Median of the shorter sides of a sample."""
        used = {(file.store, file.path) for files in self._files.values() for file in files}
        number = self._files["train"][0].store
        store = self.stores[number]
        names = [name for name in store.sample_names(_SAMPLED_FILES) if (number, name) in used]
        names = names or [file.path for file in self._files["train"][:_SAMPLED_FILES]]
        sides = [
            side for _, content in store.read_files(names) if (side := read_shorter_side(content))
        ]
        if not sides:
            raise DataError(
                f"none of the first images of {self.path} can be decoded; "
                f"check {store.describe(names[0])}"
            )
        return round(median(sides))

    @property
    def default_size(self) -> int:
        """The native size, rounded, at most 224."""
        return sensible_size(self.native_size)

    @property
    def flip(self) -> bool:
        """False for folders of single characters."""
        return allows_flips(self.name, self.classes)

    def count_images(self) -> dict[str, int]:
        """The number of images in each split that the source has."""
        return {split: len(self._files[split]) for split in SPLITS if split in self._files}

    def read_labels(self) -> dict[SplitName, Labels]:
        """The labels of each split, from the names of the files alone."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        return {
            split: np.array([numbers[file.class_name] for file in files], np.int64)
            for split, files in self._files.items()
        }

    def read_groups(self) -> dict[SplitName, Rows]:
        """Folders say nothing about groups."""
        return {}

    def measure_value_range(self) -> ValueRange | None:
        """See `DataSource.measure_value_range`."""
        return measure_files(self._read_possibly_deep())

    def _read_possibly_deep(self) -> Iterator[EncodedImage]:
        """The files of all splits whose formats may have more than 8 bits."""
        for number, store in enumerate(self.stores):
            names = [
                file.path
                for files in self._files.values()
                for file in files
                if file.store == number and not file.path.lower().endswith(EIGHT_BIT_SUFFIXES)
            ]
            for index, (name, content) in enumerate(store.read_files(names) if names else ()):
                yield EncodedImage(index, store.describe(name), content)

    def read_images(
        self, split: SplitName, rows: Rows, preprocessing: Preprocessing
    ) -> Iterator[tuple[int, Images | BrokenImage]]:
        """See `DataSource.read_images`."""
        return decode_images(self._read_encoded(split, rows), preprocessing)

    def _read_encoded(self, split: SplitName, rows: Rows) -> Iterator[EncodedImage]:
        files = self._files[split]
        for number, store in enumerate(self.stores):
            indices = {
                files[row].path: index
                for index, row in enumerate(rows.tolist())
                if files[row].store == number
            }
            for name, content in store.read_files(indices):
                yield EncodedImage(indices[name], store.describe(name), content)


def _split_archives(folder: Path) -> dict[SplitName, Path]:
    """Archives in a folder that are named after splits; none if `train` is not among them."""
    archives: dict[SplitName, Path] = {}
    with raising_data_errors(folder):
        files = sorted(file for file in folder.iterdir() if file.is_file())
    for file in files:
        for suffix in ARCHIVE_SUFFIXES:
            stem = file.name.lower().removesuffix(suffix)
            if stem != file.name.lower() and stem in SPLIT_NAMES:
                archives.setdefault(SPLIT_NAMES[stem], file)
    return archives if "train" in archives else {}
