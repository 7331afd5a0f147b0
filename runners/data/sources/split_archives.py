"""A folder that holds one archive per split (`train.tar.gz`, `test.zip`), and is one data set."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ....errors import DataError
from ..dataset import SPLIT_NAMES, SplitName
from ..files.file_names import LeftOutFiles, Listing, ListingBuilder, Reason, reason_to_leave_out
from ..files.file_stores import ARCHIVE_SUFFIXES
from ..files.folder_tree import quote_names
from .split_folders import NO_SPLITS, FolderLayout, parse_splits


def find_split_archives(folder: Path, layout: FolderLayout) -> dict[SplitName, str]:
    """The names of the archives in a folder that are splits; none if it holds no archives.

    Raises:
        DataError: it is not clear which archive is which split.
    """
    stems = {
        file.name: stem
        for file in sorted(folder.iterdir())
        if file.is_file()
        and not file.name.startswith(".")
        and (stem := _archive_stem(file.name)) is not None
        and file.name not in layout.leave_out
    }
    if not stems or layout.splits == NO_SPLITS:
        return {}
    if layout.splits is not None:
        splits = {split: name for name, split in parse_splits(layout.splits).items()}
        missing = [name for name in splits.values() if name not in stems]
    else:
        splits = {SPLIT_NAMES[stem]: name for name, stem in stems.items() if stem in SPLIT_NAMES}
        missing = [name for name in stems if name not in splits.values()]
    if missing or "train" not in splits:
        raise DataError(
            f"{folder} holds the archives {quote_names(list(stems))}, and it is not clear which "
            f"splits they are. Say --split-folders train={next(iter(stems))} or the like for each, "
            "leave others out with --leave-out NAME, or unpack them and give the folder"
        )
    return splits


def list_files_beside(
    folder: Path, listing: Listing, used: Collection[str], layout: FolderLayout
) -> tuple[LeftOutFiles, ...]:
    """The files beside the archives of a folder that are splits, other archives among them.

    Args:
        folder: the folder.
        listing: what it holds.
        used: the names of the archives that are splits.
        layout: what the user says.
    """
    builder = ListingBuilder()
    for file in sorted(folder.iterdir()):
        is_unused = file.is_file() and file.name not in used
        if is_unused and reason_to_leave_out([file.name]) is Reason.ARCHIVE:
            is_requested = file.name in layout.leave_out
            builder.leave_out(file.name, Reason.REQUESTED if is_requested else Reason.NO_SPLIT)
    others = (f for f in listing.left_out if f.folder or f.reason is not Reason.ARCHIVE)
    return (*builder.build().left_out, *others)


def _archive_stem(name: str) -> str | None:
    """The name of an archive in lower case, without its suffix; None if it is no archive."""
    lowered = name.lower()
    for suffix in ARCHIVE_SUFFIXES:
        if lowered.endswith(suffix):
            return lowered.removesuffix(suffix)
    return None
