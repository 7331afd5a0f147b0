"""Named image files in a folder, a tar or a zip, read where they are.

Archives are never extracted. Their members are read into memory, so a malicious name
(`../../etc/passwd`) cannot reach a file. Members with such names are ignored nevertheless.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from ...errors import DataError
from .images import SUFFIXES

_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
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
        if zipfile.is_zipfile(path):
            return ZipStore(path)
        try:
            tarfile.open(path).close()
        except tarfile.ReadError:
            pass
        else:
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
            self._walk(self.path, "", files, frozenset())
        return dict(sorted(files.items()))

    def _walk(
        self,
        folder: Path,
        prefix: str,
        files: dict[str, tuple[int, int]],
        ancestors: frozenset[tuple[int, int]],
    ) -> None:
        """Add the image files below `folder` to `files`; `ancestors` are device and inode."""
        stat = folder.stat()
        inode = (stat.st_dev, stat.st_ino)
        if inode in ancestors:
            return  # A link leads back to a folder above it.
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    inside = f"{prefix}{entry.name}/"
                    self._walk(Path(entry.path), inside, files, ancestors | {inode})
                elif _is_image(entry.name) and entry.is_file():
                    stat = entry.stat()
                    files[prefix + entry.name] = (stat.st_size, stat.st_mtime_ns)

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
        for name, archive, member in _tar_members(self.path):
            if name in wanted:
                wanted.remove(name)
                file = archive.extractfile(member)
                yield name, file.read() if file else b""
            if not wanted:
                return

    def sample_names(self, count: int) -> list[str]:
        """The first names, which are fastest to read."""
        return list(self.names[:count])


def _tar_members(path: Path) -> Iterator[tuple[str, tarfile.TarFile, tarfile.TarInfo]]:
    """The image files of a tar, in its order."""
    # The stream mode ("r|*") does not report a truncated archive.
    with raising_data_errors(path), tarfile.open(path) as archive:
        for member in archive:
            name = _member_name(member.name) if member.isfile() else None
            if name:
                yield name, archive, member


@lru_cache(maxsize=4)
def _list_tar(path: Path, fingerprint: str) -> tuple[str, ...]:
    """Names in a tar, cached so that inspecting and preparing it list them only once."""
    del fingerprint
    return tuple(dict.fromkeys(name for name, _, _ in _tar_members(path)))


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
        members = {}
        with raising_data_errors(self.path), zipfile.ZipFile(self.path) as archive:
            for info in archive.infolist():
                name = None if info.is_dir() else _member_name(info.filename)
                if name and info.flag_bits & 1:
                    raise DataError(f"{self.path} is encrypted; unpack it and give the folder")
                if name:
                    members[name] = info.filename
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
                    yield name, archive.read(self._members[name])
                except (zipfile.BadZipFile, zlib.error):
                    yield name, b""

    def sample_names(self, count: int) -> list[str]:
        """Names at even distances."""
        return list(self.names[:: max(1, len(self.names) // count)][:count])


@contextmanager
def raising_data_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading `path` inside the context into DataError."""
    try:
        yield
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged or incomplete ({error}); fetch it again") from error
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
    components = PurePosixPath(name.replace("\\", "/")).parts
    if not components or components[0] == "/" or ".." in components:
        return None
    if any(map(_is_hidden, components)) or not _is_image(components[-1]):
        return None
    return "/".join(components)


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
