"""Class folders, in a folder or an archive, with or without splits; see `class_folders`.

A folder that holds one archive per split is one data set, too; see `split_archives`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from statistics import median

import numpy as np

from ....errors import DataError
from ..array_files import count_channels
from ..content_hashes import (
    CLOCK_RESOLUTION_NS,
    NUM_FACTS,
    STATUS_CHANGE,
    UNREADABLE_HASH,
    ImageHashes,
    ListedImages,
    hash_file,
)
from ..dataset import SPLITS, Images, Labels, Rows, SplitName, Weights
from ..files.file_content import FileContent, UnreadableFile
from ..files.file_names import (
    LeftOutFiles,
    describe_left_out,
    is_array,
)
from ..files.file_stores import FileStore, open_store
from ..files.folder_store import FolderStore
from ..images import (
    BrokenImage,
    EncodedImage,
    ImageHeader,
    decode_images,
    map_in_threads,
    read_header,
)
from ..preprocessing import Preprocessing, ValueRange
from ..value_range import EIGHT_BIT_SUFFIXES, measure_files
from .class_folders import (
    Arrangement,
    FilesBySplit,
    ImageFile,
    arrange_files,
    leave_out_requested,
)
from .source import DEFAULT_OPTIONS, SourceOptions, allows_flips, sensible_size
from .split_archives import find_split_archives, list_files_beside
from .split_folders import LAYOUT_BY_NAMES, FolderLayout

_SAMPLED_FILES = 64
"""Images whose size is read to find the typical one."""


def open_file_source(path: Path, options: SourceOptions = DEFAULT_OPTIONS) -> FileSource:
    """The source at a path that exists.

    Args:
        path: a folder or an archive.
        options: how it is read.

    Raises:
        DataError: it is neither a folder nor an archive of a known format, or holds archives of
            which it is not clear which splits they are.
    """
    layout, limits = options.layout, options.limits
    store = open_store(path, limits)
    if isinstance(store, FolderStore) and not store.names:
        archives = find_split_archives(path, layout)
        if archives:
            stores = {split: open_store(path / name, limits) for split, name in archives.items()}
            inside = tuple(name for name in layout.leave_out if not (path / name).is_file())
            beside = list_files_beside(path, store.listing, archives.values(), layout)
            options = replace(options, layout=FolderLayout(leave_out=inside))
            return FileSource(path, stores, options, beside)
    return FileSource(path, {"train": store}, options)


class FileSource:
    """Images in files, as a `DataSource`.

    Args:
        path: the folder or archive that the user specified.
        stores: one store with everything, under "train", or one store for each split.
        options: how they are read.
        beside: files beside the stores, which are left out.
    """

    crop = None

    def __init__(
        self,
        path: Path,
        stores: dict[SplitName, FileStore],
        options: SourceOptions = DEFAULT_OPTIONS,
        beside: tuple[LeftOutFiles, ...] = (),
    ) -> None:
        self._beside = beside
        self.path = path
        self.place = str(path.resolve())
        self.name = path.resolve().name
        self.layout, self.limits = options.layout, options.limits
        self.stores = list(stores.values())
        self._splits_of_stores = tuple(stores)

    @cached_property
    def fingerprint(self) -> str:
        """The stores' fingerprints, and the layout if the user states one."""
        return "|".join((*(store.fingerprint for store in self.stores), *self._stated_layout))

    @cached_property
    def listing_fingerprint(self) -> str:
        """As `fingerprint`, but of all files and folders."""
        fingerprints = (store.listing_fingerprint for store in self.stores)
        beside = [repr(self._beside)] if self._beside else []
        return "|".join((*fingerprints, *self._stated_layout, *beside))

    @property
    def _stated_layout(self) -> tuple[str, ...]:
        return () if self.layout == LAYOUT_BY_NAMES else (repr(self.layout),)

    @cached_property
    def _arrangements(self) -> list[Arrangement]:
        """What each store holds."""
        labels = [self.path] if len(self.stores) == 1 else [store.path for store in self.stores]
        listings = leave_out_requested(
            [store.listing for store in self.stores], self.layout.leave_out, str(self.path)
        )
        return [
            arrange_files(listing, self.layout, str(label))
            for listing, label in zip(listings, labels, strict=True)
        ]

    @property
    def earlier_fingerprint(self) -> str:
        """What attentune 0.1 has computed; see `FileStore.earlier_fingerprint`."""
        return "|".join(store.earlier_fingerprint for store in self.stores)

    @property
    def detects_any_change(self) -> bool:
        """Whether no file was changed just before it was listed."""
        facts = (store.read_facts(store.names) for store in self.stores)
        newest = max((int(rows[:, STATUS_CHANGE].max(initial=0)) for rows in facts), default=0)
        return newest + CLOCK_RESOLUTION_NS < self._listed_ns

    @property
    def _listed_ns(self) -> int:
        """A time before the facts of all files were read."""
        return min(store.listed_ns for store in self.stores)

    @cached_property
    def hashes(self) -> ImageHashes:
        """Those of the files; a file is named by its class and its path in the class folder."""
        images = {}
        for split, files in self._files.items():
            facts = np.zeros((len(files), NUM_FACTS), np.int64)
            for number, store in enumerate(self.stores):
                rows = [row for row, file in enumerate(files) if file.store == number]
                facts[rows] = store.read_facts([files[row].path for row in rows])
            images[split] = ListedImages(list(map(self._image_name, files)), facts)
        return ImageHashes(self.place, images, self._listed_ns)

    def _image_name(self, file: ImageFile) -> str:
        """The name of an image in its split, which stays the same if the data are moved."""
        return file.name

    @cached_property
    def _files(self) -> FilesBySplit:
        files: FilesBySplit = {}
        for number, arrangement in enumerate(self._arrangements):
            arranged = arrangement.files
            if len(self.stores) > 1:
                if set(arranged) - {"train"}:
                    raise DataError(
                        f"{self.stores[number].path} holds splits of its own; unpack it and give "
                        "the folder"
                    )
                arranged = {self._splits_of_stores[number]: arranged.get("train", [])}
            for split, rows in arranged.items():
                files[split] = [replace(file, store=number) for file in rows] if number else rows
        self._check(files)
        return files

    @property
    def left_out(self) -> tuple[LeftOutFiles, ...]:
        """All files that are no images of the data, counted."""
        inside = (files for arrangement in self._arrangements for files in arrangement.left_out)
        return (*self._beside, *inside)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is left out, and what a user may not expect."""
        left_out = describe_left_out(self.left_out)
        notes = [note for arrangement in self._arrangements for note in arrangement.notes]
        if several := sum(header.has_several_frames for header in self._headers):
            notes.append(
                f"{several} of {len(self._headers)} sampled images have several frames or pages, "
                "of which the first is used"
            )
        if unused := sum(header.has_unused_channels for header in self._headers):
            notes.append(
                f"{unused} of {len(self._headers)} sampled images have more channels than RGB, "
                "which are not used; arrays (.npy) may have any number of channels"
            )
        return (
            *([f"left out of {self.name}: {left_out}"] if left_out else []),
            *(f"{self.name}: {note}" for note in notes),
        )

    def _check(self, files: FilesBySplit) -> None:
        classes = {file.class_name for file in files.get("train", [])}
        if not classes:
            raise DataError(self._describe_nothing())
        if len(classes) == 1:
            left_out = describe_left_out(self.left_out)
            raise DataError(
                f"{self.path} holds only one class, {classes.pop()!r}; "
                "at least two class folders are needed"
                + (f" (left out: {left_out})" * bool(left_out))
            )
        for split, split_files in files.items():
            unknown = sorted({file.class_name for file in split_files} - classes)
            if unknown:
                raise DataError(
                    f"{self.path}: {split} has a class {unknown[0]!r} that train does not have; "
                    "use the same class folders in every split"
                )

    def _describe_nothing(self) -> str:
        """The error for a source without images in class folders."""
        images = sum(len(store.names) for store in self.stores)
        content = f"{images} images but no class folders" if images else "no images"
        others = describe_left_out(
            files for store in self.stores for files in store.listing.left_out
        )
        return (
            f"{self.path} holds {content}{f' (but {others})' if others else ''}; put every class "
            "into a folder of its own, as in cats/1.jpg and dogs/2.jpg"
        )

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the training split's class folders, sorted."""
        return tuple(sorted({file.class_name for file in self._files["train"]}))

    def sample_sizes(self) -> list[tuple[int, int]]:
        """Width and height of images that can be read quickly, from their headers."""
        return [header.size for header in self._headers]

    @cached_property
    def native_size(self) -> int:
        """Median of the shorter sides of a sample."""
        sizes = self.sample_sizes()
        if not sizes:
            first = self.describe_image("train", 0)
            raise DataError(
                f"none of the first images of {self.path} can be decoded; check {first}"
            )
        return round(median(min(size) for size in sizes))

    @cached_property
    def _headers(self) -> list[ImageHeader]:
        """What the headers of a sample say."""
        contents = (content for _, content in self._read_sample())
        read = partial(read_header, limits=self.limits)
        return [
            header
            for content in contents
            if not isinstance(content, UnreadableFile) and (header := read(content))
        ]

    def _read_sample(self) -> Iterator[tuple[str, FileContent]]:
        used = {(file.store, file.path) for files in self._files.values() for file in files}
        number = self._files["train"][0].store
        store = self.stores[number]
        names = [name for name in store.sample_names(_SAMPLED_FILES) if (number, name) in used]
        names = names or [file.path for file in self._files["train"][:_SAMPLED_FILES]]
        return store.read_files(names)

    def describe_image(self, split: SplitName, row: int) -> str:
        """The path of an image; that of its archive before it."""
        file = self._files[split][row]
        return self.stores[file.store].describe(file.path)

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

    def read_weights(self) -> dict[SplitName, Weights]:
        """None: folders say nothing about weights."""
        return {}

    def count_channels(self) -> int | None:
        """See `DataSource.count_channels`; None if there are image files."""
        if not all(is_array(file.path) for files in self._files.values() for file in files):
            return None
        arrays = ((encoded.label, encoded.content) for encoded in self._read_possibly_deep())
        return count_channels(self.name, arrays)

    def measure_value_range(self) -> ValueRange | None:
        """See `DataSource.measure_value_range`."""
        return measure_files(self._read_possibly_deep(), self.limits)

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
                if not isinstance(content, UnreadableFile):
                    yield EncodedImage(index, store.describe(name), content)

    def read_images(
        self, split: SplitName, rows: Rows, preprocessing: Preprocessing
    ) -> Iterator[tuple[int, Images | BrokenImage]]:
        """See `DataSource.read_images`."""
        numbers = rows.tolist()

        def on_hash(index: int, number: int) -> None:
            self.hashes.record(split, numbers[index], number)

        unreadable: list[tuple[int, BrokenImage]] = []
        encoded = self._read_encoded(split, rows, unreadable)
        yield from decode_images(encoded, preprocessing, self.limits, on_hash)
        for index, image in unreadable:
            on_hash(index, UNREADABLE_HASH)
            yield index, image

    def read_hashes(self, split: SplitName, rows: Rows) -> None:
        """See `DataSource.read_hashes`."""
        numbers = rows.tolist()
        unreadable: list[tuple[int, BrokenImage]] = []
        encoded = self._read_encoded(split, rows, unreadable)
        for index, number in map_in_threads(encoded, _hash_encoded):
            self.hashes.record(split, numbers[index], number)
        for index, _ in unreadable:
            self.hashes.record(split, numbers[index], UNREADABLE_HASH)

    def _read_encoded(
        self, split: SplitName, rows: Rows, unreadable: list[tuple[int, BrokenImage]]
    ) -> Iterator[EncodedImage]:
        """Images to decode; what cannot be read from an archive is appended to `unreadable`."""
        files = self._files[split]
        for number, store in enumerate(self.stores):
            indices = {
                files[row].path: index
                for index, row in enumerate(rows.tolist())
                if files[row].store == number
            }
            for name, content in store.read_files(indices):
                index, label = indices[name], store.describe(name)
                if isinstance(content, UnreadableFile):
                    unreadable.append((index, BrokenImage(label, content.reason)))
                else:
                    yield EncodedImage(index, label, content)


def _hash_encoded(encoded: EncodedImage) -> int:
    return hash_file(encoded.content)
