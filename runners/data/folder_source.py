"""Class folders, in a folder or an archive, with or without splits.

    cats/1.jpg  dogs/2.jpg                      classes; validation and test are held out
    train/cats/1.jpg  val/cats/2.jpg  test/…    splits of classes (also `validation`, `valid`, …)
    train.tar.gz  test.tar.gz                   a folder with one archive a split

A single folder around all of it is looked through. Pictures deeper inside a class folder belong to
that class. A split without class folders (a contest's unlabelled `test/`) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np

from ...errors import DataError
from .dataset import SPLITS, Images, Labels, SplitName
from .file_stores import ARCHIVE_SUFFIXES, FileStore, FolderStore, open_store, reading
from .images import BrokenImage, EncodedImage, decode_all, shorter_side
from .source import Integers, mirrors, sensible_size

_SPLIT_NAMES: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SAMPLE = 64


@dataclass(frozen=True, order=True)
class Item:
    """One picture: the name of its class, its path inside its store, and which store."""

    label: str
    name: str
    store: int = 0


Layout = dict[SplitName, list[Item]]


def open_files(path: Path) -> FileSource:
    """The source at a path that exists; DataError if it is of no known kind."""
    if path.is_dir():
        archives = _split_archives(path)
        if archives and not FolderStore(path).names:
            return FileSource(path, {split: open_store(file) for split, file in archives.items()})
    return FileSource(path, {"train": open_store(path)})


def arrange(names: Iterable[str]) -> Layout:
    """Which pictures belong to which split and class; see the module's head for the rules."""
    paths = [(name.split("/"), name) for name in names]
    while len({parts[0] for parts, _ in paths}) == 1 and any(len(p) > 2 for p, _ in paths):
        paths = [(parts[1:], name) for parts, name in paths]
    tops = {parts[0] for parts, _ in paths if len(parts) > 1}
    splits = {top: _SPLIT_NAMES[top.lower()] for top in tops if top.lower() in _SPLIT_NAMES}
    nested = [parts for parts, _ in paths if splits.get(parts[0]) == "train" and len(parts) > 2]
    if nested:
        layout: Layout = {}
        for parts, name in paths:
            if parts[0] in splits and len(parts) > 2:
                layout.setdefault(splits[parts[0]], []).append(Item(parts[1], name))
        return {split: sorted(items) for split, items in layout.items()}
    return {"train": sorted(Item(parts[0], name) for parts, name in paths if len(parts) > 1)}


class FileSource:
    """Pictures in files, as a source; see `source.DataSource`.

    `stores` holds one store with everything, under "train", or one store for every split.
    """

    crop = None

    def __init__(self, path: Path, stores: dict[SplitName, FileStore]) -> None:
        self.path = path
        self.name = path.resolve().name
        self.stores = list(stores.values())
        self._named = tuple(stores)

    @cached_property
    def identity(self) -> str:
        """The stores' identities."""
        return "|".join(store.identity for store in self.stores)

    @cached_property
    def _layout(self) -> Layout:
        layout: Layout = {}
        for number, (split, store) in enumerate(zip(self._named, self.stores, strict=True)):
            found = arrange(store.names)
            if len(self.stores) > 1:
                found = {split: found["train"]}
            for key, items in found.items():
                layout[key] = [Item(item.label, item.name, number) for item in items]
        self._check(layout)
        return layout

    def _check(self, layout: Layout) -> None:
        items = layout.get("train", [])
        if not items:
            seen = sum(len(store.names) for store in self.stores)
            what = f"{seen} pictures but no class folders" if seen else "no pictures"
            raise DataError(
                f"{self.path} holds {what}; put every class into a folder of its own, "
                "as in cats/1.jpg and dogs/2.jpg"
            )
        classes = {item.label for item in items}
        if len(classes) == 1:
            raise DataError(
                f"{self.path} holds only one class, {classes.pop()!r}; "
                "at least two class folders are needed"
            )
        for split, others in layout.items():
            unknown = sorted({item.label for item in others} - classes)
            if unknown:
                raise DataError(
                    f"{self.path}: {split} has a class {unknown[0]!r} that train has not; "
                    "use the same class folders in every split"
                )

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the training split's class folders, sorted."""
        return tuple(sorted({item.label for item in self._layout["train"]}))

    @cached_property
    def native_size(self) -> int:
        """Median of the shorter sides of a sample."""
        used = {(item.store, item.name) for items in self._layout.values() for item in items}
        store = self.stores[self._layout["train"][0].store]
        number = self.stores.index(store)
        names = [name for name in store.sample(_SAMPLE) if (number, name) in used]
        names = names or [item.name for item in self._layout["train"][:_SAMPLE]]
        sides = [side for _, content in store.read(names) if (side := shorter_side(content))]
        if not sides:
            raise DataError(
                f"none of the first pictures of {self.path} can be decoded; "
                f"look at {store.label(names[0])}"
            )
        return round(median(sides))

    @property
    def default_size(self) -> int:
        """The native size, made round, at most 224."""
        return sensible_size(self.native_size)

    @property
    def flip(self) -> bool:
        """Not for folders of single characters."""
        return mirrors(self.name, self.classes)

    def counts(self) -> dict[str, int]:
        """Pictures of every split that is there."""
        return {split: len(self._layout[split]) for split in SPLITS if split in self._layout}

    def labels(self) -> dict[SplitName, Labels]:
        """Index of the class of every picture, a split."""
        index = {name: number for number, name in enumerate(self.classes)}
        return {
            split: np.array([index[item.label] for item in items], np.int64)
            for split, items in self._layout.items()
        }

    def pictures(
        self, split: SplitName, rows: Integers, size: int
    ) -> Iterator[tuple[int, Images | BrokenImage]]:
        """The chosen pictures at size × size, each with its place in `rows`."""
        return decode_all(self._raws(split, rows), size)

    def _raws(self, split: SplitName, rows: Integers) -> Iterator[EncodedImage]:
        items = self._layout[split]
        for number, store in enumerate(self.stores):
            places = {
                items[row].name: place
                for place, row in enumerate(rows.tolist())
                if items[row].store == number
            }
            for name, content in store.read(places):
                yield EncodedImage(places[name], store.label(name), content)


def _split_archives(folder: Path) -> dict[SplitName, Path]:
    """Archives in a folder that are named after splits, `train` among them; else nothing."""
    found: dict[SplitName, Path] = {}
    with reading(folder):
        files = sorted(file for file in folder.iterdir() if file.is_file())
    for file in files:
        for suffix in ARCHIVE_SUFFIXES:
            stem = file.name.lower().removesuffix(suffix)
            if stem != file.name.lower() and stem in _SPLIT_NAMES:
                found.setdefault(_SPLIT_NAMES[stem], file)
    return found if "train" in found else {}
