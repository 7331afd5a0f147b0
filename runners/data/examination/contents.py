"""What a data source holds, by its names alone: `DataContents`, also where a search refuses it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import AttentuneError, DataError
from ....files import find_path
from ..files.file_names import LeftOutFiles
from ..sources.folder_source import FileSource
from ..sources.label_table import read_label_table
from ..sources.resolve import open_source, source_kind
from ..sources.source import DataSource, SourceOptions


@dataclass(frozen=True)
class DataContents:
    """What there is, as far as it can be read. No image is decoded.

    Attributes:
        name: of the data.
        classes: names of the classes; None if it is not clear what they are.
        counts: the number of files of each class, by split of the source; None without classes.
        folders: the number of images directly in each folder, if the data are folders; those that
            only hold other folders are left out.
        left_out: files that are no images of the data, counted.
        remarks: sentences about the rest.
    """

    name: str
    classes: tuple[str, ...] | None = None
    counts: dict[str, tuple[int, ...]] | None = None
    folders: tuple[tuple[str, int], ...] = ()
    left_out: tuple[LeftOutFiles, ...] = ()
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {**asdict(self), "folders": dict(self.folders)}


def read_contents(spec: str, options: SourceOptions) -> DataContents | None:
    """What the data `spec` hold; None if they cannot be read at all.

    Args:
        spec: the text of `--data`.
        options: how they are read.
    """
    try:
        source = open_source(spec, options)
    except AttentuneError:
        return _read_table(spec)
    try:
        labels = source.read_labels()
        classes = source.classes
        counts: dict[str, tuple[int, ...]] = {
            split: tuple(np.bincount(numbers, minlength=len(classes)).tolist())
            for split, numbers in labels.items()
        }
        return DataContents(source.name, classes, counts, (), source.left_out)
    except DataError:
        return _list_folders(source)


def _list_folders(source: DataSource) -> DataContents | None:
    """The folders of a source whose classes are not clear; None if it has none."""
    if not isinstance(source, FileSource):
        return None
    try:
        listings = [store.listing for store in source.stores]
    except DataError:
        return None
    counts: Counter[str] = Counter()
    for listing in listings:
        counts.update(path.rpartition("/")[0] for path in listing.images)
        parents = {folder.rpartition("/")[0] for folder in listing.folders}
        counts.update(dict.fromkeys(set(listing.folders) - parents, 0))
    left_out = tuple(files for listing in listings for files in listing.left_out)
    return DataContents(source.name, folders=tuple(sorted(counts.items())), left_out=left_out)


def _read_table(spec: str) -> DataContents | None:
    """The columns of a table that cannot be used; None if it is no table or cannot be read."""
    try:
        if source_kind(spec) != "table":
            return None
        path = find_path(spec) or Path(spec)
        table = read_label_table(path)
    except AttentuneError:
        return None
    columns = ", ".join(map(repr, table.header))
    return DataContents(
        path.name, remarks=(f"{len(table.rows):,} rows with the columns {columns}",)
    )
