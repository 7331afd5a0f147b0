"""Named files in a folder, a tar or a zip, read where they lie.

Nothing is ever extracted: members of an archive are read into memory and only known by their names,
so a hostile name (`../../etc/passwd`) reaches no file. Such names are left out all the same.
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
    """Picture files by name: paths with `/`, relative to the store's top."""

    path: Path

    @property
    def identity(self) -> str:
        """Changes when a file does; cheap for archives."""

    @property
    def names(self) -> tuple[str, ...]:
        """All picture files, in an order that is quick to read."""

    def label(self, name: str) -> str:
        """How messages call a file."""

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes | Path]]:
        """The content of these files, or where it lies, in any order."""

    def sample(self, count: int) -> list[str]:
        """Some names that can be read soon."""


def open_store(path: Path) -> FileStore:
    """The store at a path; DataError if it is neither a folder nor an archive that we know."""
    if path.is_dir():
        return FolderStore(path)
    with reading(path):
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
    """A folder on disk; links to folders are followed, hidden files are not seen."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _files(self) -> dict[str, tuple[int, int]]:
        """Size and time of every picture file, by name, sorted."""
        found: dict[str, tuple[int, int]] = {}
        with reading(self.path):
            self._walk(self.path, "", found, frozenset())
        return dict(sorted(found.items()))

    def _walk(
        self,
        folder: Path,
        prefix: str,
        found: dict[str, tuple[int, int]],
        above: frozenset[tuple[int, int]],
    ) -> None:
        here = folder.stat()
        place = (here.st_dev, here.st_ino)
        if place in above:
            return  # a link back up
        with os.scandir(folder) as entries:
            for entry in entries:
                if _hidden(entry.name):
                    continue
                if entry.is_dir():
                    self._walk(Path(entry.path), f"{prefix}{entry.name}/", found, above | {place})
                elif _is_picture(entry.name) and entry.is_file():
                    facts = entry.stat()
                    found[prefix + entry.name] = (facts.st_size, facts.st_mtime_ns)

    @property
    def identity(self) -> str:
        """The folder's place and a digest of names, sizes and times."""
        listing = hashlib.sha256(repr(self._files).encode()).hexdigest()
        return f"folder:{self.path.resolve()}:{listing}"

    @property
    def names(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(self._files)

    def label(self, name: str) -> str:
        """The path."""
        return str(self.path / name)

    def read(self, names: Collection[str]) -> Iterator[tuple[str, Path]]:
        """Where the files lie: the decoding threads read them."""
        for name in names:
            yield name, self.path / name

    def sample(self, count: int) -> list[str]:
        """Evenly over the names."""
        return list(self.names[:: max(1, len(self.names) // count)][:count])


class TarStore:
    """A tar, compressed or not. It can only be read from its start, so all is done in passes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def identity(self) -> str:
        """Place, size and time of the archive."""
        return _file_identity(self.path)

    @property
    def names(self) -> tuple[str, ...]:
        """In the archive's order."""
        return _listing(self.path, self.identity)

    def label(self, name: str) -> str:
        """`archive.tar:member`."""
        return f"{self.path}:{name}"

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """One pass, which ends with the last wanted file."""
        wanted = set(names)
        for name, archive, member in _members(self.path):
            if name in wanted:
                wanted.remove(name)
                file = archive.extractfile(member)
                yield name, file.read() if file else b""
            if not wanted:
                return

    def sample(self, count: int) -> list[str]:
        """The first ones, which are read soonest."""
        return list(self.names[:count])


def _members(path: Path) -> Iterator[tuple[str, tarfile.TarFile, tarfile.TarInfo]]:
    """The picture files of a tar, in its order."""
    # Not as a stream ("r|*"): that mode takes the end of a truncated archive for its real end.
    with reading(path), tarfile.open(path) as archive:
        for member in archive:
            name = _member_name(member.name) if member.isfile() else None
            if name:
                yield name, archive, member


@lru_cache(maxsize=4)
def _listing(path: Path, identity: str) -> tuple[str, ...]:
    """Names in a tar: a look and the preparation after it need only one pass for them."""
    del identity
    return tuple(dict.fromkeys(name for name, _, _ in _members(path)))


class ZipStore:
    """A zip without password."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def identity(self) -> str:
        """Place, size and time of the archive."""
        return _file_identity(self.path)

    @cached_property
    def _members(self) -> dict[str, str]:
        with reading(self.path), zipfile.ZipFile(self.path) as archive:
            found = {}
            for info in archive.infolist():
                name = None if info.is_dir() else _member_name(info.filename)
                if name and info.flag_bits & 1:
                    raise DataError(f"{self.path} is encrypted; unpack it and give the folder")
                if name:
                    found[name] = info.filename
            return found

    @property
    def names(self) -> tuple[str, ...]:
        """In the archive's order."""
        return tuple(self._members)

    def label(self, name: str) -> str:
        """`archive.zip:member`."""
        return f"{self.path}:{name}"

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """One by one; a damaged member gives no bytes, and so counts as a broken picture."""
        with reading(self.path), zipfile.ZipFile(self.path) as archive:
            for name in names:
                try:
                    yield name, archive.read(self._members[name])
                except (zipfile.BadZipFile, zlib.error):
                    yield name, b""

    def sample(self, count: int) -> list[str]:
        """Evenly over the names."""
        return list(self.names[:: max(1, len(self.names) // count)][:count])


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Errors of reading as DataError."""
    try:
        yield
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged or incomplete ({error}); fetch it again") from error
    except NotImplementedError as error:
        raise DataError(f"{path}: {error}; unpack it and give the folder") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot read {error.filename or path}: {reason}") from error


def _file_identity(path: Path) -> str:
    facts = path.stat()
    return f"file:{path.resolve()}:{facts.st_size}:{facts.st_mtime_ns}"


def _member_name(name: str) -> str | None:
    """A member's name as a relative path; None for what is no picture or points elsewhere."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or any(map(_hidden, parts)):
        return None
    return "/".join(parts) if _is_picture(parts[-1]) else None


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
