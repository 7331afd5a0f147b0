"""Named image files in a folder, a tar or a zip, read where they are.

Archives are never extracted. Their members are read into memory, so a malicious name
(`../../etc/passwd`) cannot reach a file. Members with such names are left out. Links in an archive
are followed to a file or a folder of the same archive.
"""

from __future__ import annotations

import hashlib
import lzma
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from ...errors import DataError
from ...sanitize import clean_error
from .archive_index import ArchiveIndex, IndexedArchive, member_path
from .content_hashes import Facts, file_facts
from .file_names import Listing
from .folder_listing import ListedFiles, list_folder
from .image_limits import DEFAULT_LIMITS, ImageLimits, LargeImageError
from .tar_members import expansion_limit, is_tar, read_members

_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(struct.error, ValueError, TypeError, LookupError, RecursionError),
)
"""What Python's readers of archives raise on damaged input."""
MAX_LINK_BYTES = 4096
"""Length of the path that a link in a zip may lead to."""
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")


@dataclass(frozen=True)
class UnreadableFile:
    """A file that cannot be read from its archive, and why."""

    reason: str


FileContent = bytes | Path | UnreadableFile
"""A file's bytes, or where it is on the disk."""


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


class FolderStore:
    """A folder on disk. Links to folders are followed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _listed(self) -> ListedFiles:
        """The images of the folder, and what else there is."""
        with raising_data_errors(self.path):
            return list_folder(self.path)

    @property
    def listing(self) -> Listing:
        """All images, sorted by name, and what else there is."""
        return self._listed.listing

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return self._listed.names

    @property
    def listed_ns(self) -> int:
        """When the folder was listed."""
        return self._listed.listed_ns

    def read_facts(self, names: Collection[str]) -> Facts:
        """Those of each file when the folder was listed."""
        if names is self.names:
            return self._listed.facts
        facts: Facts = self._listed.facts[[self._listed.rows[name] for name in names]]
        return facts

    @property
    def earlier_fingerprint(self) -> str:
        """The folder's path and a digest of the names, sizes and times of its files."""
        sizes_and_times = map(tuple, self._listed.facts[:, :2].tolist())
        files = dict(zip(self.names, sizes_and_times, strict=True))
        listing = hashlib.sha256(repr(files).encode()).hexdigest()
        return f"folder:{self.path.resolve()}:{listing}"

    @cached_property
    def fingerprint(self) -> str:
        """The folder's path and a digest of the names and facts of its images."""
        return f"folder:{self.path.resolve()}:{self._listed.digest}"

    @property
    def listing_fingerprint(self) -> str:
        """The fingerprint, and a digest of the folders and of what is left out."""
        listing = (self.listing.left_out, self.listing.folders)
        return f"{self.fingerprint}:{hashlib.sha256(repr(listing).encode()).hexdigest()}"

    def describe(self, name: str) -> str:
        """The file's path."""
        return str(self.path / name)

    def read_files(self, names: Collection[str]) -> Iterator[tuple[str, Path]]:
        """The paths of the files, which the decoding threads read."""
        for name in names:
            yield name, self.path / name

    def sample_names(self, count: int) -> list[str]:
        """Names at even distances."""
        return _spread_sample(self.names, count)


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
        return _spread_sample(self.names, count)


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


def _spread_sample(names: tuple[str, ...], count: int) -> list[str]:
    """Up to `count` names at even distances."""
    return list(names[:: max(1, len(names) // count)][:count])


@contextmanager
def raising_data_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading `path` inside the context into DataError."""
    try:
        yield
    except DataError:
        raise
    except _DAMAGED as error:
        reason = clean_error(error)
        raise DataError(f"{path} is damaged or incomplete ({reason}); fetch it again") from error
    except NotImplementedError as error:
        raise DataError(f"{path}: {error}; unpack it and give the folder") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot read {error.filename or path}: {reason}") from error


def _check_size(size: int, limits: ImageLimits) -> UnreadableFile | None:
    """What stands in place of a file of `size` bytes that is too large; None if it is not."""
    try:
        limits.check_bytes(size)
    except LargeImageError as error:
        return UnreadableFile(str(error))
    return None
