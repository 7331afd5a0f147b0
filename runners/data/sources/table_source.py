"""Images whose labels are in a table: `photos.csv`, `.tsv` or `.parquet`.

    path,label,split,group,weight
    a/1.jpg,cat,train,ann,1
    a/2.jpg,dog,test,bob,0.5

Every row is an image. The columns after `label` are optional; `table_columns` says which other
names are understood. Paths are relative to the table, or to `--data-root`, which may be an
archive. Images of one group, such as those of one patient, are never in two splits. The training
loss of an image is multiplied by its weight.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ....errors import DataError
from ....files import find_path
from ..dataset import Rows, SplitName, Weights
from ..files.file_names import LeftOutFiles
from ..files.file_stores import FileStore, open_store
from ..files.folder_listing import ListedFiles
from ..files.folder_store import FolderStore
from .class_folders import FilesBySplit, ImageFile, by_class_and_path
from .folder_source import FileSource
from .label_table import LabelTable, read_label_table
from .source import SourceOptions
from .table_columns import choose_columns, parse_columns
from .table_labels import check_labels, describe_numbers
from .table_rows import LabelledRow, read_rows

MAX_LISTED_ROWS = 3
"""Rows that a message names."""
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class ListedFolder(FolderStore):
    """Those files of a folder that a table names.

    Args:
        path: the folder.
        names: paths, relative to the folder or absolute.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        super().__init__(path)
        self._opened_ns = time.time_ns()
        self._stats = _stat_files(path, names)

    @cached_property
    def _listed(self) -> ListedFiles:
        """The files that the table names; all others are not looked for."""
        return ListedFiles.of(self._stats, self._opened_ns)

    def find_same_file(self) -> tuple[str, str] | None:
        """Two names of one file, for example through a link; None if there are none."""
        names: dict[tuple[int, int], str] = {}
        for name, facts in self._stats.items():
            identity = (facts.st_dev, facts.st_ino)
            if facts.st_ino and names.setdefault(identity, name) != name:
                return names[identity], name
        return None


class TableSource(FileSource):
    """Images that a table names, as a `DataSource`.

    Args:
        path: the table.
        options: the folder or archive of the images, and names of columns.
    """

    def __init__(self, path: Path, options: SourceOptions) -> None:
        self.options = options
        self.table = read_label_table(path)
        self.columns = choose_columns(self.table, parse_columns(options.column or ()))
        self.root = _find_root(path, options)
        rows = read_rows(self.table, self.columns)
        store, self._rows = _open_files(self.table, rows, self.root, options)
        self._left_out = len(rows) - len(self._rows)
        super().__init__(path, {"train": store}, options)

    @cached_property
    def fingerprint(self) -> str:
        """What the rows say, and the fingerprint of their files."""
        cells: list[tuple[object, ...]] = [
            (row.path, row.label, row.split, row.group) for row in self._rows
        ]
        if weights := [row.weight for row in self._rows if row.weight is not None]:
            cells.append(tuple(weights))
        return f"table:{hashlib.sha256(repr(cells).encode()).hexdigest()}|{super().fingerprint}"

    @property
    def listing_fingerprint(self) -> str:
        """The fingerprint."""
        return self.fingerprint

    @property
    def left_out(self) -> tuple[LeftOutFiles, ...]:
        """None: the table says which files are images of the data."""
        return ()

    @property
    def earlier_fingerprint(self) -> str:
        """The fingerprint: attentune 0.1 read no tables."""
        return self.fingerprint

    def _image_name(self, file: ImageFile) -> str:
        return file.path

    @property
    def remarks(self) -> tuple[str, ...]:
        """Which columns are read, and which are not."""
        header = self.table.header
        roles = [f"{role} from {header[number]!r}" for role, number in self.columns.items()]
        unread = [
            repr(name)
            for number, name in enumerate(header)
            if name and number not in self.columns.values()
        ]
        sentence = f"{self.name}: {', '.join(roles)}"
        if unread:
            sentence += f"; not read: {', '.join(unread)}"
        remarks = [sentence]
        if groups := {row.group for row in self._rows} - {None}:
            remarks.append(f"{self.name}: no split cuts any of its {len(groups):,} groups")
        if weights := [row.weight for row in self._rows if row.weight is not None]:
            remarks.append(
                f"{self.name}: the training loss of an image is multiplied by its weight, from "
                f"{min(weights):g} to {max(weights):g}"
            )
        if numbers := describe_numbers(self.classes):
            remarks.append(f"{self.name}: {numbers}")
        if self._left_out:
            remarks.append(f"{self.name}: left out {self._left_out:,} images that are not there")
        return tuple(remarks)

    @cached_property
    def _files(self) -> FilesBySplit:
        files: FilesBySplit = {}
        for row in self._rows:
            files.setdefault(row.split or "train", []).append(ImageFile(row.label, row.path))
        if "train" not in files:
            raise DataError(
                f"{self.path} has no row with the split 'train'; validation and test images can be "
                "left to be held out, but training images cannot"
            )
        self._check(files)
        return {split: sorted(rows, key=by_class_and_path) for split, rows in files.items()}

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted; by value if all are numbers."""
        names = {file.class_name for file in self._files["train"]}
        try:
            return tuple(sorted(names, key=lambda name: (float(name), name)))
        except ValueError:
            return tuple(sorted(names))

    def read_groups(self) -> dict[SplitName, Rows]:
        """The number of each image's group, in each split; empty if the table has no groups."""
        groups = {row.path: row.group for row in self._rows if row.group is not None}
        numbers = {group: number for number, group in enumerate(sorted(set(groups.values())))}
        if not groups:
            return {}
        return {
            split: np.array([numbers[groups[file.path]] for file in files], np.int64)
            for split, files in self._files.items()
        }

    def read_weights(self) -> dict[SplitName, Weights]:
        """The weight of each image, in each split; empty if the table has none."""
        weights = {row.path: row.weight for row in self._rows if row.weight is not None}
        if not weights:
            return {}
        return {
            split: np.array([weights[file.path] for file in files], np.float64)
            for split, files in self._files.items()
        }

    def _check(self, files: FilesBySplit) -> None:
        classes = sorted({file.class_name for file in files["train"]})
        if len(classes) == 1:
            raise DataError(
                f"{self.path} has only one label for training images, {classes[0]!r}; at least two "
                "are needed"
            )
        for split, split_files in files.items():
            unknown = sorted({file.class_name for file in split_files}.difference(classes))
            if unknown:
                raise DataError(
                    f"{self.path}: {split} has the label {unknown[0]!r}, which no training image "
                    "has; correct the label, or move images of it to the training split"
                )
        check_labels(self.path, classes, len(files["train"]))


def _find_root(path: Path, options: SourceOptions) -> Path:
    """The folder or archive that paths are relative to."""
    if options.data_root is None:
        return path.parent
    root = find_path(options.data_root)
    if root is None:
        raise DataError(f"there is no folder or archive {options.data_root!r} (--data-root)")
    return root


def _open_files(
    table: LabelTable, rows: list[LabelledRow], root: Path, options: SourceOptions
) -> tuple[FileStore, list[LabelledRow]]:
    """The files of a table, and its rows with their names in that store.

    Args:
        table: for messages.
        rows: of the table.
        root: the folder or archive of the images.
        options: with `skip_broken`, rows of files that do not exist are left out.

    Raises:
        DataError: files do not exist, or one file is named twice.
    """
    if root.is_dir():
        names = [_name_in_folder(root, row.path) for row in rows]
        store: FileStore = ListedFolder(root, [name for name in names if name is not None])
    else:
        store = open_store(root, options.limits)
        members = set(store.names)
        names = [next((n for n in _spellings(row.path) if n in members), None) for row in rows]
    missing = [row for row, name in zip(rows, names, strict=True) if name is None]
    if missing and (len(missing) == len(rows) or not options.skip_broken):
        raise DataError(_missing_files(table, missing, len(rows), root))
    named = [
        replace(row, path=name) for row, name in zip(rows, names, strict=True) if name is not None
    ]
    _check_duplicates(table, named)
    if isinstance(store, ListedFolder) and (same := store.find_same_file()):
        raise DataError(f"{table.path} names one file twice, as {same[0]!r} and as {same[1]!r}")
    return store, named


def _missing_files(
    table: LabelTable, missing: Sequence[LabelledRow], total: int, root: Path
) -> str:
    """The sentence that says which files there are not."""
    first = missing[0]
    names = ", ".join(f"{row.path!r} (line {row.line})" for row in missing[:MAX_LISTED_ROWS])
    names += ", …" if len(missing) > MAX_LISTED_ROWS else ""
    count = f"{len(missing):,} of {total:,} images are" if total > 1 else "its image is"
    sentence = f"{table.path}: {count} not there: {names}, looked for in {root}."
    if _WINDOWS_DRIVE.match(first.path) and os.name != "nt":
        return f"{sentence} Make the paths of Windows relative, and say --data-root FOLDER"
    if not Path(first.path).suffix and (suffix := _find_suffix(root, first.path)):
        return f"{sentence} There is {first.path + suffix!r}: add the suffix to the paths"
    if len(missing) == total:
        return f"{sentence} Say which folder the paths are relative to with --data-root FOLDER"
    return f"{sentence} Correct the rows, or leave them out with --skip-broken"


def _find_suffix(root: Path, name: str) -> str | None:
    suffixes = (".jpg", ".jpeg", ".png", ".tif", ".JPG", ".PNG")
    return next((s for s in suffixes if root.is_dir() and Path(root, name + s).is_file()), None)


def _check_duplicates(table: LabelTable, rows: Iterable[LabelledRow]) -> None:
    first: dict[str, LabelledRow] = {}
    for row in rows:
        same = first.setdefault(row.path, row)
        if same is row:
            continue
        lines = f"lines {same.line} and {row.line}"
        if same.label != row.label:
            raise DataError(
                f"{table.path} gives {row.path!r} the labels {same.label!r} and {row.label!r} "
                f"({lines}); an image has one label"
            )
        raise DataError(f"{table.path} names {row.path!r} twice ({lines}); keep one of the rows")


def _name_in_folder(root: Path, name: str) -> str | None:
    """The normalised name of a file in a folder; None if there is none."""
    return next((n for n in _spellings(name) if os.path.isfile(os.path.join(root, n))), None)  # noqa: PTH113, PTH118 (a fraction of the time)


def _spellings(name: str) -> Iterator[str]:
    """Names that a path may mean: as it is, with `/` for `\\`, or in another Unicode form."""
    for variant in dict.fromkeys((name, name.replace("\\", "/"))):
        normal = os.path.normpath(variant)
        yield normal
        for form in ("NFC", "NFD"):
            if (other := unicodedata.normalize(form, normal)) != normal:
                yield other


def _stat_files(root: Path, names: Iterable[str]) -> dict[str, os.stat_result]:
    return {name: os.stat(os.path.join(root, name)) for name in dict.fromkeys(names)}  # noqa: PTH116, PTH118 (a fraction of the time)
