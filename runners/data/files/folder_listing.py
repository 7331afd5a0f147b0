"""List the files of a folder with what the system says of them, a million files in seconds.

One walk lists all of them: the entries of a folder come with their kinds, so that each image costs
one question to the system, for its size, times and inode. What is known of an image is a row of an
array, and no object.
"""

from __future__ import annotations

import hashlib
import os
import time
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ....errors import DataError
from ..content_hashes import NUM_FACTS, Facts, encode_names, file_facts
from .file_names import (
    Listing,
    ListingBuilder,
    Reason,
    arrays_beside_images,
    reason_to_leave_out,
    reason_to_skip_folder,
)

MAX_NESTED_FOLDERS = 64
MAX_REPEATED_FOLDERS = 2000
"""How often a folder may be entered again through links. Links among n folders make n! paths."""


@dataclass(frozen=True, eq=False)
class ListedFiles:
    """The image files of a folder.

    Attributes:
        listing: their names, sorted, and what else there is.
        facts: what the system says of each, (N, 5).
        listed_ns: a time before the facts were read, ns since 1970.
    """

    listing: Listing
    facts: Facts
    listed_ns: int

    @classmethod
    def of(cls, statuses: Mapping[str, os.stat_result], listed_ns: int) -> ListedFiles:
        """Some files by name, of which all are images.

        Args:
            statuses: what the system says of them.
            listed_ns: a time before it was asked.
        """
        facts = np.array([file_facts(status) for status in statuses.values()], np.int64)
        return cls(Listing(tuple(statuses), (), ()), facts.reshape(-1, NUM_FACTS), listed_ns)

    @property
    def names(self) -> tuple[str, ...]:
        """The names (N,) of the images: paths with `/`, relative to the folder."""
        return self.listing.images

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each name."""
        return {name: row for row, name in enumerate(self.names)}

    @cached_property
    def digest(self) -> str:
        """A digest of the names and facts."""
        digest = hashlib.sha256(encode_names(self.names).tobytes())
        digest.update(self.facts.tobytes())
        return digest.hexdigest()


_shared_listings: ContextVar[dict[str, ListedFiles] | None] = ContextVar(
    "shared_listings", default=None
)


@contextmanager
def shared_listings() -> Iterator[None]:
    """Inside the context, each folder is listed once, and seen as it was then."""
    token = _shared_listings.set({})
    try:
        yield
    finally:
        _shared_listings.reset(token)


def list_folder(top: Path) -> ListedFiles:
    """List a folder, unless that is shared already; see `walk_folder`."""
    shared, key = _shared_listings.get(), str(top.absolute())
    if shared is None:
        return walk_folder(top)
    if key not in shared:
        shared[key] = walk_folder(top)
    return shared[key]


def walk_folder(top: Path) -> ListedFiles:
    """List a folder and those in it. Links to folders are followed, but not to a folder above.

    Raises:
        DataError: links lead to the same folders again and again, or folders are nested too deeply.
        OSError: a folder cannot be read.
    """
    builder, listed_ns = ListingBuilder(), time.time_ns()
    names: list[str] = []
    facts = array("q")
    entered: set[tuple[int, int]] = set()
    repeated = 0
    pending: list[tuple[Path, str, frozenset[tuple[int, int]]]] = [(top, "", frozenset())]
    while pending:
        folder, prefix, ancestors = pending.pop()
        status = folder.stat()
        inode = (status.st_dev, status.st_ino)
        if inode in ancestors:
            builder.leave_out(prefix.removesuffix("/"), Reason.LINK)
            continue
        repeated += inode in entered
        if repeated > MAX_REPEATED_FOLDERS or len(ancestors) > MAX_NESTED_FOLDERS:
            raise DataError(
                f"the links in {top} lead to the same folders again and again; remove them"
                if repeated
                else f"{folder} is inside more than {MAX_NESTED_FOLDERS} folders; move it up"
            )
        entered.add(inode)
        builder.add_folder(prefix.removesuffix("/"))
        inside = _list_entries(folder, prefix, builder, names, facts)
        pending += [(path, f"{name}/", ancestors | {inode}) for path, name in inside]
    arrays = arrays_beside_images(names)
    for name in arrays:
        builder.leave_out(name, Reason.ARRAY)
    order = [row for row, name in enumerate(names) if name not in arrays]
    order.sort(key=names.__getitem__)
    listing = replace(builder.build(), images=tuple(names[row] for row in order))
    rows = np.array(facts, np.int64).reshape(-1, NUM_FACTS)[order]
    return ListedFiles(listing, rows, listed_ns)


def _list_entries(
    folder: Path, prefix: str, builder: ListingBuilder, names: list[str], facts: array[int]
) -> list[tuple[Path, str]]:
    """List the entries of one folder; returns the folders in it, with their names.

    Args:
        folder: its path.
        prefix: of the names of its entries.
        builder: where what is left out is counted.
        names: the names of images are appended to it.
        facts: what the system says of them is appended to it.
    """
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir():
                reason = reason_to_skip_folder(entry.name)
                if reason is None:
                    folders.append((Path(entry.path), name))
                else:
                    _count_skipped(entry.path, name, reason, builder)
            elif (reason := _reason_to_leave_out(entry)) is not None:
                builder.leave_out(name, reason)
            else:
                # On Windows, only a full `stat` gives the inode.
                status = entry.stat() if os.name != "nt" else Path(entry.path).stat()
                names.append(name)
                facts.extend(file_facts(status))
    return folders


def _reason_to_leave_out(entry: os.DirEntry[str]) -> Reason | None:
    """Why a file is left out; None for an image."""
    reason = reason_to_leave_out([entry.name])
    if reason is not None or entry.is_file():
        return reason
    return Reason.LINK if entry.is_symlink() and not Path(entry.path).exists() else Reason.SPECIAL


def _count_skipped(folder: str, name: str, reason: Reason, builder: ListingBuilder) -> None:
    """Count the files of a folder that is no part of the data, as far as they can be read.

    Args:
        folder: its path.
        name: its path inside the store.
        reason: why it is skipped.
        builder: where they are counted.
    """
    for _, _, files in os.walk(folder):
        for file in files:
            builder.leave_out(f"{name}/{file}", reason)
