"""Named image files in a folder, a tar or a zip: the interface `FileStore`, and `open_store`."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from ....errors import DataError
from ..content_hashes import Facts
from ..image_limits import DEFAULT_LIMITS, ImageLimits
from .archive_stores import TarStore, ZipStore
from .file_content import FileContent, raising_data_errors
from .file_names import Listing
from .folder_store import FolderStore
from .tar_members import is_tar

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")


class FileStore(Protocol):
    """Image files by name: a path with `/`, relative to the top of the store."""

    path: Path

    @property
    def fingerprint(self) -> str:
        """A text that changes when an image file changes; cheap to compute for archives."""

    @property
    def listing_fingerprint(self) -> str:
        """A text that changes when any file changes; as cheap as `fingerprint`."""

    @property
    def listing(self) -> Listing:
        """All image files, and what else there is."""

    @property
    def earlier_fingerprint(self) -> str:
        """The fingerprint that attentune 0.1 computed, without inodes and status changes."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all image files, in the order that is fastest to read."""

    @property
    def listed_ns(self) -> int:
        """A time before the facts of the files were read, ns since 1970."""

    def read_facts(self, names: Collection[str]) -> Facts:
        """What the system says of the files that hold these images, in their order."""

    def describe(self, name: str) -> str:
        """The name of a file in messages."""

    def read_files(self, names: Collection[str]) -> Iterator[tuple[str, FileContent]]:
        """The names of these files with their content, in any order."""

    def sample_names(self, count: int) -> list[str]:
        """Up to `count` names of files that can be read quickly."""


def open_store(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> FileStore:
    """The store at a path.

    Raises:
        DataError: it is neither a folder nor an archive of a known format, or cannot be read.
    """
    if path.is_dir():
        return FolderStore(path)
    with raising_data_errors(path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path} is a device or a pipe; data can be a folder or an archive")
        if zipfile.is_zipfile(path):
            return ZipStore(path, limits)
        if is_tar(path):
            return TarStore(path, limits)
    raise DataError(
        f"{path} is neither a folder nor a readable archive; "
        f"data can be a folder, {', '.join(ARCHIVE_SUFFIXES[:3])} or .zip"
    )
