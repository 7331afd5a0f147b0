"""Named image files in a folder, a tar or a zip, read where they are.

Archives are never extracted. Their members are read into memory, so a malicious name
(`../../etc/passwd`) cannot reach a file. Members with such names are ignored nevertheless.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from ...errors import DataError
from ...sanitize import clean_error
from .images import MAX_FILE_BYTES, SUFFIXES
from .tar_members import TarMember, expansion_limit, is_tar, read_members

_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(struct.error, ValueError, TypeError, LookupError, RecursionError),
)
"""What Python's readers of archives raise on damaged input."""
MAX_NAME_FOLDERS = 64
MAX_NAME_CHARACTERS = 4096
MAX_REPEATED_FOLDERS = 2000
"""How often a folder may be entered again through links. Links among n folders make n! paths."""
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")


class FileStore(Protocol):
    """Image files by name: a path with `/`, relative to the top of the store."""

    path: Path

    @property
    def fingerprint(self) -> str:
        """A text that changes when a file changes; cheap to compute for archives."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all image files, in the order that is fastest to read."""

    def describe(self, name: str) -> str:
        """The name of a file in messages."""

    def read_files(self, names: Collection[str]) -> Iterator[tuple[str, bytes | Path]]:
        """The names of these files with their content or their path, in any order."""

    def sample_names(self, count: int) -> list[str]:
        """Up to `count` names of files that can be read quickly."""


def open_store(path: Path) -> FileStore:
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
            return ZipStore(path)
        if is_tar(path):
            return TarStore(path)
    raise DataError(
        f"{path} is neither a folder nor a readable archive; "
        f"data can be a folder, {', '.join(ARCHIVE_SUFFIXES[:3])} or .zip"
    )


class FolderStore:
    """A folder on disk. Links to folders are followed; hidden files are ignored."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _files(self) -> dict[str, tuple[int, int]]:
        """Size and modification time of every image file, by name, sorted."""
        files: dict[str, tuple[int, int]] = {}
        with raising_data_errors(self.path):
            for prefix, entry in _walk(self.path):
                if _is_image(entry.name) and entry.is_file():
                    facts = entry.stat()
                    files[prefix + entry.name] = (facts.st_size, facts.st_mtime_ns)
        return dict(sorted(files.items()))

    @property
    def fingerprint(self) -> str:
        """The folder's path and a digest of the names, sizes and times of its files."""
        listing = hashlib.sha256(repr(self._files).encode()).hexdigest()
        return f"folder:{self.path.resolve()}:{listing}"

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(self._files)

    def describe(self, name: str) -> str:
        """The file's path."""
        return str(self.path / name)

    def read_files(self, names: Collection[str]) -> Iterator[tuple[str, Path]]:
        """The paths of the files, which the decoding threads read."""
        for name in names:
            yield name, self.path / name

    def sample_names(self, count: int) -> list[str]:
        """Names at even distances."""
        return list(self.names[:: max(1, len(self.names) // count)][:count])


def _walk(top: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All entries below a folder that are not folders, each after the path of its folder and `/`.

    Links to folders are followed, but not to a folder above the link.
    """
    entered: set[tuple[int, int]] = set()
    repeated = 0
    pending: list[tuple[Path, str, frozenset[tuple[int, int]]]] = [(top, "", frozenset())]
    while pending:
        folder, prefix, ancestors = pending.pop()
        facts = folder.stat()
        inode = (facts.st_dev, facts.st_ino)
        if inode in ancestors:
            continue
        repeated += inode in entered
        if repeated > MAX_REPEATED_FOLDERS or len(ancestors) > MAX_NAME_FOLDERS:
            raise DataError(
                f"the links in {top} lead to the same folders again and again; remove them"
                if repeated
                else f"{folder} is inside more than {MAX_NAME_FOLDERS} folders; move it up"
            )
        entered.add(inode)
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    inside = f"{prefix}{entry.name}/"
                    pending.append((Path(entry.path), inside, ancestors | {inode}))
                else:
                    yield prefix, entry


class TarStore:
    """A tar, compressed or not. It can only be read from its beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def fingerprint(self) -> str:
        """Path, size and time of the archive."""
        return _file_fingerprint(self.path)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the archive's order."""
        return _list_tar(self.path, self.fingerprint)

    def describe(self, name: str) -> str:
        """`archive.tar:member`."""
        return f"{self.path}:{name}"

    def read_files(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Read the archive up to the last requested file."""
        wanted = set(names)
        for name, member in _tar_members(self.path):
            if name in wanted:
                wanted.remove(name)
                _check_size(self.describe(name), member.size)
                yield name, member.read()
            if not wanted:
                return

    def sample_names(self, count: int) -> list[str]:
        """The first names, which are fastest to read."""
        return list(self.names[:count])


def _tar_members(path: Path) -> Iterator[tuple[str, TarMember]]:
    """The image files of a tar with their names in the store, in its order."""
    with raising_data_errors(path):
        for member in read_members(path):
            if name := _member_name(member.name):
                yield name, member


@lru_cache(maxsize=4)
def _list_tar(path: Path, fingerprint: str) -> tuple[str, ...]:
    """Names in a tar, cached so that inspecting and preparing it list them only once."""
    del fingerprint
    return tuple(dict.fromkeys(name for name, _ in _tar_members(path)))


class ZipStore:
    """A zip without a password."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def fingerprint(self) -> str:
        """Path, size and time of the archive."""
        return _file_fingerprint(self.path)

    @cached_property
    def _members(self) -> dict[str, str]:
        """The members' names in the archive, by their names in the store."""
        members: dict[str, str] = {}
        total = 0
        with raising_data_errors(self.path), zipfile.ZipFile(self.path) as archive:
            for info in archive.infolist():
                name = None if info.is_dir() else _member_name(info.filename)
                if name and info.flag_bits & 1:
                    raise DataError(f"{self.path} is encrypted; unpack it and give the folder")
                if name:
                    _check_size(self.describe(name), info.file_size)
                    total += info.file_size
                    members[name] = info.filename
            if total > expansion_limit(self.path):
                raise DataError(
                    f"{self.path} expands to {total:,} bytes, which is far more than images do. "
                    "If that is right, unpack it and give the folder"
                )
        return members

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the archive's order."""
        return tuple(self._members)

    def describe(self, name: str) -> str:
        """`archive.zip:member`."""
        return f"{self.path}:{name}"

    def read_files(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Read the files in turn. A damaged one is returned without bytes and counts as broken."""
        with raising_data_errors(self.path), zipfile.ZipFile(self.path) as archive:
            for name in names:
                try:
                    content = archive.read(self._members[name])
                except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError):
                    content = b""
                except OSError as error:
                    if error.errno is not None:
                        raise
                    content = b""  # bz2 reports damage in this way.
                yield name, content

    def sample_names(self, count: int) -> list[str]:
        """Names at even distances."""
        return list(self.names[:: max(1, len(self.names) // count)][:count])


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


def _file_fingerprint(path: Path) -> str:
    with raising_data_errors(path):
        stat = path.stat()
    return f"file:{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"


def _member_name(name: str) -> str | None:
    """A member's name as a relative path; None if it is not an image or points elsewhere."""
    if len(name) > MAX_NAME_CHARACTERS or name.count("/") > MAX_NAME_FOLDERS:
        raise ValueError(f"the name of a file has {len(name):,} characters")
    components = PurePosixPath(name.replace("\\", "/")).parts
    if not components or components[0] == "/" or ".." in components:
        return None
    if any(map(_is_hidden, components)) or not _is_image(components[-1]):
        return None
    return "/".join(components)


def _check_size(label: str, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise DataError(
            f"{label} has {size:,} bytes; an image in an archive may have {MAX_FILE_BYTES:,}"
        )


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
