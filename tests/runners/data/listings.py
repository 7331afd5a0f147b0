"""Listings of made-up stores, from the paths of their files alone."""

from __future__ import annotations

from collections.abc import Iterable

from attentune.runners.data.files.archive_index import ArchiveIndex
from attentune.runners.data.files.file_names import Listing
from attentune.runners.data.sources.class_folders import (
    Arrangement,
    arrange_files,
    leave_out_requested,
)
from attentune.runners.data.sources.split_folders import FolderLayout


def listing_of(*files: str, folders: Iterable[str] = ()) -> Listing:
    index = ArchiveIndex()
    for file in files:
        index.add_file(file)
    for folder in folders:
        index.add_folder(folder)
    return index.build().listing


def images(*folders: str, count: int = 2) -> list[str]:
    return [f"{folder}/{number}.jpg" for folder in folders for number in range(count)]


def arrange(
    *files: str,
    folders: Iterable[str] = (),
    splits: str | None = None,
    leave_out: Iterable[str] = (),
) -> Arrangement:
    layout = FolderLayout(splits, tuple(leave_out))
    (listing,) = leave_out_requested(
        [listing_of(*files, folders=folders)], layout.leave_out, "photos"
    )
    return arrange_files(listing, layout, "photos")


def classes(arrangement: Arrangement) -> dict[str, list[str]]:
    return {
        split: sorted({file.class_name for file in files})
        for split, files in arrangement.files.items()
    }
