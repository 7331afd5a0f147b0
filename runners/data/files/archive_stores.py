"""Image files in a tar or a zip, read where they are: `TarStore` and `ZipStore`.

Archives are never extracted. Their members are read into memory, so a malicious name
(`../../etc/passwd`) cannot reach a file. Members with such names are left out. Links in an archive
are followed to a file or a folder of the same archive.
"""

from __future__ import annotations

import lzma
import stat
import time
import zipfile
import zlib
from collections.abc import Collection, Iterator
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from ....errors import DataError
from ....sanitize import clean_error
from ..content_hashes import Facts, file_facts
from ..image_limits import DEFAULT_LIMITS, ImageLimits, LargeImageError
from .archive_index import ArchiveIndex, IndexedArchive, member_path
from .file_content import FileContent, UnreadableFile, raising_data_errors
from .file_names import Listing
from .folder_store import spread_sample
from .tar_members import expansion_limit, read_members

MAX_LINK_BYTES = 4096
"""Length of the path that a link in a zip may lead to."""


class _ArchiveStore:
    """What archives of every format share: one file, whose facts are those of its members."""

    def __init__(self, path: Path, limits: ImageLimits) -> None:
        self.path, self.limits = path, limits
        self.listed_ns = time.time_ns()

    @cached_property
    def _facts(self) -> tuple[int, ...]:
        with raising_data_errors(self.path):
            return file_facts(self.path.stat())

    @property
    def fingerprint(self) -> str:
        """Path and facts of the archive."""
        return f"file:{self.path.resolve()}:{self._facts}"

    @property
    def earlier_fingerprint(self) -> str:
        """Path, size and time of the archive."""
        size, modified = self._facts[:2]
        return f"file:{self.path.resolve()}:{size}:{modified}"

    def read_facts(self, names: Collection[str]) -> Facts:
        """Those of the archive, for each file."""
        return np.tile(np.array(self._facts, np.int64), (len(names), 1))

    @property
    def listing_fingerprint(self) -> str:
        """The fingerprint."""
        return self.fingerprint


class TarStore(_ArchiveStore):
    """A tar, compressed or not. It can only be read from its beginning."""

    @property
    def _index(self) -> IndexedArchive:
        return _index_tar(self.path, self.fingerprint)

    @property
    def listing(self) -> Listing:
        """All images, in the archive's order, and what else there is."""
        return self._index.listing

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the archive's order."""
        return self.listing.images

    def describe(self, name: str) -> str:
        """`archive.tar:member`."""
        return f"{self.path}:{name}"

    def read_files(self, names: Collection[str]) -> Iterator[tuple[str, FileContent]]:
        """Read the archive up to the last requested file."""
        names_by_member: dict[str, list[str]] = {}
        for name in names:
            names_by_member.setdefault(self._index.members[name], []).append(name)
        with raising_data_errors(self.path):
            for member in read_members(self.path):
                if not names_by_member:
                    return
                path = member_path(member.name) if member.kind == "file" else None
                images = names_by_member.pop(path, None) if path is not None else None
                if images is not None:
                    too_large = _check_size(member.size, self.limits)
                    content = too_large or member.read()
                    yield from ((name, content) for name in images)

    def sample_names(self, count: int) -> list[str]:
        """The first names, which are fastest to read."""
        return list(self.names[:count])


@lru_cache(maxsize=4)
def _index_tar(path: Path, fingerprint: str) -> IndexedArchive:
    """The content of a tar, cached so that inspecting and preparing it list it only once."""
    del fingerprint
    index = ArchiveIndex()
    with raising_data_errors(path):
        for member in read_members(path):
            match member.kind:
                case "file":
                    index.add_file(member.name)
                case "folder":
                    index.add_folder(member.name)
                case "link":
                    index.add_link(member.name, member.target)
                case "hard link":
                    index.add_hard_link(member.name, member.target)
                case "special":
                    index.add_special(member.name)
        return index.build()


class ZipStore(_ArchiveStore):
    """A zip without a password."""

    @cached_property
    def _contents(self) -> tuple[IndexedArchive, dict[str, zipfile.ZipInfo]]:
        """The index, and the archive's entries by the paths of the images."""
        index, entries = ArchiveIndex(), {}
        with raising_data_errors(self.path), zipfile.ZipFile(self.path) as archive:
            for info in archive.infolist():
                if info.is_dir():
                    index.add_folder(info.filename)
                elif stat.S_ISLNK(info.external_attr >> 16):
                    index.add_link(info.filename, _read_link(archive, info))
                elif path := index.add_file(info.filename):
                    entries[path] = info
            indexed = index.build()
            used = {path: entries[member] for path, member in indexed.members.items()}
            _check_entries(self.path, used.values(), self.limits)
        return indexed, used

    @property
    def listing(self) -> Listing:
        """All images, in the archive's order, and what else there is."""
        return self._contents[0].listing

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the archive's order."""
        return self.listing.images

    def describe(self, name: str) -> str:
        """`archive.zip:member`."""
        return f"{self.path}:{name}"

    def read_files(self, names: Collection[str]) -> Iterator[tuple[str, FileContent]]:
        """Read the files in turn."""
        entries = self._contents[1]
        with raising_data_errors(self.path), zipfile.ZipFile(self.path) as archive:
            for name in names:
                yield name, _read_entry(archive, entries[name], self.limits)

    def sample_names(self, count: int) -> list[str]:
        """Names at even distances."""
        return spread_sample(self.names, count)


def _check_entries(path: Path, entries: Collection[zipfile.ZipInfo], limits: ImageLimits) -> None:
    """Raise DataError if images of a zip are encrypted, or expand further than images do."""
    if any(info.flag_bits & 1 for info in entries):
        raise DataError(f"{path} is encrypted; unpack it and give the folder")
    different = {info.filename: info.file_size for info in entries}
    total = sum(size for size in different.values() if size <= limits.max_file_bytes)
    if total > expansion_limit(path):
        raise DataError(
            f"{path} expands to {total:,} bytes, which is far more than images do. "
            "If that is right, unpack it and give the folder"
        )


def _read_entry(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: ImageLimits
) -> bytes | UnreadableFile:
    """The content of a file in a zip; one that is damaged or too large counts as broken."""
    if too_large := _check_size(info.file_size, limits):
        return too_large
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        return UnreadableFile(clean_error(error))
    except OSError as error:
        if error.errno is not None:
            raise
        return UnreadableFile(clean_error(error))  # bz2 reports damage in this way.


def _read_link(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str | None:
    """Where a link in a zip leads; None if that cannot be read."""
    if info.file_size > MAX_LINK_BYTES or info.flag_bits & 1:
        return None
    content = _read_entry(archive, info, DEFAULT_LIMITS)
    return content.decode("utf-8", "surrogateescape") if isinstance(content, bytes) else None


def _check_size(size: int, limits: ImageLimits) -> UnreadableFile | None:
    """What stands in place of a file of `size` bytes that is too large; None if it is not."""
    try:
        limits.check_bytes(size)
    except LargeImageError as error:
        return UnreadableFile(str(error))
    return None
